package projection_test

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/projection"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
)

// collector is a Collector of seenEntries. Its rows have "+" before the text.
type collector struct {
	mu      sync.Mutex
	entries []journal.Entry
	failing bool
}

func (c *collector) Collect(_ string, entries []journal.Entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries = append(c.entries, entries...)
}

func (c *collector) Collected(after journal.Position) (last journal.Position, id journal.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.entries {
		if e.Position == max(after, last)+1 {
			last, id = e.Position, e.ID
		}
	}
	return last, id
}

func (c *collector) Apply(ctx context.Context, tx projection.Tx, after, last journal.Position) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.entries {
		if e.Position > after && e.Position <= last {
			if _, err := tx.ExecContext(ctx, `INSERT INTO seen (position, text) VALUES ($1, $2)`, e.Position, "+"+string(e.Text)); err != nil {
				return err
			}
		}
	}
	if c.failing {
		return errors.New("no space left")
	}
	return nil
}

// Entries that this process wrote are not read from the journal. Entries of other processes are
// read.
func TestCollectedEntriesAreNotRead(t *testing.T) {
	storetest.Each(t, func(t *testing.T, d storetest.Database) {
		definition, c := seenEntries(1, 0), new(collector)
		definition.Collector = c
		f := open(t, d.Ready(t), definition, projection.Options{})
		f.append("a", "b")
		c.failing = true
		if err := f.set.CatchUp(t.Context(), f.journal, nil); err == nil {
			t.Error("the error is not reported")
		}
		f.want("")
		c.failing = false
		f.catchUp()
		f.want("1 +a, 2 +b")
		other, err := journal.New(f.db, journal.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close(context.Background())
		if err := other.Append(t.Context(), journal.Entry{Text: []byte("c")}); err != nil {
			t.Fatal(err)
		}
		f.append("d")
		f.catchUp()
		f.want("1 +a, 2 +b, 3 c, 4 d")
		f.append("e")
		f.catchUp()
		f.want("1 +a, 2 +b, 3 c, 4 d, 5 +e")
	})
}

// The database was replaced by another copy, so the journal has other entries at the positions of
// the collected ones.
func TestCollectedEntriesThatTheJournalLacks(t *testing.T) {
	storetest.Each(t, func(t *testing.T, d storetest.Database) {
		definition, c := seenEntries(1, 0), new(collector)
		definition.Collector = c
		f := open(t, d.Ready(t), definition, projection.Options{})
		f.append("a")
		c.entries = []journal.Entry{{Position: 1, ID: journal.NewID(c.entries[0].Time), Text: []byte("lost")}}
		f.catchUp()
		f.want("1 a")
	})
}

// If this process wrote only entries of other kinds, the journal is not read.
func TestEntriesOfOtherKindsAreNotRead(t *testing.T) {
	storetest.Each(t, func(t *testing.T, d storetest.Database) {
		definition := seenEntries(1, 0)
		definition.Kinds = []journal.Kind{journal.KindEvent}
		f := open(t, d.Ready(t), definition, projection.Options{})
		f.push("v1")
		f.catchUp()
		f.append("a")
		f.append("b")
		if err := f.db.Write(t.Context(), "", func(tx *sql.Tx) error {
			_, err := tx.Exec(`UPDATE journal_blocks SET content = '' WHERE first = 2`)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		f.catchUp()
		f.want("1 v1")
		if s := f.set.Status()[0]; s.Position != 3 || s.Behind != 0 {
			t.Errorf("%+v", s)
		}
		f.push("v2") // the block of the entry a was already read
		f.append("c")
		f.catchUp()
		f.want("1 v1, 4 v2")
	})
}
