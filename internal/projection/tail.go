package projection

import (
	"context"
	"slices"
	"sync"

	"github.com/tidewaiter/tidewaiter/internal/journal"
)

// A Collector collects the data that a projection needs from entries that this process has just
// written to the journal. So these entries need not be read and decoded again. Reading and
// decoding an entry takes more processor time than recording it. Entries that the Collector does
// not have are read from the journal.
type Collector interface {
	// Collect gets entries in the order of their positions. There can be gaps, because other
	// processes also write entries. The journal's writer waits until Collect returns. Collect must
	// not keep the slice. The instance is the id of the journal's database.
	Collect(instance string, entries []journal.Entry)
	// Collected returns the position and the id of the last collected entry, if all entries after
	// the given position up to that entry were collected. Otherwise, it returns 0.
	Collected(after journal.Position) (last journal.Position, id journal.ID)
	// Apply is Definition.Apply for a range of the collected entries. The first position is just
	// before the range. The second position is the end of the range.
	Apply(ctx context.Context, tx Tx, after, last journal.Position) error
}

// tail describes the end of the journal, as far as this process wrote it. Its methods may be called
// from any goroutine.
type tail struct {
	mu sync.Mutex
	// This process wrote all entries between these positions; 0: none.
	from, to journal.Position
	id       journal.ID                        // id of the last of these entries
	kinds    map[journal.Kind]journal.Position // the last entry of each kind
}

// Observe gets the entries that this process has written to the journal. Set the field Observe of
// journal.Options to this method.
func (s *Set) Observe(entries []journal.Entry) {
	s.tail.add(entries)
	for _, d := range s.definitions {
		if d.Collector != nil {
			d.Collector.Collect(s.db.ID(), entries)
		}
	}
}

func (t *tail) add(entries []journal.Entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range entries {
		e := &entries[i]
		if t.to == 0 || e.Position != t.to+1 {
			t.from, t.kinds = e.Position, make(map[journal.Kind]journal.Position)
		}
		t.to, t.id = e.Position, e.ID
		t.kinds[e.Kind()] = e.Position
	}
}

// endWithout returns the position and the id of the last entry if no entry after the given position
// has one of the kinds. Otherwise, or if this is not known, it returns 0.
func (t *tail) endWithout(kinds []journal.Kind, after journal.Position) (journal.Position, journal.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.from > after+1 || t.to <= after || slices.ContainsFunc(kinds, func(kind journal.Kind) bool { return t.kinds[kind] > after }) {
		return 0, journal.ID{}
	}
	return t.to, t.id
}

// applyTail writes the entries after the position of the state, if this process wrote them. It
// returns false if it does not have these entries.
func (t *target) applyTail(ctx context.Context, tx Tx, s *state) (done bool, err error) {
	var last journal.Position
	var id journal.ID
	switch {
	case t.Collector != nil:
		last, id = t.Collector.Collected(s.position)
	case len(t.Kinds) > 0:
		last, id = t.set.tail.endWithout(t.Kinds, s.position)
	}
	if last == 0 {
		return false, nil
	}
	// The database can have been replaced by an older copy since the entries were written.
	if holds, err := t.journal.Holds(ctx, last, id); err != nil || !holds {
		return false, err
	}
	if t.Collector != nil {
		if err := t.Collector.Apply(ctx, tx, s.position, last); err != nil {
			return false, err
		}
	}
	s.position, s.last, s.entry = last, last, id
	return true, nil
}
