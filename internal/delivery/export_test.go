package delivery

import (
	"context"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/journal"
)

// Driver runs a Delivery without goroutines, step by step.
type Driver struct {
	d *Delivery
	l *lease
}

func NewDriver(d *Delivery) *Driver { return &Driver{d, newLease(d)} }

// Acquire tries to take the lease.
func (r *Driver) Acquire(ctx context.Context) bool {
	if !r.l.acquire(ctx) {
		return false
	}
	for _, w := range r.d.workers {
		w.forget()
	}
	return true
}

// Round reads changes, lets all workers work until each of them waits, and returns the shortest
// wait. At most limit batches are sent.
func (r *Driver) Round(ctx context.Context, limit int) (wait time.Duration) {
	_ = r.d.load(ctx)
	wait = idle
	for _, w := range r.d.workers {
		for {
			if one := w.step(ctx); one > 0 {
				wait = min(wait, one)
				break
			}
			if limit--; limit <= 0 {
				return 0
			}
		}
	}
	return wait
}

// Save writes the states. It returns false if the lease is lost.
func (r *Driver) Save(ctx context.Context) bool {
	return r.d.save(ctx, r.l) == nil
}

// Release gives the lease up.
func (r *Driver) Release(ctx context.Context) { r.l.release(ctx) }

const (
	TakenAfter  = takenAfter
	GiveUp      = giveUp
	MaxBody     = maxBody
	MaxBacklogs = maxBacklogs
	MaxLogged   = maxLogged
	OffGone     = offGone
	OffFailing  = offFailing
)

// CloseIdle closes the connections that a Delivery keeps open.
func CloseIdle(d *Delivery) {
	for _, w := range d.workers {
		w.closeIdle()
	}
}

// Matches reports whether a filter selects an entry.
func Matches(f Filter, e *journal.Entry) bool { return newMatcher(f).matches(e) }

// CloseFiles closes the files to which entries are written.
func CloseFiles(d *Delivery) {
	for _, w := range d.workers {
		if w.file != nil {
			_ = w.file.close()
		}
	}
}
