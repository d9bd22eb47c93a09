package ratelimit

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// maxWaiting is how many wait for the turn of one source.
const maxWaiting = 100

// turns are those whose secrets are being verified, one of a source at a time, and who waits for them. There is an
// entry while somebody has the turn, and so never more than there are requests.
type turns struct {
	mu sync.Mutex
	of map[uint64]*[]chan struct{} // who waits, the first first
}

// Turn waits until a secret that cannot be guessed may be verified. Below the limit of its source that is at once. Past
// it, secrets of the source are verified one after the other, in the order in which they came: made-up ones cost a query
// each, and must not take all connections of the database. A secret that was good within a day does not wait, so that a
// flood holds up none of its neighbours' jobs.
//
// The error is an *Error if too many wait already, or that of ctx. Otherwise Leave is called with the key.
func (l *Limiter) Turn(ctx context.Context, secret string, from netip.Addr) (key uint64, err error) {
	if l == nil {
		return 0, nil
	}
	now, o := l.o.Now().UnixNano(), l.origin(from)
	key = l.tokens.past(o, now)
	if key == 0 || l.proved.has(l.tokenKey(keyProved, secret), now, rememberFor) {
		return 0, nil
	}
	l.turns.mu.Lock()
	waiting, taken := l.turns.of[key]
	switch {
	case !taken:
		if l.turns.of == nil {
			l.turns.of = make(map[uint64]*[]chan struct{})
		}
		l.turns.of[key] = new([]chan struct{})
		l.turns.mu.Unlock()
		return key, nil
	case len(*waiting) >= maxWaiting:
		l.turns.mu.Unlock()
		l.bySource.Add(1)
		d := l.tokens.delay(o, now)
		reported := d.reported || !l.reported.set(mix(keyReport, key, 0), now, time.Minute)
		return 0, &Error{After: max(d.left, firstDelay), Reported: reported}
	}
	turn := make(chan struct{})
	*waiting = append(*waiting, turn)
	l.turns.mu.Unlock()
	select {
	case <-turn:
		return key, nil
	case <-ctx.Done():
	}
	l.turns.mu.Lock()
	i := slices.Index(*waiting, turn)
	if i >= 0 {
		*waiting = slices.Delete(*waiting, i, i+1)
	}
	l.turns.mu.Unlock()
	if i < 0 { // it was handed over just now
		l.Leave(key)
	}
	return 0, ctx.Err()
}

// Leave hands the turn of a source to who waits for it first.
func (l *Limiter) Leave(key uint64) {
	if key == 0 {
		return
	}
	l.turns.mu.Lock()
	defer l.turns.mu.Unlock()
	waiting := l.turns.of[key]
	if len(*waiting) == 0 {
		delete(l.turns.of, key)
		return
	}
	close((*waiting)[0])
	*waiting = slices.Delete(*waiting, 0, 1)
}

// Proved notes that a secret that cannot be guessed is good.
func (l *Limiter) Proved(secret string) {
	if l != nil {
		l.proved.set(l.tokenKey(keyProved, secret), l.o.Now().UnixNano(), rememberExactly)
	}
}

// past returns the key of the widest tier of which the failures are past the limit; 0 if there is none.
func (s *sources) past(o origin, now int64) (key uint64) {
	for i, c := range s {
		if c.past(o[i], now) {
			key = o[i]
		}
	}
	return key
}

// past reports whether key had so many failures that there is a delay after the next, if not after the last.
func (c *counter) past(key uint64, now int64) bool {
	if key == 0 {
		return false
	}
	mu, bucket := c.lock(key)
	defer mu.Unlock()
	f := find(bucket, key)
	return f != nil && int64(f.count)-max(0, now-f.last)/int64(c.longest) >= int64(c.free)
}
