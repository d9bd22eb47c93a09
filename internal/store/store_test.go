package store_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/store"
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

func counter(t testing.TB, db *store.DB, topic string) (n int) {
	t.Helper()
	err := db.Read().QueryRow("SELECT coalesce(max(counter), 0) FROM changes WHERE topic = $1", topic).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestWriteCountsChangesOfATopic(t *testing.T) {
	for _, url := range []string{"sqlite::memory:", "sqlite://" + filepath.Join(t.TempDir(), "a b%20c", "state.db")} {
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
