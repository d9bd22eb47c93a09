package delivery

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/loglimit"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

const (
	// idle is how long a worker without work waits, if nothing wakes it.
	idle = time.Hour
	// readAgain is the wait after the journal could not be read.
	readAgain = 5 * time.Second
	// maxLogged is the number of attempts that are stored for a webhook.
	maxLogged = 100
)

// worker delivers the entries of one webhook.
type worker struct {
	*Webhook
	d         *Delivery
	filter    *matcher
	transport http.RoundTripper
	file      *lineFile      // nil: the entries are sent to the URL
	wake      chan struct{}  // has a value when there can be work
	failed    loglimit.Limit // limits log lines about failures

	mu       sync.Mutex // guards the fields below
	loaded   bool       // the state was read from the database
	loads    int64      // how often the state had to be read
	changed  bool       // the state is not written yet
	state    state
	attempts []Attempt // attempts that are not written yet, fewer than 2*maxLogged
	number   int64     // number of the newest attempt
}

func newWorker(d *Delivery, hook *Webhook) (*worker, error) {
	w := &worker{
		Webhook: hook, d: d, filter: newMatcher(hook.Filter), wake: make(chan struct{}, 1),
		failed: loglimit.Limit{Period: 10 * time.Minute},
	}
	if hook.File != nil {
		w.file = &lineFile{File: *hook.File}
		return w, nil
	}
	if d.o.Transport != nil {
		w.transport = d.o.Transport(hook)
		return w, nil
	}
	var err error
	if w.transport, err = newTransport(hook); err != nil {
		return nil, fmt.Errorf("webhook %s: %w", hook.Name, err)
	}
	return w, nil
}

// run delivers entries until ctx ends.
func (w *worker) run(ctx context.Context) {
	for ctx.Err() == nil {
		wait := w.step(ctx)
		if wait <= 0 {
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-w.wake:
		}
		timer.Stop()
	}
	if w.file != nil {
		_ = w.file.close() // after an error, save does not store the position
	}
	w.closeIdle()
}

func (w *worker) closeIdle() {
	if t, ok := w.transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// notify wakes the worker.
func (w *worker) notify() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// snapshot returns a copy of the state.
func (w *worker) snapshot() state {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state.clone()
}

// update changes the state of the worker. s is an earlier copy of this state. If an administrator
// has changed the webhook since the copy was made, or the state was read from the database again,
// update does nothing and returns false, because the caller has read entries after another
// position.
func (w *worker) update(s *state, change func(*state)) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state.Revision != s.Revision || w.state.load != s.load {
		return false
	}
	change(&w.state)
	w.changed = true
	return true
}

// step reads one batch of entries and sends it. It returns how long to wait before the next step.
func (w *worker) step(ctx context.Context) (wait time.Duration) {
	w.mu.Lock()
	loaded := w.loaded
	w.mu.Unlock()
	s, now := w.snapshot(), w.d.o.Now()
	switch {
	case !loaded || s.Off != "":
		return idle
	case s.Next.After(now):
		return s.Next.Sub(now)
	}
	// If the endpoint accepted nothing lately, a new entry is sent first, because the endpoint may
	// refuse only the entries of the backlogs.
	if s.Failures >= deadAfter && len(s.Backlogs) < maxBacklogs {
		if wait = w.advance(ctx, s); wait != idle {
			return wait
		}
		s = w.snapshot()
	}
	wait = idle
	if l := s.nextBacklog(); l != nil {
		if wait = l.Next.Sub(now); wait <= 0 {
			return w.retry(ctx, s, *l)
		}
	}
	if len(s.Backlogs) < maxBacklogs {
		wait = min(wait, w.advance(ctx, s))
	}
	return wait
}

// advance sends a batch of the entries after the position of the webhook. It leaves the entries of
// waiting repositories to the backlogs.
func (w *worker) advance(ctx context.Context, s state) (wait time.Duration) {
	b, err := w.read(ctx, s.Position, 0, func(e *journal.Entry) bool { return s.backlog(orderKey(e)) == nil })
	if err != nil {
		return w.reportRead(ctx, err)
	}
	backlogs := len(s.Backlogs)
	for i := range b.entries {
		e := &b.entries[i]
		key := orderKey(e)
		if s.backlog(key) != nil { // another entry of this batch was not accepted
			continue
		}
		recorded := w.deliver(ctx, &s, e, key, 1, func(s *state) { s.Position = e.Position })
		if !recorded || s.Next.After(w.d.o.Now()) || s.Off != "" || len(s.Backlogs) >= maxBacklogs {
			return 0
		}
	}
	w.update(&s, func(s *state) { s.Position = max(s.Position, b.scanned) })
	if b.more || len(s.Backlogs) > backlogs {
		return 0
	}
	return idle
}

