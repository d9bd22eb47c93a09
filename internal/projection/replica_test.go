package projection_test

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"sync"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/projection"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
)

// A replica has read the end of the journal. Before it continues, the journal grows, and another
// replica updates the projection up to the new end. The replica must not build the projection
// again because of this.
func TestAnotherReplicaIsAhead(t *testing.T) {
	storetest.Each(t, func(t *testing.T, d storetest.Database) {
		f := open(t, d.Ready(t), seenEntries(1, 0), projection.Options{})
		f.append("a")
		f.catchUp()
		replica := func(version int, log writer) error {
			first, second := seenEntries(version, 0), seenEntries(1, 0)
			first.Name, first.Tables, first.SQLite = "first", []string{"first_rows"}, `CREATE TABLE first_rows (position BIGINT)`
			first.PostgreSQL = first.SQLite
			first.Apply = func(context.Context, projection.Tx, iter.Seq2[journal.Entry, error]) error { return nil }
			second.Apply = first.Apply
			set := projection.New(f.db, projection.Options{Log: slog.New(slog.NewTextHandler(log, nil))}, first, second)
			return errors.Join(set.CatchUp(t.Context(), f.journal, nil), set.Close())
		}
		if err := replica(1, func() {}); err != nil {
			t.Fatal(err)
		}
		var once sync.Once
		// The replica logs that it builds the first projection again. The replica writes this log
		// line after it has read the end of the journal, and before it updates the second
		// projection.
		if err := replica(2, func() { once.Do(func() { f.append("b"); f.catchUp() }) }); err != nil {
			t.Fatal(err)
		}
		f.want("1 a, 2 b")
	})
}

// writer is a function that is called for each line of a log.
type writer func()

func (w writer) Write(line []byte) (int, error) {
	w()
	return len(line), nil
}
