package journal_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
)

func TestTheBeginningOfAnID(t *testing.T) {
	id := "0198c1f2-7a3b-7c4d-8e5f-60718293a4b5"
	for n := range len(id) + 1 {
		if got, want := journal.IsBeginning(id[:n]), n >= 8; got != want {
			t.Errorf("%q: %t", id[:n], got)
		}
	}
	for _, text := range []string{id + "0", "0198c1f2 ", "0198c1f27", "0198c1fg", "team/app", strings.Repeat("-", 18), "repository:a:pull"} {
		if journal.IsBeginning(text) {
			t.Errorf("%q was accepted as the beginning of an id", text)
		}
	}
	var read journal.ID
	if err := read.UnmarshalText([]byte(id)); err != nil || read.Short() != "0198c1f2-7a3b-7c4d" || !journal.IsBeginning(strings.ToUpper(read.Short())) {
		t.Errorf("%s is shortened to %s, %v", id, read.Short(), err)
	}
}

// withIDs returns a journal with an entry for each id, each in a block of its own.
func withIDs(t *testing.T, d storetest.Database, ids ...string) *journal.Journal {
	t.Helper()
	db, err := store.Open(t.Context(), d.Ready(t))
	if err != nil {
		t.Fatal(err)
	}
	j, err := journal.New(db, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = j.Close(context.WithoutCancel(t.Context())), db.Close() })
	for _, text := range ids {
		var id journal.ID
		if err := id.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := j.Append(t.Context(), journal.Entry{ID: id, Time: id.Time(), Text: []byte(text)}); err != nil {
			t.Fatal(err)
		}
	}
	return j
}

func TestAnEntryIsFoundByTheBeginningOfItsID(t *testing.T) {
	const (
		one   = "0198c1f2-7a3b-7c4d-8e5f-60718293a4b5"
		two   = "0198c1f2-7a3b-7c4e-8e5f-60718293a4b5"
		three = "0198c1f2-ffff-7c4e-8e5f-60718293a4b5"
		four  = "0198c1f3-0000-7c4e-8e5f-60718293a4b5"
	)
	storetest.Each(t, func(t *testing.T, d storetest.Database) {
		j := withIDs(t, d, one, two, three, four)
		for _, tt := range []struct{ beginning, want string }{
			{one, one},
			{strings.ToUpper(one), one},
			{"0198c1f2-7a3b-7c4d", one},
			{"0198c1f2-7a3b-7c4e", two},
			{"0198c1f2-ff", three},
			{"0198c1f3", four},
			{"0198c1f2-7a3b-7c4f", "none"},
			{"0198c1f4", "none"},
			{"0198c1", "none"},
			{"not an id", "none"},
			{"0198c1f2", one + " " + two + " " + three},
			{"0198c1f2-7a3b-7c4", one + " " + two},
		} {
			e, err := j.FindOne(t.Context(), tt.beginning)
			got := e.ID.String()
			if ambiguous, ok := errors.AsType[*journal.AmbiguousError](err); ok {
				ids := make([]string, len(ambiguous.IDs))
				for i, id := range ambiguous.IDs {
					ids[i] = id.String()
				}
				slices.Sort(ids)
				got, err = strings.Join(ids, " "), nil
			}
			if errors.Is(err, journal.ErrNotFound) {
				got, err = "none", nil
			}
			if err != nil || got != tt.want {
				t.Errorf("%s: %s, %v; want %s", tt.beginning, got, err, tt.want)
			}
		}
	})
}

func TestTheJournalIsSearchedFromTheEnd(t *testing.T) {
	storetest.Each(t, func(t *testing.T, d storetest.Database) {
		j := withIDs(t, d)
		back := func(from journal.Position) (positions []journal.Position) {
			t.Helper()
			page, err := j.Search(t.Context(), journal.Query{}, from+1, 100, func(int) bool { return false })
			if err != nil || page.Next != 0 {
				t.Fatal(page.Next, err)
			}
			for _, e := range page.Entries {
				positions = append(positions, e.Position)
			}
			return positions
		}
		if got := back(10); got != nil {
			t.Errorf("a search of an empty journal found %v", got)
		}
		for range 3 { // several ids in one block
			batch := make([]journal.Entry, 4)
			for i := range batch {
				batch[i] = journal.Entry{Time: time.Unix(1_700_000_000, 0), Text: []byte("x")}
			}
			if err := j.Append(t.Context(), batch...); err != nil {
				t.Fatal(err)
			}
		}
		for from := range journal.Position(14) {
			var want []journal.Position
			for p := min(from, 12); p > 0; p-- {
				want = append(want, p)
			}
			if got := back(from); !slices.Equal(got, want) {
				t.Errorf("back from %d: %v, want %v", from, got, want)
			}
		}
	})
}
