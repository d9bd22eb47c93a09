package external

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/identity"
)

// DummyLookup takes as long as one of the last refusals: for a password that an earlier source refused. The peer is
// asked nothing: there is no question about a name that does not bear the password.
func (e *External) DummyLookup(ctx context.Context, c identity.Credentials) error {
	if c.Kind != identity.Password || !mayAsk(c) {
		return nil
	}
	return e.sleep(ctx, min(e.refused.draw(), e.timeout))
}

// refusals is how long the last ones took, waiting for a turn included.
type refusals struct {
	mu   sync.Mutex
	took [16]time.Duration
	n    int // noted so far
}

func (r *refusals) note(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.took[r.n%len(r.took)] = d
	r.n++
}

// draw returns one of the times; 0 if there is none.
func (r *refusals) draw() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.n == 0 {
		return 0
	}
	return r.took[rand.IntN(min(r.n, len(r.took)))]
}

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
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
