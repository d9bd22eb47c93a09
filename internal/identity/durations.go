package identity

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// Durations remembers how long the last questions to another service took. What has to look like such a
// question, and asks nothing, waits for one of them. Its methods may be called from any goroutine.
type Durations struct {
	mu   sync.Mutex
	took [16]time.Duration
	n    int // noted so far
}

// Note remembers one.
func (d *Durations) Note(took time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.took[d.n%len(d.took)] = took
	d.n++
}

// Draw returns one of those remembered at random, 0 if there is none.
func (d *Durations) Draw() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.n == 0 {
		return 0
	}
	return d.took[rand.IntN(min(d.n, len(d.took)))]
}

// Sleep waits for d, which may be negative, or until ctx ends; then it returns the error of ctx.
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
