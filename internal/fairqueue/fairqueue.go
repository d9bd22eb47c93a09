// Package fairqueue answers: whose turn is it, where strangers can ask for more than there is?
//
// A Limiter lets in as many requests as there is room for, and has a bounded queue before it. The queue has
// two classes. Requests from known places have three of four turns, the others the rest, and neither waits
// while the other has no use for its turns. In each class every source has a line, and the lines take
// turns: a flood from one source waits behind itself.
//
// When the queue is full, a newcomer is not turned away. It takes the place of a random one of the second class,
// in the longest line: to occupy the queue does not keep others out of it. A known place makes room for
// nobody of the other class. One name has at most a part of all places in a class, however many sources try
// it; there, too, the newcomer takes a random place. A big request whose turn it is is not overtaken by small
// ones of its class.
//
// A dummy is a request whose work only hides that there is nothing to be done. It is let in while a newcomer would
// wait for a short time only. When the queue is crowded, it waits for its turn and is then told to do
// nothing, so that a flood of names that nobody has costs no more than the memory of those who wait. It waits where
// another request would wait, and not for a time drawn from earlier waits: whoever fills and empties the
// queue at will would tell a wait of now from one of a minute ago at once. What is crowded depends on the
// sources that wait, and not on the places: one source that floods alone delays others by one turn, and
// never sees a dummy that does nothing.
package fairqueue

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

// ErrBusy means that there is no place in the queue, or that the wait took too long.
var ErrBusy = errors.New("the queue is full, or the wait took too long")

// Need is what one request takes while it is let in.
type Need struct {
	Slots  int
	Memory int64 // bytes
}

// Options are the settings of a Limiter. All but Random are needed.
type Options struct {
	All    Need            // what may be taken at once; a request that needs more runs alone
	Places int             // of the queue
	Wait   time.Duration   // in the queue, at most
	Random func(n int) int // from 0 up to and without n; nil: that of math/rand/v2
}

// Limiter lets in as many requests as there is room for. Its methods may be called from any goroutine.
type Limiter struct {
	all     Need
	limit   int           // of the queue
	perName int           // of each class
	wait    time.Duration // in the queue
	random  func(int) int

	mu      sync.Mutex
	free    Need
	classes [2]*queue
	streak  int           // turns of the first class since the second had one, while both waited
	turn    time.Duration // how long the limiter is taken up by one request, on average
	ended   int           // requests that turn is the mean of, up to turnWeight
}

// The classes of the queue.
const (
	knownPlaces = iota
	otherPlaces
)

const (
	nameShare  = 8 // the part of the queue that one name may have in a class is 1/nameShare
	knownTurns = 3 // of the first class for each one of the second

	// crowdedShare: the queue is crowded if a newcomer would wait for more than 1/crowdedShare of the longest
	// wait. By default that is a second: short for whoever waits beside a flood, and longer than any
	// queue of people who arrive at work.
	crowdedShare = 10
	// dummyShare bounds the memory of dummies: so many wait for each place of the queue. A server's
	// connections are fewer, as a rule.
	dummyShare = 16
	turnWeight = 16 // Limiter.turn is the mean of so many requests, the last ones counting most
	// firstTurn is Limiter.turn until the first request has ended: that of a slow hash, bcrypt of cost 12.
	firstTurn = 250 * time.Millisecond
)

// New returns a Limiter. It has nothing to close.
func New(o Options) *Limiter {
	if o.Random == nil {
		o.Random = rand.IntN
	}
	return &Limiter{
		all: o.All, free: o.All, limit: o.Places, perName: max(1, o.Places/nameShare), wait: o.Wait, random: o.Random,
		turn: firstTurn, classes: [2]*queue{newQueue(), newQueue()},
	}
}

// Enter returns when there is room, with ErrBusy if there is none in time, or with the error of ctx.
// A nil error obliges to Leave with the same needs.
func (l *Limiter) Enter(ctx context.Context, who Requester, n Need) error {
	_, err := l.await(ctx, who, n, false)
	return err
}

// EnterDummy is Enter for a dummy. If there is nothing to be done, there is nothing to leave.
func (l *Limiter) EnterDummy(ctx context.Context, who Requester, n Need) (work bool, err error) {
	return l.await(ctx, who, n, true)
}

