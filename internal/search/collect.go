package search

import (
	"context"
	"slices"
	"sync"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/journal/index"
	"github.com/tidewaiter/tidewaiter/internal/projection"
)

// maxCollected is the maximum number of rows of a collector. It limits the collector's memory,
// because a row takes 40 bytes. The entries of half a second usually have less than a tenth of
// this number of rows. If the index lags so far behind that there are more rows, the collector
// discards its rows and begins again. Tests use a smaller value.
var maxCollected = 1 << 17

// collectFrom is a number of positions. After a gap, the collector begins at the next multiple of
// this number. If several processes write to the journal, there are many gaps, so the index can
// rarely use collected rows. Tests use a smaller value.
var collectFrom journal.Position = 4096

// collector is the projection.Collector of the index. A collector has the rows of whole groups.
type collector struct {
	*writer

	mu       sync.Mutex
	begin    journal.Position // entries before this position are not collected
	next     journal.Position // position of the next entry, if there is no gap
	open     batch            // rows of the newest group, which is incomplete
	complete []group          // without gaps
	rows     int              // number of rows of the complete groups
}

// group has the rows of a group of entries.
type group struct {
	number int64
	rows   []row
	span   times
	last   journal.Position
	id     journal.ID // id of the last entry
}

// first returns the position of the first entry. The journal has no position 0, so the result is
// at least 1.
func (g *group) first() journal.Position { return max(journal.Position(g.number*index.GroupSize), 1) }

// Collect implements projection.Collector.
func (c *collector) Collect(instance string, entries []journal.Entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open.hash == nil {
		c.open = newBatch(instance)
	}
	for i := range entries {
		e := &entries[i]
		if e.Position != c.next || c.rows+len(c.open.rows) > maxCollected {
			c.restart(e.Position)
		}
		if c.next = e.Position + 1; e.Position < c.begin {
			continue
		}
		number := int64(e.Position) / index.GroupSize
		c.open.add(e, number, c.login)
		if e.Position%index.GroupSize == index.GroupSize-1 {
			c.complete = append(c.complete, group{number, slices.Clone(c.open.rows), c.open.spans[number], e.Position, e.ID})
			c.rows += len(c.open.rows)
			c.open.clear()
		}
	}
}

// restart discards all rows. The collector begins again at the given position or soon after it.
func (c *collector) restart(at journal.Position) {
	c.complete, c.rows = nil, 0
	c.open.clear()
	step := collectFrom
	if c.next == 0 { // nothing was collected before
		step = index.GroupSize
	}
	if c.begin = at; at != 1 {
		c.begin += (step - at%step) % step
	}
}

// Collected implements projection.Collector. It discards the groups up to the given position.
func (c *collector) Collected(after journal.Position) (journal.Position, journal.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.complete) > 0 && c.complete[0].last <= after {
		c.rows -= len(c.complete[0].rows)
		c.complete[0] = group{} // release its rows
		c.complete = c.complete[1:]
	}
	if len(c.complete) == 0 || c.complete[0].first() != after+1 {
		return 0, journal.ID{}
	}
	last := c.complete[len(c.complete)-1]
	return last.last, last.id
}

// Apply implements projection.Collector.
func (c *collector) Apply(ctx context.Context, tx projection.Tx, after, last journal.Position) error {
	c.mu.Lock()
	groups := slices.Clone(c.complete)
	c.mu.Unlock()
	b := batch{rows: c.writer.rows[:0], spans: make(map[int64]times)}
	defer func() { c.writer.rows = b.rows[:0] }()
	for _, g := range groups {
		if g.first() > after && g.last <= last {
			b.rows = append(b.rows, g.rows...)
			b.widen(g.number, g.span)
		}
	}
	return b.write(ctx, tx)
}
