package ratelimit

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// maxWaiting is the maximum number of requests that wait for one source address.
const maxWaiting = 100

// turns has the source addresses whose secrets are verified one at a time, and the waiting
// requests of each address. A source has an entry only while one of its secrets is being verified.
// So there are never more entries than requests.
type turns struct {
	mu sync.Mutex
	of map[uint64]*[]chan struct{} // waiting requests, in order of arrival
}

// Turn waits until a secret that cannot be guessed may be verified. Below the limit of the
// source address, Turn does not wait. Above the limit, the secrets of a source are verified one at
// a time, in order of arrival. Otherwise the queries for invented secrets could use all
// connections of the database. A secret that was valid within a day does not wait, so a flood does
// not delay other jobs of the source.
//
// The error is an *Error if too many requests wait, or the error of ctx. If the error is nil,
// the caller must call Leave with the returned key.
func (l *Limiter) Turn(ctx context.Context, secret string, from netip.Addr) (key uint64, err error) {
	if l == nil {
		return 0, nil
	}
	now, o := l.o.Now().UnixNano(), l.origin(from)
	key = l.tokens.keyOverLimit(o, now)
	if key == 0 || l.proved.contains(l.tokenKey(keyProved, secret), now, rememberFor) {
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
	if i < 0 { // Leave has just given the turn to this request
		l.Leave(key)
	}
	return 0, ctx.Err()
}

// Leave passes the turn of a source to the request that waits longest.
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

// Proved records that a secret that cannot be guessed is valid.
func (l *Limiter) Proved(secret string) {
	if l != nil {
		l.proved.set(l.tokenKey(keyProved, secret), l.o.Now().UnixNano(), rememberExactly)
	}
}

// keyOverLimit returns the key of the widest tier that is above its limit, or 0.
func (s *sources) keyOverLimit(o origin, now int64) (key uint64) {
	for i, c := range s {
		if c.isOverLimit(o[i], now) {
			key = o[i]
		}
	}
	return key
}

// isOverLimit reports whether the next failure of key would cause a delay.
func (c *counter) isOverLimit(key uint64, now int64) bool {
	mu, f := c.find(key)
	defer mu.Unlock()
	return f != nil && int64(f.count)-max(0, now-f.last)/int64(c.longest) >= int64(c.free)
}
