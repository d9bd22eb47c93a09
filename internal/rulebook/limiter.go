package rulebook

import (
	"context"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
)

// After compiling, wait cooldownFactor × the compile time before compiling again, at most
// maxCooldown. Changes during the cooldown take effect together. So a continuous stream of changes
// uses a third of a processor. For a policy of 100,000 rules, changes use about half of a
// processor, because maxCooldown shortens the cooldown. Replicas must apply a change within two
// seconds. This time includes up to one second until they notice the change (store.Watch), the
// cooldown, and compiling. The cooldown of a small policy is not noticeable.
const (
	cooldownFactor = 2
	maxCooldown    = 500 * time.Millisecond
)

// compileLimiter lets one goroutine at a time compile a policy, with a cooldown between two
// compilations.
type compileLimiter struct {
	taken chan struct{}                              // full while a goroutine has the limiter
	until time.Time                                  // end of the cooldown; guarded by taken
	wait  func(context.Context, time.Duration) error // replaced by tests
}

func newCompileLimiter() compileLimiter {
	return compileLimiter{taken: make(chan struct{}, 1), wait: clock.Sleep}
}

func (t *compileLimiter) acquire(ctx context.Context) error {
	select {
	case t.taken <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t *compileLimiter) release() { <-t.taken }

// cooldown waits until the cooldown is over.
func (t *compileLimiter) cooldown(ctx context.Context) error { return t.wait(ctx, time.Until(t.until)) }

// startCooldown starts the cooldown after a compilation that began at the given time.
func (t *compileLimiter) startCooldown(since time.Time) {
	now := time.Now()
	t.until = now.Add(cooldownAfter(now.Sub(since)))
}

func cooldownAfter(took time.Duration) time.Duration { return min(cooldownFactor*took, maxCooldown) }
