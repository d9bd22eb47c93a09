// Package cache answers: what was found out about this a short while ago?
//
// A [Cache] holds results for a bounded time and in bounded memory. [Calls] lets callers that want
// one result at the same time share one call. [Keys] makes the keys of both from secrets.
//
// Outages are not results: they are never put into a Cache. Neither is a count of failures, which
// needs an eviction of its own: a million names of a flood must not push out the counts of those
// under attack (internal/ratelimit).
package cache

import (
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
)

// Cache holds values, each while a span of time holds. Its methods may be called from any
// goroutine.
//
// It has two generations. What is used moves to the young one. When that holds half of the limit,
// it becomes the old one, and the old one is dropped. So what is in use stays, a flood of new keys
// takes no more than the limit, and a hit in the young generation takes no exclusive lock.
type Cache[K comparable, V any] struct {
	half int // of the limit

	mu         sync.RWMutex
	young, old map[K]entry[V]
}

type entry[V any] struct {
	value V
	holds clock.Span
}

// New returns a Cache of at most so many values. At least half as many stay.
func New[K comparable, V any](limit int) *Cache[K, V] {
	return &Cache[K, V]{half: max(1, limit/2)}
}

// Get returns the value of a key, if its span holds now.
func (c *Cache[K, V]) Get(key K, now time.Time) (V, bool) {
	c.mu.RLock()
	e, young := c.young[key]
	found := young
	if !young {
		e, found = c.old[key]
	}
	c.mu.RUnlock()
	if !found || e.holds.Over(now) {
		var none V
		return none, false
	}
	if !young {
		c.mu.Lock()
		if e, found := c.old[key]; found { // nobody has replaced or removed it meanwhile
			c.putLocked(key, e)
		}
		c.mu.Unlock()
	}
	return e.value, true
}

// Put holds a value while a span holds. It replaces the value that the key had.
func (c *Cache[K, V]) Put(key K, value V, holds clock.Span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.putLocked(key, entry[V]{value, holds})
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

// Len returns how many values there are, those among them whose span is over.
func (c *Cache[K, V]) Len() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.young) + len(c.old)
}
