// Package fairqueue shares scarce work fairly among untrusted requesters.
//
// A Limiter admits requests up to its capacity. Other requests wait in a bounded queue. The queue
// has two classes: requests from known places, which get three of four turns, and all other
// requests, which get the fourth turn. If nobody waits in one class, the other class gets all
// turns. Within a class, each source (the address of a client) has its own line. The lines take
// turns. So a flood from one source delays only the requests of this source.
//
// A full queue does not refuse a new request. The new request replaces a random waiting request in
// the longest line of the second class. So an attacker who fills the queue cannot keep other
// requesters out. A request from a known place is never dropped for a request of the second class.
// One name may have only a part of the places of each class, even if many sources use the name. If
// the name already has so many places, its new request replaces a random waiting request of the
// same name. If a big request is the first of its class, small requests do not overtake it.
//
// A dummy is a request that only imitates work, such as the check of a password for an unknown
// name. A dummy does its work while waits are short. When the queue is crowded, the dummy waits
// for its turn and then does nothing, so a flood of unknown names costs only memory. A dummy waits
// in the queue instead of sleeping for the duration of an earlier wait. Otherwise an attacker who
// fills and empties the queue could distinguish such a sleep from a real wait. The measure of
// crowding is the number of waiting sources, not of waiting requests. So a single flooding source
// delays other sources by one turn, and its dummies always do their work.
package fairqueue

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

// ErrBusy means that the queue was full or the wait took too long.
var ErrBusy = errors.New("the queue is full, or the wait took too long")

// Need is the capacity that one request occupies while it runs.
type Need struct {
	Slots  int
	Memory int64 // bytes
}

// Options are the settings of a Limiter. All but Random are required.
type Options struct {
	All    Need            // total capacity; a larger request runs alone
	Places int             // maximum number of waiting requests
	Wait   time.Duration   // longest wait
	Random func(n int) int // returns a number in [0,n); nil means rand.IntN
}

// Limiter admits requests up to its capacity. Its methods may be called from any goroutine.
type Limiter struct {
	o       Options
	perName int // maximum number of places of one name in each class

	mu      sync.Mutex
	free    Need
	classes [2]*queue
	streak  int           // consecutive turns of the first class while both classes waited
	turn    time.Duration // average time for which one request occupies the whole capacity
	ended   int           // number of ended requests in this average, up to turnWeight
}

// Indexes of Limiter.classes.
const (
	knownPlaces = iota
	otherPlaces
)

const (
	nameShare  = 8 // in a class, one name may have 1/nameShare of the queue
	knownTurns = 3 // turns of the first class for each turn of the second

	// crowdedShare defines when the queue is crowded: if a new request would wait longer than
	// 1/crowdedShare of the longest permitted wait. With the default options, this is one second.
	// Waits are longer than that in a flood, and shorter when many users start work at the same
	// time.
	crowdedShare = 10
	// dummyShare limits the memory of dummies. The maximum number of waiting dummies is dummyShare
	// times the number of places in the queue. A server usually has fewer connections than that.
	dummyShare = 16
	// turnWeight is the number of requests in the average Limiter.turn. Recent requests have the
	// most weight.
	turnWeight = 16
	// firstTurn is the value of Limiter.turn before any request has ended: the time of a slow
	// hash, bcrypt with cost 12.
	firstTurn = 250 * time.Millisecond
)

// New returns a Limiter. It needs no Close.
func New(o Options) *Limiter {
	if o.Random == nil {
		o.Random = rand.IntN
	}
	return &Limiter{
		o: o, perName: max(1, o.Places/nameShare), free: o.All, turn: firstTurn, classes: [2]*queue{newQueue(), newQueue()},
	}
}

// Enter waits until the request may run. It returns ErrBusy if the wait takes too long or the
// request is dropped, and ctx.Err() if ctx ends. After a nil error the caller must call Leave
// with the same Need.
func (l *Limiter) Enter(ctx context.Context, who Requester, n Need) error {
	_, err := l.await(ctx, who, n, false)
	return err
}

// EnterDummy is Enter for a dummy. If EnterDummy returns false, the caller must do nothing, and
// must not call Leave.
func (l *Limiter) EnterDummy(ctx context.Context, who Requester, n Need) (work bool, err error) {
	return l.await(ctx, who, n, true)
}

func (l *Limiter) await(ctx context.Context, who Requester, n Need, dummy bool) (work bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	n = l.fit(n)
	l.mu.Lock()
	if l.turnLocked() == nil && l.takeLocked(n) {
		l.mu.Unlock()
		return true, nil
	}
	p := l.joinLocked(who, n, dummy && l.crowdedLocked(who.class()))
	l.admitLocked() // the dropped request may have been a big one that delayed others
	l.mu.Unlock()
	if p == nil {
		return false, ErrBusy
	}

	timer := time.NewTimer(l.o.Wait)
	defer timer.Stop()
	select {
	case <-p.ready:
		if p.lost {
			return false, ErrBusy
		}
		return !p.dummy, nil
	case <-timer.C:
		return false, l.giveUp(p, ErrBusy)
	case <-ctx.Done():
		return false, l.giveUp(p, ctx.Err())
	}
}

// crowdedLocked reports whether a new request would wait for a long time in the class, or whether
// too many lines wait.
func (l *Limiter) crowdedLocked(class int) bool {
	turns := l.classes[class].active
	if turns >= l.o.Places/2 {
		return true
	}
	if class == otherPlaces && l.classes[knownPlaces].length > 0 {
		turns *= knownTurns + 1
	}
	return turns > 0 && time.Duration(turns)*l.turn >= l.o.Wait/crowdedShare
}

