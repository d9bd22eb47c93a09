package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
)

func nothing(*sql.Tx) error { return nil }

// write increments a topic's counter n times.
func write(t testing.TB, db *store.DB, topic string, n int) {
	t.Helper()
	for range n {
		if err := db.Write(context.Background(), topic, nothing); err != nil {
			t.Fatal(err)
		}
	}
}

// copyFile overwrites a file in place with another file, like cp.
func copyFile(t testing.TB, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// growLog writes so much data that SQLite checkpoints the write-ahead log.
func growLog(t testing.TB, db *store.DB) {
	t.Helper()
	err := db.Write(t.Context(), "", func(tx *sql.Tx) error {
		for i := range 400 {
			if _, err := tx.Exec("INSERT INTO changes (topic, counter) VALUES ($1, 1) ON CONFLICT (topic) DO UPDATE SET counter = counter + 1", fmt.Sprint(i, strings.Repeat("x", 20_000))); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	write(t, db, "after", 1) // the checkpoint runs at the next commit
}

// If the file of an open database is deleted, moved or overwritten, the DB notices the change,
// and no longer acknowledges writes that would be lost. When the same file comes back, writes
// succeed again.
func TestAReplacedFileIsNoticed(t *testing.T) {
	for _, tt := range []struct {
		what  string
		spoil func(t *testing.T, file string)
		says  string
		once  bool // a check of the names finds the change, so no write is acknowledged
	}{
		{"it is deleted", func(t *testing.T, file string) { remove(t, file) }, "was deleted or moved away", true},
		{"all of it is deleted", func(t *testing.T, file string) { remove(t, file, file+"-wal", file+"-shm") }, "was deleted or moved away", true},
		{"its log is deleted", func(t *testing.T, file string) { remove(t, file+"-wal") }, "-wal was deleted or moved away", true},
		{"it is moved away", func(t *testing.T, file string) { rename(t, file, file+".away") }, "was deleted or moved away", true},
		{"its folder is moved away", func(t *testing.T, file string) { rename(t, filepath.Dir(file), filepath.Dir(file)+".away") }, "was deleted or moved away", true},
		{"another database is moved to its name", func(t *testing.T, file string) {
			other := filepath.Join(t.TempDir(), "other.db")
			write(t, open(t, "sqlite:"+other), "x", 1)
			rename(t, other, file)
		}, "was replaced by another file", true},
		{"its log is replaced", func(t *testing.T, file string) {
			remove(t, file+"-wal")
			if err := os.WriteFile(file+"-wal", nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "-wal was replaced by another file", true},
		{"it is emptied", func(t *testing.T, file string) {
			if err := os.Truncate(file, 0); err != nil {
				t.Fatal(err)
			}
		}, "was emptied", true},
		{"another database is copied over it", func(t *testing.T, file string) {
			other := filepath.Join(t.TempDir(), "other.db")
			db := open(t, "sqlite:"+other)
			for range 3 { // raises the change counter
				growLog(t, db)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			copyFile(t, other, file)
		}, "was overwritten with", false},
		{"an older copy is copied over it", func(t *testing.T, file string) { copyFile(t, file+".old", file) }, "was overwritten with an older version", false},
		{"text is copied over it", func(t *testing.T, file string) {
			if err := os.WriteFile(file, []byte(strings.Repeat("no database ", 10_000)), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "was overwritten with a file that is not", false},
	} {
		t.Run(tt.what, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "here", "state.db")
			db := open(t, "sqlite:"+file)
			write(t, db, "a", 3)
			if err := db.Look(t.Context()); err != nil {
				t.Fatal(err)
			}
			copyFile(t, file, file+".old")
			growLog(t, db)
			for range 3 {
				if err := db.Look(t.Context()); err != nil {
					t.Fatalf("before: %v", err)
				}
			}
			tt.spoil(t, file)
			if !tt.once {
				if err := db.Look(t.Context()); err != nil && !errors.Is(err, store.ErrReplaced) {
					t.Logf("the first look: %v", err)
				}
				_ = db.Look(t.Context())
			}
			if err := db.Write(t.Context(), "a", nothing); !errors.Is(err, store.ErrReplaced) || !store.Unavailable(err) {
				t.Errorf("Write: %v, want %v", err, store.ErrReplaced)
			}
			if err := db.Ping(t.Context()); !errors.Is(err, store.ErrReplaced) {
				t.Errorf("Ping: %v, want %v", err, store.ErrReplaced)
			}
			if err := db.Look(t.Context()); !errors.Is(err, store.ErrReplaced) || !strings.Contains(fmt.Sprint(err), tt.says) {
				t.Errorf("Look: %v, want %q", err, tt.says)
			}
		})
	}
}

// Write checks the file before and after each write. If the file is deleted between the two
// checks, the second check finds the deletion, and the write is not acknowledged.
func TestAWriteDuringWhichTheFileIsDeletedIsNotAcknowledged(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state.db")
	db := open(t, "sqlite:"+file)
	err := db.Write(t.Context(), "a", func(*sql.Tx) error { remove(t, file); return nil })
	if !errors.Is(err, store.ErrReplaced) {
		t.Errorf("got %v, want %v", err, store.ErrReplaced)
	}
}

// Look, which runs once a second, must not confuse a new file with the open file. Otherwise all
// later writes would be lost without an error.
func TestAFileThatIsReplacedDuringALookIsNoticed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state.db")
	db, err := store.Open(t.Context(), "sqlite:"+file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	write(t, db, "a", 1)
	err = store.LookAround(db, func() {
		if err := os.Rename(file, file+".old"); err != nil {
			t.Error(err)
		}
		copyFile(t, file+".old", file)
	})
	if err != nil {
		t.Error(err)
	}
	if err := db.Write(t.Context(), "a", nothing); !errors.Is(err, store.ErrReplaced) {
		t.Errorf("a write: %v, want %v", err, store.ErrReplaced)
	}
	if err := db.Look(t.Context()); !errors.Is(err, store.ErrReplaced) {
		t.Errorf("the next look: %v, want %v", err, store.ErrReplaced)
	}
}

func TestAFileThatComesBackIsUsedAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state.db")
	db := open(t, "sqlite:"+file)
	write(t, db, "a", 3)
	rename(t, file, file+".away")
	if err := db.Look(t.Context()); !errors.Is(err, store.ErrReplaced) {
		t.Fatalf("away: %v", err)
	}
	rename(t, file+".away", file)
	if err := db.Look(t.Context()); err != nil {
		t.Errorf("back: %v", err)
	}
	write(t, db, "a", 1)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if got := counter(t, open(t, "sqlite:"+file), "a"); got != 4 {
		t.Errorf("the counter is %d, want 4", got)
	}
}

// Permitted operations of other processes on the file do not count as a replacement.
func TestOthersMayUseTheFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state.db")
	db := open(t, "sqlite:"+file)
	look := func(what string) {
		t.Helper()
		for range 3 {
			if err := db.Look(t.Context()); err != nil {
				t.Errorf("after %s: %v", what, err)
			}
		}
	}
	end := startChild(t, "sqlite:"+file)
	look("another process's start")
	end()
	look("another process's end")
	raw, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	growLog(t, db)
	for _, statement := range []string{
		"DELETE FROM changes", "VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)", "VACUUM", "CREATE TABLE theirs (x)", "DROP TABLE theirs", "PRAGMA wal_checkpoint(RESTART)",
	} {
		if _, err := raw.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
		look(statement)
		write(t, db, "a", 1)
	}
	if err := raw.Close(); err != nil {
		t.Fatal(err)
	}
	look("a visitor")
	if _, err := store.Backup(t.Context(), "sqlite:"+file, filepath.Join(t.TempDir(), "b.db"), store.CopyOptions{}); err != nil {
		t.Error(err)
	}
	look("a backup")
}

// Looking at the file must not release SQLite's locks, which belong to the process. Otherwise
// another process could get exclusive access.
func TestClosingOneOfTwoKeepsTheOthersLocks(t *testing.T) {
	t.Parallel() // the test waits for a lock
	file := filepath.Join(t.TempDir(), "state.db")
	one, other := open(t, "sqlite:"+file), open(t, "sqlite:"+file)
	write(t, one, "a", 1)
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if said := openExclusive(t, "sqlite:"+file); !strings.Contains(said, store.ErrInUse.Error()) {
		t.Errorf("another process that requested exclusive access got %q, want %q", said, store.ErrInUse)
	}
}

// All data can be read as long as a process has the deleted file open.
func TestADeletedFileIsRescued(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state.db")
	db := open(t, "sqlite:"+file)
	write(t, db, "a", 3)
	remove(t, file)
	at := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	rescued, err := db.Rescue(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	if want := file + ".rescued-20261101T120000Z"; rescued != want {
		t.Errorf("rescued to %s, want %s", rescued, want)
	}
	if info, err := os.Stat(rescued); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if _, err := db.Rescue(t.Context(), at); err == nil {
		t.Error("a rescued file was overwritten")
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(file + "-*"); len(left) > 0 {
		t.Errorf("the deleted file's log is left and would corrupt the next file: %q", left)
	}
	rename(t, rescued, file)
	again := open(t, "sqlite:"+file)
	if got := counter(t, again, "a"); got != 3 {
		t.Errorf("the counter is %d, want 3", got)
	}
	if again.ID() != db.ID() || again.Created() {
		t.Errorf("the rescued database has the id %s, want %s", again.ID(), db.ID())
	}
}

func TestARescueThatFailsLeavesNothing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state.db")
	db := open(t, "sqlite:"+file)
	write(t, db, "a", 3)
	remove(t, file)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := db.Rescue(ctx, time.Now()); err == nil {
		t.Error("Rescue succeeded although its context had ended")
	}
	if left, _ := filepath.Glob(file + ".rescued*"); len(left) > 0 {
		t.Errorf("left %q", left)
	}
}

// Copies have the id of their source.
func TestEachDatabaseHasAnIDAndCopiesKeepIt(t *testing.T) { storetest.Each(t, testIDs) }

func testIDs(t *testing.T, d storetest.Database) {
	one, other := open(t, d.New(t)), open(t, d.New(t))
	if len(one.ID()) != 32 || one.ID() == other.ID() {
		t.Errorf("ids %q and %q", one.ID(), other.ID())
	}
	if !one.Created() {
		t.Error("Created is false for a new database")
	}
	url := d.New(t)
	first := open(t, url)
	id := first.ID()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	target := storetest.SQLite().New(t)
	if _, err := store.Copy(t.Context(), url, target, store.CopyOptions{}); err != nil {
		t.Fatal(err)
	}
	if again := open(t, url); again.ID() != id || again.Created() {
		t.Errorf("opened again: %q, was %q; new: %t", again.ID(), id, again.Created())
	}
	if moved := open(t, target); moved.ID() != id {
		t.Errorf("moved: %q, was %q", moved.ID(), id)
	}
}

func TestOpenExistingCreatesNothing(t *testing.T) { storetest.Each(t, testOpenExistingCreatesNothing) }

func testOpenExistingCreatesNothing(t *testing.T, d storetest.Database) {
	url := d.New(t)
	if _, err := store.OpenExisting(t.Context(), url); !errors.Is(err, store.ErrMissing) {
		t.Errorf("without a database: %v, want %v", err, store.ErrMissing)
	}
	if d.Name == "SQLite" {
		file := strings.TrimPrefix(url, "sqlite:")
		if _, err := os.Stat(file); err == nil {
			t.Error("a file was created")
		}
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := store.OpenExisting(t.Context(), url); !errors.Is(err, store.ErrMissing) {
			t.Errorf("an empty file: %v, want %v", err, store.ErrMissing)
		}
	}
	if err := open(t, url).Close(); err != nil {
		t.Fatal(err)
	}
	db, err := store.OpenExisting(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

// On PostgreSQL, the same name can later lead to another database.
func TestAReplacedDatabaseOfAServerIsNoticed(t *testing.T) {
	for what, statement := range map[string]string{
		"another id":      "UPDATE instance SET id = 'another'",
		"no id":           "DELETE FROM instance",
		"no tables":       "DROP SCHEMA public CASCADE; CREATE SCHEMA public",
		"no such table":   "DROP TABLE instance",
		"a schema is new": "ALTER SCHEMA public RENAME TO old; CREATE SCHEMA public",
	} {
		t.Run(what, func(t *testing.T) {
			db := open(t, storetest.PostgreSQL().New(t))
			write(t, db, "a", 1)
			if err := db.Look(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := db.Write(t.Context(), "", func(tx *sql.Tx) error { _, err := tx.Exec(statement); return err }); err != nil {
				t.Fatal(err)
			}
			if err := db.Look(t.Context()); !errors.Is(err, store.ErrReplaced) {
				t.Errorf("Look: %v, want %v", err, store.ErrReplaced)
			}
			if err := db.Write(t.Context(), "a", nothing); !errors.Is(err, store.ErrReplaced) {
				t.Errorf("Write: %v, want %v", err, store.ErrReplaced)
			}
			if err := db.Ping(t.Context()); !errors.Is(err, store.ErrReplaced) {
				t.Errorf("Ping: %v, want %v", err, store.ErrReplaced)
			}
		})
	}
}

// Queries that read a damaged page report the damage. Check also reports the damage. The error
// explains how to repair the database.
func TestDamagedPagesAreReported(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state.db")
	db := open(t, "sqlite:"+file)
	growLog(t, db)
	write(t, db, "a", 1)
	if err := db.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	var page, size int64
	if err := db.Read().QueryRow("SELECT rootpage FROM sqlite_schema WHERE name = 'accounts'").Scan(&page); err != nil {
		t.Fatal(err)
	}
	if err := db.Read().QueryRow("PRAGMA page_size").Scan(&size); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil { // writes everything to the file
		t.Fatal(err)
	}
	overwrite(t, file, (page-1)*size, size)

	db = open(t, "sqlite:"+file)
	if err := db.Ping(t.Context()); err != nil {
		t.Errorf("before a query reads the page: %v", err)
	}
	// A query reads the page.
	var n int
	err := db.Explain(db.Read().QueryRow("SELECT count(*) FROM accounts NOT INDEXED").Scan(&n))
	if !errors.Is(err, store.ErrDamaged) || !store.Unavailable(err) || !strings.Contains(err.Error(), "tidewaiter database restore") {
		t.Errorf("a sign-in: %v, want %v", err, store.ErrDamaged)
	}
	for what, err := range map[string]error{"Ping": db.Ping(t.Context()), "Look": db.Look(t.Context()), "Check": db.Check(t.Context())} {
		if !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), "tidewaiter database restore") {
			t.Errorf("%s: %v, want %v", what, err, store.ErrDamaged)
		}
	}
	if err := db.Write(t.Context(), "a", nothing); err != nil {
		t.Errorf("a query that does not read the page failed: %v", err)
	}
}

func TestATruncatedFileIsDamaged(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state.db")
	db := open(t, "sqlite:"+file)
	growLog(t, db)
	for range 2 {
		if err := db.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, info.Size()/2); err != nil {
		t.Fatal(err)
	}
	if err := db.Look(t.Context()); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("got %v, want %v", err, store.ErrDamaged)
	}
	if err := db.Look(t.Context()); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("the next look: %v, want %v", err, store.ErrDamaged)
	}
}

func remove(t testing.TB, files ...string) {
	t.Helper()
	for _, file := range files {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
}

func rename(t testing.TB, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// overwrite overwrites a part of a file with garbage.
func overwrite(t testing.TB, file string, at, size int64) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte(strings.Repeat("\xa5", int(size))), at)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}
