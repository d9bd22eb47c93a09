package rulebook

import (
	"context"
	"time"
)

// After a policy was made, none is made for restTimes the time that it took, and not longer than mostRest. Changes that come meanwhile are collected, and
// come into force together. So changes without end cost a third of a processor; a policy of 100,000 rules takes about half of
// one, as its rest is cut short for the two seconds in which all others have to know: one of them until they look (store.Watch), the
// rest, and the making. A small policy has no rest that anybody notices.
const (
	restTimes = 2
	mostRest  = 500 * time.Millisecond
)

// turn is whose turn it is to make a policy: one at a time does, and not without rest.
type turn struct {
	taken chan struct{}                              // full while somebody has it
	until time.Time                                  // when the rest is over; belongs to who has the turn
	wait  func(context.Context, time.Duration) error // tests hold it here
}

func newTurn() turn { return turn{taken: make(chan struct{}, 1), wait: wait} }

func (t *turn) take(ctx context.Context) error {
	select {
	case t.taken <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t *turn) give() { <-t.taken }

// rest waits until the rest is over.
func (t *turn) rest(ctx context.Context) error { return t.wait(ctx, time.Until(t.until)) }

// tire says since when a policy was made: the rest begins now.
func (t *turn) tire(since time.Time) {
	now := time.Now()
	t.until = now.Add(restAfter(now.Sub(since)))
}

func restAfter(took time.Duration) time.Duration { return min(restTimes*took, mostRest) }

func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
