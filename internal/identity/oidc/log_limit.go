package oidc

import (
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
)

// At most maxLogged refusals are logged in a logPeriod.
const (
	maxLogged = 20
	logPeriod = 10 * time.Second
)

// logLimit bounds how much log untrusted requests cause.
type logLimit struct {
	now func() time.Time

	mu     sync.Mutex
	period clock.Span
	taken  int
	missed int
}

// allow reports whether a line may be logged, and how many were suppressed since the last one.
func (n *logLimit) allow() (missed int, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if now := n.now(); n.period.Over(now) {
		n.period, n.taken = clock.For(now, logPeriod), 0
	}
	if n.taken == maxLogged {
		n.missed++
		return 0, false
	}
	n.taken++
	missed, n.missed = n.missed, 0
	return missed, true
}
