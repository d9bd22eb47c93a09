package projection

import (
	"time"

	"github.com/tidewaiter/tidewaiter/internal/journal"
)

const LookEvery = lookEvery

// Rest returns how long Run rests after a round that ends now. The journal ended at the position
// before at the time at.
func Rest(at time.Time, before journal.Position, now time.Time, last journal.Position, took time.Duration, more bool) time.Duration {
	p := pace{at, before}
	return p.rest(now, took, last, more)
}
