package ratelimit

import "time"

// The limit of a name at places where the name never signed in. NIST SP 800-63B, section 5.2.2,
// allows maxNameFailures failures of an account. Above this limit, all places and replicas
// together are allowed one attempt per slowAttempts.
const (
	maxNameFailures = 100
	perDay          = 24 * time.Hour
	drain           = perDay / maxNameFailures // time in which one failure is forgotten
	slowAttempts    = time.Minute              // time between two attempts above the limit
	// with more failures of a name, the store counts too
	sharedFrom = 25
)

// Level represents the number of failures of a name by a time. It is a leaky bucket that holds
// maxNameFailures and drains in a day. It uses the generic cell rate algorithm, so that a replica
// can charge it with one SQL statement.
type Level struct {
	Empty int64 // when the bucket will be empty, in milliseconds since 1970
	Last  int64 // last charge, in milliseconds since 1970
}

// LevelLimits are the parameters with which a Store charges a Level. All values are in
// milliseconds.
type LevelLimits struct {
	Drain int64 // time in which one failure is forgotten
	Full  int64 // a bucket is full if it takes longer than this to drain
	Slow  int64 // time between two attempts on a full bucket; 0: no attempt is allowed
}

// limitsOf returns the limits of a name at unknown places. If refuse is true, the limits allow
// no attempt on a full bucket.
func limitsOf(refuse bool) LevelLimits {
	l := LevelLimits{Drain: drain.Milliseconds(), Full: (maxNameFailures - 1) * drain.Milliseconds(), Slow: slowAttempts.Milliseconds()}
	if refuse {
		l.Slow = 0
	}
	return l
}

// count returns the number of failures that are not yet forgotten.
func (v Level) count(now int64, l LevelLimits) int {
	return int((max(0, v.Empty-now) + l.Drain - 1) / l.Drain)
}

// Wait returns how long the name must wait; 0: an attempt is allowed.
func (v Level) Wait(now int64, l LevelLimits) time.Duration {
	// The second argument limits the wait. It is the smaller value only if the clock was set back.
	drained := min(v.Empty-now, l.Full+2*l.Drain) - l.Full
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

// charge counts n failures. A full bucket is not filled further, so every bucket drains in a
// bounded time.
func (v *Level) charge(n int, now int64, l LevelLimits) {
	v.Empty = min(max(v.Empty, now)+int64(n)*l.Drain, now+l.Full+2*l.Drain)
	v.Last = now
}

// refund removes one failure.
func (v *Level) refund(l LevelLimits) { v.Empty -= l.Drain }

// merge returns the fuller of two levels.
func (v Level) merge(w Level) Level { return Level{max(v.Empty, w.Empty), max(v.Last, w.Last)} }

// levels are the levels of names in this process. A full table evicts the lowest level.
type levels struct {
	table[counted]
	limits LevelLimits
}

type counted struct {
	Level
	unshared int32 // failures that the store does not have
}

func lower(a, b *counted) bool { return a.Empty < b.Empty }

// wait returns how long a name must wait, according to the counts of this process and of the
// store.
func (t *levels) wait(key uint64, shared Level, now int64) time.Duration {
	mu, found := t.find(key)
	defer mu.Unlock()
	if found != nil {
		shared = shared.merge(found.Level)
	}
	return shared.Wait(now, t.limits)
}

// charge counts a failure if the name need not wait. It also returns the number of failures to
// count in the store. This number is 0 until the name has more than sharedFrom failures.
func (t *levels) charge(key uint64, shared Level, now int64) (wait time.Duration, share int) {
	mu, found := t.place(key, lower)
	defer mu.Unlock()
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

// set raises the level of a name to the level in the store.
func (t *levels) set(key uint64, to Level) {
	mu, found := t.place(key, lower)
	defer mu.Unlock()
	found.Level = found.merge(to)
}

// refund removes a failure.
func (t *levels) refund(key uint64) {
	mu, found := t.find(key)
	defer mu.Unlock()
	if found != nil {
		found.Level.refund(t.limits)
		found.unshared = max(0, found.unshared-1)
	}
}

// addUnshared records that n failures could not be counted in the store.
func (t *levels) addUnshared(key uint64, n int) {
	mu, found := t.find(key)
	defer mu.Unlock()
	if found != nil {
		found.unshared += int32(n)
	}
}
