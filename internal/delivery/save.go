package delivery

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store"
)

// maintain reads changes by administrators, wakes the workers, writes their states and renews the
// lease. It returns false if delivery must stop, because ctx ended or the lease is lost.
func (d *Delivery) maintain(ctx context.Context, l *lease) bool {
	err := d.load(ctx)
	if err == nil && l.saved.Over(d.o.Now()) {
		err = d.save(ctx, l)
	}
	if ctx.Err() != nil || errors.Is(err, errLost) || l.renewed.Over(d.o.Now()) {
		return false
	}
	if err != nil {
		return true // the next call retries; package app logs an outage
	}
	d.wakeAll(ctx)
	return true
}

// wakeAll wakes the workers that have entries to read.
func (d *Delivery) wakeAll(ctx context.Context) {
	last, err := d.journal.Last(ctx)
	if err != nil {
		return
	}
	for _, w := range d.workers {
		w.mu.Lock()
		behind := w.loaded && w.state.Position < last
		w.mu.Unlock()
		if behind {
			w.notify()
		}
	}
}

// Begin stores the position of new webhooks: the end of the journal. So a new webhook gets all
// entries that are written after Begin has returned. If Begin fails, Run does this later.
func (d *Delivery) Begin(ctx context.Context) error {
	if len(d.workers) == 0 {
		return nil
	}
	revisions, err := d.revisions(ctx)
	if err != nil {
		return err
	}
	for _, w := range d.workers {
		if _, exists := revisions[w.Name]; !exists {
			if err := w.create(ctx); err != nil {
				return fmt.Errorf("storing the position of the new webhook %s: %w", w.Name, err)
			}
		}
	}
	return nil
}

// revisions returns the revision of each webhook that has a state in the database.
func (d *Delivery) revisions(ctx context.Context) (map[string]int64, error) {
	revisions := make(map[string]int64)
	_, err := store.Collect(ctx, d.db.Read(), func(r store.Row) (struct{}, error) {
		var name string
		var revision int64
		err := r.Scan(&name, &revision)
		revisions[name] = revision
		return struct{}{}, err
	}, selectChanges)
	if err != nil {
		return nil, d.db.Explain(err)
	}
	return revisions, nil
}

// load reads the states that administrators have changed. In its first call, it reads all states.
func (d *Delivery) load(ctx context.Context) error {
	revisions, err := d.revisions(ctx)
	if err != nil {
		return err
	}
	for _, w := range d.workers {
		revision, exists := revisions[w.Name]
		w.mu.Lock()
		current := w.loaded && exists && revision == w.state.Revision
		w.mu.Unlock()
		if current {
			continue
		}
		if err := w.load(ctx, exists); err != nil {
			return fmt.Errorf("reading the state of webhook %s: %w", w.Name, err)
		}
	}
	return nil
}

// load reads the state of a webhook, and creates it if it does not exist.
func (w *worker) load(ctx context.Context, exists bool) error {
	if !exists {
		if err := w.create(ctx); err != nil {
			return err
		}
	}
	s, resend, err := readState(ctx, w.d.db.Read(), w.Name)
	if err != nil {
		return err
	}
	var number int64
	if err := w.d.db.Read().QueryRowContext(ctx, selectNumber, w.Name).Scan(&number); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	changed := w.loaded && s.Revision != w.state.Revision
	if changed { // an administrator changed Off; all other fields in memory are newer
		off, revision := s.Off, s.Revision
		s = w.state.clone()
		s.Off, s.Revision = off, revision
	}
	s.load = w.loads
	s.rewind(resend)
	if changed && s.Off == "" {
		s.retryNow(w.d.o.Now())
	}
	w.state, w.loaded, w.number = s, true, max(w.number, number)
	w.changed = w.changed || changed || resend >= 0
	w.notify()
	return nil
}

