package oidc

import (
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
)

// Refusals that are logged: so many in so long.
const (
	maxLogged = 20
	logPeriod = 10 * time.Second
)

// notes bounds how much is logged of what strangers send.
type logLimit struct {
	now func() time.Time

	mu     sync.Mutex
	period clock.Span
	taken  int
	missed int
}

// take says whether one more may be logged, and how many could not be since the last.
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
