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

func newState() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "state",
		Short: "Back up, restore, verify and move what is kept",
	}
	cmd.AddCommand(newStateBackup(), newStateRestore(), newStateMove(), newStateVerify())
	return cmd
}

func newStateBackup() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write all that is kept into a file",
		Long: `Write all that is kept into a new file, as it is at one moment, also while the service runs. The file appears
when it is complete and looked through. It is a state itself, in SQLite whatever the state is kept in, and holds
hashes of passwords: keep it as you keep the state.`,
		Example: "  tidewaiter state backup /backup/tidewaiter-$(date +%F).db",
		Args:    cobra.ExactArgs(1),
	}
	source := configFlags(cmd)
	copying(cmd, func(ctx context.Context, args []string, o store.CopyOptions) (store.Copied, string, error) {
		cfg, err := source.load()
		if err != nil {
			return store.Copied{}, "", err
		}
		copied, err := store.Backup(ctx, cfg.State, args[0], o)
		return copied, "the backup is in " + args[0], err
	})
	return cmd
}

func newStateRestore() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Read all that is kept from a backup",
		Long: `Read all that is kept from a backup into the config's state, which must be empty or not there yet. Every Tidewaiter
that works with it must be stopped. All is restored and looked through, or nothing. A backup by an older
version is brought up to date.`,
		Example: "  tidewaiter state restore /backup/tidewaiter-2026-11-23.db",
		Args:    cobra.ExactArgs(1),
	}
	source := configFlags(cmd)
	copying(cmd, func(ctx context.Context, args []string, o store.CopyOptions) (store.Copied, string, error) {
		cfg, err := source.load()
		if err != nil {
			return store.Copied{}, "", err
		}
		copied, err := store.Restore(ctx, args[0], cfg.State, o)
		return copied, "the state is restored from " + args[0], err
	})
	return cmd
}

func newStateMove() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "move --to URL",
		Short: "Copy all that is kept to another database",
		Long: `Copy all that is kept to another database, from SQLite to PostgreSQL or back. The other one must be empty, or a file that
is not there yet. Every Tidewaiter that works with either must be stopped. All is copied and looked through, or
nothing. What was kept stays where it is: change the config's state, then start.`,
		Example: `  tidewaiter state move --to 'postgres://tidewaiter@db.example.com/tidewaiter?password_file=/run/secrets/state'
  tidewaiter state move --to sqlite:/var/lib/tidewaiter/state.db`,
	}
	source := configFlags(cmd)
	to := cmd.Flags().String("to", "", "the `URL` of the other database, as the config would say it")
	copying(cmd, func(ctx context.Context, _ []string, o store.CopyOptions) (store.Copied, string, error) {
		if *to == "" {
			return store.Copied{}, "", misused(cmd, "--to is missing: where is the state to go?")
		}
		if showsPassword(*to) {
			return store.Copied{}, "", misused(cmd, "--to has a password in it, and others on this machine see command lines: write it into a file of its own, and ?password_file=FILE after the database")
		}
		cfg, err := source.load()
		if err != nil {
			return store.Copied{}, "", err
		}
		copied, err := store.Move(ctx, cfg.State, *to, o)
		return copied, "the state is copied; now change `state` in " + cfg.File, err
	})
	return cmd
}

func newStateVerify() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Verify that the database is not damaged",
		Long: `Verify that the database is not damaged: each page of the file, each index, and the journal's chain. It may run beside
the service, and exits 1 if something is wrong. PostgreSQL looks after its own pages; there it is the journal alone.`,
		Example: "  tidewaiter state verify",
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
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %s, with %s in the journal\n", painted(cmd.OutOrStdout()).green("the database is whole"),
			db, count(int(v.Entries), "entry", "entries"))
		return err
	}
	return cmd
}

// showsPassword tells whether a state's URL has a password in it, as a config's must not either.
func showsPassword(state string) bool {
	u, err := url.Parse(state)
	if err != nil {
		return false // what is no URL opens nothing
	}
	_, has := u.User.Password()
	return has || u.Query().Has("password") || u.Query().Has("sslpassword")
}

// copying makes cmd a copy of everything, that looks through the journal at its destination before it counts.
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
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %s in %s, each read back, and %s of the journal, whose chain is whole\n", done,
			count(int(copied.Rows), "row", "rows"), count(copied.Tables, "table", "tables"), count(int(chain.Entries), "entry", "entries"))
		return err
	}
}

// verifyJournal walks the chain of the journal in a state that nobody else has open.
func verifyJournal(ctx context.Context, db *store.DB) (_ journal.Verified, err error) {
	j, err := journal.New(db, journal.Options{})
	if err != nil {
		return journal.Verified{}, err
	}
	defer func() { err = errors.Join(err, j.Close(context.WithoutCancel(ctx))) }()
	return j.Verify(ctx, 0)
}

// progress writes a line when a table is complete, and now and then before.
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
