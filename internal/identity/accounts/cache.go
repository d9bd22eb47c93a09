package accounts

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/policy"
)

// key is a hash of a credential's kind, name and secret. It reveals none of them.
type key [sha256.Size]byte

// macs computes keys: SHA-256 of a secret of this process and the credential. HMAC would also
// prevent length extension, but costs twice as much, and keys never leave the process. The length
// of the name precedes it, so that no two pairs of name and secret give the same input.
type macs struct{ inputs sync.Pool }

func newMACs() *macs {
	secret := make([]byte, sha256.Size)
	rand.Read(secret) // never fails: crypto/rand crashes the process first
	return &macs{sync.Pool{New: func() any {
		in := append(make([]byte, 0, 256), secret...)
		return &in
	}}}
}

func (m *macs) key(kind identity.Kind, name, secret string) key {
	held := m.inputs.Get().(*[]byte)
	in := append((*held)[:sha256.Size], byte(kind))
	in = binary.BigEndian.AppendUint64(in, uint64(len(name)))
	in = append(in, name...)
	in = append(in, secret...)
	sum := sha256.Sum256(in)
	clear(in[sha256.Size:]) // no secret stays in the pool
	m.inputs.Put(held)
	return sum
}

// warm is a verified credential in the cache. All fields but used are immutable.
type warm struct {
	verified identity.Verified // without a principal if the owner is in another source
	owner    Owner             // looked up at each use if in another source
	limits   []policy.Limit    // limits of the token, applied to that owner
	ends     time.Time         // expiry; zero: never
	rests    time.Time         // when an ancestor expires, unless it is used again; zero: never
	token    string            // token id; "" for a password
	basis    *basis            // nil unless it depends on another source's password
	registry string            // of a refresh token
	use      Use
	created  int64        // milliseconds
	used     atomic.Int64 // when a use was last recorded: milliseconds; 0: never
}

// cache holds verified credentials in two generations. A hit moves an entry to the young
// generation. When that is full, the old one is dropped. Clearing the cache starts a new epoch.
// Results of queries that began in an earlier epoch are not added.
type cache struct {
	limit int // entries per generation

	mu         sync.RWMutex
	epoch      uint64
	on         int // number of running Run calls; nothing is cached without one
	young, old map[key]*warm
}

func newCache(limit int) *cache { return &cache{limit: max(1, limit/2)} }

func (c *cache) get(k key) *warm {
	c.mu.RLock()
	w, young := c.young[k]
	if !young {
		w = c.old[k]
	}
	c.mu.RUnlock()
	if w != nil && !young {
		c.mu.Lock()
		if c.old[k] == w {
			c.addLocked(k, w)
		}
		c.mu.Unlock()
	}
	return w
}

// now returns the epoch. Callers get it before they query the database.
func (c *cache) now() uint64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.epoch
}

// put adds w if it was read in the current epoch.
func (c *cache) put(k key, w *warm, epoch uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.epoch == epoch && c.on > 0 {
		c.addLocked(k, w)
	}
}

func (c *cache) addLocked(k key, w *warm) {
	if c.young == nil || len(c.young) >= c.limit {
		c.old, c.young = c.young, make(map[key]*warm)
	}
	c.young[k] = w
	delete(c.old, k)
}

// drop removes w only.
func (c *cache) drop(k key, w *warm) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.young[k] == w {
		delete(c.young, k)
	}
	if c.old[k] == w {
		delete(c.old, k)
	}
}

// forget clears the cache.
func (c *cache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	c.young, c.old = nil, nil
}

// use counts the calls of Run, which clear the cache after changes by other processes. Without
// one, nothing is cached.
func (c *cache) use(difference int) {
	c.forget()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.on += difference
}
