package journal

import (
	"crypto/sha256"

	"github.com/tidewaiter/tidewaiter/policy"
)

// principals caches which principals are in the database, so that frequent principals are
// encoded and stored only once. If a principal was evicted from the cache, it is stored again
// under another number, which only costs space. Only one goroutine uses a principals.
type principals struct {
	byPointer *cache[*policy.Principal, hash] // principals never change
	// byText is for principals that each request creates again, so that their pointers differ.
	byText  *cache[string, hash]
	stored  *cache[hash, int64] // numbers of committed principals
	pending []newPrincipal      // numbered by the current transaction
	numbers map[hash]int64      // of pending
	next    int64               // the next number in the current transaction
	scratch []byte
}

// newPrincipal is a row to insert.
type newPrincipal struct {
	number int64
	hash   hash
	text   []byte
}

func newPrincipals() *principals {
	return &principals{
		byPointer: newCache[*policy.Principal, hash](1024, 1<<20),
		byText:    newCache[string, hash](1024, 1<<20),
		stored:    newCache[hash, int64](8192, 1<<20),
		numbers:   make(map[hash]int64),
	}
}

// number returns the principal's number and hash. A principal that is not committed becomes
// pending.
func (k *principals) number(p *policy.Principal) (int64, hash) {
	sum, ok := k.byPointer.get(p)
	if ok {
		if number, ok := k.numberOf(sum); ok {
			return number, sum
		}
	}
	k.scratch = appendPrincipal(k.scratch[:0], p)
	if sum, ok = k.byText.get(string(k.scratch)); !ok {
		sum = sha256.Sum256(k.scratch)
		k.byText.put(string(k.scratch), sum, len(k.scratch))
	}
	k.byPointer.put(p, sum, len(k.scratch))
	number, ok := k.numberOf(sum)
	if !ok {
		number = k.next
		k.next++
		k.numbers[sum] = number
		k.pending = append(k.pending, newPrincipal{number, sum, append([]byte(nil), k.scratch...)})
	}
	return number, sum
}

func (k *principals) numberOf(sum hash) (int64, bool) {
	if number, ok := k.stored.get(sum); ok {
		return number, true
	}
	number, ok := k.numbers[sum]
	return number, ok
}

// settle must be called after the transaction. The parameter kept reports whether the pending
// rows were committed.
func (k *principals) settle(kept bool) {
	if kept {
		for i := range k.pending {
			k.stored.put(k.pending[i].hash, k.pending[i].number, len(hash{}))
		}
	}
	clear(k.pending)
	k.pending = k.pending[:0]
	clear(k.numbers)
}

// cache keeps recently used entries. It has at most two generations, each limited by entries
// and weight. When the young generation is full, it becomes the old one, and the previous old
// generation is dropped. Using an entry of the old generation moves the entry to the young one.
type cache[K comparable, V any] struct {
	maxEntries, maxWeight int
	weight                int // of young
	young, old            map[K]weighed[V]
}

type weighed[V any] struct {
	value  V
	weight int
}

func newCache[K comparable, V any](maxEntries, maxWeight int) *cache[K, V] {
	return &cache[K, V]{maxEntries: maxEntries, maxWeight: maxWeight, young: make(map[K]weighed[V])}
}

func (c *cache[K, V]) get(key K) (value V, ok bool) {
	if w, ok := c.young[key]; ok {
		return w.value, true
	}
	w, ok := c.old[key]
	if ok {
		c.put(key, w.value, w.weight)
	}
	return w.value, ok
}

func (c *cache[K, V]) put(key K, value V, weight int) {
	if _, ok := c.young[key]; ok {
		return // no update is needed: values are derived from keys
	}
	if len(c.young) >= c.maxEntries || c.weight+weight > c.maxWeight {
		c.old, c.young, c.weight = c.young, make(map[K]weighed[V]), 0
	}
	c.young[key] = weighed[V]{value, weight}
	c.weight += weight
}
