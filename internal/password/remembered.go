package password

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
)

// key stands for a hash and a password, and tells nobody either.
type key [sha256.Size]byte

// The uses of a key, so that one of one kind is never one of another.
const (
	compared byte = iota
	pretended
)

// macs makes keys: HMAC-SHA256 under a secret that is made at start, held in memory, and never leaves
// the process, so that a key helps nobody to guess a password. Each part goes in behind its length:
// no two lists of parts give the same input.
type macs struct{ pool sync.Pool }

type mac struct {
	hash hash.Hash
	in   []byte
	out  key
}

func newMACs() *macs {
	secret := make([]byte, sha256.Size)
	rand.Read(secret) // never fails: crypto/rand ends the process first
	return &macs{pool: sync.Pool{New: func() any { return &mac{hash: hmac.New(sha256.New, secret)} }}}
}

func (m *macs) key(use byte, parts ...string) key {
	c := m.pool.Get().(*mac)
	defer m.pool.Put(c)
	c.in = append(c.in[:0], use)
	for _, part := range parts {
		c.in = binary.BigEndian.AppendUint64(c.in, uint64(len(part)))
		c.in = append(c.in, part...)
	}
	c.hash.Reset()
	c.hash.Write(c.in)
	c.hash.Sum(c.out[:0])
	clear(c.in) // no password lies about in the pool
	return c.out
}

// remembered is a bounded set of keys in two generations. A key that is used moves to the young one;
// each half of the time to remember, or when the young one holds half of the limit, the young one
// becomes old and the old one is dropped. So a key in use stays, and reading takes no exclusive lock.
type remembered struct {
	half  time.Duration // of the time to remember; negative: nothing is remembered
	limit int           // keys in a generation
	now   func() time.Time

	mu         sync.RWMutex
	young, old map[key]struct{}
	turned     time.Time // when young became young
}

func newRemembered(d time.Duration, limit int, now func() time.Time) *remembered {
	half := max(d/2, 1)
	if d < 0 {
		half = -1
	}
	return &remembered{half: half, limit: max(1, limit/2), now: now, young: make(map[key]struct{}), turned: now()}
}

// has says whether k is remembered, and if so, keeps it for longer.
func (r *remembered) has(k key) bool {
	now := r.now()
	r.mu.RLock()
	current := clock.For(r.turned, r.half).Holds(now)
	_, young := r.young[k]
	_, old := r.old[k]
	r.mu.RUnlock()
	if current && young {
		return true
	}
	if !young && !old {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turnLocked(now)
	if _, young = r.young[k]; young {
		return true
	}
	if _, old = r.old[k]; old {
		r.addLocked(k, now)
	}
	return old
}

// add remembers k.
func (r *remembered) add(k key) {
	if r.half < 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	r.turnLocked(now)
	r.addLocked(k, now)
}

func (r *remembered) addLocked(k key, now time.Time) {
	if len(r.young) >= r.limit {
		r.old, r.young, r.turned = r.young, make(map[key]struct{}), now
	}
	r.young[k] = struct{}{}
	delete(r.old, k)
}

// turnLocked drops what is past its time.
func (r *remembered) turnLocked(now time.Time) {
	switch age := now.Sub(r.turned); {
	case age >= 2*r.half, age < 0: // or the clock was put back
		r.old, r.young, r.turned = nil, make(map[key]struct{}), now
	case age >= r.half:
		r.old, r.young, r.turned = r.young, make(map[key]struct{}), r.turned.Add(r.half)
	}
}
