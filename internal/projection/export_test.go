package projection

import (
	"time"

	"github.com/tidewaiter/tidewaiter/internal/journal"
)

const LookEvery = lookEvery

// Rest returns how long Run rests after a round that ends now. The parameter earlierEnd is the end
// of the journal at the earlier time.
func Rest(earlier time.Time, earlierEnd journal.Position, now time.Time, last journal.Position, took time.Duration, more bool) time.Duration {
	p := pace{earlier, earlierEnd}
	return p.restTime(now, took, last, more)
}
