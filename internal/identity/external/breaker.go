package external

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
)

// The breaker: after so many failures in a row nobody is asked for a while; then one question tries.
const (
	maxFailures = 5
	cooldown    = 10 * time.Second
)

var errCooldown = errors.New("not asked again yet")

// breaker keeps everybody from waiting for what is down.
type breaker struct {
	now func() time.Time
	log *slog.Logger

	mu       sync.Mutex
	failures int // in a row
	cooling  clock.Span
	probing  bool // one question tries whether it is back
	last     error
}

// allow says whether to ask: nil, or why not. Whoever was allowed calls ended or abandoned.
func (b *breaker) allow() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures < maxFailures {
		return nil
	}
	if b.probing || b.cooling.Holds(b.now()) {
		return fmt.Errorf("%w, after %d failures: %w", errCooldown, b.failures, b.last)
	}
	b.probing = true
	return nil
}

// ended notes how a question ended: with an answer, whatever it is, if err is nil.
func (b *breaker) ended(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probing = false
	if err == nil {
		if b.failures >= maxFailures {
			b.log.Info("it answers again")
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
		b.log.Warn("it does not answer, and is left alone for a while", "failures", b.failures, "error", err)
	}
}

// abandoned notes that nobody waited for the answer.
func (b *breaker) abandoned() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probing = false
}
