package journal

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/journal/index"
)

// Removed returns a position for each kind of entry that has a retention limit. All entries of the
// kind up to the position were removed.
func (j *Journal) Removed(ctx context.Context) ([]Position, error) {
	state, err := selectKeeping(ctx, j.db.Read())
	if err != nil {
		return nil, fmt.Errorf("reading which entries were removed: %w", err)
	}
	return slices.Collect(maps.Values(state.removed)), nil
}

// Holds reports whether the entry at a position has the id. It is true as well if that entry was
// removed. It is false if the database was replaced by an older copy, and another entry was
// written at the position after that.
func (j *Journal) Holds(ctx context.Context, position Position, id ID) (bool, error) {
	if position == 0 {
		return true, nil
	}
	b, err := selectBlockAt(ctx, j.db.Read(), position)
	if errors.Is(err, sql.ErrNoRows) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading the journal at position %d: %w", position, err)
	}
	d := newDecoder(j.db.Read())
	o, err := d.open(b)
	if err != nil {
		return false, fmt.Errorf("reading the block at position %d: %w", b.first, err)
	}
	r, ok := o.at(position)
	if !ok {
		return true, nil
	}
	e, err := d.entry(ctx, o, r)
	return e.ID == id, err
}

// at returns the entry at a position, unless it was removed.
func (o *openBlock) at(position Position) (r entryRecord, ok bool) {
	i, ok := slices.BinarySearchFunc(o.entries, position, func(r entryRecord, p Position) int { return cmp.Compare(r.position, p) })
	if ok {
		r = o.entries[i]
	}
	return r, ok
}

// indexError is an error of the index. The journal can still be searched without the index.
type indexError struct{ error }

func (e *indexError) Unwrap() error { return e.error }

// candidates returns the entries that the index finds, and the position up to which the index
// covers the journal. It returns nil if there is no usable index.
func (s *search) candidates(ctx context.Context) (index.Candidates, Position) {
	if s.journal.o.Index == nil {
		return nil, 0
	}
	c, err := s.journal.o.Index.Find(ctx, append(s.narrow, s.Query.terms()...), s.Since, s.Until)
	if err != nil {
		return nil, 0 // the process that builds the index reports the reason
	}
	upTo, last, id := c.Covers()
	holds, err := s.journal.Holds(ctx, Position(last), id)
	if end, endErr := s.journal.Last(ctx); err != nil || endErr != nil || !holds || Position(upTo) > end {
		c.Close()
		return nil, 0
	}
	return c, Position(upTo)
}

// find searches the candidates from a position. It returns the position from which the next search
// continues.
func (s *search) find(ctx context.Context, c index.Candidates, from Position, enough func(int) bool) (Position, error) {
	var open *openBlock
	var opened *block
	for from > s.after {
		group, err := c.Next(ctx, int64(from))
		if err != nil {
			return from, &indexError{err}
		}
		if group.First < 0 {
			return 0, nil
		}
		for i := index.GroupSize - 1; i >= 0; i-- {
			position := Position(group.First) + Position(i)
			if position > from || position <= s.after || !group.Entries.Has(uint8(i)) {
				continue
			}
			b, err := s.blockBack(ctx, position)
			if err != nil {
				return from, err
			}
			if b == nil || position >= b.end() {
				continue // it was removed
			}
			if b != opened {
				s.searched += int(b.entries)
				if open, err = s.decoder.open(b); err != nil {
					return from, fmt.Errorf("reading the block at position %d: %w", b.first, err)
				}
				opened = b
			}
			if r, ok := open.at(position); ok {
				if err := s.record(ctx, open, r); err != nil || s.page.Next != 0 {
					return from, err
				}
			}
		}
		from = Position(group.First) - 1
		if from > s.after && enough(s.searched) {
			s.page.Next = from + 1
			if at, err := selectTimeAt(ctx, s.decoder.q, from+1); err == nil {
				s.page.Searched = time.UnixMilli(at).UTC()
			}
			return from, nil
		}
	}
	return from, nil
}
