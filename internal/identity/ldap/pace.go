package ldap

import (
	"math/rand/v2"
	"sync"
	"time"
)

// maxPace bounds how long a name that nobody has is made to wait.
const maxPace = time.Second

// pace is how long the last binds took. A name that nobody has needs none, and would be told from one that
// somebody has by the time of it: so it waits as long as one of them did.
type pace struct {
	mu   sync.Mutex
	took [16]time.Duration
	n    int // binds so far
}

func (p *pace) note(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.took[p.n%len(p.took)] = min(d, maxPace)
	p.n++
}

// pick returns one of the times; 0 if there is none.
func (p *pace) pick() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n == 0 {
		return 0
	}
	return p.took[rand.IntN(min(p.n, len(p.took)))]
}
