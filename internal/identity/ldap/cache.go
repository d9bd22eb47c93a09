package ldap

import (
	"errors"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/cache"
	"github.com/tidewaiter/tidewaiter/internal/identity"
)

// Sizes of the caches. Refusals have their own cache, so guessed passwords do not evict
// accepted passwords.
const (
	maxHeld    = 10_000
	maxRefused = 4_000
	// A refused client tries again at once, some clients try a third time, and a job with an old
	// password tries for hours. Without the cache, the directory would count each attempt and soon
	// lock the account.
	refusedFor = time.Minute
	unknownFor = 10 * time.Second
)

// The kinds of keys. Keys of different kinds are different, so calls of different kinds are not
// shared.
const (
	signIn       byte = iota
	dummyLookup       // a password that an earlier source refused
	spendUnknown      // a password for an unknown name
)

// resultCache has recent results of the directory.
type resultCache struct {
	keys    *cache.Keys
	ttl     time.Duration
	held    *cache.Cache[cache.Key, identity.Verified]
	refused *cache.Cache[cache.Key, error]
	unknown *cache.Cache[cache.Key, struct{}] // passwords for unknown names that have been counted
}

func newResultCache(ttl time.Duration, now func() time.Time) *resultCache {
	return &resultCache{
		keys: cache.NewKeys(), ttl: ttl,
		held:    cache.New[cache.Key, identity.Verified](maxHeld, now),
		refused: cache.New[cache.Key, error](maxRefused, now),
		unknown: cache.New[cache.Key, struct{}](maxRefused, now),
	}
}

// key returns a key for a name and a password. Nobody can derive the password from the key.
func (m *resultCache) key(kind byte, c identity.Presented) cache.Key {
	return m.keys.Of(kind, c.Name, c.Secret.Reveal())
}

// remember puts a result into the cache. Outages are not cached.
func (m *resultCache) remember(k cache.Key, v identity.Verified, err error) {
	switch {
	case err == nil:
		m.refused.Remove(k)
		m.held.Put(k, v, m.ttl)
	// Refusals are cached even if ttl is 0, because the cache protects the account from being
	// locked.
	case errors.Is(err, identity.ErrRejected):
		m.held.Remove(k)
		m.refused.Put(k, err, refusedFor)
	case errors.Is(err, identity.ErrUnknown):
		m.held.Remove(k)
		m.refused.Put(k, err, min(unknownFor, m.ttl))
	}
}
