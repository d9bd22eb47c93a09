package ratelimit

import (
	"sync"
	"time"
)

// A table consists of shards, a shard consists of buckets, and a bucket has a few slots. A key
// belongs to one bucket. If the bucket is full, the least important slot is replaced. A shard
// is allocated at its first write.
const (
	shardCount = 64
	buckets    = 32 // in a shard
	width      = 8  // slots in a bucket
)

// table holds up to shardCount*buckets*width values by key.
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

// find returns the value of key, or nil, and the locked mutex that guards it.
func (t *table[T]) find(key uint64) (*sync.Mutex, *T) {
	s := &t.shards[key>>58%shardCount]
	s.Lock()
	if s.slots == nil || key == 0 {
		return &s.Mutex, nil
	}
	bucket := &s.slots[key>>32%buckets]
	for i := range bucket {
		if bucket[i].key == key {
			return &s.Mutex, &bucket[i].value
		}
	}
	return &s.Mutex, nil
}

// place is like find, but adds a missing key. The key gets a free slot of its bucket. If the
// bucket is full, the key replaces the key with the least value.
func (t *table[T]) place(key uint64, less func(a, b *T) bool) (*sync.Mutex, *T) {
	s := &t.shards[key>>58%shardCount]
	s.Lock()
	if s.slots == nil {
		s.slots = new([buckets][width]entry[T])
	}
	bucket, least := &s.slots[key>>32%buckets], 0
	for i := range bucket {
		if bucket[i].key == key {
			return &s.Mutex, &bucket[i].value
		}
		switch {
		case bucket[least].key == 0:
		case bucket[i].key == 0, less(&bucket[i].value, &bucket[least].value):
			least = i
		}
	}
	bucket[least] = entry[T]{key: key}
	return &s.Mutex, &bucket[least].value
}

// forget removes a key.
func (t *table[T]) forget(key uint64) {
	mu, value := t.find(key)
	defer mu.Unlock()
	if value != nil {
		s := &t.shards[key>>58%shardCount]
		bucket := &s.slots[key>>32%buckets]
		for i := range bucket {
			if bucket[i].key == key {
				bucket[i] = entry[T]{}
			}
		}
	}
}

// counter counts failures by key and returns the delay after them. The key 0 is not counted. A
// full table evicts the key with the fewest failures. If it evicted the oldest key instead, a
// flood of names could delete the count of an attacked name.
type counter struct {
	table[failures]
	free    int // failures before the first delay
	longest time.Duration
}

const firstDelay = time.Second

// maxOver is the maximum number of failures that are counted in addition to the free failures, so
// that a count decays in reasonable time. With maxOver additional failures, the delay would be 18
// hours, which is longer than any setting permits.
const maxOver = 16

// failures are the failures of a key. If there is no new failure for as long as the longest delay,
// one failure is forgotten. So after the longest delay, only one attempt is allowed before the
// next delay.
type failures struct {
	count    int32
	reported bool  // an attempt was refused since the last failure
	last     int64 // nanoseconds
	until    int64 // end of the delay, in nanoseconds
}

func fewer(a, b *failures) bool {
	return a.count < b.count || a.count == b.count && a.last < b.last
}

// delay is the remaining part of a delay. The delay has ended if its remaining time is zero or
// negative.
type delay struct {
	left     time.Duration
	reported bool // this delay has already refused an attempt
}

func newCounter(free int, longest time.Duration) *counter {
	return &counter{free: free, longest: longest}
}

// delayAfter returns the delay that follows the given number of failures.
func (c *counter) delayAfter(count int32) time.Duration {
	over := int(count) - c.free
	if over < 0 {
		return 0
	}
	return min(c.longest, firstDelay<<min(over, maxOver))
}

// delay returns the remaining part of the delay of key.
func (c *counter) delay(key uint64, now int64) delay {
	mu, f := c.find(key)
	defer mu.Unlock()
	if f == nil {
		return delay{}
	}
	return c.delayOf(f, now)
}

func (c *counter) delayOf(f *failures, now int64) delay {
	d := delay{time.Duration(f.until - now), f.reported}
	// The clock was set back. No delay is longer than longest.
	if d.left > c.longest {
		f.until = now
		return delay{}
	}
	if d.left > 0 {
		f.reported = true
	}
	return d
}

// charge counts a failure of key if key has no delay.
func (c *counter) charge(key uint64, now int64) delay {
	if key == 0 {
		return delay{}
	}
	mu, f := c.place(key, fewer)
	defer mu.Unlock()
	if d := c.delayOf(f, now); d.left > 0 {
		return d
	}
	c.addTo(f, now)
	return delay{}
}

// add counts a failure of key even if it has a delay.
func (c *counter) add(key uint64, now int64) {
	if key == 0 {
		return
	}
	mu, f := c.place(key, fewer)
	defer mu.Unlock()
	c.addTo(f, now)
}

func (c *counter) addTo(f *failures, now int64) {
	if forgiven := (now - f.last) / int64(c.longest); f.count > 0 && forgiven > 0 {
		f.count = int32(max(0, int64(f.count)-forgiven))
	}
	f.count = min(f.count+1, int32(c.free)+maxOver)
	f.last, f.reported = now, false
	f.until = max(f.until, now+int64(c.delayAfter(f.count)))
}

// undo removes a failure that was counted at a given time. It also removes the delay that this
// failure added, but not the delay that later failures added. Otherwise anyone with an account
// could end all delays of an address by signing in.
func (c *counter) undo(key uint64, at int64) {
	mu, f := c.find(key)
	defer mu.Unlock()
	if f != nil {
		f.count = max(0, f.count-1)
		if f.last == at {
			// there was no delay at this time, because charge counts a failure only without a
			// delay
			f.until = at
		} else {
			f.until = min(f.until, f.last+int64(c.delayAfter(f.count)))
		}
	}
}

// marks maps keys to times. A full table evicts the oldest time.
type marks struct{ table[mark] }

type mark struct{ at int64 } // nanoseconds

func earlier(a, b *mark) bool { return a.at < b.at }

// isFresh reports whether m is younger than maxAge. After the clock was set back, a mark can be in
// the future. Such a mark is not fresh. Small differences are allowed, because a goroutine can
// read the clock before another goroutine sets a mark, and call isFresh later.
func (m *mark) isFresh(now int64, maxAge time.Duration) bool {
	age := now - m.at
	return age < int64(maxAge) && age > -int64(time.Second)
}

// get returns the mark of key.
func (m *marks) get(key uint64) (mark, bool) {
	mu, found := m.find(key)
	defer mu.Unlock()
	if found != nil {
		return *found, true
	}
	return mark{}, false
}

// contains reports whether key has a mark that is younger than maxAge.
func (m *marks) contains(key uint64, now int64, maxAge time.Duration) bool {
	found, ok := m.get(key)
	return ok && found.isFresh(now, maxAge)
}

// set sets a mark if key has no fresh mark. The result reports whether it did.
func (m *marks) set(key uint64, now int64, maxAge time.Duration) bool {
	mu, found := m.place(key, earlier)
	defer mu.Unlock()
	if found.at != 0 && found.isFresh(now, maxAge) {
		return false
	}
	*found = mark{at: now}
	return true
}
