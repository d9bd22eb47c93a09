package delivery

import (
	"context"

	"github.com/tidewaiter/tidewaiter/internal/journal"
)

// Limits of a batch, so that memory is bounded and a worker notices changes.
const (
	maxBatch      = 64
	maxBatchBytes = 1 << 20
	maxScanned    = 4096
)

// batch is a list of entries to send.
type batch struct {
	entries []journal.Entry
	scanned journal.Position // entries has all selected entries up to this position
	more    bool             // entries after scanned were not read yet
}

// read returns the next entries that lie between two positions, and that both the filter and the
// function match select. If the second position is 0, it stands for the end of the journal.
func (w *worker) read(ctx context.Context, after, last journal.Position, match func(*journal.Entry) bool) (batch, error) {
	b := batch{scanned: after}
	select {
	case w.d.reading <- struct{}{}:
		defer func() { <-w.d.reading }()
	case <-ctx.Done():
		return b, ctx.Err()
	}
	size, scanned := 0, 0
	for e, err := range w.d.journal.ReadKinds(ctx, after, w.filter.kind()) {
		if err != nil {
			return batch{}, err
		}
		if last > 0 && e.Position > last {
			return b, nil
		}
		if scanned >= maxScanned || len(b.entries) >= maxBatch || size >= maxBatchBytes {
			b.more = true
			return b, nil
		}
		scanned++
		b.scanned = e.Position
		if w.filter.matches(&e) && match(&e) {
			b.entries = append(b.entries, e)
			size += e.Size()
		}
	}
	return b, nil
}
