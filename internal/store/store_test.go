package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
)

func open(t testing.TB, url string) *store.DB {
	t.Helper()
	db, err := store.Open(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// urls returns the URL of a new database. For SQLite it also returns the URL of a database in
// memory.
func urls(t testing.TB, d storetest.Database) []string {
	if d.Name == "SQLite" {
		return []string{d.New(t), "sqlite::memory:"}
	}
	return []string{d.New(t)}
}

func counter(t testing.TB, db *store.DB, topic string) (n int) {
	t.Helper()
	err := db.Read().QueryRow("SELECT coalesce(max(counter), 0) FROM changes WHERE topic = $1", topic).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestWriteCountsChangesOfATopic(t *testing.T) { storetest.Each(t, testWriteCountsChangesOfATopic) }

func testWriteCountsChangesOfATopic(t *testing.T, d storetest.Database) {
	for _, url := range urls(t, d) {
		db := open(t, url)
		for range 2 {
			if err := db.Write(t.Context(), "policy", func(*sql.Tx) error { return nil }); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Write(t.Context(), "", func(*sql.Tx) error { return nil }); err != nil {
			t.Fatal(err)
		}
		if got := counter(t, db, "policy"); got != 2 {
			t.Errorf("%s: the counter is %d after two writes, want 2", url, got)
		}
	}
}

func TestAFailedWriteIsRolledBack(t *testing.T) { storetest.Each(t, testAFailedWriteIsRolledBack) }

func testAFailedWriteIsRolledBack(t *testing.T, d storetest.Database) {
	db := open(t, d.New(t))
	failure := errors.New("on purpose")
	err := db.Write(t.Context(), "policy", func(tx *sql.Tx) error {
		if _, err := tx.Exec("INSERT INTO changes (topic, counter) VALUES ('other', 1)"); err != nil {
			return err
		}
		return failure
	})
	if !errors.Is(err, failure) {
		t.Errorf("Write returned %v, want the function's own error", err)
	}
	if n := counter(t, db, "policy") + counter(t, db, "other"); n != 0 {
		t.Errorf("after a failed write, the counter is %d", n)
	}
	if err := db.Write(t.Context(), "policy", func(*sql.Tx) error { return nil }); err != nil {
		t.Errorf("the write after a failed write: %v", err)
	}
}

func TestAPanicInAWriteLeavesTheDatabaseUsable(t *testing.T) {
	storetest.Each(t, testAPanicInAWriteLeavesTheDatabaseUsable)
}

func testAPanicInAWriteLeavesTheDatabaseUsable(t *testing.T, d storetest.Database) {
	db := open(t, d.Ready(t))
	func() {
		defer func() {
			if recover() == nil {
				t.Error("Write did not repeat the panic")
			}
		}()
		db.Write(t.Context(), "policy", func(*sql.Tx) error { panic("on purpose") })
	}()
	if err := db.Write(t.Context(), "policy", func(*sql.Tx) error { return nil }); err != nil {
		t.Error(err)
	}
}

func TestAFullDiskIsReported(t *testing.T) {
	db := open(t, "sqlite://"+filepath.Join(t.TempDir(), "state.db"))
	fill := func(limit int) error {
		return db.Write(t.Context(), "", func(tx *sql.Tx) error {
			if _, err := tx.Exec(fmt.Sprintf("PRAGMA max_page_count = %d", limit)); err != nil {
				return err
			}
			_, err := tx.Exec("INSERT INTO changes (topic, counter) VALUES (hex(zeroblob(100000)), 1)")
			return err
		})
	}
	if err := fill(20); !errors.Is(err, store.ErrNoSpace) {
		t.Errorf("a write to a full disk: %v, want %v", err, store.ErrNoSpace)
	}
	if err := db.Write(t.Context(), "policy", func(*sql.Tx) error { return nil }); err != nil {
		t.Errorf("a write that fits: %v", err)
	}
	if err := fill(1 << 20); err != nil {
		t.Errorf("a write after there is space again: %v", err)
	}
}

func TestReadersRefuseToWriteAndSeeWhatIsCommitted(t *testing.T) {
	storetest.Each(t, testReadersRefuseToWriteAndSeeWhatIsCommitted)
}

func testReadersRefuseToWriteAndSeeWhatIsCommitted(t *testing.T, d storetest.Database) {
	for _, url := range urls(t, d) {
		db := open(t, url)
		if _, err := db.Read().Exec("DELETE FROM changes"); err == nil {
			t.Errorf("%s: a connection for reading accepted a write", url)
		}
		for want := 1; want <= 20; want++ {
			if err := db.Write(t.Context(), "policy", func(*sql.Tx) error { return nil }); err != nil {
				t.Fatal(err)
			}
			if got := counter(t, db, "policy"); got != want {
				t.Fatalf("%s: a reader sees %d after %d writes", url, got, want)
			}
		}
	}
}

func TestReadersDoNotWaitForWriters(t *testing.T) { storetest.Each(t, testReadersDoNotWaitForWriters) }

func testReadersDoNotWaitForWriters(t *testing.T, d storetest.Database) {
	db := open(t, d.New(t))
	err := db.Write(t.Context(), "policy", func(*sql.Tx) error {
		if got := counter(t, db, "policy"); got != 0 { // read during the write
			t.Errorf("a reader sees %d before the commit", got)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestWritesOfManyGoroutinesTakeTurns(t *testing.T) {
	storetest.Each(t, testWritesOfManyGoroutinesTakeTurns)
}

func testWritesOfManyGoroutinesTakeTurns(t *testing.T, d storetest.Database) {
	for _, url := range urls(t, d) {
		db := open(t, url)
		var group sync.WaitGroup
		for range 16 {
			group.Go(func() {
				for range 5 {
					if err := db.Write(t.Context(), "policy", func(*sql.Tx) error { return nil }); err != nil {
						t.Error(err)
					}
				}
			})
			group.Go(func() {
				for range 5 {
					var n int
					if err := db.Read().QueryRow("SELECT count(*) FROM changes").Scan(&n); err != nil {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
		if got := counter(t, db, "policy"); got != 80 {
			t.Errorf("%s: the counter is %d after 80 writes", url, got)
		}
	}
}

func TestAWriteEndsWithItsContext(t *testing.T) { storetest.Each(t, testAWriteEndsWithItsContext) }

func testAWriteEndsWithItsContext(t *testing.T, d storetest.Database) {
	db := open(t, d.Ready(t))
	// database/sql rolls back some time after the context ends
	for _, rolledBack := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		err := db.Write(ctx, "policy", func(tx *sql.Tx) error {
			cancel()
			if rolledBack {
				_ = tx.Rollback() // the transaction may be rolled back already
			}
			return nil
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Write with a context that ended, rolled back: %t: %v", rolledBack, err)
		}
	}
	if err := db.Write(t.Context(), "policy", func(*sql.Tx) error { return nil }); err != nil {
		t.Errorf("the next write: %v", err)
	}
}
