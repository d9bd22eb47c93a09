package journal

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"time"
)

// Last returns the position of the last entry, or 0 in an empty journal.
func (j *Journal) Last(ctx context.Context) (Position, error) {
	h, err := selectHead(ctx, j.db.Read())
	if err != nil {
		return 0, fmt.Errorf("reading the journal's end: %w", err)
	}
	return h.next - 1, nil
}

// skew is the maximum difference between the clocks of processes that share a journal for which
// Before is exact.
const skew = time.Minute

// Before returns a position that precedes all entries from time t on, and few older ones.
func (j *Journal) Before(ctx context.Context, t time.Time) (Position, error) {
	first, err := selectFirstSince(ctx, j.db.Read(), t.Add(-skew).UnixMilli())
	if errors.Is(err, sql.ErrNoRows) {
		return j.Last(ctx)
	}
	if err != nil {
		return 0, fmt.Errorf("finding %s in the journal: %w", t.UTC().Format(time.RFC3339), err)
	}
	return first - 1, nil
}

// Read returns the entries after a position, in order, up to the current end. It ends at an
// error: ctx's, or that of an unreadable block. It holds one block in memory, and no database
// connection while the loop body runs.
func (j *Journal) Read(ctx context.Context, after Position) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		d := newDecoder(j.db.Read())
		for {
			b, err := j.blockAfter(ctx, after)
			if errors.Is(err, sql.ErrNoRows) {
				return
			}
			if err != nil {
				yield(Entry{}, fmt.Errorf("reading the journal after position %d: %w", after, err))
				return
			}
			o, err := d.open(b)
			if err == nil {
				err = d.load(ctx, o.principals)
			}
			if err != nil {
				yield(Entry{}, fmt.Errorf("reading the block at position %d: %w", b.first, err))
				return
			}
			for i, line := range o.lines {
				position := b.first + Position(i)
				if position <= after {
					continue
				}
				entry, err := d.entry(ctx, o, line, position)
				if !yield(entry, err) || err != nil {
					return
				}
			}
			after = b.first + Position(b.entries) - 1
		}
	}
}

// blockAfter returns the block with the next entry after a position, or sql.ErrNoRows.
func (j *Journal) blockAfter(ctx context.Context, after Position) (*block, error) {
	// A reader goes from block to block, so nearly always a block begins exactly here.
	b, err := selectBlockAt(ctx, j.db.Read(), after+1)
	if err == nil && b.first+Position(b.entries) > after+1 {
		return b, nil
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, err
	}
	return selectBlockFrom(ctx, j.db.Read(), after+1) // the blocks before it were deleted
}

// Follow is Read that waits for more entries at the end of the journal, also those of other
// processes. It ends with ctx, without an error, or with the error of a read.
func (j *Journal) Follow(ctx context.Context, after Position) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for {
			for entry, err := range j.Read(ctx, after) {
				if err != nil && ctx.Err() != nil {
					return
				}
				if !yield(entry, err) || err != nil {
					return
				}
				after = entry.Position
			}
			if err := j.o.Wait(ctx); err != nil {
				return
			}
		}
	}
}

func pause(ctx context.Context) error {
	timer := time.NewTimer(250 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Find returns the entry with an id, or ErrNotFound. The time in the id limits which blocks can
// contain it.
func (j *Journal) Find(ctx context.Context, id ID) (Entry, error) {
	const hour, ever = int64(time.Hour / time.Millisecond), int64(1) << 50
	// The ids in a block are of about the time of its commit, unless clocks or callers were
	// wrong.
	for _, slack := range [...]int64{hour, ever} {
		entry, err := j.find(ctx, id, slack)
		if !errors.Is(err, ErrNotFound) {
			return entry, err
		}
	}
	return Entry{}, ErrNotFound
}

func (j *Journal) find(ctx context.Context, id ID, slack int64) (Entry, error) {
	firsts, err := selectBlocksOf(ctx, j.db.Read(), id.milliseconds(), slack)
	if err != nil {
		return Entry{}, fmt.Errorf("finding entry %s: %w", id, err)
	}
	prefix := append(id.append([]byte(`{"id":"`)), '"')
	for _, first := range firsts {
		b, err := selectBlockFrom(ctx, j.db.Read(), first)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return Entry{}, fmt.Errorf("finding entry %s: %w", id, err)
		}
		if !bytes.Contains(b.content, prefix) {
			continue
		}
		d := newDecoder(j.db.Read())
		o, err := d.open(b)
		if err != nil {
			return Entry{}, fmt.Errorf("finding entry %s: reading the block at position %d: %w", id, b.first, err)
		}
		for i, line := range o.lines {
			if bytes.HasPrefix(line, prefix) {
				return d.entry(ctx, o, line, b.first+Position(i))
			}
		}
	}
	return Entry{}, ErrNotFound
}
