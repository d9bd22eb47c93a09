package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/journal/tree"
	"github.com/tidewaiter/tidewaiter/internal/store"
)

func databaseCommand() command {
	return command{
		use:         "database",
		short:       "Back up, restore, verify and copy the database",
		earlierName: "state",
		sub: []command{{
			use:   "backup FILE",
			short: "Write a backup of the database to a file",
			long: `Write a backup of the database to a new file. The command can run
while the service runs: the backup is a consistent snapshot. The file appears only after the backup is complete
and verified. A backup is a SQLite database, even if the service uses PostgreSQL. It contains
password hashes: protect it like the database itself.`,
			example: "  tidewaiter database backup /backup/tidewaiter-$(date +%F).db",
			opens:   loadConfig,
			run: func(s *session) error {
				return s.copy(store.Backup, s.cfg.Database, s.args[0], "wrote backup "+s.args[0])
			},
		}, {
			use:   "restore FILE",
			short: "Restore the database from a backup",
			long: `Restore the config's database from a backup. The database must be empty or not
exist yet, and every Tidewaiter that uses it must be stopped. Either everything is restored and
verified, or nothing. A backup from an older version is migrated.`,
			example: "  tidewaiter database restore /backup/tidewaiter-2026-11-23.db",
			opens:   loadConfig,
			run: func(s *session) error {
				return s.copy(store.Restore, s.args[0], s.cfg.Database, "restored the database from "+s.args[0])
			},
		}, {
			use:         "copy --to URL",
			earlierName: "move",
			short:       "Copy everything to another database",
			long: `Copy everything to another database, from SQLite to PostgreSQL or back. The
other database must be empty, or a file that does not exist yet. Every Tidewaiter that uses one
of the two databases must be stopped. Either everything is copied and verified, or nothing. The
source is not changed. Afterwards, change "database" in the config and start the service.`,
			example: `  tidewaiter database copy --to 'postgres://tidewaiter@db.example.com/tidewaiter?password_file=/run/secrets/state'
  tidewaiter database copy --to sqlite:/var/lib/tidewaiter/state.db`,
			opens: loadConfig,
			flags: func(f *flags) action {
				to := f.String("to", "", "the `URL` of the other database, as in the config")
				f.addCheck(func(s *session) error {
					switch {
					case *to == "":
						return s.usageErrorf("--to is missing: give the URL of the other database")
					case hasPassword(*to):
						return s.usageErrorf("--to contains a password, and other users of this machine can see command lines: write the password to a file and append ?password_file=FILE to the URL")
					}
					return nil
				})
				return func(s *session) error {
					return s.copy(store.Copy, s.cfg.Database, *to, "copied the database; now change `database` in "+s.cfg.File)
				}
			},
		}, {
			use:   "verify",
			short: "Check the database for damage",
			long: `Check each page of the database file, each index, and the journal. The command
can run while the service runs. Exits 1 if something is damaged. PostgreSQL checks its own pages, so the
command verifies only the journal on PostgreSQL.`,
			example: "  tidewaiter database verify",
			opens:   readJournal,
			run: func(s *session) error {
				if err := s.db.Verify(s.ctx); err != nil {
					return err
				}
				v, err := s.journal.Verify(s.ctx, 0)
				if err != nil {
					return err
				}
				return s.print(struct {
					Whole bool `json:"intact"`
					journalEnd
				}{true, newJournalEnd(&v)}, "%s: %s, with %s in the journal", paintFor(s.out).green("the database is intact"),
					s.db, count(int(v.Entries), "entry", "entries"))
			},
		}},
	}
}

// journalEnd is the JSON form of the end of a verified journal. Hashes are written as in
// checkpoints.
type journalEnd struct {
	Entries int64            `json:"entries"`
	Last    journal.Position `json:"last"`
	Root    string           `json:"root,omitempty"` // of the tree after the last block
	Size    int64            `json:"size,omitempty"` // leaves of this tree
	Hash    string           `json:"hash,omitempty"` // without a tree: of the last block
}

func newJournalEnd(v *journal.Verified) journalEnd {
	end, hash := journalEnd{Entries: v.Entries, Last: v.Last, Size: v.Size}, tree.Hash(v.Hash).String()
	if v.Size > 0 {
		end.Root = hash
	} else {
		end.Hash = hash
	}
	return end
}

// hasPassword reports whether a database URL contains a password.
func hasPassword(database string) bool {
	u, err := url.Parse(database)
	if err != nil {
		return false // store.Open rejects it
	}
	_, has := u.User.Password()
	return has || u.Query().Has("password") || u.Query().Has("sslpassword")
}

// copy calls the function run to copy a database from one URL to another. Then copy prints the
// message with the number of copied rows. If the journal of the destination is not valid, the
// copy fails.
func (s *session) copy(run func(context.Context, string, string, store.CopyOptions) (store.Copied, error), source, destination, message string) error {
	s.untilStopped()
	var v journal.Verified
	copied, err := run(s.ctx, source, destination, store.CopyOptions{
		Progress: progress(s.errs, clock.Now),
		Verify: func(ctx context.Context, db *store.DB) (err error) {
			v, err = verifyJournal(ctx, db)
			return err
		},
	})
	if err != nil {
		return err
	}
	return s.print(struct {
		Tables int   `json:"tables"`
		Rows   int64 `json:"rows"`
		journalEnd
	}{copied.Tables, copied.Rows, newJournalEnd(&v)}, "%s: %s in %s, read back and compared, and %s in the journal, which is intact", message,
		count(int(copied.Rows), "row", "rows"), count(copied.Tables, "table", "tables"), count(int(v.Entries), "entry", "entries"))
}

// verifyJournal verifies the journal in a database that no other process has
// open.
func verifyJournal(ctx context.Context, db *store.DB) (_ journal.Verified, err error) {
	j, err := journal.New(db, journal.Options{})
	if err != nil {
		return journal.Verified{}, err
	}
	defer func() { err = errors.Join(err, j.Close(context.WithoutCancel(ctx))) }()
	return j.Verify(ctx, 0)
}

// progress returns a function that prints how many rows of a table are copied. It prints a line
// when the table is complete. Before that, it prints at most one line every two seconds.
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
