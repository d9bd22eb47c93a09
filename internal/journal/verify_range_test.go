package journal_test

import (
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
)

// A range is intact if and only if its blocks are intact. Damage in other places does not matter.
func TestEveryRangeIsVerified(t *testing.T) {
	j, db := open(t, storetest.SQLite().Ready(t), journal.Options{})
	at := func(i int) time.Time { return noon.Add(time.Duration(i) * time.Hour) }
	for i := range 6 { // blocks of two entries: 1 2, 3 4, …
		one := journal.Entry{Time: at(i), ID: journal.NewID(at(i)), Text: []byte("one")}
		two := journal.Entry{Time: at(i), ID: journal.NewID(at(i)), Text: []byte("two")}
		if err := j.Append(t.Context(), one, two); err != nil {
			t.Fatal(err)
		}
	}
	const last = 12
	check := func(broken journal.Position) { // the block at broken is damaged; 0: none
		t.Helper()
		for from := journal.Position(0); from <= last+1; from++ {
			for to := from; to <= last+1; to++ {
				first, end := max(1, from-(from+1)%2), to+to%2
				if to == 0 || to > last {
					end = last
				}
				var done, all int64
				v, err := j.VerifyRange(t.Context(), from, to, func(n, of int64) { done, all = n, of })
				b, isBroken := errors.AsType[*journal.BrokenError](err)
				switch {
				case err != nil && !isBroken:
					t.Fatal(err)
				case broken >= first && broken <= end && from <= last:
					if !isBroken || b.Block != broken {
						t.Errorf("from %d to %d: %v, want an error at %d", from, to, err, broken)
					}
				case isBroken && !(broken > 0 && broken < first):
					// The hashes before the range are computed from entries of the same group.
					t.Errorf("from %d to %d: %v", from, to, err)
				case err == nil && from > last:
					if v.Blocks != 0 || all != 0 {
						t.Errorf("from %d to %d: %+v", from, to, v)
					}
				case err == nil && (v.First != first || v.Last != end || v.Entries != int64(end-first)+1 || v.Size != int64(end)+1 || done != all || all == 0):
					t.Errorf("from %d to %d: %+v, %d of %d", from, to, v, done, all)
				}
			}
		}
	}
	check(0)
	for i, want := range []journal.Position{1, 3, 5, 7, 9, 11} {
		for _, since := range []time.Time{at(i), at(i).Add(-30 * time.Minute)} {
			if got, err := j.FirstSince(t.Context(), since); err != nil || got != want {
				t.Errorf("since %s: %d, %v", since, got, err)
			}
		}
	}
	if got, err := j.FirstSince(t.Context(), at(100)); err != nil || got != last+1 {
		t.Errorf("since the future: %d, %v", got, err)
	}
	err := db.Write(t.Context(), "", func(tx *sql.Tx) error {
		_, err := tx.Exec("UPDATE journal_blocks SET earliest = earliest - 1 WHERE first = 7")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	check(7)
}
