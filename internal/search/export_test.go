package search

import (
	"github.com/tidewaiter/tidewaiter/internal/journal/index"
	"github.com/tidewaiter/tidewaiter/internal/projection"
)

// SmallSegments sets the size of a segment to two groups, so that a test with few entries has
// several segments. The first statement of a search reads one group. After a gap, a collector
// begins with the next group.
func SmallSegments() { groupsPerSegment, firstGroups, collectFrom = 2, 1, index.GroupSize }

// SetMaxCollected changes maxCollected, and returns the old value.
func SetMaxCollected(n int) (before int) {
	before, maxCollected = maxCollected, n
	return before
}

// CollectedRows returns the number of rows that the collector of a definition has.
func CollectedRows(d *projection.Definition) int {
	c := d.Collector.(*collector)
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.open.rows)
	for _, g := range c.complete {
		n += len(g.rows)
	}
	return n
}
