package password

import (
	"sync"
	"time"
)

// cost is what determines how long a hash takes. The zero value means unknown.
type cost struct {
	bcrypt                  string // its cost, as two digits
	memory, passes, threads uint32 // of argon2id
}

// Limits of the measurement. A config seldom has more than two costs. Dummies of a cost that is
// not measured are always computed.
const (
	measuredCosts  = 32
	measuredHashes = 32 // of each cost
)

// recent holds how long the last hashes of each cost took. A dummy that is not computed takes as
// long as one of them.
type recent struct {
	mu   sync.Mutex
	took map[cost]*durations
}

type durations struct {
	last [measuredHashes]time.Duration
	n    int // recorded so far
}

func newRecent() *recent { return &recent{took: make(map[cost]*durations)} }

// note records how long a hash took.
func (r *recent) note(c cost, took time.Duration) {
	if c == (cost{}) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	d := r.took[c]
	if d == nil {
		if len(r.took) >= measuredCosts {
			return
		}
		d = new(durations)
		r.took[c] = d
	}
	d.last[d.n%len(d.last)] = took
	d.n++
}

// draw returns a random one of the durations, or false.
func (r *recent) draw(c cost, random func(int) int) (time.Duration, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := r.took[c]
	if d == nil {
		return 0, false
	}
	return d.last[random(min(d.n, len(d.last)))], true
}
