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

// Sizes of the caches. Refusals have their own cache, so guessed passwords do not evict
// accepted ones.
const (
	maxHeld    = 10_000
	maxRefused = 4_000
	// A refused client tries again at once, some clients twice, and a job continues for hours.
	// Without the cache, the directory would count each attempt and soon lock the account.
	refusedFor = time.Minute
	unknownFor = 10 * time.Second
)

// key identifies a name and a password without revealing them.
type key [sha256.Size]byte

// resultCache holds recent results of the directory.
type resultCache struct {
	secret  []byte // key of the HMAC, random for each process
	ttl     time.Duration
	now     func() time.Time
	held    *lru.Cache[key, result]
	refused *lru.Cache[key, result]
	unknown *lru.Cache[key, clock.Span] // passwords for unknown names that count as used
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

// key returns an HMAC of both. The length of the name comes first, so different pairs never
// have the same input.
func (m *resultCache) key(name, secret string) (k key) {
	mac := hmac.New(sha256.New, m.secret)
	in := binary.BigEndian.AppendUint64(nil, uint64(len(name)))
	in = append(append(in, name...), secret...)
	mac.Write(in)
	clear(in)
	mac.Sum(k[:0])
	return k
}

// lookup returns the cached result and whether there is one.
func (m *resultCache) lookup(k key) (identity.Verified, error, bool) {
	for _, where := range []*lru.Cache[key, result]{m.held, m.refused} {
		if s, ok := where.Get(k); ok && s.holds.Holds(m.now()) {
			return s.verified, s.err, true
		}
	}
	return identity.Verified{}, nil, false
}

// unknownCounted reports whether a password for an unknown name was counted recently.
func (m *resultCache) unknownCounted(k key) bool {
	span, ok := m.unknown.Get(k)
	return ok && span.Holds(m.now())
}

// storeUnknown records such a password for as long as a wrong one.
func (m *resultCache) storeUnknown(k key) { m.unknown.Add(k, clock.For(m.now(), refusedFor)) }

// store caches a result. Outages are not cached.
func (m *resultCache) store(k key, v identity.Verified, err error) {
	switch {
	case err == nil:
		m.refused.Remove(k)
		if m.ttl > 0 {
			m.held.Add(k, result{verified: v, holds: clock.For(m.now(), m.ttl)})
		}
	// Refusals are cached even if ttl is 0, because that protects the account.
	case errors.Is(err, identity.ErrRejected):
		m.held.Remove(k)
		m.refused.Add(k, result{err: err, holds: clock.For(m.now(), refusedFor)})
	case errors.Is(err, identity.ErrUnknown):
		m.held.Remove(k)
		if m.ttl > 0 {
			m.refused.Add(k, result{err: err, holds: clock.For(m.now(), min(unknownFor, m.ttl))})
		}
	}
}
