package journal_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock/clocktest"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/journal/retention"
	"github.com/tidewaiter/tidewaiter/internal/notekey/notekeytest"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
)

// Blocks of format 1 are removed in their order, and the rest of the journal stays valid. Of the
// three blocks, the first one has decisions and an event, the second one a change, and the third
// one texts.
func TestOldFormatIsRemoved(t *testing.T) { storetest.Each(t, testOldFormatIsRemoved) }

func testOldFormatIsRemoved(t *testing.T, d storetest.Database) {
	const year = 365 * 24 * time.Hour
	limit := retention.Limit{Age: 90 * 24 * time.Hour}
	for _, tt := range []struct {
		what    string
		limits  retention.Limits
		later   time.Duration
		removed int64
	}{
		{"nothing is old enough", retention.Limits{Decisions: limit, Refused: limit, Events: limit, Changes: limit}, limit.Age - time.Hour, 0},
		{"all are old enough", retention.Limits{Decisions: limit, Refused: limit, Events: limit, Changes: limit}, limit.Age + time.Hour, 6},
		{"changes are kept", retention.Limits{Decisions: limit, Refused: limit, Events: limit}, year, 3},
		{"events are kept", retention.Limits{Decisions: limit, Refused: limit, Changes: limit}, year, 0},
		{"everything is kept", retention.Limits{}, year, 0},
	} {
		url, o := withOld(t, d)
		c := clocktest.New(noon)
		j, _ := open(t, url, journal.Options{Now: c.Now})
		c.Pass(tt.later)
		if err := j.Append(t.Context(), journal.Entry{Registry: "registry.example.com", Decision: decision(alice)}, push("e9")); err != nil {
			t.Fatal(err)
		}
		chain, maintainer := o.Head.Hash, journal.NewMaintainer(j, tt.limits)
		for did := true; did; {
			var err error
			if did, err = maintainer.Step(t.Context()); err != nil {
				t.Fatalf("%s: %v", tt.what, err)
			}
		}
		v, err := j.Verify(t.Context(), 0)
		stored := read(t, j, 0)
		reports, old := 0, int64(0)
		for _, e := range stored {
			if e.Position <= 6 {
				old++
			}
			if e.Change != nil && e.Change.Action == "journal.remove" {
				reports++
				if summary := e.Summary(); tt.removed > 0 && !strings.Contains(summary, "old") {
					t.Errorf("%s: the report is %s", tt.what, summary)
				}
			}
		}
		if err != nil || v.Removed != 0 || old != 6-tt.removed || (reports == 1) != (tt.removed > 0) || len(chain) == 0 {
			t.Errorf("%s: %d old entries are left, %d reports, %+v, %v", tt.what, old, reports, v, err)
		}
		// A new entry is proved as before.
		signer, _ := notekeytest.New(t)
		if _, err := j.Prove(t.Context(), sign(t, j, signer), true, 8); err != nil {
			t.Errorf("%s: %v", tt.what, err)
		}
	}
}

// Retention removed entries of format 1. Verify must still notice that somebody deleted other
// entries.
func TestRemovedOldEntriesHideNothing(t *testing.T) {
	url, _ := withOld(t, storetest.SQLite())
	c := clocktest.New(noon)
	j, db := open(t, url, journal.Options{Now: c.Now})
	c.Pass(100 * 24 * time.Hour)
	fill(t, j, c, time.Second, pushes(0, 600)...)
	c.Pass(time.Hour)
	limit := retention.Limit{Age: 90 * 24 * time.Hour}
	maintainer := journal.NewMaintainer(j, retention.Limits{Decisions: limit, Refused: limit, Events: limit, Changes: limit})
	for did := true; did; {
		var err error
		if did, err = maintainer.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if v, err := j.Verify(t.Context(), 0); err != nil || v.First <= 6 {
		t.Fatalf("%+v, %v", v, err)
	}
	// Position 262 is leaf 256.
	if err := db.Write(t.Context(), "", run("DELETE FROM journal_blocks WHERE first = 262")); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Verify(t.Context(), 0); err == nil || !strings.Contains(err.Error(), "256 entries are missing, but only 0 were removed") {
		t.Error(err)
	}
}
