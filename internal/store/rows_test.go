package store_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
)

func TestRowsAreCollected(t *testing.T) { storetest.Each(t, testRowsAreCollected) }

func testRowsAreCollected(t *testing.T, d storetest.Database) {
	db := open(t, d.Ready(t))
	for _, topic := range []string{"b", "a"} {
		if err := db.Write(t.Context(), topic, func(*sql.Tx) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	const query = "SELECT topic FROM changes WHERE topic >= $1 ORDER BY topic"
	for from, want := range map[string][]string{"": {"a", "b"}, "b": {"b"}, "c": nil} {
		got, err := store.Texts(t.Context(), db.Read(), query, from)
		if err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("from %q (-want +got):\n%s", from, diff)
		}
	}

	// If a row causes an error, Collect returns no rows, even if it has already read some.
	broken := errors.New("broken")
	seen := 0
	got, err := store.Collect(t.Context(), db.Read(), func(store.Row) (string, error) {
		if seen++; seen == 2 {
			return "", broken
		}
		return "read", nil
	}, query, "")
	if !errors.Is(err, broken) || got != nil {
		t.Errorf("with a row that cannot be read: %v, %v", got, err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := store.Texts(over, db.Read(), query, ""); err == nil || got != nil {
		t.Errorf("after the deadline: %v, %v", got, err)
	}

	err = db.Write(t.Context(), "", func(tx *sql.Tx) error {
		for topic, want := range map[string]int{"a": 1, "nothing": 0} {
			if n, err := store.Affected(tx.ExecContext(t.Context(), "DELETE FROM changes WHERE topic = $1", topic)); n != want || err != nil {
				t.Errorf("deleting %s: %d rows, %v; want %d", topic, n, err, want)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if n, err := store.Affected(nil, broken); n != 0 || !errors.Is(err, broken) {
		t.Errorf("for a failed statement: %d, %v", n, err)
	}
}

// Only the zero time is stored as 0. Otherwise an expiry could become "never".
func TestNoTimeIsStoredAsZero(t *testing.T) {
	for _, at := range []time.Time{
		time.Unix(0, 0), time.Unix(0, 1), time.Unix(0, 999_999), time.Unix(0, 1_000_000), time.Unix(0, -1), time.Unix(0, -1_000_001),
		time.Unix(0, 0).In(time.FixedZone("", 3600)), time.Time{}.Add(1), time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
	} {
		stored, rounded := store.Millis(at), store.Rounded(at)
		if stored == 0 || rounded.IsZero() || rounded.Sub(at).Abs() > time.Millisecond || store.Millis(rounded) != stored {
			t.Errorf("%s is stored as %d and read as %s", at, stored, rounded)
		}
	}
	if stored := store.Millis(time.Time{}); stored != 0 || !store.Time(stored).IsZero() {
		t.Errorf("the zero time is stored as %d", stored)
	}
}