// retry sends a batch of the entries of a backlog. It removes the backlog when no entry of the
// backlog waits.
func (w *worker) retry(ctx context.Context, s state, l backlog) (wait time.Duration) {
	b, err := w.read(ctx, l.Position-1, s.Position, func(e *journal.Entry) bool { return orderKey(e) == l.Key })
	if err != nil {
		return w.reportRead(ctx, err)
	}
	for i := range b.entries {
		e := &b.entries[i]
		if e.Position != l.Position {
			l.Failures = 0
		}
		if l.Failures > 0 && s.Failures == 0 && w.d.o.Now().Sub(l.Failing) >= giveUp {
			if !w.skip(ctx, &s, e, l) {
				return 0
			}
			continue
		}
		accepted := false
		delivered := func(s *state) {
			accepted = true
			*s.backlog(l.Key) = backlog{Key: l.Key, Position: e.Position + 1, Next: w.d.o.Now()}
		}
		if !w.deliver(ctx, &s, e, l.Key, l.Failures+1, delivered) || !accepted {
			return 0
		}
	}
	w.update(&s, func(s *state) {
		if b.more {
			*s.backlog(l.Key) = backlog{Key: l.Key, Position: b.scanned + 1, Next: w.d.o.Now()}
		} else {
			s.removeBacklog(l.Key)
		}
	})
	return 0
}

// deliver sends an entry and records the result in the state of the webhook. It sets *s to a copy
// of this state. If the entry was accepted, deliver calls the function delivered with the state.
// It returns false if the result was not recorded, because ctx ended or an administrator changed
// the webhook.
func (w *worker) deliver(ctx context.Context, s *state, e *journal.Entry, key string, attempt int64, delivered func(*state)) bool {
	began := w.d.o.Now()
	r := w.sendEntry(ctx, e)
	if ctx.Err() != nil {
		return false
	}
	now := w.d.o.Now()
	w.log(Attempt{Time: began, Position: e.Position, Entry: e.ID, Number: attempt, Status: r.status, Problem: r.problem, Duration: now.Sub(began)})
	off := ""
	recorded := w.update(s, func(s *state) {
		if r.problem == "" {
			s.succeed(now)
			delivered(s)
			return
		}
		s.fail(key, e.Position, r, now, w.d.o.Jitter())
		s.Position = max(s.Position, e.Position)
		off = s.Off
	})
	before := s.Failures
	*s = w.snapshot()
	w.reportSent(ctx, e, r, before, s)
	if off != "" && recorded {
		w.record(ctx, journal.Service{Action: "webhook.off", Target: w.Name, Details: map[string]any{"reason": off, "problem": r.problem}})
	}
	return recorded
}

// sendEntry sends an entry to the endpoint, or writes it to the file.
func (w *worker) sendEntry(ctx context.Context, e *journal.Entry) result {
	var body []byte
	var err error
	if w.file != nil {
		body, err = encode(e)
	} else {
		body, err = message(e, w.d.o.Source)
	}
	switch {
	case err != nil:
		return result{problem: "the entry cannot be written as JSON"}
	case w.file == nil:
		return w.send(ctx, e.ID.String(), body)
	}
	if err := w.file.write(body); err != nil {
		return result{problem: text.Shorten(text.Escape(err.Error()), maxProblem)}
	}
	return result{}
}

// skip gives up the first entry of a backlog.
func (w *worker) skip(ctx context.Context, s *state, e *journal.Entry, l backlog) bool {
	w.record(ctx, journal.Service{Action: "webhook.skip", Target: w.Name, Details: map[string]any{
		"entry": e.ID.String(), "position": int64(e.Position), "failures": l.Failures,
	}})
	recorded := w.update(s, func(s *state) {
		*s.backlog(l.Key) = backlog{Key: l.Key, Position: e.Position + 1, Next: w.d.o.Now()}
	})
	*s = w.snapshot()
	return recorded
}

// record writes an entry about the webhook to the journal.
func (w *worker) record(ctx context.Context, service journal.Service) {
	w.d.o.Log.Warn("webhook: "+service.Action, "webhook", w.Name, "details", service.Details)
	if err := w.d.journal.Append(ctx, journal.Entry{Service: &service}); err != nil && ctx.Err() == nil {
		w.d.o.Log.Warn("an entry about a webhook was not recorded", "webhook", w.Name, "error", err)
	}
}
