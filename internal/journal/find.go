package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/journal/index"
	"github.com/tidewaiter/tidewaiter/internal/journal/tree"
	"github.com/tidewaiter/tidewaiter/internal/store"
)

// Removed returns a position for each kind of entries with a retention limit. All entries of the
// kind up to this position were removed.
func (j *Journal) Removed(ctx context.Context) ([]Position, error) {
	state, err := selectMaintenance(ctx, j.db.Read())
	if err != nil {
		return nil, fmt.Errorf("reading which entries were removed: %w", err)
	}
	return slices.Collect(maps.Values(state.removed)), nil
}

// Holds reports whether the entry at a position has the id. It also returns true if the entry was
// removed. It returns false if the database was replaced by an older copy, and another entry was
// written at this position.
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
	o, err := d.openFirst(b)
	var r entryRecord
	var ok bool
	if err == nil {
		r, ok, err = d.entryAt(o, position)
	}
	if err != nil {
		return false, fmt.Errorf("reading the block at position %d: %w", b.first, err)
	}
	if !ok {
		return true, nil
	}
	e, err := d.entry(ctx, o, r)
	return e.ID == id, err
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
	head, headErr := selectHead(ctx, s.decoder.q)
	if err != nil || headErr != nil || !holds || Position(upTo) >= head.next {
		c.Close()
		return nil, 0
	}
	s.base = head.base
	if !s.Decision.IsZero() {
		// The index does not have the ids of the decisions themselves, because a row for each id
		// would double the size of the index.
		own, err := s.journal.FindAll(ctx, s.Decision.String(), maxOwn)
		if err != nil || len(own) == maxOwn {
			c.Close()
			return nil, 0
		}
		c = &withPositions{c, own}
	}
	return c, Position(upTo)
}

// maxOwn limits the number of entries with the same id. Usually there is only one.
const maxOwn = 16

// withPositions adds entries to the candidates of an index.
type withPositions struct {
	index.Candidates
	entries []Entry
}

// Next implements index.Candidates.
func (w *withPositions) Next(ctx context.Context, from int64) (index.Group, error) {
	g, err := w.Candidates.Next(ctx, from)
	for _, e := range w.entries {
		first := int64(e.Position) / index.GroupSize * index.GroupSize
		if err != nil || int64(e.Position) > from || first < g.First {
			continue
		}
		if first > g.First {
			g = index.Group{First: first}
		}
		g.Entries.Add(uint8(int64(e.Position) - first))
	}
	return g, err
}

// maxGroupsAtOnce is the maximum number of groups of the index that are searched between two calls
// of the function stop. It is small, so that a search that takes too long ends soon.
const maxGroupsAtOnce = 16

// find searches the candidates backward from a position. It returns the position from which the
// next search continues.
func (s *search) find(ctx context.Context, c index.Candidates, from Position, stop func(int) bool) (Position, error) {
	// The first groups often fill the page, so the number of groups begins low.
	for groups := 1; from > s.after; groups = min(2*groups, maxGroupsAtOnce) {
		positions, next, err := s.positions(ctx, c, from, groups)
		if err != nil {
			return from, &indexError{err}
		}
		if err := s.entries(ctx, positions); err != nil || s.page.Next != 0 {
			return from, err
		}
		if from = next; from > s.after && stop(s.searched) {
			s.page.Next = from + 1
			if at, err := selectTimeAt(ctx, s.decoder.q, from+1); err == nil {
				s.page.Searched = time.UnixMilli(at).UTC()
			}
			return from, nil
		}
	}
	return from, nil
}

// positions returns the positions of the next candidates, the last candidate first, and the
// position from which to continue. It stops after the given number of groups, or when there are
// enough candidates for a page.
func (s *search) positions(ctx context.Context, c index.Candidates, from Position, groups int) (all []Position, next Position, err error) {
	for ; groups > 0 && from > s.after && len(all) <= s.limit-len(s.page.Entries); groups-- {
		group, err := c.Next(ctx, int64(from))
		if err != nil {
			return nil, from, err
		}
		if group.First < 0 {
			return all, 0, nil
		}
		for i := index.GroupSize - 1; i >= 0; i-- {
			position := Position(group.First) + Position(i)
			if position <= from && position > s.after && group.Entries.Has(uint8(i)) {
				all = append(all, position)
			}
		}
		from = Position(group.First) - 1
		if group.Entries == (index.Set{}) {
			break // finding no candidate took long, so return to let find call stop
		}
	}
	return all, from, nil
}

