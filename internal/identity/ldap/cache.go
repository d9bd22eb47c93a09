package ldap

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/identity"
)

// Bounds of what is remembered. Refusals have their own, so that whoever guesses passwords does not push
// out those that held.
const (
	maxHeld    = 10_000
	maxRefused = 4_000
	// A client that is refused asks again at once, some of them twice, and a job goes on for hours. A
	// directory would count each, and lock the account after a few.
	refusedFor = time.Minute
	unknownFor = 10 * time.Second
)

// key stands for a name and a password, and tells nobody either.
type key [sha256.Size]byte

// resultCache is what the directory said a short while ago.
type resultCache struct {
	secret  []byte // of this process: a key helps nobody to guess a password
	ttl     time.Duration
	now     func() time.Time
	held    *lru.Cache[key, result]
	refused *lru.Cache[key, result]
	unknown *lru.Cache[key, clock.Span] // passwords for names that nobody has: while they count as one
}

type result struct {
	verified identity.Verified
	err      error
	holds    clock.Span
}

func newResultCache(ttl time.Duration, now func() time.Time) *resultCache {
	m := &resultCache{secret: make([]byte, sha256.Size), ttl: ttl, now: now}
	rand.Read(m.secret) // never fails: crypto/rand ends the process first
	m.held, _ = lru.New[key, result](maxHeld)
	m.refused, _ = lru.New[key, result](maxRefused)
	m.unknown, _ = lru.New[key, clock.Span](maxRefused)
	return m
}

// key is an HMAC of both, the name behind its length: no other pair gives the same input.
func (m *resultCache) key(name, secret string) (k key) {
	mac := hmac.New(sha256.New, m.secret)
	in := binary.BigEndian.AppendUint64(nil, uint64(len(name)))
	in = append(append(in, name...), secret...)
	mac.Write(in)
	clear(in)
	mac.Sum(k[:0])
	return k
}

// lookup returns what was said, if it still counts.
func (m *resultCache) lookup(k key) (identity.Verified, error, bool) {
	for _, where := range []*lru.Cache[key, result]{m.held, m.refused} {
		if s, ok := where.Get(k); ok && s.holds.Holds(m.now()) {
			return s.verified, s.err, true
		}
	}
	return identity.Verified{}, nil, false
}

// unknownCounted reports whether a password for a name that nobody has was counted a short while ago.
func (m *resultCache) unknownCounted(k key) bool {
	span, ok := m.unknown.Get(k)
	return ok && span.Holds(m.now())
}

// storeUnknown remembers one that was counted, as long as a wrong one.
func (m *resultCache) storeUnknown(k key) { m.unknown.Add(k, clock.For(m.now(), refusedFor)) }

// store remembers an answer. What is none, because a server was down, is asked again.
func (m *resultCache) store(k key, v identity.Verified, err error) {
	switch {
	case err == nil:
		m.refused.Remove(k)
		if m.ttl > 0 {
			m.held.Add(k, result{verified: v, holds: clock.For(m.now(), m.ttl)})
		}
	case errors.Is(err, identity.ErrRejected): // whatever ttl is: it protects the account
		m.held.Remove(k)
		m.refused.Add(k, result{err: err, holds: clock.For(m.now(), refusedFor)})
	case errors.Is(err, identity.ErrUnknown):
		m.held.Remove(k)
		if m.ttl > 0 {
			m.refused.Add(k, result{err: err, holds: clock.For(m.now(), min(unknownFor, m.ttl))})
		}
	}
}
