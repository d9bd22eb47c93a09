package password

import (
	"container/list"
	"context"
	"net/netip"
	"sync"
	"time"
)

// need is what a hash takes while it is computed.
type need struct {
	threads int
	memory  int64 // bytes
}

// lane is where hashes are computed: bounded in threads and memory, with a bounded queue before it.
//
// The queue has a line for each address, and the lines take turns: who floods it waits behind himself.
// When it is full, somebody new takes the last place of the longest line, if that is longer than his
// own. One name has at most a part of all places, from however many addresses it is tried. A big hash
// whose turn it is is not overtaken by small ones.
type lane struct {
	all     need
	limit   int           // of the queue
	perName int           // of the queue
	wait    time.Duration // in the queue

	mu     sync.Mutex
	free   need
	length int            // of the queue
	names  map[string]int // places of each
	lines  map[lineKey]*line
	turns  list.List // of *line: the first is next
}

// nameShare is the part of the queue that one name may have.
const nameShare = 8

// lineKey is who waits in a line: an address; or a name, where the address is not known.
type lineKey struct {
	address netip.Addr
	name    string
}

// line is those who wait in it. There is no empty one.
type line struct {
	key    lineKey
	places list.List // of *place
	turn   *list.Element
}

// place is a place in a line. Whoever takes it out of the line closes ready.
type place struct {
	needs need
	name  string
	line  *line
	at    *list.Element
	lost  bool // not let in, but pushed out; set before ready is closed
	ready chan struct{}
}

func newLane(all need, limit int, wait time.Duration) *lane {
	return &lane{
		all: all, free: all, limit: limit, perName: max(1, limit/nameShare), wait: wait,
		names: make(map[string]int), lines: make(map[lineKey]*line),
	}
}

// enter returns when there is room, with ErrBusy if there is none in time, or with the error of ctx.
// A nil error obliges to leave with the same needs.
func (l *lane) enter(ctx context.Context, who Asker, n need) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	n = l.fit(n)
	l.mu.Lock()
	if l.length == 0 && l.takeLocked(n) {
		l.mu.Unlock()
		return nil
	}
	p := l.joinLocked(who, n)
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

// joinLocked returns the last place of who's line, or nil if he may not have it.
func (l *lane) joinLocked(who Asker, n need) *place {
	if who.Name != "" && l.names[who.Name] >= l.perName {
		return nil
	}
	key := who.line()
	own := 0
	if f := l.lines[key]; f != nil {
		own = f.places.Len()
	}
	if l.length >= l.limit && !l.pushOutLocked(own+1) {
		return nil
	}
	f := l.lines[key]
	if f == nil {
		f = &line{key: key}
		f.turn = l.turns.PushBack(f)
		l.lines[key] = f
	}
	p := &place{needs: n, name: who.Name, line: f, ready: make(chan struct{})}
	p.at = f.places.PushBack(p)
	l.length++
	if p.name != "" {
		l.names[p.name]++
	}
	return p
}

// pushOutLocked makes room at the end of the longest line, if it is longer than than.
func (l *lane) pushOutLocked(than int) bool {
	var longest *line
	for e := l.turns.Front(); e != nil; e = e.Next() {
		if f := e.Value.(*line); longest == nil || f.places.Len() > longest.places.Len() {
			longest = f
		}
	}
	if longest == nil || longest.places.Len() <= than {
		return false
	}
	last := longest.places.Back().Value.(*place)
	l.removeLocked(last)
	last.lost = true
	close(last.ready)
	return true
}

// removeLocked takes p out of its line.
func (l *lane) removeLocked(p *place) {
	p.line.places.Remove(p.at)
	if p.line.places.Len() == 0 {
		l.turns.Remove(p.line.turn)
		delete(l.lines, p.line.key)
	}
	l.length--
	if l.names[p.name]--; l.names[p.name] <= 0 {
		delete(l.names, p.name)
	}
}

// giveUp leaves the queue with err. A place that was let in at that very moment is given back.
func (l *lane) giveUp(p *place, err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-p.ready:
		if !p.lost {
			l.giveLocked(p.needs)
		}
	default:
		l.removeLocked(p)
		l.admitLocked() // it may have been a big one that held up the small ones behind it
	}
	return err
}

// leave gives back what enter took.
func (l *lane) leave(n need) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.giveLocked(l.fit(n))
}

// waiting returns how many wait.
func (l *lane) waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.length
}

// fit cuts n to what there is: what needs more than the whole lane runs alone.
func (l *lane) fit(n need) need {
	return need{threads: min(n.threads, l.all.threads), memory: min(n.memory, l.all.memory)}
}

func (l *lane) takeLocked(n need) bool {
	if n.threads > l.free.threads || n.memory > l.free.memory {
		return false
	}
	l.free.threads -= n.threads
	l.free.memory -= n.memory
	return true
}

func (l *lane) giveLocked(n need) {
	l.free.threads += n.threads
	l.free.memory += n.memory
	l.admitLocked()
}

// admitLocked lets in whoever's turn it is, while there is room.
func (l *lane) admitLocked() {
	for e := l.turns.Front(); e != nil; e = l.turns.Front() {
		f := e.Value.(*line)
		p := f.places.Front().Value.(*place)
		if !l.takeLocked(p.needs) {
			return
		}
		l.turns.MoveToBack(e) // before it may be removed with its last place
		l.removeLocked(p)
		close(p.ready)
	}
}
