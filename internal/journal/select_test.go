package journal_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
)

// Select returns exactly the entries of the range for which Matches is true, in order. The
// boundaries of blocks and wrong clocks do not matter.
func TestPropertySelectReturnsWhatMatches(t *testing.T) {
	j, _ := open(t, storetest.SQLite().Ready(t), journal.Options{})
	at := func(i int) time.Time { return noon.Add(time.Duration(i) * time.Minute) }
	for i := 0; i < 40; {
		var block []journal.Entry
		for range i%4 + 1 {
			e := journal.Entry{Time: at(i), ID: journal.NewID(at(i)), Change: &journal.Change{Actor: "user:ann", Action: []string{"a", "b"}[i%2]}}
			if i%13 == 5 {
				e.Time = at(-1000)
				e.ID = journal.NewID(e.Time)
			}
			block, i = append(block, e), i+1
		}
		if err := j.Append(t.Context(), block...); err != nil {
			t.Fatal(err)
		}
	}
	all := read(t, j, 0)
	rapid.Check(t, func(t *rapid.T) {
		q := journal.Query{Action: rapid.SampledFrom([]string{"", "a"}).Draw(t, "action")}
		if rapid.Bool().Draw(t, "since") {
			q.Since = at(rapid.IntRange(-2000, 60).Draw(t, "since"))
		}
		if rapid.Bool().Draw(t, "until") {
			q.Until = at(rapid.IntRange(-2000, 60).Draw(t, "until"))
		}
		from, to := journal.Position(rapid.IntRange(0, 50).Draw(t, "from")), journal.Position(rapid.IntRange(0, 50).Draw(t, "to"))
		var want, got []journal.Position
		for _, e := range all {
			if e.Position >= from && (to == 0 || e.Position <= to) && q.Matches(&e) {
				want = append(want, e.Position)
			}
		}
		for e, err := range j.Select(t.Context(), q, from, to) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, e.Position)
		}
		if !slices.Equal(got, want) {
			t.Errorf("from %d to %d, %+v: %v, want %v", from, to, q, got, want)
		}
	})
}