// create stores the state of a new webhook. The webhook begins at the end of the journal.
func (w *worker) create(ctx context.Context) error {
	last, err := w.d.journal.Last(ctx)
	if err != nil {
		return err
	}
	return w.d.db.Write(ctx, "", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, insertState, w.Name, last)
		return err
	})
}

// forget makes the next load read the whole state, because the one in memory is wrong: another
// process may have changed it, or what it describes is not on disk.
func (w *worker) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.loaded, w.changed, w.attempts = false, false, nil
	w.loads++
}

// unsaved has the data of a webhook that is not in the database yet.
type unsaved struct {
	*worker
	state    state
	attempts []Attempt
}

// save writes the changed states and attempts, and renews the lease, in one transaction.
func (d *Delivery) save(ctx context.Context, l *lease) error {
	now := d.o.Now()
	var changes []unsaved
	for _, w := range d.workers {
		w.mu.Lock()
		if w.loaded && w.changed {
			changes = append(changes, unsaved{w, w.state.clone(), lastAttempts(w.attempts)})
			w.changed, w.attempts = false, nil
		}
		w.mu.Unlock()
	}
	changes = slices.DeleteFunc(changes, func(c unsaved) bool {
		if c.file == nil || c.file.sync() == nil {
			return false
		}
		c.forget() // the lines after the stored position may be lost, so they are written again
		return true
	})
	if len(changes) == 0 && l.rest.Holds(now) {
		return nil
	}
	err := d.db.Write(ctx, "", func(tx *sql.Tx) error {
		if err := l.renew(ctx, tx); err != nil {
			return err
		}
		for _, c := range changes {
			if err := c.write(ctx, tx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		for _, c := range changes {
			c.putBack()
		}
		return err
	}
	l.beat++
	l.renewed, l.rest, l.saved = clock.For(now, lostAfter), clock.For(now, beatEvery), clock.For(now, saveEvery)
	return nil
}

// lastAttempts returns the newest attempts of a list in order. Only these are stored.
func lastAttempts(list []Attempt) []Attempt { return list[max(0, len(list)-maxLogged):] }

// putBack makes the next save write the change.
func (c *unsaved) putBack() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changed = true
	c.worker.attempts = lastAttempts(append(c.attempts, c.worker.attempts...))
}

func (c *unsaved) write(ctx context.Context, tx *sql.Tx) error {
	waiting, err := json.Marshal(c.state.Backlogs)
	if err != nil {
		return err
	}
	s := &c.state
	// If an administrator has just changed the webhook, nothing is written, and the next load
	// combines both changes.
	if _, err := tx.ExecContext(ctx, updateState, c.Name, s.Revision, s.Off, s.Position, s.Failures,
		store.Millis(s.Failing), store.Millis(s.Next), string(waiting)); err != nil {
		return err
	}
	for _, a := range c.attempts {
		if _, err := tx.ExecContext(ctx, insertAttempt, c.Name, a.number, store.Millis(a.Time), a.Position, a.Entry.String(),
			a.Number, a.Status, a.Problem, a.Duration.Milliseconds()); err != nil {
			return err
		}
	}
	if n := len(c.attempts); n > 0 {
		_, err = tx.ExecContext(ctx, deleteAttempts, c.Name, c.attempts[n-1].number-maxLogged)
	}
	return err
}

// readState returns the state of a webhook, and the position after which to send all entries
// again, or -1.
func readState(ctx context.Context, q store.Querier, name string) (s state, resend journal.Position, err error) {
	var failing, next int64
	var waiting string
	err = q.QueryRowContext(ctx, selectState, name).Scan(&s.Revision, &resend, &s.Off, &s.Position, &s.Failures, &failing, &next, &waiting)
	if err != nil {
		return state{}, -1, err
	}
	s.Failing, s.Next = store.Time(failing), store.Time(next)
	err = json.Unmarshal([]byte(waiting), &s.Backlogs)
	return s, resend, err
}
