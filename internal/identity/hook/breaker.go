package hook

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
)

// Circuit breaker: after maxFailures consecutive failures the peer is not called during the
// cooldown. After the cooldown, one request tests whether the peer answers again.
const (
	maxFailures = 5
	cooldown    = 10 * time.Second
)

var errCooldown = errors.New("skipped for now")

// breaker is a circuit breaker, so that requests do not wait for a peer that is down.
type breaker struct {
	now func() time.Time
	log *slog.Logger

	mu       sync.Mutex
	failures int // consecutive
	cooling  clock.Span
	probing  bool // a request tests whether the peer answers again
	last     error
}

// allow returns nil if the peer may be called. Otherwise it returns the reason. If it returns nil,
// the caller must call recordResult or recordAbandoned afterwards.
func (b *breaker) allow() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures < maxFailures {
		return nil
	}
	if b.probing || b.cooling.Holds(b.now()) {
		return fmt.Errorf("%w after %d failures: %w", errCooldown, b.failures, b.last)
	}
	b.probing = true
	return nil
}

// recordResult records the result of a call. The error is nil for any answer, even a
// refusal.
func (b *breaker) recordResult(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probing = false
	if err == nil {
		if b.failures >= maxFailures {
			b.log.Info("the external service answers again")
		}
		b.failures, b.last = 0, nil
		return
	}
	b.failures++
	b.last = err
	if b.failures >= maxFailures {
		b.cooling = clock.For(b.now(), cooldown)
	}
	if b.failures == maxFailures {
		b.log.Warn("the external service does not answer and is skipped for a while", "failures", b.failures, "error", err)
	}
}

// recordAbandoned records that the caller gave up before the peer answered.
func (b *breaker) recordAbandoned() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probing = false
}
