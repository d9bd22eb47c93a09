package credentials

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/cache"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/policy"
)

// cachedFor is how long a verified credential is cached. It can be long, because changes clear
// the cache.
const cachedFor = 24 * time.Hour

// verifiedCredential is a verified credential in the cache. Only the field used can change.
type verifiedCredential struct {
	identity     identity.Verified // without a principal if the owner is in another source
	owner        Owner             // of another source: looked up at each use
	limits       []policy.Limit    // restrictions of the token
	expires      time.Time         // zero: never
	parentExpiry time.Time         // when an ancestor expires if it is not used again; zero: never
	token        string            // token id; "" for a password
	basis        *basis            // nil: not bound to a password of another source
	registry     string            // the registry of a refresh token
	purpose      Purpose
	created      int64        // milliseconds
	used         atomic.Int64 // time of the newest recorded use: milliseconds; 0: never
}

// verifiedCache has verified credentials. When it is cleared, a new epoch starts. Results of
// queries that began in an earlier epoch are not added.
type verifiedCache struct {
	keys  *cache.Keys
	cache *cache.Cache[cache.Key, *verifiedCredential]

	mu      sync.Mutex
	epoch   uint64
	running int // number of running calls of Run; if it is 0, nothing is cached
}

func newVerifiedCache(now func() time.Time) *verifiedCache {
	return &verifiedCache{keys: cache.NewKeys(), cache: cache.New[cache.Key, *verifiedCredential](maxCached, now)}
}

func (c *verifiedCache) key(p identity.Presented) cache.Key {
	return c.keys.Of(byte(p.Kind), p.Name, p.Secret.Reveal())
}

// currentEpoch returns the current epoch. Callers use it before they query the database, and pass
// the epoch to the function put.
func (c *verifiedCache) currentEpoch() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.epoch
}

// put adds a credential if it was read in the current epoch.
func (c *verifiedCache) put(k cache.Key, v *verifiedCredential, epoch uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.epoch == epoch && c.running > 0 {
		c.cache.Put(k, v, cachedFor)
	}
}

// clear removes all credentials.
func (c *verifiedCache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	c.cache.Clear()
}

// run adds the difference to the number of running calls of Run. Results are cached only while Run
// is running, because Run clears the cache after changes by other processes.
func (c *verifiedCache) run(difference int) {
	c.clear()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running += difference
}