func (l *Limiter) await(ctx context.Context, who Requester, n Need, dummy bool) (work bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	n = l.fit(n)
	l.mu.Lock()
	if l.emptyLocked() && l.takeLocked(n) {
		l.mu.Unlock()
		return true, nil
	}
	p := l.joinLocked(who, n, dummy && l.crowdedLocked(who.class()))
	l.admitLocked() // a big one that held others up may have lost its place
	l.mu.Unlock()
	if p == nil {
		return false, ErrBusy
	}

	timer := time.NewTimer(l.wait)
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

// crowdedLocked says whether a newcomer of that class would wait for long, or too many lines wait already.
func (l *Limiter) crowdedLocked(class int) bool {
	turns := l.classes[class].active
	if turns >= l.limit/2 {
		return true
	}
	if class == otherPlaces && l.classes[knownPlaces].length > 0 {
		turns *= knownTurns + 1
	}
	return turns > 0 && time.Duration(turns)*l.turn >= l.wait/crowdedShare
}

// joinLocked returns a new place for who, or nil if there is none for it.
func (l *Limiter) joinLocked(who Requester, n Need, dummy bool) *place {
	own, key := l.classes[who.class()], who.line()
	if same := own.names[who.Name]; who.Name != "" && len(same) >= l.nameLimitLocked() {
		own.drop(same[l.random(len(same))])
	}
	switch {
	case dummy && len(own.dummies) >= l.limit*dummyShare:
		own.drop(own.dummies[l.random(len(own.dummies))])
	case !dummy && l.lengthLocked() >= l.limit:
		p := l.classes[otherPlaces].victim(key, l.random)
		if p == nil && who.KnownPlace {
			p = own.victim(key, l.random)
		}
		if p == nil {
			return nil
		}
		l.thinLocked(p)
		p.queue.drop(p)
	}
	return own.add(key, &place{needs: n, name: who.Name, dummy: dummy, ready: make(chan struct{})})
}

// nameLimitLocked returns how many places one name may have in a class: 1/nameShare of the queue, and no more than take
// 1/nameShare of the longest wait. Else two names would fill it where hashes are slow.
func (l *Limiter) nameLimitLocked() int {
	if l.turn <= 0 {
		return l.perName
	}
	return max(1, min(l.perName, int(l.wait/nameShare/l.turn)))
}

// thinLocked drops as great a part of the dummies as p, which is about to be dropped, is of the places: else to be
// dropped would tell that a name exists. Where the longest line loses a place, dummies in shorter ones
// lose none, either.
func (l *Limiter) thinLocked(p *place) {
	q, places := p.queue, len(p.line.all)
	if len(q.dummies) == 0 {
		return
	}
	n := len(q.dummies) / q.length
	if l.random(q.length) < len(q.dummies)%q.length {
		n++
	}
	for range n {
		if d := q.dummies[l.random(len(q.dummies))]; d.line.places.Len() >= places {
			q.drop(d)
		}
	}
}

// giveUp leaves the queue with err. A place that was let in at that very moment is given back.
func (l *Limiter) giveUp(p *place, err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-p.ready:
		if !p.lost && !p.dummy {
			l.giveLocked(p.needs)
		}
	default:
		p.queue.remove(p)
		l.admitLocked() // it may have been a big one that held up the small ones behind it
	}
	return err
}

// Leave gives back what Enter took, for so long.
func (l *Limiter) Leave(n Need, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n = l.fit(n)
	part := float64(n.Slots) / float64(max(1, l.all.Slots))
	if l.all.Memory > 0 {
		part = max(part, float64(n.Memory)/float64(l.all.Memory))
	}
	took = time.Duration(part * float64(took))
	l.ended = min(l.ended+1, turnWeight)
	l.turn += (took - l.turn) / time.Duration(l.ended)
	l.giveLocked(n)
}

// Waiting returns how many wait, without dummies.
func (l *Limiter) Waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lengthLocked()
}

// Taken returns how many slots are taken.
func (l *Limiter) Taken() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Slots - l.free.Slots
}

func (l *Limiter) lengthLocked() int {
	return l.classes[knownPlaces].length + l.classes[otherPlaces].length
}

// fit cuts n to what there is: what needs more than there is runs alone.
func (l *Limiter) fit(n Need) Need {
	return Need{Slots: min(n.Slots, l.all.Slots), Memory: min(n.Memory, l.all.Memory)}
}

// emptyLocked says that nobody waits, nor any dummy.
func (l *Limiter) emptyLocked() bool {
	return l.classes[knownPlaces].turns.Len()+l.classes[otherPlaces].turns.Len() == 0
}

func (l *Limiter) roomLocked(n Need) bool {
	return n.Slots <= l.free.Slots && n.Memory <= l.free.Memory
}

func (l *Limiter) takeLocked(n Need) bool {
	if !l.roomLocked(n) {
		return false
	}
	l.free.Slots -= n.Slots
	l.free.Memory -= n.Memory
	return true
}

func (l *Limiter) giveLocked(n Need) {
	l.free.Slots += n.Slots
	l.free.Memory += n.Memory
	l.admitLocked()
}

// admitLocked lets in those whose turn it is, while there is room.
func (l *Limiter) admitLocked() {
	for q := l.turnLocked(); q != nil; q = l.turnLocked() {
		p := q.next()
		if !l.roomLocked(p.needs) {
			return
		}
		switch {
		case p.dummy: // takes nothing, not even the turn of its class
		case q == l.classes[otherPlaces]:
			l.streak = 0
		case l.classes[otherPlaces].length > 0:
			l.streak++
		}
		if !p.dummy {
			l.takeLocked(p.needs)
		}
		q.take(p)
		close(p.ready)
	}
}

// turnLocked returns the class whose turn it is. Nil: nobody waits.
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
