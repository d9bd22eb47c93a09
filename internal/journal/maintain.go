package journal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/journal/retention"
)

// A commit writes a block of the few entries that have arrived. Later, in the background,
// Maintain merges and compresses the blocks of each 256 entries (merge.go). It removes entries
// beyond their limits (remove.go), and reports the removal in the journal (report.go). It also
// deletes principals to which no entry refers (sweep.go). Each step is a short transaction of its
// own, so that the writer never waits long. The hashes of the tree do not change, so old proofs
// stay valid.

// Maintain merges blocks and removes entries beyond the limits, until ctx ends. It uses at most
// about a fifth of a processor. Several processes may run Maintain on the same database.
func (j *Journal) Maintain(ctx context.Context, limits retention.Limits) {
	const (
		idle = 30 * time.Second
		rest = 4 // a pause is this many times as long as the step before it
	)
	m := newMaintainer(j, limits)
	m.trustAfter = j.o.Settle
	for {
		began := time.Now()
		did, err := m.step(ctx)
		pause := max(rest*time.Since(began), time.Millisecond)
		switch {
		case err != nil && ctx.Err() == nil && !errors.Is(err, errRewritten):
			m.o.Log.Error("merging and removing journal entries failed", "error", err)
			pause = idle
		case !did && err == nil:
			pause = idle
		}
		if clock.Sleep(ctx, pause) != nil {
			return
		}
	}
}

// Merge merges all blocks that are old enough, without the pauses of Maintain.
func (j *Journal) Merge(ctx context.Context) error {
	m := newMaintainer(j, retention.Limits{})
	for {
		did, err := m.run(ctx, task{"merging blocks", m.merge})
		if err != nil && !errors.Is(err, errRewritten) || err == nil && !did {
			return err
		}
	}
}

// maintainer merges blocks and removes entries. Only one goroutine uses a maintainer.
type maintainer struct {
	*Journal
	limits  map[retentionKind]retention.Limit
	decoder *decoder
	deflate deflater

	removeFirst bool // the next step removes entries first
	// trustAfter is how long the clock must have run without a jump before entries are removed.
	// The fields settleWall and settleStart have the moment at which this time began. Only
	// settleStart has a monotonic reading.
	trustAfter              time.Duration
	settleWall, settleStart time.Time

	// trimmed has the blocks from which single entries were removed within one hour. The field
	// trimmedFor is this hour.
	trimmed    map[Position]bool
	trimmedFor clock.Span
	reported   clock.Span  // ends reportRemovedEvery after the last report
	swept      clock.Span  // ends a day after the last sweep of the principals
	sweeping   *begunSweep // nil: no sweep has begun
}

func newMaintainer(j *Journal, limits retention.Limits) *maintainer {
	return &maintainer{Journal: j, limits: limitsByKind(limits), decoder: newDecoder(j.db.Read())}
}

// task is one kind of the work of a maintainer. Its function completes a piece of the work,
// and reports whether there was work to do.
type task struct {
	doing string // "merging blocks"
	do    func(context.Context, head, maintenance) (did bool, err error)
}

// step merges blocks or removes entries once, and reports whether there was work to do. Merging
// and removing alternate.
func (m *maintainer) step(ctx context.Context) (did bool, err error) {
	merge, remove := task{"merging blocks", m.merge}, task{"removing entries", m.remove}
	first, second := merge, remove
	if m.removeFirst {
		first, second = remove, merge
	}
	m.removeFirst = !m.removeFirst
	if !m.clockIsTrusted() {
		return m.run(ctx, merge)
	}
	return m.run(ctx, first, second, task{"removing entries of format 1", m.removeOld},
		task{"recording removed entries", m.report}, task{"removing principals", m.sweep})
}

// run does a piece of work of the first task that has work to do.
func (m *maintainer) run(ctx context.Context, tasks ...task) (did bool, err error) {
	q := m.db.Read()
	h, err := selectHead(ctx, q)
	if err != nil {
		return false, fmt.Errorf("reading the journal's head: %w", err)
	}
	state, err := selectMaintenance(ctx, q)
	if err != nil {
		return false, fmt.Errorf("reading what was merged and removed: %w", err)
	}
	for _, t := range tasks {
		if did, err = t.do(ctx, h, state); err != nil {
			return false, fmt.Errorf("%s: %w", t.doing, err)
		}
		if did {
			return true, nil
		}
	}
	return false, nil
}

// clockIsTrusted reports whether the clock has run without a jump for long enough to be trusted.
// Entries that are removed because of a wrong clock cannot be restored. Many machines correct
// their clock in the first minutes after a start.
func (m *maintainer) clockIsTrusted() bool {
	if m.trustAfter <= 0 {
		return true
	}
	now, elapsed := m.o.Now(), time.Since(m.settleStart)
	if m.settleWall.IsZero() || (now.Sub(m.settleWall)-elapsed).Abs() > time.Minute {
		m.settleWall, m.settleStart = now, time.Now()
		return false
	}
	return elapsed >= m.trustAfter
}

// maxIDTime returns the latest time that the id of an entry can have now, in milliseconds since
// 1970. An id with a later time was created while a clock was ahead. Such an id must not delay the
// merging or removal of the entries after it.
func (m *maintainer) maxIDTime() int64 { return m.o.Now().Add(minAge).UnixMilli() }
