package journal

import (
	"context"
	"errors"
	"sync"
	"time"
)

// queue holds what the writer has not taken yet. It is bounded by entries and by bytes; a single
// Append that exceeds them by itself is let in when the queue is empty.
type queue struct {
	maxEntries, maxBytes int

	some   chan struct{} // holds a signal when there is something to take
	urgent chan struct{} // holds a signal when somebody waits for it, or it is half full, or it was closed

	mu       sync.Mutex
	entries  []Entry
	waiters  []chan<- error // of all the Appends in entries
	recorded int            // how many of entries came by Record
	bytes    int
	room     chan struct{} // closed when the writer takes everything
	closed   bool
}

// batch is what the writer takes: everything that was queued.
type batch struct {
	entries  []Entry
	waiters  []chan<- error
	recorded int
	closed   bool // nothing comes after it
}

func newQueue(maxEntries, maxBytes int) *queue {
	return &queue{
		maxEntries: maxEntries,
		maxBytes:   maxBytes,
		some:       make(chan struct{}, 1),
		urgent:     make(chan struct{}, 1),
		room:       make(chan struct{}),
	}
}

// record adds an entry, or returns ErrFull or ErrClosed.
func (q *queue) record(entry *Entry) error {
	size := sizeOf(entry)
	q.mu.Lock()
	if err := q.fitsLocked(1, size); err != nil {
		q.mu.Unlock()
		return err
	}
	q.entries = append(q.entries, *entry)
	q.bytes += size
	q.recorded++
	n, bytes := len(q.entries), q.bytes
	q.mu.Unlock()

	if n == 1 {
		signal(q.some)
	}
	if n == q.maxEntries/2 || bytes > q.maxBytes/2 {
		signal(q.urgent)
	}
	return nil
}

// append adds entries, waiting for room. What becomes of them is sent on done.
func (q *queue) append(ctx context.Context, entries []Entry) (done <-chan error, err error) {
	size := 0
	for i := range entries {
		size += sizeOf(&entries[i])
	}
	answer := make(chan error, 1) // the writer never waits for a reader
	for {
		q.mu.Lock()
		err := q.fitsLocked(len(entries), size)
		room := q.room
		if err == nil {
			q.entries = append(q.entries, entries...)
			q.bytes += size
			q.waiters = append(q.waiters, answer)
		}
		q.mu.Unlock()

		if err == nil {
			signal(q.urgent)
			return answer, nil
		}
		if errors.Is(err, ErrClosed) {
			return nil, err
		}
		select {
		case <-room:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (q *queue) fitsLocked(entries, bytes int) error {
	switch {
	case q.closed:
		return ErrClosed
	case len(q.entries) > 0 && (len(q.entries)+entries > q.maxEntries || q.bytes+bytes > q.maxBytes):
		return ErrFull
	}
	return nil
}

// take returns everything that is queued. spare holds slices to use again, or nothing.
func (q *queue) take(spare batch) batch {
	q.mu.Lock()
	defer q.mu.Unlock()
	taken := batch{entries: q.entries, waiters: q.waiters, recorded: q.recorded, closed: q.closed}
	q.entries, q.waiters = spare.entries[:0], spare.waiters[:0]
	q.recorded, q.bytes = 0, 0
	close(q.room)
	q.room = make(chan struct{})
	return taken
}

// close lets nothing more in. Those who wait for room find out.
func (q *queue) close() {
	q.mu.Lock()
	if !q.closed {
		q.closed = true
		close(q.room)
		q.room = make(chan struct{})
	}
	q.mu.Unlock()
	signal(q.urgent)
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.entries)
}

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default: // one is there already
	}
}

// wait returns when there is something to take: after linger, unless it is urgent.
func (q *queue) wait(linger time.Duration) {
	select {
	case <-q.urgent:
		return
	case <-q.some:
	}
	if linger <= 0 {
		return
	}
	timer := time.NewTimer(linger)
	defer timer.Stop()
	select {
	case <-q.urgent:
	case <-timer.C:
	}
}

// sizeOf estimates what an entry holds in memory, in bytes: what its strings hold, and something for the rest. Principals and rules
// are shared with others, and not counted.
func sizeOf(entry *Entry) int {
	size := 160 + len(entry.Text)
	switch {
	case entry.Decision != nil:
		d := entry.Decision
		size += 200 + len(d.Name) + len(d.Client) + len(d.Refused)
		for i := range d.Results {
			size += 160 + len(d.Results[i].Asked.Name)
		}
		for i := range d.Ignored {
			size += 32 + len(d.Ignored[i].Text) + len(d.Ignored[i].Reason)
		}
	case entry.Event != nil:
		e := entry.Event
		size += 500 + len(e.URL) + len(e.Request.UserAgent)
		for i := range e.References {
			size += 40 + len(e.References[i].MediaType) + len(e.References[i].Digest)
		}
	case entry.Change != nil:
		size += 1000 // made by people, one at a time
	}
	return size
}
