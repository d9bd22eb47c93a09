// Package cache remembers results for a short time.
//
// A [Cache] holds results for a limited time and in limited memory. [Calls] lets callers that
// need the same result at the same time share one call. [Keys] makes keys for a Cache and for
// Calls from secrets.
//
// An outage is not a result, so it is never put into a Cache. Counts of failures are not put into
// a Cache, either, because a flood of a million names must not evict the counts of attacked
// names. For such counts, internal/ratelimit has a table with its own rule of eviction.
package cache

import (
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
)

// Cache holds values, each for a limited time. Its methods may be called from any goroutine.
//
// It has two generations. A value that is used moves to the young generation. When the young
// generation has half as many values as the limit allows, it becomes the old generation. The
// values of the previous old generation are dropped. So a flood of new keys never exceeds the
// limit, and does not evict values in use. A hit in the young generation takes no exclusive lock.
type Cache[K comparable, V any] struct {
	half int // of the limit
	now  func() time.Time

	mu         sync.RWMutex
	young, old map[K]entry[V]
}

type entry[V any] struct {
	value V
	holds clock.Span
}

// New returns a Cache. The limit is the maximum number of values. The Cache keeps at least
// half of this number: the values that were used most recently.
func New[K comparable, V any](limit int, clock func() time.Time) *Cache[K, V] {
	return &Cache[K, V]{half: max(1, limit/2), now: clock}
}

// Get returns the value of a key if there is one and it has not expired.
func (c *Cache[K, V]) Get(key K) (V, bool) {
	c.mu.RLock()
	e, young := c.young[key]
	found := young
	if !young {
		e, found = c.old[key]
	}
	c.mu.RUnlock()
	if !found || e.holds.Over(c.now()) {
		var none V
		return none, false
	}
	if !young {
		c.mu.Lock()
		if e, found := c.old[key]; found { // the value may be gone or replaced by now
			c.putLocked(key, e)
		}
		c.mu.Unlock()
	}
	return e.value, true
}

// Put sets the value of a key, and the value expires after the lifetime. If the lifetime is not
// positive, Put only removes the old value.
func (c *Cache[K, V]) Put(key K, value V, lifetime time.Duration) {
	if lifetime <= 0 {
		c.Remove(key)
		return
	}
	e := entry[V]{value, clock.For(c.now(), lifetime)}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.putLocked(key, e)
}

func (c *Cache[K, V]) putLocked(key K, e entry[V]) {
	if c.young == nil || len(c.young) >= c.half {
		c.old, c.young = c.young, make(map[K]entry[V])
	}
	c.young[key] = e
	delete(c.old, key)
}

// Remove removes the value of a key.
func (c *Cache[K, V]) Remove(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.young, key)
	delete(c.old, key)
}

// Clear removes all values.
func (c *Cache[K, V]) Clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.young, c.old = nil, nil
}

// Len returns the number of values, including expired values.
func (c *Cache[K, V]) Len() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.young) + len(c.old)
}
