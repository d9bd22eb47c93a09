package clock

import (
	"context"
	"sync"
	"time"
)

// Sleep waits for d or until ctx ends, and returns the error of ctx. It does not wait if d is not
// positive.
func Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
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

// Durations has the durations of the last calls of some function. Code that must appear to call
// the function, but does not call it, sleeps for one of these durations. Its methods may be called
// from any goroutine.
type Durations struct {
	mu   sync.Mutex
	last [32]time.Duration
	n    int // number of recorded durations
}

// Note records a duration.
func (d *Durations) Note(took time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last[d.n%len(d.last)] = took
	d.n++
}

// Draw returns one of the recorded durations, or 0 if no duration is recorded. The function
// random returns a random number below its argument.
func (d *Durations) Draw(random func(int) int) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.n == 0 {
		return 0
	}
	return d.last[random(min(d.n, len(d.last)))]
}
