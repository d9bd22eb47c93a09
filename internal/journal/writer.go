package journal

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/loglimit"
)

// These limits keep blocks small, so that reading one entry does not require reading thousands of
// entries.
const (
	maxBlockEntries = 512
	maxBlockBytes   = 256 << 10
)

// reportEvery is the minimum time between two log lines about losses or failures.
const reportEvery = 10 * time.Second

// writer is the state of the writing goroutine.
type writer struct {
	*Journal
	builder  *builder
	reported int64      // lost entries that are recorded in the journal
	noted    clock.Span // ends reportEvery after losses were last recorded
	failures loglimit.Limit
}

// A commit takes as much processor time as recording about 500 entries. In a rush, the writer
// therefore commits less often. So a crash loses the decisions of 80 ms instead of 20 ms.
// docs/events.md has these times.
const (
	rush       = 64 // minimum number of entries in the last batch during a rush
	rushFactor = 4
)

// linger returns how long to wait for more entries. The parameter last is the number of entries in
// the last batch.
func linger(usual time.Duration, last int) time.Duration {
	if last >= rush {
		return rushFactor * usual
	}
	return usual
}

// run is the writing goroutine. It ends when the queue is closed and empty, or ctx ends.
func (j *Journal) run(ctx context.Context) {
	defer close(j.stopped)
	defer j.stop()
	w := &writer{
		Journal: j, builder: newBuilder(maxBlockEntries, maxBlockBytes),
		failures: loglimit.Limit{Period: reportEvery},
	}
	var spare batch
	last := 0 // number of entries in the last batch
	for {
		j.queue.wait(linger(j.o.Linger, last))
		j.queue.gather(len(spare.waiters))
		b := j.queue.take(spare)
		last = len(b.entries)
		w.commit(ctx, &b)
		if b.closed {
			return
		}
		clear(b.entries[:cap(b.entries)]) // release the memory that entries point to
		clear(b.waiters)
		spare = b
		if cap(spare.entries) > 2*maxBlockEntries && len(b.entries) < maxBlockEntries {
			spare.entries = nil // release the memory after a burst
		}
	}
}

// commit writes a batch in one transaction and notifies the waiting Appends. A crash before the
// commit loses the batch, which was not acknowledged. A crash after the commit loses only the
// acknowledgement.
func (w *writer) commit(ctx context.Context, b *batch) {
	lost := w.loss(b.closed)
	if lost > 0 {
		b.entries = append(b.entries, w.lossEntry(lost))
	}
	if len(b.entries) == 0 {
		return
	}
	var kept []Entry
	var blocks int
	err := w.write(ctx, "", func(tx *sql.Tx) (err error) {
		kept, blocks, err = w.builder.write(ctx, tx, w.o.Now(), b.entries)
		return err
	})
	w.builder.settle(err == nil)
	if err != nil {
		err = fmt.Errorf("writing entries: %w", err)
	}

	w.mu.Lock()
	w.stats.LastError = err
	if err == nil {
		w.stats.Commits++
		w.stats.Blocks += int64(blocks)
		w.stats.Written += int64(len(kept))
		w.stats.Duplicates += int64(len(b.entries) - len(kept))
		if w.builder.rewound > 0 {
			w.stats.Duplicates++ // the entry about the loss was written, but not queued
		}
		w.stats.LastCommit = w.o.Now()
	} else {
		w.stats.Lost += int64(b.recorded)
	}
	w.mu.Unlock()

	for _, waiter := range b.waiters {
		waiter <- err
	}
	if err != nil {
		w.reportFailure(err, b.recorded)
		return
	}
	if w.builder.rewound > 0 {
		w.o.Log.Error("the database was replaced by an older copy: journal entries are gone", "entries", w.builder.rewound)
	}
	if lost > 0 {
		w.reported += lost
		w.o.Log.Warn("the journal lost entries that could not be written in time", "entries", lost)
	}
	if w.o.Observe != nil && len(kept) > 0 {
		w.o.Observe(kept)
	}
}

// loss returns how many lost entries to record with the next block.
func (w *writer) loss(closing bool) int64 {
	w.mu.Lock()
	lost := w.stats.Lost - w.reported
	w.mu.Unlock()
	now := w.o.Now()
	if lost <= 0 || !closing && w.noted.Holds(now) {
		return 0
	}
	w.noted = clock.For(now, reportEvery)
	return lost
}

func (w *writer) lossEntry(lost int64) Entry {
	entry := Entry{Change: &Change{
		Actor:  "tidewaiter",
		Action: "journal.lost",
		Target: "journal",
		To:     map[string]any{"entries": lost},
	}}
	w.completeEntry(&entry)
	return entry
}

func (w *writer) reportFailure(err error, recorded int) {
	if missed, ok := w.failures.Allow(w.o.Now()); ok {
		w.o.Log.Error("writing the journal failed", "error", err, "lost", recorded, loglimit.Missed, missed)
	}
}
