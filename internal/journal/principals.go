package journal

import (
	"crypto/sha256"

	"github.com/tidewaiter/tidewaiter/policy"
)

// principals knows the principals that are in the database, so that those who come often are encoded and
// stored once. What it forgets is stored once more, under another number: that costs room, and no harm. It
// belongs to one goroutine.
type principals struct {
	byPointer *cache[*policy.Principal, hash] // a principal is never changed, and held here
	byText    *cache[string, hash]            // of those whose pointers are new at each request
	stored    *cache[hash, int64]             // their numbers; committed for certain
	pending   []newPrincipal                  // numbered by the transaction in hand
	numbers   map[hash]int64                  // of pending
	next      int64                           // the next number, in the transaction in hand
	scratch   []byte
}

// newPrincipal is a row to be.
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

// number returns the principal's number and hash. If it is not stored for certain, it becomes pending.
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

// settle is told whether what is pending was kept.
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

// cache remembers what was used lately: what was not used in one generation is forgotten with the next. It holds
// at most two generations, each bounded by entries and by weight.
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
		return // the same value: keys are what values are made from
	}
	if len(c.young) >= c.maxEntries || c.weight+weight > c.maxWeight {
		c.old, c.young, c.weight = c.young, make(map[K]weighed[V]), 0
	}
	c.young[key] = weighed[V]{value, weight}
	c.weight += weight
}
