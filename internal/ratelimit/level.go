package ratelimit

import "time"

// The limit of a name at places where it never signed in. NIST SP 800-63B, section 5.2.2, bounds the
// failures on one account by 100; after that there is one attempt a minute, over all places and replicas.
const (
	MaxNameFailures = 100
	perDay          = 24 * time.Hour
	drain           = perDay / MaxNameFailures // in which one failure of a name is forgotten
	slowAttempts    = time.Minute              // between two attempts past the limit
	sharedFrom      = 25                       // failures of a name from which on the store counts, too
)

// Level is how many failures a name has, as one moment: a leaky bucket that holds MaxNameFailures and
// takes a day to drain. Its arithmetic is the generic cell rate algorithm, so that a replica can charge
// it by one statement.
type Level struct {
	Empty int64 // when the bucket will be empty, in milliseconds since 1970
	Last  int64 // when it was charged last, in milliseconds since 1970
}

// LevelLimits are what a Store has to know to charge a Level as Level.charge does. All are milliseconds.
type LevelLimits struct {
	Drain int64 // of one failure
	Full  int64 // a bucket that is empty no earlier than as long from now is full
	Slow  int64 // between two attempts on a full bucket; 0: there are none
}

// Limits returns the limits of a name.
func limitsOf(refuse bool) LevelLimits {
	l := LevelLimits{Drain: drain.Milliseconds(), Full: (MaxNameFailures - 1) * drain.Milliseconds(), Slow: slowAttempts.Milliseconds()}
	if refuse {
		l.Slow = 0
	}
	return l
}

// count returns the failures that are not forgotten.
func (v Level) count(now int64, l LevelLimits) int {
	return int((max(0, v.Empty-now) + l.Drain - 1) / l.Drain)
}

// Wait returns how long a name of that level has to wait; 0: it may be tried.
func (v Level) Wait(now int64, l LevelLimits) time.Duration {
	drained := min(v.Empty-now, l.Full+2*l.Drain) - l.Full // no more, if the clock was put back
	if drained <= 0 {
		return 0
	}
	if l.Slow > 0 {
		drained = min(drained, v.Last+l.Slow-now)
		if v.Last > now+l.Slow {
			drained = 0
		}
	}
	return time.Duration(max(0, drained)) * time.Millisecond
}

// charge counts n failures. A bucket that is full stays as full: who stops is forgiven in good time.
func (v *Level) charge(n int, now int64, l LevelLimits) {
	v.Empty = min(max(v.Empty, now)+int64(n)*l.Drain, now+l.Full+2*l.Drain)
	v.Last = now
}

// refund takes one failure back.
func (v *Level) refund(l LevelLimits) { v.Empty -= l.Drain }

// merge returns the fuller of two.
func (v Level) merge(w Level) Level { return Level{max(v.Empty, w.Empty), max(v.Last, w.Last)} }

// levels are the levels of names in this process. Where the table is full, the lowest makes room.
type levels struct {
	table[counted]
	limits LevelLimits
}

type counted struct {
	Level
	unshared int32 // failures that the store does not know of
}

func lower(a, b *counted) bool { return a.Empty < b.Empty }

// wait returns how long a name has to wait, by what this process and the store have counted.
func (t *levels) wait(key uint64, shared Level, now int64) time.Duration {
	mu, bucket := t.lock(key)
	defer mu.Unlock()
	if found := find(bucket, key); found != nil {
		shared = shared.merge(found.Level)
	}
	return shared.Wait(now, t.limits)
}

// charge counts a failure, unless the name has to wait. share is how many failures the store is to be
// told of; 0: none, since they are too few.
func (t *levels) charge(key uint64, shared Level, now int64) (wait time.Duration, share int) {
	mu, bucket := t.lockToWrite(key)
	defer mu.Unlock()
	found := place(bucket, key, lower)
	found.Level = found.merge(shared)
	if wait := found.Wait(now, t.limits); wait > 0 {
		return wait, 0
	}
	found.charge(1, now, t.limits)
	found.unshared++
	if found.count(now, t.limits) <= sharedFrom {
		return 0, 0
	}
	share, found.unshared = int(found.unshared), 0
	return 0, share
}

// set raises a name to what the store says.
func (t *levels) set(key uint64, to Level) {
	mu, bucket := t.lockToWrite(key)
	defer mu.Unlock()
	found := place(bucket, key, lower)
	found.Level = found.merge(to)
}

// refund takes a failure back.
func (t *levels) refund(key uint64) {
	mu, bucket := t.lock(key)
	defer mu.Unlock()
	if found := find(bucket, key); found != nil {
		found.Level.refund(t.limits)
		found.unshared = max(0, found.unshared-1)
	}
}

// addUnshared notes that the store could not be told of n failures.
func (t *levels) addUnshared(key uint64, n int) {
	mu, bucket := t.lock(key)
	defer mu.Unlock()
	if found := find(bucket, key); found != nil {
		found.unshared += int32(n)
	}
}
