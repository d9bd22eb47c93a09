package identity

import (
	"sync"
	"time"
)

// A table is shards of buckets of a few slots. A key belongs to one bucket; where that is full, the slot that
// matters least makes room.
const (
	shardCount = 64
	buckets    = 32 // of a shard
	width      = 8  // slots of a bucket
)

// table holds at most shardCount*buckets*width values by key.
type table[T any] struct {
	shards [shardCount]struct {
		sync.Mutex
		slots [buckets][width]entry[T]
	}
}

type entry[T any] struct {
	key   uint64 // 0: free
	value T
}

// lock locks the key's shard and returns its bucket.
func (t *table[T]) lock(key uint64) (*sync.Mutex, *[width]entry[T]) {
	s := &t.shards[key>>58%shardCount]
	s.Lock()
	return &s.Mutex, &s.slots[key>>32%buckets]
}

// find returns the value of key, or nil.
func find[T any](bucket *[width]entry[T], key uint64) *T {
	for i := range bucket {
		if bucket[i].key == key {
			return &bucket[i].value
		}
	}
	return nil
}

// place returns the value of key, which it makes in a free slot or in that of the least value.
func place[T any](bucket *[width]entry[T], key uint64, less func(a, b *T) bool) *T {
	least := 0
	for i := range bucket {
		if bucket[i].key == key {
			return &bucket[i].value
		}
		switch {
		case bucket[least].key == 0:
		case bucket[i].key == 0, less(&bucket[i].value, &bucket[least].value):
			least = i
		}
	}
	bucket[least] = entry[T]{key: key}
	return &bucket[least].value
}

func remove[T any](bucket *[width]entry[T], key uint64) {
	for i := range bucket {
		if bucket[i].key == key {
			bucket[i] = entry[T]{}
		}
	}
}

// counter counts failures by key, and says how long to wait after so many. A key of 0 is not counted.
type counter struct {
	table[failures]
	free    int // failures before the first delay
	longest time.Duration
}

// mostOver is how many failures are counted beyond the free ones, so that who stops is forgiven in good
// time: the delay after so many, 18 hours, is longer than any.
const mostOver = 16

// failures are those of one key. One of them is forgiven for each span of the longest delay in which
// there was none, so that waiting out the longest delay allows another attempt, and no more.
type failures struct {
	count int32
	told  bool  // somebody was refused since the last
	last  int64 // nanoseconds
	until int64 // the end of the delay, in nanoseconds
}

func fewer(a, b *failures) bool {
	return a.count < b.count || a.count == b.count && a.last < b.last
}

// delay is what is left of one; none if left is not above 0.
type delay struct {
	left time.Duration
	told bool // another was refused for the same one
}

func newCounter(free int, longest time.Duration) *counter {
	return &counter{free: free, longest: longest}
}

// after returns the delay that follows the last of so many failures.
func (c *counter) after(count int32) time.Duration {
	over := int(count) - c.free
	if over < 0 {
		return 0
	}
	return min(c.longest, firstDelay<<min(over, mostOver))
}

// delay returns what is left of the delay of key.
func (c *counter) delay(key uint64, now int64) delay {
	if key == 0 {
		return delay{}
	}
	mu, bucket := c.lock(key)
	defer mu.Unlock()
	f := find(bucket, key)
	if f == nil {
		return delay{}
	}
	return f.delay(now)
}

func (f *failures) delay(now int64) delay {
	d := delay{time.Duration(f.until - now), f.told}
	if d.left > 0 {
		f.told = true
	}
	return d
}

// charge counts a failure of key, unless it has to wait.
func (c *counter) charge(key uint64, now int64) delay {
	if key == 0 {
		return delay{}
	}
	mu, bucket := c.lock(key)
	defer mu.Unlock()
	f := place(bucket, key, fewer)
	if d := f.delay(now); d.left > 0 {
		return d
	}
	c.addTo(f, now)
	return delay{}
}

// add counts a failure of key.
func (c *counter) add(key uint64, now int64) {
	if key == 0 {
		return
	}
	mu, bucket := c.lock(key)
	defer mu.Unlock()
	c.addTo(place(bucket, key, fewer), now)
}

func (c *counter) addTo(f *failures, now int64) {
	if forgiven := (now - f.last) / int64(c.longest); f.count > 0 && forgiven > 0 {
		f.count = int32(max(0, int64(f.count)-forgiven))
	}
	f.count = min(f.count+1, int32(c.free)+mostOver)
	f.last, f.told = now, false
	f.until = max(f.until, now+int64(c.after(f.count)))
}

// undo takes one failure back, and the delay that followed it.
func (c *counter) undo(key uint64) {
	mu, bucket := c.lock(key)
	defer mu.Unlock()
	if f := find(bucket, key); f != nil {
		f.count, f.until = max(0, f.count-1), 0
	}
}

// forget takes all failures of key back.
func (c *counter) forget(key uint64) {
	mu, bucket := c.lock(key)
	defer mu.Unlock()
	remove(bucket, key)
}

// marks are moments by key, each with a small number.
type marks struct{ table[mark] }

type mark struct {
	at    int64 // nanoseconds
	count int32
}

func earlier(a, b *mark) bool { return a.at < b.at }

// fresh says whether m was set no longer than life ago.
func (m *mark) fresh(now int64, life time.Duration) bool { return now-m.at < int64(life) }

// get returns the mark of key.
func (m *marks) get(key uint64) (mark, bool) {
	mu, bucket := m.lock(key)
	defer mu.Unlock()
	if found := find(bucket, key); found != nil {
		return *found, true
	}
	return mark{}, false
}

// set sets a mark, unless there is one that is younger than life, and says whether it did.
func (m *marks) set(key uint64, now int64, life time.Duration) bool {
	mu, bucket := m.lock(key)
	defer mu.Unlock()
	found := place(bucket, key, earlier)
	if found.fresh(now, life) {
		return false
	}
	*found = mark{at: now}
	return true
}

// add counts one more in a mark, which it sets if there is no fresh one, and returns the number.
func (m *marks) add(key uint64, now int64, life time.Duration) int32 {
	mu, bucket := m.lock(key)
	defer mu.Unlock()
	found := place(bucket, key, earlier)
	if !found.fresh(now, life) {
		*found = mark{at: now}
	}
	found.count++
	return found.count
}

// forget takes a mark away.
func (m *marks) forget(key uint64) {
	mu, bucket := m.lock(key)
	defer mu.Unlock()
	remove(bucket, key)
}
