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

// key stands for a kind, a name and a secret, and tells nobody any of them.
type key [sha256.Size]byte

// macs makes keys: SHA-256 of a secret of this process, and then of what is shown. Nobody sees a key, so nobody can lengthen
// what it is of: HMAC, which guards against that, costs twice as much. The name stands behind its length, so that no two pairs give
// the same input.
type macs struct{ inputs sync.Pool }

func newMACs() *macs {
	secret := make([]byte, sha256.Size)
	rand.Read(secret) // never fails: crypto/rand ends the process first
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
	clear(in[sha256.Size:]) // no secret lies about in the pool
	m.inputs.Put(held)
	return sum
}

// warm is a credential that was found to be good. Nothing of it changes but used.
type warm struct {
	verified identity.Verified
	owner    Owner          // asked for at each use if it is of another source; verified is then without a principal
	limits   []policy.Limit // of that owner
	ends     time.Time      // zero: never
	rests    time.Time      // when one that it was made with is over, unless that is used; zero: never
	token    string         // id; "" for a password
	basis    *basis         // of a refresh token or a session that stands for a password of another source; nil: of none
	registry string         // of a refresh token
	use      Use
	created  int64        // milliseconds
	used     atomic.Int64 // when it was last noted that it was used: milliseconds; 0: never
}

// cache holds what is warm, in two generations: what is used moves to the young one, and when that is full,
// the old one is dropped. It is emptied as a whole, and then begins another epoch: what was read from the
// database before is not put in any more.
type cache struct {
	limit int // in a generation

	mu         sync.RWMutex
	epoch      uint64
	on         int // who keeps it from becoming stale
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

// now returns the epoch: to be asked for before the database is.
func (c *cache) now() uint64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.epoch
}

// put keeps w, if what it was made of is of this epoch.
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

// drop forgets w alone.
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

// forget empties the cache.
func (c *cache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	c.young, c.old = nil, nil
}

// use says that somebody begins or ends to forget what others change: without anybody, nothing is kept.
func (c *cache) use(difference int) {
	c.forget()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.on += difference
}
