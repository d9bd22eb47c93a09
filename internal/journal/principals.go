package journal

import (
	"crypto/sha256"

	"github.com/tidewaiter/tidewaiter/policy"
)

// principals is a cache of the principals in the database, so that frequent principals are
// encoded and stored only once. If a principal was evicted from the cache, it is stored again
// with a new number. The second row only costs space. Only one goroutine uses a value of this
// type.
type principals struct {
	byPointer *cache[*policy.Principal, hash] // principals never change
	// byText finds principals that are created again for each request, and so have different
	// pointers.
	byText  *cache[string, hash]
	stored  *cache[hash, *principalRef] // committed principals
	pending []newPrincipal              // principals to which the current transaction gave numbers
	refs    map[hash]principalRef       // the rows of pending
	next    int64                       // the next number in the current transaction
	floor   int64                       // new blocks do not use rows with smaller numbers
	scratch []byte
	salts   salts
}

// newPrincipal is a row to insert.
type newPrincipal struct {
	principalRef
	sum  hash // hash of the principal without the salt; it is the key of the caches
	text []byte
}

func newPrincipals() *principals {
	return &principals{
		byPointer: newCache[*policy.Principal, hash](1024, 1<<20),
		byText:    newCache[string, hash](1024, 1<<20),
		stored:    newCache[hash, *principalRef](8192, 1<<20),
		refs:      make(map[hash]principalRef),
	}
}

// ref returns the number of the principal's row, and the hash of the row's text. The text has a
// random salt. A principal that is not committed becomes pending.
func (k *principals) ref(p *policy.Principal) principalRef {
	sum, ok := k.byPointer.get(p)
	if ok {
		if ref, ok := k.refOf(sum); ok {
			return ref
		}
	}
	k.scratch = appendPrincipal(k.scratch[:0], p)
	if sum, ok = k.byText.get(string(k.scratch)); !ok {
		sum = sha256.Sum256(k.scratch)
		k.byText.put(string(k.scratch), sum, len(k.scratch))
	}
	k.byPointer.put(p, sum, len(k.scratch))
	ref, ok := k.refOf(sum)
	if !ok {
		text := k.salts.append(append(make([]byte, 0, len(k.scratch)+24), '{'))
		text = append(text, k.scratch...)
		ref = principalRef{k.next, sha256.Sum256(text)}
		k.next++
		k.refs[sum] = ref
		k.pending = append(k.pending, newPrincipal{ref, sum, text})
	}
	return ref
}

func (k *principals) refOf(sum hash) (principalRef, bool) {
	if p, ok := k.stored.get(sum); ok && p.number >= k.floor {
		return *p, true
	}
	ref, ok := k.refs[sum]
	return ref, ok
}

// settle must be called after the transaction. The parameter committed is true if the pending
// rows were committed.
func (k *principals) settle(committed bool) {
	if committed {
		for i := range k.pending {
			p := k.pending[i].principalRef
			if old, ok := k.stored.get(k.pending[i].sum); ok {
				*old = p
			} else {
				k.stored.put(k.pending[i].sum, &p, len(p.hash))
			}
		}
	}
	clear(k.pending)
	k.pending = k.pending[:0]
	clear(k.refs)
}

// cache keeps recently used entries. It has at most two generations, each limited by entries
// and weight. When the young generation is full, it becomes the old one, and the previous old
// generation is dropped. Using an entry of the old generation moves the entry to the young one.
type cache[K comparable, V any] struct {
	maxEntries, maxWeight int
	weight                int // total weight of the young generation
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
		return // no update is needed, because values are derived from keys
	}
	if len(c.young) >= c.maxEntries || c.weight+weight > c.maxWeight {
		c.old, c.young, c.weight = c.young, make(map[K]weighed[V]), 0
	}
	c.young[key] = weighed[V]{value, weight}
	c.weight += weight
}
