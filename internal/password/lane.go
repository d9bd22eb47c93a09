package password

import (
	"container/list"
	"context"
	"sync"
	"time"
)

// need is what a hash takes while it is computed.
type need struct {
	threads int
	memory  int64 // bytes
}

// lane is where hashes are computed: bounded in threads and memory, first come, first served, with a
// bounded queue before it. A big hash at the head of the queue is not overtaken by small ones.
type lane struct {
	all   need
	limit int           // of the queue
	wait  time.Duration // in the queue

	mu    sync.Mutex
	free  need
	queue list.List // of *place
}

// place is a place in the queue. Whoever takes it out of the queue to let it in closes ready.
type place struct {
	needs need
	ready chan struct{}
}

func newLane(all need, limit int, wait time.Duration) *lane {
	return &lane{all: all, free: all, limit: limit, wait: wait}
}

// enter returns when there is room, with ErrBusy if there is none in time, or with the error of ctx.
// A nil error obliges to leave with the same needs.
func (l *lane) enter(ctx context.Context, n need) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	n = l.fit(n)
	l.mu.Lock()
	if l.queue.Len() == 0 && l.takeLocked(n) {
		l.mu.Unlock()
		return nil
	}
	if l.queue.Len() >= l.limit {
		l.mu.Unlock()
		return ErrBusy
	}
	p := &place{needs: n, ready: make(chan struct{})}
	e := l.queue.PushBack(p)
	l.mu.Unlock()

	timer := time.NewTimer(l.wait)
	defer timer.Stop()
	select {
	case <-p.ready:
		return nil
	case <-timer.C:
		return l.giveUp(e, p, ErrBusy)
	case <-ctx.Done():
		return l.giveUp(e, p, ctx.Err())
	}
}

// giveUp leaves the queue with err. A place that was let in at that very moment is given back.
func (l *lane) giveUp(e *list.Element, p *place, err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-p.ready:
		l.giveLocked(p.needs)
	default:
		l.queue.Remove(e)
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
	return l.queue.Len()
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

// admitLocked lets in from the head of the queue whoever there is room for.
func (l *lane) admitLocked() {
	for e := l.queue.Front(); e != nil; e = l.queue.Front() {
		p := e.Value.(*place)
		if !l.takeLocked(p.needs) {
			return
		}
		l.queue.Remove(e)
		close(p.ready)
	}
}
