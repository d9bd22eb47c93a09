package ratelimit

import (
	"sync"
	"time"
)

// A table is shards of buckets of a few slots. A key belongs to one bucket; where that is full, the slot
// that matters least makes room. A shard takes memory once something is written to it.
const (
	shardCount = 64
	buckets    = 32 // of a shard
	width      = 8  // slots of a bucket
)

// table holds at most shardCount*buckets*width values by key: 16,384.
type table[T any] struct {
	shards [shardCount]struct {
		sync.Mutex
		slots *[buckets][width]entry[T]
	}
}

type entry[T any] struct {
	key   uint64 // 0: free
	value T
}

// lock locks the key's shard and returns its bucket; nil if nothing was written to the shard.
func (t *table[T]) lock(key uint64) (*sync.Mutex, *[width]entry[T]) {
	s := &t.shards[key>>58%shardCount]
	s.Lock()
	if s.slots == nil {
		return &s.Mutex, nil
	}
	return &s.Mutex, &s.slots[key>>32%buckets]
}

// lockToWrite is lock for a caller that writes: there is a bucket.
func (t *table[T]) lockToWrite(key uint64) (*sync.Mutex, *[width]entry[T]) {
	s := &t.shards[key>>58%shardCount]
	s.Lock()
	if s.slots == nil {
		s.slots = new([buckets][width]entry[T])
	}
	return &s.Mutex, &s.slots[key>>32%buckets]
}

// find returns the value of key, or nil.
func find[T any](bucket *[width]entry[T], key uint64) *T {
	if bucket == nil {
		return nil
	}
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

// forget removes key.
func (t *table[T]) forget(key uint64) {
	mu, bucket := t.lock(key)
	defer mu.Unlock()
	if bucket == nil {
		return
	}
	for i := range bucket {
		if bucket[i].key == key {
			bucket[i] = entry[T]{}
		}
	}
}

// counter counts failures by key and returns how long to wait after so many. A key of 0 is not counted.
// Where its table is full, the key with the fewest failures makes room: never the oldest, or a flood of
// names would wash away the count of the one that is attacked.
type counter struct {
	table[failures]
	free    int // failures before the first delay
	longest time.Duration
}

const firstDelay = time.Second

// maxOver is how many failures are counted beyond the free ones, so that whoever stops is forgiven in
// good time: the delay after so many, 18 hours, is longer than any.
const maxOver = 16

// failures are those of one key. One of them is forgiven for each span of the longest delay in which
// there was none, so that waiting out the longest delay allows another attempt, and no more.
type failures struct {
	count    int32
	reported bool  // somebody was refused since the last failure
	last     int64 // nanoseconds
	until    int64 // the end of the delay, in nanoseconds
}

func fewer(a, b *failures) bool {
	return a.count < b.count || a.count == b.count && a.last < b.last
}

// delay is what is left of one; none if left is not above 0.
type delay struct {
	left     time.Duration
	reported bool // somebody was refused for the same delay before
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
	return min(c.longest, firstDelay<<min(over, maxOver))
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
	return c.delayOf(f, now)
}

func (c *counter) delayOf(f *failures, now int64) delay {
	d := delay{time.Duration(f.until - now), f.reported}
	if d.left > c.longest { // the clock was put back: nobody waits for longer than that
		f.until = now
		return delay{}
	}
	if d.left > 0 {
		f.reported = true
	}
	return d
}

// charge counts a failure of key, unless it has to wait.
func (c *counter) charge(key uint64, now int64) delay {
	if key == 0 {
		return delay{}
	}
	mu, bucket := c.lockToWrite(key)
	defer mu.Unlock()
	f := place(bucket, key, fewer)
	if d := c.delayOf(f, now); d.left > 0 {
		return d
	}
	c.addTo(f, now)
	return delay{}
}

// add counts a failure of key, whether it has to wait or not.
func (c *counter) add(key uint64, now int64) {
	if key == 0 {
		return
	}
	mu, bucket := c.lockToWrite(key)
	defer mu.Unlock()
	c.addTo(place(bucket, key, fewer), now)
}

func (c *counter) addTo(f *failures, now int64) {
	if forgiven := (now - f.last) / int64(c.longest); f.count > 0 && forgiven > 0 {
		f.count = int32(max(0, int64(f.count)-forgiven))
	}
	f.count = min(f.count+1, int32(c.free)+maxOver)
	f.last, f.reported = now, false
	f.until = max(f.until, now+int64(c.after(f.count)))
}

// undo takes back a failure that was counted at a time, and what it added to the delay. The delay that
// later ones are owed stays: whoever has an account could else end everybody's by signing in.
func (c *counter) undo(key uint64, at int64) {
	if key == 0 {
		return
	}
	mu, bucket := c.lock(key)
	defer mu.Unlock()
	if f := find(bucket, key); f != nil {
		f.count = max(0, f.count-1)
		if f.last == at {
			f.until = at // it was charged, so that there was no delay
		} else {
			f.until = min(f.until, f.last+int64(c.after(f.count)))
		}
	}
}

// marks are moments by key, each with a small number. Where a table is full, the oldest makes room.
type marks struct{ table[mark] }

type mark struct {
	at    int64 // nanoseconds
	count int32
}

func earlier(a, b *mark) bool { return a.at < b.at }

// fresh reports whether m was set no longer than life ago, and not in what is the future since the clock
// was put back. Goroutines may read the clock in another order than they come here.
func (m *mark) fresh(now int64, life time.Duration) bool {
	age := now - m.at
	return age < int64(life) && age > -int64(time.Second)
}

// get returns the mark of key.
func (m *marks) get(key uint64) (mark, bool) {
	mu, bucket := m.lock(key)
	defer mu.Unlock()
	if found := find(bucket, key); found != nil {
		return *found, true
	}
	return mark{}, false
}

// has reports whether key has a mark that was set no longer than life ago.
func (m *marks) has(key uint64, now int64, life time.Duration) bool {
	found, ok := m.get(key)
	return ok && found.fresh(now, life)
}

// set sets a mark, unless there is one that is younger than life, and reports whether it did.
func (m *marks) set(key uint64, now int64, life time.Duration) bool {
	mu, bucket := m.lockToWrite(key)
	defer mu.Unlock()
	found := place(bucket, key, earlier)
	if found.at != 0 && found.fresh(now, life) {
		return false
	}
	*found = mark{at: now}
	return true
}

// add counts one more in a mark, which it sets if there is no fresh one, and returns the number.
func (m *marks) add(key uint64, now int64, life time.Duration) int32 {
	mu, bucket := m.lockToWrite(key)
	defer mu.Unlock()
	found := place(bucket, key, earlier)
	if found.at == 0 || !found.fresh(now, life) {
		*found = mark{at: now}
	}
	found.count++
	return found.count
}
