package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store"
)

func newDatabase() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "database",
		Short: "Back up, restore, verify and copy the database",
	}
	cmd.AddCommand(newDatabaseBackup(), newDatabaseRestore(), newDatabaseCopy(), newDatabaseVerify())
	return cmd
}

func newDatabaseBackup() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write a backup of the database to a file",
		Long: `Write a backup of the database to a new file. The service may be running: the backup is a consistent
snapshot. The file appears once it is complete and verified. It is a SQLite database, even if the
service uses PostgreSQL, and contains password hashes: protect it like the database itself.`,
		Example: "  tidewaiter database backup /backup/tidewaiter-$(date +%F).db",
		Args:    cobra.ExactArgs(1),
	}
	source := configFlags(cmd)
	copying(cmd, func(ctx context.Context, args []string, o store.CopyOptions) (store.Copied, string, error) {
		cfg, err := source.load()
		if err != nil {
			return store.Copied{}, "", err
		}
		copied, err := store.Backup(ctx, cfg.Database, args[0], o)
		return copied, "wrote backup " + args[0], err
	})
	return cmd
}

func newDatabaseRestore() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Restore the database from a backup",
		Long: `Restore the config's database from a backup. The database must be empty or not exist yet, and every
Tidewaiter that uses it must be stopped. Either everything is restored and verified, or nothing. A
backup from an older version is migrated.`,
		Example: "  tidewaiter database restore /backup/tidewaiter-2026-11-23.db",
		Args:    cobra.ExactArgs(1),
	}
	source := configFlags(cmd)
	copying(cmd, func(ctx context.Context, args []string, o store.CopyOptions) (store.Copied, string, error) {
		cfg, err := source.load()
		if err != nil {
			return store.Copied{}, "", err
		}
		copied, err := store.Restore(ctx, args[0], cfg.Database, o)
		return copied, "restored the database from " + args[0], err
	})
	return cmd
}

func newDatabaseCopy() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "copy --to URL",
		Short: "Copy everything to another database",
		Long: `Copy everything to another database, from SQLite to PostgreSQL or back. The other database must be
empty, or a file that does not exist yet. Every Tidewaiter that uses either must be stopped. Either
everything is copied and verified, or nothing. The source is left as it is: change "database" in the
config, then start.`,
		Example: `  tidewaiter database copy --to 'postgres://tidewaiter@db.example.com/tidewaiter?password_file=/run/secrets/state'
  tidewaiter database copy --to sqlite:/var/lib/tidewaiter/state.db`,
	}
	source := configFlags(cmd)
	to := cmd.Flags().String("to", "", "the `URL` of the other database, as in the config")
	copying(cmd, func(ctx context.Context, _ []string, o store.CopyOptions) (store.Copied, string, error) {
		if *to == "" {
			return store.Copied{}, "", usageErrorf(cmd, "--to is missing: give the URL of the other database")
		}
		if showsPassword(*to) {
			return store.Copied{}, "", usageErrorf(cmd, "--to contains a password, and other users of this machine can see command lines: write it to a file and append ?password_file=FILE to the URL")
		}
		cfg, err := source.load()
		if err != nil {
			return store.Copied{}, "", err
		}
		copied, err := store.Copy(ctx, cfg.Database, *to, o)
		return copied, "copied the database; now change `database` in " + cfg.File, err
	})
	return cmd
}

func newDatabaseVerify() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check the database for damage",
		Long: `Check each page of the database file, each index, and the journal's hash chain. The service may be
running. Exits 1 if something is damaged. On PostgreSQL, which checks its own pages, only the
journal is verified.`,
		Example: "  tidewaiter database verify",
	}
	source := configFlags(cmd)
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		cfg, err := source.load()
		if err != nil {
			return err
		}
		ctx, stop := untilStopped(cmd.Context())
		defer stop()
		db, j, closing, err := openJournal(ctx, cfg)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, closing()) }()
		if err := db.Verify(ctx); err != nil {
			return err
		}
		v, err := j.Verify(ctx, 0)
		if err != nil {
			return err
		}
		if *output == asJSON {
			return writeJSON(cmd.OutOrStdout(), struct {
				Whole   bool             `json:"whole"`
				Entries int64            `json:"entries"` // of the journal
				Last    journal.Position `json:"last"`
				Hash    string           `json:"hash"` // of the journal's last block
			}{true, v.Entries, v.Last, fmt.Sprintf("%x", v.Hash)})
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %s, with %s in the journal\n", painted(cmd.OutOrStdout()).green("the database is intact"),
			db, count(int(v.Entries), "entry", "entries"))
		return err
	}
	return cmd
}

// showsPassword reports whether a database URL contains a password.
func showsPassword(database string) bool {
	u, err := url.Parse(database)
	if err != nil {
		return false // store.Open rejects it
	}
	_, has := u.User.Password()
	return has || u.Query().Has("password") || u.Query().Has("sslpassword")
}

// copying makes cmd run a copy and verify the journal in the destination before the copy counts.
func copying(cmd *cobra.Command, run func(ctx context.Context, args []string, o store.CopyOptions) (store.Copied, string, error)) {
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx, stop := untilStopped(cmd.Context())
		defer stop()
		var chain journal.Verified
		copied, done, err := run(ctx, args, store.CopyOptions{
			Progress: progress(cmd.ErrOrStderr(), clock.Now),
			Verify: func(ctx context.Context, db *store.DB) (err error) {
				chain, err = verifyJournal(ctx, db)
				return err
			},
		})
		if err != nil {
			return err
		}
		if *output == asJSON {
			return writeJSON(cmd.OutOrStdout(), struct {
				Tables  int              `json:"tables"`
				Rows    int64            `json:"rows"`
				Entries int64            `json:"entries"` // of the journal
				Last    journal.Position `json:"last"`
				Hash    string           `json:"hash"` // of the journal's last block
			}{copied.Tables, copied.Rows, chain.Entries, chain.Last, fmt.Sprintf("%x", chain.Hash)})
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %s in %s, read back and compared, and %s in the journal, whose hash chain is intact\n", done,
			count(int(copied.Rows), "row", "rows"), count(copied.Tables, "table", "tables"), count(int(chain.Entries), "entry", "entries"))
		return err
	}
}

// verifyJournal verifies the hash chain of the journal in a database that no other process has open.
func verifyJournal(ctx context.Context, db *store.DB) (_ journal.Verified, err error) {
	j, err := journal.New(db, journal.Options{})
	if err != nil {
		return journal.Verified{}, err
	}
	defer func() { err = errors.Join(err, j.Close(context.WithoutCancel(ctx))) }()
	return j.Verify(ctx, 0)
}

// progress returns a function that prints a line for each complete table and every two seconds before.
func progress(w io.Writer, now func() time.Time) func(table string, rows, of int64) {
	const every = 2 * time.Second
	last := now()
	return func(table string, rows, of int64) {
		if rows < of && now().Sub(last) < every {
			return
		}
		last = now()
		fmt.Fprintf(w, "%s: %d of %d\n", table, rows, of)
	}
}
