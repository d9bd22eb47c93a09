package password

import (
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
)

// cost has the parameters that determine how long a hash takes. The zero value means unknown.
type cost struct {
	bcrypt                  string // the cost of a bcrypt hash, as two digits
	memory, passes, threads uint32 // of argon2id
}

// measuredCosts is the maximum number of costs whose durations are recorded. A configuration
// seldom has hashes of more than two costs. Dummies of any other cost are always computed.
const measuredCosts = 32

// recentDurations has the durations of the last hashes of each cost. If a dummy is not computed,
// it waits for one of these durations.
type recentDurations struct {
	mu   sync.Mutex
	took map[cost]*clock.Durations
}

// note records how long a hash took.
func (r *recentDurations) note(c cost, took time.Duration) {
	if d := r.durationsOf(c, c != (cost{})); d != nil {
		d.Note(took)
	}
}

// durationsOf returns the durations of a cost, or nil. If add is true and the cost is new,
// durationsOf adds the cost.
func (r *recentDurations) durationsOf(c cost, add bool) *clock.Durations {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := r.took[c]
	if d == nil && add && len(r.took) < measuredCosts {
		d = new(clock.Durations)
		r.took[c] = d
	}
	return d
}
