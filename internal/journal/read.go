package journal

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/journal/tree"
	"github.com/tidewaiter/tidewaiter/internal/store"
)

// Last returns the position of the last entry, or 0 in an empty journal.
func (j *Journal) Last(ctx context.Context) (Position, error) {
	h, err := selectHead(ctx, j.db.Read())
	if err != nil {
		return 0, fmt.Errorf("reading the journal's end: %w", err)
	}
	return h.next - 1, nil
}

// Tree returns the tree over the entries. The tree is empty if the journal has no entries yet.
func (j *Journal) Tree(ctx context.Context) (tree.Frontier, error) {
	h, err := selectHead(ctx, j.db.Read())
	if err != nil || len(h.frontier) == 0 {
		return tree.Frontier{}, err
	}
	return h.tree()
}

// Read returns the entries after a position, in order, up to the current end. It ends at the first
// error: ctx's error, or the error of an unreadable block. While the loop body runs, Read needs
// the memory of one block, but no database connection.
func (j *Journal) Read(ctx context.Context, after Position) iter.Seq2[Entry, error] {
	return j.ReadKinds(ctx, after)
}

// ReadKinds is like Read, but it is much faster, because it decodes only the entries of some
// kinds. For most other entries, it returns only the position and the id. It can return some of
// the other entries in full. If there are no kinds, or one of them is KindText or "", it decodes
// all entries.
func (j *Journal) ReadKinds(ctx context.Context, after Position, kinds ...Kind) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		d := newDecoder(j.db.Read())
		var keys [][]byte // nil: each line is decoded
		for _, kind := range kinds {
			keys = append(keys, kind.key())
		}
		if slices.Contains(kinds, KindText) || slices.Contains(kinds, "") {
			keys = nil
		}
		for {
			b, err := blockAfter(ctx, d.q, after)
			if errors.Is(err, sql.ErrNoRows) {
				return
			}
			if err != nil {
				yield(Entry{}, fmt.Errorf("reading the journal after position %d: %w", after, err))
				return
			}
			o, err := d.open(b)
			if err == nil && (keys == nil || slices.Contains(kinds, KindDecision)) {
				err = d.load(ctx, o.principals)
			}
			if err != nil {
				yield(Entry{}, fmt.Errorf("reading the block at position %d: %w", b.first, err))
				return
			}
			for _, r := range o.entries {
				if r.position <= after {
					continue
				}
				entry := Entry{Position: r.position}
				if keys == nil || slices.ContainsFunc(keys, func(key []byte) bool { return bytes.Contains(r.line, key) }) {
					entry, err = d.entry(ctx, o, r)
				} else {
					entry.ID, err = readID(o.publicPart(r.line))
				}
				if !yield(entry, err) || err != nil {
					return
				}
			}
			after = b.end() - 1
		}
	}
}

// blockAfter returns the block with the next entry after a position, or sql.ErrNoRows.
func blockAfter(ctx context.Context, q store.Querier, after Position) (*block, error) {
	// A reader goes from block to block, so a block nearly always begins exactly at after+1.
	b, err := selectBlockAt(ctx, q, after+1)
	if err == nil && b.end() > after+1 {
		return b, nil
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, err
	}
	return selectBlockFrom(ctx, q, after+1) // the blocks before the returned block were deleted
}

// Follow is like Read, but at the end of the journal, it waits for new entries, including entries
// of other processes. It ends without an error when ctx ends, or with the error of a read.
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

// Find returns the entry with an id, or ErrNotFound.
func (j *Journal) Find(ctx context.Context, id ID) (Entry, error) {
	found, err := j.FindAll(ctx, id.String(), 1)
	if err == nil && len(found) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Entry{}, err
	}
	return found[0], nil
}

// AmbiguousError means that several ids begin with a text.
type AmbiguousError struct {
	Beginning string
	IDs       []ID // some of them
}

func (e *AmbiguousError) Error() string {
	ids := make([]string, len(e.IDs))
	for i, id := range e.IDs {
		ids[i] = id.String()
	}
	return fmt.Sprintf("several ids begin with %s: %s; give more digits", e.Beginning, strings.Join(ids, ", "))
}

// FindOne returns the entry whose id begins with a text (see IsBeginning). The error is
// ErrNotFound or an AmbiguousError.
func (j *Journal) FindOne(ctx context.Context, beginning string) (Entry, error) {
	const shown = 5
	found, err := j.FindAll(ctx, beginning, shown)
	switch {
	case err != nil:
		return Entry{}, err
	case len(found) == 0:
		return Entry{}, ErrNotFound
	case len(found) == 1:
		return found[0], nil
	}
	ambiguous := &AmbiguousError{Beginning: beginning}
	for _, e := range found {
		ambiguous.IDs = append(ambiguous.IDs, e.ID)
	}
	return Entry{}, ambiguous
}

// FindAll returns the entries whose ids begin with a text, up to the limit. An id contains its
// time, so only the blocks of that time are read.
func (j *Journal) FindAll(ctx context.Context, beginning string, limit int) ([]Entry, error) {
	if !IsBeginning(beginning) {
		return nil, nil
	}
	const hour, ever = int64(time.Hour / time.Millisecond), int64(1) << 50
	// Usually the times of the ids in a block are near the time of the block's commit. They can
	// differ if a clock was wrong, or if a caller set an id with another time.
	for _, slack := range [...]int64{hour, ever} {
		found, err := j.find(ctx, strings.ToLower(beginning), limit, slack)
		if err != nil {
			return nil, fmt.Errorf("finding entry %s: %w", beginning, err)
		}
		if len(found) > 0 {
			return found, nil
		}
	}
	return nil, nil
}

func (j *Journal) find(ctx context.Context, beginning string, most int, slack int64) (found []Entry, err error) {
	low, _ := parseID(beginning + "00000000-0000-0000-0000-000000000000"[len(beginning):])
	high, _ := parseID(beginning + "ffffffff-ffff-ffff-ffff-ffffffffffff"[len(beginning):])
	firsts, err := selectBlocksByIDTime(ctx, j.db.Read(), low.milliseconds(), high.milliseconds(), slack)
	if err != nil {
		return nil, err
	}
	return j.findIn(ctx, firsts, beginning, most)
}

// findIn returns the entries whose ids begin with a text, up to the limit. It reads only the
// blocks that have one of the positions.
func (j *Journal) findIn(ctx context.Context, firsts []Position, beginning string, limit int) (found []Entry, err error) {
	prefix := []byte(`{"id":"` + beginning)
	read := make(map[Position]bool)
	for _, first := range firsts {
		b, err := blockAfter(ctx, j.db.Read(), first-1) // the block may have been merged
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if read[b.first] {
			continue // this block was merged with a block that is searched already
		}
		read[b.first] = true
		d := newDecoder(j.db.Read())
		o, err := d.open(b)
		if err != nil {
			return nil, fmt.Errorf("reading the block at position %d: %w", b.first, err)
		}
		for _, r := range o.entries {
			if !bytes.HasPrefix(o.publicPart(r.line), prefix) {
				continue
			}
			entry, err := d.entry(ctx, o, r)
			if err != nil {
				return nil, err
			}
			if found = append(found, entry); len(found) == limit {
				return found, nil
			}
		}
	}
	return found, nil
}