// joinLocked returns a new place for the given requester, or nil if the queue has no place for the
// request.
func (l *Limiter) joinLocked(who Requester, n Need, dummy bool) *place {
	own, key := l.classes[who.class()], who.line()
	if same := own.names[who.Name]; who.Name != "" && len(same) >= l.nameLimitLocked() {
		own.drop(same[l.o.Random(len(same))])
	}
	switch {
	case dummy && len(own.dummies) >= l.o.Places*dummyShare:
		own.drop(own.dummies[l.o.Random(len(own.dummies))])
	case !dummy && l.lengthLocked() >= l.o.Places:
		p := l.classes[otherPlaces].victim(key, l.o.Random)
		if p == nil && who.KnownPlace {
			p = own.victim(key, l.o.Random)
		}
		if p == nil {
			return nil
		}
		l.thinLocked(p)
		p.queue.drop(p)
	}
	return own.add(key, &place{needs: n, name: who.Name, dummy: dummy, ready: make(chan struct{})})
}

// nameLimitLocked returns the maximum number of places of one name in a class. The maximum is
// 1/nameShare of the places in the queue. If the hashes are slow, the maximum is smaller: all
// requests of the name must end within 1/nameShare of the longest wait. Otherwise two names could
// use up the whole wait.
func (l *Limiter) nameLimitLocked() int {
	if l.turn <= 0 {
		return l.perName
	}
	return max(1, min(l.perName, int(l.o.Wait/nameShare/l.turn)))
}

// thinLocked drops dummies before p, the next victim, is dropped. The place p is one of n waiting
// real requests, so thinLocked drops one n-th of the dummies. If dummies were dropped less often,
// a dropped request would reveal that its name exists. In lines that are shorter than the line of
// p, real requests are not dropped, so dummies are not dropped, either.
func (l *Limiter) thinLocked(p *place) {
	q, places := p.queue, len(p.line.all)
	if len(q.dummies) == 0 {
		return
	}
	n := len(q.dummies) / q.length
	if l.o.Random(q.length) < len(q.dummies)%q.length {
		n++
	}
	for range n {
		if d := q.dummies[l.o.Random(len(q.dummies))]; d.line.places.Len() >= places {
			q.drop(d)
		}
	}
}

// giveUp removes p from the queue and returns err. If p was admitted in the meantime, its
// capacity is released.
func (l *Limiter) giveUp(p *place, err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-p.ready:
		if !p.lost && !p.dummy {
			l.releaseLocked(p.needs)
		}
	default:
		p.queue.remove(p)
		l.admitLocked() // p may have been a big request that delayed small ones
	}
	return err
}

// Leave releases the capacity that Enter took. The duration is how long the request ran.
func (l *Limiter) Leave(n Need, duration time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n = l.fit(n)
	part := float64(n.Slots) / float64(max(1, l.o.All.Slots))
	if l.o.All.Memory > 0 {
		part = max(part, float64(n.Memory)/float64(l.o.All.Memory))
	}
	duration = time.Duration(part * float64(duration))
	l.ended = min(l.ended+1, turnWeight)
	l.turn += (duration - l.turn) / time.Duration(l.ended)
	l.releaseLocked(n)
}

// Waiting returns the number of waiting requests, without dummies.
func (l *Limiter) Waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lengthLocked()
}

// Taken returns the number of occupied slots.
func (l *Limiter) Taken() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.o.All.Slots - l.free.Slots
}

func (l *Limiter) lengthLocked() int {
	return l.classes[knownPlaces].length + l.classes[otherPlaces].length
}

// fit limits n to the total capacity. So a request that needs more than the total capacity can
// still run, but not together with others.
func (l *Limiter) fit(n Need) Need {
	return Need{Slots: min(n.Slots, l.o.All.Slots), Memory: min(n.Memory, l.o.All.Memory)}
}

func (l *Limiter) fitsLocked(n Need) bool {
	return n.Slots <= l.free.Slots && n.Memory <= l.free.Memory
}

func (l *Limiter) takeLocked(n Need) bool {
	if !l.fitsLocked(n) {
		return false
	}
	l.free.Slots -= n.Slots
	l.free.Memory -= n.Memory
	return true
}

func (l *Limiter) releaseLocked(n Need) {
	l.free.Slots += n.Slots
	l.free.Memory += n.Memory
	l.admitLocked()
}

// admitLocked admits waiting requests in turn as long as capacity is free.
func (l *Limiter) admitLocked() {
	for q := l.turnLocked(); q != nil; q = l.turnLocked() {
		p := q.nextPlace()
		if !l.fitsLocked(p.needs) {
			return
		}
		switch {
		case p.dummy: // a dummy uses no capacity and no turn of its class
		case q == l.classes[otherPlaces]:
			l.streak = 0
		case l.classes[otherPlaces].length > 0:
			l.streak++
		}
		if !p.dummy {
			l.takeLocked(p.needs)
		}
		q.turns.MoveToBack(p.line.turn) // move the line before remove, which deletes an empty line
		q.remove(p)
		close(p.ready)
	}
}

// turnLocked returns the class that has the next turn, or nil if nothing waits.
func (l *Limiter) turnLocked() *queue {
	known, other := l.classes[knownPlaces], l.classes[otherPlaces]
	switch {
	case known.turns.Len() > 0 && (other.turns.Len() == 0 || l.streak < knownTurns):
		return known
	case other.turns.Len() > 0:
		return other
	}
	return nil
}
