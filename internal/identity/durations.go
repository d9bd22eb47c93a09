package identity

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// Durations remembers how long the last requests to another service took. An operation that must
// look like such a request without making one sleeps for one of them. Its methods may be called
// from any goroutine.
type Durations struct {
	mu   sync.Mutex
	took [16]time.Duration
	n    int // number of durations noted so far
}

// Note records a duration.
func (d *Durations) Note(took time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.took[d.n%len(d.took)] = took
	d.n++
}

// Draw returns one of the recorded durations at random, or 0 without any.
func (d *Durations) Draw() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.n == 0 {
		return 0
	}
	return d.took[rand.IntN(min(d.n, len(d.took)))]
}

// Sleep waits for d or until ctx ends, and returns the error of ctx. It does not wait if d is
// negative.
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
