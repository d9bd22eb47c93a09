package journal

import (
	"context"
	"errors"
	"sync"
	"time"
)

// queue holds the entries that wait for the writer. It is limited by entries and by bytes. A
// single Append above these limits is accepted when the queue is empty.
type queue struct {
	maxEntries, maxBytes int

	some   chan struct{} // signals that the queue is not empty
	urgent chan struct{} // signals that an Append waits, or that the queue is half full or closed
	enough chan struct{} // signals that the number of waiting Appends has reached wanted

	mu       sync.Mutex
	entries  []Entry
	waiters  []chan<- error // a channel for each Append with queued entries
	recorded int            // number of entries from Record
	bytes    int
	wanted   int           // number of Appends that gather waits for; 0: gather is not waiting
	taken    chan struct{} // closed when the writer takes everything
	closed   bool
}

// batch is the whole content of the queue. The writer takes it in one step.
type batch struct {
	entries  []Entry
	waiters  []chan<- error
	recorded int
	closed   bool // this is the last batch
}

func newQueue(maxEntries, maxBytes int) *queue {
	return &queue{
		maxEntries: maxEntries,
		maxBytes:   maxBytes,
		some:       make(chan struct{}, 1),
		urgent:     make(chan struct{}, 1),
		enough:     make(chan struct{}, 1),
		taken:      make(chan struct{}),
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

// append queues entries and waits while the queue is full. The returned channel receives the
// result of the write.
func (q *queue) append(ctx context.Context, entries []Entry) (done <-chan error, err error) {
	size := 0
	for i := range entries {
		size += sizeOf(&entries[i])
	}
	answer := make(chan error, 1) // buffered, so that the writer never waits for a receiver
	for {
		q.mu.Lock()
		err := q.fitsLocked(len(entries), size)
		taken := q.taken
		if err == nil {
			q.entries = append(q.entries, entries...)
			q.bytes += size
			q.waiters = append(q.waiters, answer)
		}
		enough := q.enoughLocked()
		q.mu.Unlock()

		if err == nil {
			signal(q.urgent)
			if enough {
				signal(q.enough)
			}
			return answer, nil
		}
		if errors.Is(err, ErrClosed) {
			return nil, err
		}
		select {
		case <-taken:
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

// take returns all queued entries. It reuses the slices of the given batch.
func (q *queue) take(spare batch) batch {
	q.mu.Lock()
	defer q.mu.Unlock()
	taken := batch{entries: q.entries, waiters: q.waiters, recorded: q.recorded, closed: q.closed}
	q.entries, q.waiters = spare.entries[:0], spare.waiters[:0]
	q.recorded, q.bytes = 0, 0
	close(q.taken)
	q.taken = make(chan struct{})
	return taken
}

// close makes the queue reject all later entries. Appends that still wait for space return
// ErrClosed.
func (q *queue) close() {
	q.mu.Lock()
	if !q.closed {
		q.closed = true
		close(q.taken)
		q.taken = make(chan struct{})
	}
	q.mu.Unlock()
	signal(q.urgent)
	signal(q.enough)
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.entries)
}

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default: // already signaled
	}
}

// wait returns when the queue is not empty: immediately if urgent is signaled, otherwise after the
// duration linger.
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

// A registry sends its next event as soon as the last event is acknowledged. So a short wait puts
// the next events of all registries into one commit. Without the wait, half of the registries
// would be in one commit and half in the next.
const (
	gatherFrom = 4 // number of Appends in the last batch
	gatherFor  = 500 * time.Microsecond
)

// gather is called after wait. It returns when as many Appends wait as the last batch had, or
// after gatherFor. If the last batch had few Appends, gather does not wait, because then a
// separate commit for each Append costs little.
func (q *queue) gather(last int) {
	if last < gatherFrom {
		return
	}
	q.mu.Lock()
	q.wanted = last
	wait := len(q.waiters) > 0 && !q.enoughLocked()
	q.mu.Unlock()
	if wait {
		timer := time.NewTimer(gatherFor)
		select {
		case <-q.enough:
		case <-timer.C:
		}
		timer.Stop()
	}
	q.mu.Lock()
	q.wanted = 0
	q.mu.Unlock()
	select {
	case <-q.enough: // signaled for this call
	default:
	}
}

func (q *queue) enoughLocked() bool {
	return q.closed || q.wanted > 0 && len(q.waiters) >= q.wanted || len(q.entries) >= q.maxEntries/2
}

// sizeOf estimates an entry's memory in bytes: the length of its strings, and a constant for
// the other fields. Principals and rules are not counted, because entries share them.
func sizeOf(entry *Entry) int {
	size := 160 + len(entry.Registry) + len(entry.Text)
	switch {
	case entry.Decision != nil:
		d := entry.Decision
		size += 200 + len(d.Name) + len(d.Credential) + len(d.Client) + len(d.Policy) + len(d.Refused)
		for i := range d.Results {
			asked := &d.Results[i].Asked
			size += 160 + len(asked.Type) + len(asked.Class) + len(asked.Name)
		}
		for i := range d.Ignored {
			size += 32 + len(d.Ignored[i].Text) + len(d.Ignored[i].Reason)
		}
	case entry.Event != nil:
		e := entry.Event
		size += 500 + len(e.ID) + len(e.Action) + len(e.Repository) + len(e.FromRepository) + len(e.MediaType) +
			len(e.Digest) + len(e.Tag) + len(e.URL) + len(e.Actor) +
			len(e.Request.ID) + len(e.Request.Address) + len(e.Request.Host) + len(e.Request.Method) + len(e.Request.UserAgent) +
			len(e.Source.Address) + len(e.Source.Instance)
		for i := range e.References {
			size += 40 + len(e.References[i].MediaType) + len(e.References[i].Digest)
		}
	case entry.Service != nil:
		s := entry.Service
		size += 400 + len(s.Action) + len(s.Target) + len(s.Actor) + len(s.Name) + len(s.Client) + len(s.Refused) + len(appendMap(nil, "", s.Details))
	case entry.Change != nil:
		c := entry.Change // changes are rare, so encoding them is fast enough
		size += 1000 + len(c.Actor) + len(c.Action) + len(c.Target) + len(appendMap(nil, "", c.From)) + len(appendMap(nil, "", c.To))
	}
	return size
}
