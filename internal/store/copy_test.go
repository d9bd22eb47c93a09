package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
)

// fill writes rows with all kinds of values. It returns the expected result of dump.
func fill(t *testing.T, url string) map[string][]string {
	t.Helper()
	db := open(t, url)
	err := db.Write(t.Context(), "accounts", func(tx *sql.Tx) error {
		for i := range 2500 {
			if _, err := tx.Exec("INSERT INTO journal_principals (number, hash, principal) VALUES ($1, $2, $3)",
				i, []byte{byte(i), 0, 255}, []byte(strings.Repeat("p", i))); err != nil {
				return err
			}
		}
		if _, err := tx.Exec("INSERT INTO account_groups (id, name, version, created) VALUES ($1, $2, $3, $4)",
			"018f-ä", "développeurs 🚢", int64(1)<<60, int64(-1)); err != nil {
			return err
		}
		_, err := tx.Exec("UPDATE journal_head SET next = 42, hash = $1", []byte("of the last"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	all := dump(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return all
}

// dump reads the rows that fill wrote.
func dump(t *testing.T, db *store.DB) map[string][]string {
	t.Helper()
	all := make(map[string][]string)
	for table, columns := range map[string]string{
		"journal_principals": "number, hash, principal",
		"account_groups":     "id, name, version, created",
		"journal_head":       "one, next, principal, hash",
		"accounts":           "id, kind, name, hash",
	} {
		rows, err := db.Read().Query("SELECT " + columns + " FROM " + table + " ORDER BY 1")
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			row := make([]any, strings.Count(columns, ",")+1)
			places := make([]any, len(row))
			for i := range row {
				places[i] = &row[i]
			}
			if err := rows.Scan(places...); err != nil {
				t.Fatal(err)
			}
			all[table] = append(all[table], fmt.Sprintf("%q", row))
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func TestABackupIsRestoredAsItWas(t *testing.T) {
	for _, from := range []storetest.Database{storetest.SQLite(), storetest.PostgreSQL()} {
		for _, to := range []storetest.Database{storetest.SQLite(), storetest.PostgreSQL()} {
			t.Run(from.Name+" to "+to.Name, func(t *testing.T) {
				source, target := from.New(t), to.New(t)
				want := fill(t, source)
				running := open(t, source) // a backup works while the database is in use
				backup := filepath.Join(t.TempDir(), "backup.db")
				told := make(map[string]int64)
				copied, err := store.Backup(t.Context(), source, backup, store.CopyOptions{Progress: func(table string, rows, of int64) {
					if rows < told[table] || rows > of {
						t.Errorf("%s: progress reports %d of %d rows, and %d rows before that", table, rows, of, told[table])
					}
					told[table] = rows
				}})
				if err != nil {
					t.Fatal(err)
				}
				if copied.Rows != 2504 || told["journal_principals"] != 2500 {
					t.Errorf("%+v, %v", copied, told)
				}
				if info, err := os.Stat(backup); err != nil || info.Mode().Perm() != 0o600 {
					t.Errorf("the backup: %v, %v", info, err)
				}
				if left, err := filepath.Glob(filepath.Join(filepath.Dir(backup), "*")); err != nil || len(left) != 1 {
					t.Errorf("other files next to the backup: %q, %v", left, err)
				}
				before, err := os.ReadFile(backup)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := store.Restore(t.Context(), backup, target, store.CopyOptions{}); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, dump(t, open(t, target))); diff != "" {
					t.Error(diff)
				}
				if diff := cmp.Diff(want, dump(t, running)); diff != "" {
					t.Errorf("the source was changed: %s", diff)
				}
				if counter(t, open(t, target), "accounts") == 0 {
					t.Error("the counters of the target did not change, so a watcher would notice nothing")
				}
				if after, err := os.ReadFile(backup); err != nil || string(before) != string(after) {
					t.Errorf("restoring changed the backup (%v)", err)
				}
			})
		}
	}
}

func TestCopyingThereAndBackLosesNothing(t *testing.T) {
	sqlite, postgres := storetest.SQLite(), storetest.PostgreSQL()
	first, second, third := sqlite.New(t), postgres.New(t), sqlite.New(t)
	want := fill(t, first)
	for _, way := range [][2]string{{first, second}, {second, third}} {
		if _, err := store.Copy(t.Context(), way[0], way[1], store.CopyOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, url := range []string{first, second, third} {
		if diff := cmp.Diff(want, dump(t, open(t, url))); diff != "" {
			t.Errorf("%s: %s", url, diff)
		}
	}
}

func TestACopyThatCannotBeIsNotBegun(t *testing.T) {
	storetest.Each(t, testACopyThatCannotBeIsNotBegun)
}

func testACopyThatCannotBeIsNotBegun(t *testing.T, d storetest.Database) {
	url, full, none := d.New(t), d.New(t), "sqlite:"+filepath.Join(t.TempDir(), "none.db")
	fill(t, url)
	want := fill(t, full)
	backup := filepath.Join(t.TempDir(), "backup.db")
	if _, err := store.Backup(t.Context(), url, backup, store.CopyOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Backup(t.Context(), url, backup, store.CopyOptions{}); err == nil || !strings.Contains(err.Error(), "the file exists already") {
		t.Errorf("a backup over an existing file: %v", err)
	}
	late := filepath.Join(t.TempDir(), "late.db")
	during := func(context.Context, *store.DB) error { return os.WriteFile(late, []byte("other"), 0o600) }
	if _, err := store.Backup(t.Context(), url, late, store.CopyOptions{Verify: during}); err == nil || !strings.Contains(err.Error(), "the file exists already") {
		t.Errorf("a backup over a file that was created during the backup: %v", err)
	}
	if text, err := os.ReadFile(late); string(text) != "other" {
		t.Errorf("the file has %d other bytes: %v", len(text), err)
	}
	if _, err := store.Restore(t.Context(), backup, full, store.CopyOptions{}); !errors.Is(err, store.ErrNotEmpty) {
		t.Errorf("restoring over a database: %v", err)
	}
	if _, err := store.Copy(t.Context(), url, full, store.CopyOptions{}); !errors.Is(err, store.ErrNotEmpty) {
		t.Errorf("copying over a database: %v", err)
	}
	if _, err := store.Copy(t.Context(), none, full, store.CopyOptions{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("copying a missing database: %v", err)
	}
	if _, err := store.Restore(t.Context(), backup+"x", d.New(t), store.CopyOptions{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("restoring a missing file: %v", err)
	}
	text := filepath.Join(t.TempDir(), "notes.txt")
	for content, says := range map[string]string{"": "is empty", strings.Repeat("notes ", 1000): store.ErrForeign.Error()} {
		if err := os.WriteFile(text, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Restore(t.Context(), text, d.New(t), store.CopyOptions{}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("restoring a text file: %v", err)
		}
	}
	if diff := cmp.Diff(want, dump(t, open(t, full))); diff != "" {
		t.Error(diff)
	}
}

func TestADatabaseInUseIsNotCopiedOrRestoredTo(t *testing.T) {
	t.Parallel() // the test waits for other connections to end
	storetest.Each(t, func(t *testing.T, d storetest.Database) {
		url, other := d.New(t), d.New(t)
		fill(t, url)
		backup := filepath.Join(t.TempDir(), "backup.db")
		if _, err := store.Backup(t.Context(), url, backup, store.CopyOptions{}); err != nil {
			t.Fatal(err)
		}
		for _, used := range []string{url, other} {
			db := open(t, used)
			if err := db.Ping(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := store.Copy(t.Context(), url, d.New(t), store.CopyOptions{}); !errors.Is(err, store.ErrInUse) {
			t.Errorf("copying a database in use: %v", err)
		}
		if _, err := store.Restore(t.Context(), backup, other, store.CopyOptions{}); !errors.Is(err, store.ErrInUse) {
			t.Errorf("restoring to a database in use: %v", err)
		}
	})
}

func TestACopyThatFailsVerificationIsUndone(t *testing.T) {
	storetest.Each(t, testACopyThatFailsVerificationIsUndone)
}

func testACopyThatFailsVerificationIsUndone(t *testing.T, d storetest.Database) {
	url, target := d.New(t), d.New(t)
	fill(t, url)
	dislike := errors.New("on purpose")
	fails := store.CopyOptions{Verify: func(ctx context.Context, copied *store.DB) error {
		var n int
		if err := copied.Read().QueryRowContext(ctx, "SELECT count(*) FROM journal_principals").Scan(&n); err != nil || n != 2500 {
			t.Errorf("Verify got %d rows, %v", n, err)
		}
		return dislike
	}}
	if _, err := store.Copy(t.Context(), url, target, fails); !errors.Is(err, dislike) {
		t.Errorf("Move: %v", err)
	}
	backup := filepath.Join(t.TempDir(), "backup.db")
	if _, err := store.Backup(t.Context(), url, backup, fails); !errors.Is(err, dislike) {
		t.Errorf("Backup: %v", err)
	}
	if left, err := os.ReadDir(filepath.Dir(backup)); err != nil || len(left) != 0 {
		t.Errorf("a failed backup left %v, %v", left, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := store.Copy(ctx, url, target, store.CopyOptions{Progress: func(string, int64, int64) { cancel() }}); !errors.Is(err, context.Canceled) {
		t.Errorf("a canceled copy: %v", err)
	}
	// The target is empty again and accepts a copy.
	if _, err := store.Copy(t.Context(), url, target, store.CopyOptions{}); err != nil {
		t.Error(err)
	}
}