// blockCandidates has the candidates in one block.
type blockCandidates struct {
	block     *block
	positions []Position
	open      *openBlock
	records   []entryRecord
	err       error
}

// entries compares the entries at the positions with the query, the last entry first.
func (s *search) entries(ctx context.Context, positions []Position) error {
	all, err := s.blocksOf(ctx, positions)
	if err != nil {
		return err
	}
	s.read(all)
	var principals []principalRef
	for i := range all {
		f := &all[i]
		for j := 0; f.err == nil && j < len(f.records); j++ {
			var p parts
			if p, f.err = f.open.split(f.records[j].line); f.err == nil && p.principal >= 0 {
				principals = append(principals, f.open.principals[p.principal])
			}
		}
		if f.err != nil {
			return fmt.Errorf("reading the block at position %d: %w", f.block.first, f.err)
		}
	}
	if err := s.decoder.load(ctx, principals); err != nil {
		return err
	}
	for i := range all {
		s.searched += int(all[i].block.entries)
		for _, r := range all[i].records {
			if err := s.record(ctx, all[i].open, r); err != nil || s.page.Next != 0 {
				return err
			}
		}
	}
	return nil
}

// blocksOf returns the blocks that contain the positions. It reads all merged blocks with one
// statement, and each other block with its own statement.
func (s *search) blocksOf(ctx context.Context, positions []Position) (all []blockCandidates, err error) {
	merged, err := s.mergedBlocks(ctx, positions)
	if err != nil {
		return nil, err
	}
	for _, position := range positions {
		if n := len(all); n > 0 && position >= all[n-1].block.first {
			if position < all[n-1].block.end() {
				all[n-1].positions = append(all[n-1].positions, position)
			}
			continue // the entry was removed
		}
		b := merged[s.groupStart(position)]
		if b == nil || position >= b.end() {
			if b, err = s.blockBack(ctx, position); err != nil {
				return nil, err
			}
		}
		if b != nil && position < b.end() {
			all = append(all, blockCandidates{block: b, positions: []Position{position}})
		}
	}
	return all, nil
}

// groupStart returns the first position of a merged block that contains a position.
func (s *search) groupStart(position Position) Position {
	if position <= s.base {
		return position
	}
	leaf := int64(position-s.base) &^ (tree.GroupSize - 1)
	return s.base + Position(max(leaf, 1)) // leaf 0 is not an entry
}

// mergedBlocks returns the merged blocks that contain the positions. The keys of the result are
// the first positions of the blocks. It also returns some smaller blocks, if they begin where a
// merged block can begin.
func (s *search) mergedBlocks(ctx context.Context, positions []Position) (map[Position]*block, error) {
	var starts []Position
	last := Position(-1)
	for _, position := range positions {
		if start := s.groupStart(position); start != last {
			starts, last = append(starts, start), start
		}
	}
	if len(starts) == 0 {
		return nil, nil
	}
	list, args := inList(1, starts)
	blocks, err := store.Collect(ctx, s.decoder.q, scanBlock, blockColumns+`WHERE first IN `+list, args...)
	if err != nil {
		return nil, err
	}
	merged := make(map[Position]*block, len(blocks))
	for _, b := range blocks {
		merged[b.first] = b
	}
	return merged, nil
}

// read reads the candidates on all processors, because a search spends most of its time on
// decompressing lines.
func (s *search) read(all []blockCandidates) {
	var next atomic.Int64
	work := func(d *decoder) {
		for i := int(next.Add(1)) - 1; i < len(all); i = int(next.Add(1)) - 1 {
			all[i].read(d)
		}
	}
	var others sync.WaitGroup
	for range min(len(all)/4, runtime.GOMAXPROCS(0)-1) {
		others.Go(func() { work(new(decoder)) })
	}
	work(s.decoder)
	others.Wait()
}

// read reads the candidates of one block.
func (f *blockCandidates) read(d *decoder) {
	if f.open, f.err = d.openFirst(f.block); f.err != nil {
		return
	}
	for _, position := range f.positions {
		r, ok, err := d.entryAt(f.open, position)
		if err != nil {
			f.err = err
			return
		}
		if ok {
			f.records = append(f.records, r)
		}
	}
}
