package password

import (
	"context"
	"sync"
	"time"
)

// need is what a hash takes while it is computed.
type need struct {
	threads int
	memory  int64 // bytes
}

// limiter is where hashes are computed: bounded in threads and memory, with a bounded queue before it.
//
// The queue has two classes. Requests from known places have three of four turns, the others the rest,
// and neither waits while the other has no use for its turns. In each class every source has a line, and
// the lines take turns: a flood from one source waits behind itself. When the queue is full, a newcomer
// is not turned away. It takes the place of a random one of the second class, in the longest line: to
// occupy the queue does not keep others out of it. A known place makes room for nobody of the other class.
// One name has at most a part of all places in a class, however many sources try it; there, too, the
// newcomer takes a random place. A big hash whose turn it is is not overtaken by small ones of its class.
type limiter struct {
	all     need
	limit   int           // of the queue
	perName int           // of each class
	wait    time.Duration // in the queue
	random  func(int) int // from 0 up to and without n

	mu      sync.Mutex
	free    need
	classes [2]*queue
	streak  int // turns of the first class since the second had one, while both waited
}

// The classes of the queue.
const (
	knownPlaces = iota
	otherPlaces
)

const (
	nameShare  = 8 // the part of the queue that one name may have in a class is 1/nameShare
	knownTurns = 3 // of the first class for each one of the second
)

func newLimiter(all need, limit int, wait time.Duration, random func(int) int) *limiter {
	return &limiter{
		all: all, free: all, limit: limit, perName: max(1, limit/nameShare), wait: wait, random: random,
		classes: [2]*queue{newQueue(), newQueue()},
	}
}

// enter returns when there is room, with ErrBusy if there is none in time, or with the error of ctx.
// A nil error obliges to leave with the same needs.
func (l *limiter) enter(ctx context.Context, who Requester, n need) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	n = l.fit(n)
	l.mu.Lock()
	if l.lengthLocked() == 0 && l.takeLocked(n) {
		l.mu.Unlock()
		return nil
	}
	p := l.joinLocked(who, n)
	l.admitLocked() // a big one that held others up may have lost its place
	l.mu.Unlock()
	if p == nil {
		return ErrBusy
	}

	timer := time.NewTimer(l.wait)
	defer timer.Stop()
	select {
	case <-p.ready:
		if p.lost {
			return ErrBusy
		}
		return nil
	case <-timer.C:
		return l.giveUp(p, ErrBusy)
	case <-ctx.Done():
		return l.giveUp(p, ctx.Err())
	}
}

// joinLocked returns a new place for who, or nil if there is none for it.
func (l *limiter) joinLocked(who Requester, n need) *place {
	own, key := l.classes[who.class()], who.line()
	switch same := own.names[who.Name]; {
	case who.Name != "" && len(same) >= l.perName:
		own.drop(same[l.random(len(same))])
	case l.lengthLocked() >= l.limit:
		p := l.classes[otherPlaces].victim(key, l.random)
		if p == nil && who.KnownPlace {
			p = own.victim(key, l.random)
		}
		if p == nil {
			return nil
		}
		p.queue.drop(p)
	}
	return own.add(key, who.Name, n)
}

// giveUp leaves the queue with err. A place that was let in at that very moment is given back.
func (l *limiter) giveUp(p *place, err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-p.ready:
		if !p.lost {
			l.giveLocked(p.needs)
		}
	default:
		p.queue.remove(p)
		l.admitLocked() // it may have been a big one that held up the small ones behind it
	}
	return err
}

// leave gives back what enter took.
func (l *limiter) leave(n need) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.giveLocked(l.fit(n))
}

// waiting returns how many wait.
func (l *limiter) waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lengthLocked()
}

func (l *limiter) lengthLocked() int {
	return l.classes[knownPlaces].length + l.classes[otherPlaces].length
}

// fit cuts n to what there is: what needs more than the whole limiter runs alone.
func (l *limiter) fit(n need) need {
	return need{threads: min(n.threads, l.all.threads), memory: min(n.memory, l.all.memory)}
}

func (l *limiter) takeLocked(n need) bool {
	if n.threads > l.free.threads || n.memory > l.free.memory {
		return false
	}
	l.free.threads -= n.threads
	l.free.memory -= n.memory
	return true
}

func (l *limiter) giveLocked(n need) {
	l.free.threads += n.threads
	l.free.memory += n.memory
	l.admitLocked()
}

// admitLocked lets in those whose turn it is, while there is room.
func (l *limiter) admitLocked() {
	for q := l.turnLocked(); q != nil; q = l.turnLocked() {
		p := q.next()
		if !l.takeLocked(p.needs) {
			return
		}
		if q == l.classes[otherPlaces] {
			l.streak = 0
		} else if l.classes[otherPlaces].length > 0 {
			l.streak++
		}
		q.take(p)
		close(p.ready)
	}
}

// turnLocked returns the class whose turn it is. Nil: nobody waits.
func (l *limiter) turnLocked() *queue {
	known, other := l.classes[knownPlaces], l.classes[otherPlaces]
	switch {
	case known.length > 0 && (other.length == 0 || l.streak < knownTurns):
		return known
	case other.length > 0:
		return other
	}
	return nil
}
