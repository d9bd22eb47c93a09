package projection

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/loglimit"
	"github.com/tidewaiter/tidewaiter/internal/store"
)

const (
	lookEvery  = 500 * time.Millisecond // between two rounds, when all entries were read
	retryEvery = 5 * time.Second        // after an error
	pruneEvery = time.Minute

	// Reading and indexing an entry takes a third of the processor time that recording the entry
	// takes. Requests must not wait for this work, so Run rests after each batch. The rest is
	// restIdle times the duration of the batch. If the journal grew by more than busy entries per
	// second, the factor is restBusy. With restIdle, Run still reads more than 5,000 entries per
	// second.
	restIdle = 2
	restBusy = 15
	busy     = 1000
)

// Run reads the journal until ctx ends. Errors are logged and retried.
func (s *Set) Run(ctx context.Context, j *journal.Journal) {
	p := pace{at: s.o.Now()}
	pruned := clock.Span{}
	for ctx.Err() == nil {
		began := s.o.Now()
		more, last, err := s.round(ctx, j)
		if err == nil && !more && pruned.Over(began) {
			pruned = clock.For(began, pruneEvery)
			err = s.Prune(ctx, j)
		}
		s.report(ctx, err)
		wait := retryEvery
		if err == nil || errors.Is(err, store.ErrBusy) {
			wait = p.restTime(s.o.Now(), s.o.Now().Sub(began), last, more)
		}
		_ = clock.Sleep(ctx, wait)
	}
}

// pace decides how long Run rests.
type pace struct {
	at   time.Time
	last journal.Position // the journal's end at that time
}

// restTime returns how long to rest after a round of the given duration. It also needs the
// end of the journal at the end of the round.
func (p *pace) restTime(now time.Time, duration time.Duration, end journal.Position, more bool) time.Duration {
	before := *p
	*p = pace{now, end}
	if !more {
		return lookEvery
	}
	grown, passed := end-before.last, now.Sub(before.at)
	if before.last > 0 && float64(grown) > busy*passed.Seconds() {
		return restBusy * duration
	}
	return restIdle * duration
}

// report logs an error, repeats the log line from time to time while the error lasts, and logs its
// end.
func (s *Set) report(ctx context.Context, err error) {
	if ctx.Err() != nil || errors.Is(err, store.ErrBusy) { // another process writes the batch
		return
	}
	now := s.o.Now()
	if err == nil {
		s.failures.Reset()
		return
	}
	if missed, ok := s.failures.Allow(now); ok {
		// The error is logged as text, because an error value would count as an outage of the
		// database.
		s.o.Log.Warn("updating the search index failed; until this works again, searches read the journal itself",
			"reason", err.Error(), loglimit.Missed, missed)
	}
}

// CatchUp reads the journal up to its current end. If progress is not nil, CatchUp calls this
// function after each batch.
func (s *Set) CatchUp(ctx context.Context, j *journal.Journal, progress func([]Status)) error {
	for {
		more, _, err := s.round(ctx, j)
		if errors.Is(err, store.ErrBusy) { // another process writes a batch
			if err := clock.Sleep(ctx, lookEvery); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		if progress != nil {
			progress(s.Status())
		}
		if !more {
			return nil
		}
	}
}

// Rebuild empties all projections, so that Run or CatchUp build them again.
func (s *Set) Rebuild(ctx context.Context) error {
	err := s.rebuild(ctx)
	s.mu.Lock()
	derived := s.derived
	s.mu.Unlock()
	if err != nil && derived != nil && derived.Damaged(err) {
		return s.remove(derived)
	}
	return err
}

func (s *Set) rebuild(ctx context.Context) error {
	derived, instance, err := s.open(ctx)
	if err != nil {
		return err
	}
	return derived.Write(ctx, func(tx *sql.Tx) error {
		for _, d := range s.definitions {
			if err := reset(ctx, tx, derived, d, instance); err != nil {
				return err
			}
		}
		return nil
	})
}

// round writes a batch of each projection. It returns whether there is work for another round, and
// the end of the journal.
func (s *Set) round(ctx context.Context, j *journal.Journal) (more bool, last journal.Position, err error) {
	last, err = j.Last(ctx)
	if err != nil {
		return false, 0, err
	}
	for _, d := range s.definitions {
		one, err := s.advance(ctx, j, d, last)
		if err != nil {
			return false, last, err
		}
		more = more || one
	}
	return more, last, nil
}

// advance writes a batch of a projection.
func (s *Set) advance(ctx context.Context, j *journal.Journal, d *Definition, last journal.Position) (more bool, err error) {
	derived, instance, err := s.open(ctx)
	var position journal.Position
	if err == nil {
		position, err = s.writeBatch(ctx, j, d, derived, instance, last)
		if err != nil {
			err = fmt.Errorf("writing %s: %w", derived, err)
		}
	}
	s.mu.Lock()
	status := s.status[d.Name]
	if err == nil {
		status.Position = position
	}
	if status.Err = err; errors.Is(err, store.ErrBusy) {
		status.Err = nil
	}
	status.Behind = int64(max(0, last-status.Position))
	s.mu.Unlock()
	if err != nil && derived != nil && derived.Damaged(err) {
		s.o.Log.Warn("the search index is damaged; building it again", "file", derived.String(), "reason", err.Error())
		if derived.PostgreSQL() {
			return true, s.rebuild(ctx)
		}
		return true, s.remove(derived)
	}
	return err == nil && s.batchEnd(d, position, last) > position, err
}

// batchEnd returns the end of the batch that follows a position.
func (s *Set) batchEnd(d *Definition, after, last journal.Position) journal.Position {
	end := min(last, after+max(journal.Position(s.o.Batch), d.Step))
	if d.Step > 0 {
		end -= (end + 1) % d.Step
	}
	return max(end, after)
}

// writeBatch writes a batch, and returns the position after it.
func (s *Set) writeBatch(ctx context.Context, j *journal.Journal, d *Definition, derived *store.Derived, instance string, last journal.Position) (position journal.Position, err error) {
	before, err := s.prepare(ctx, j, d, derived, instance, last)
	if err != nil {
		return 0, err
	}
	if s.batchEnd(d, before.position, last) == before.position {
		return before.position, nil
	}
	err = derived.Write(ctx, func(tx *sql.Tx) error {
		state, err := lockState(ctx, tx, d.Name)
		if err != nil {
			return err
		}
		if state.instance != instance || state.version != d.Version || state.position > last {
			return store.ErrBusy // another process has just begun to rebuild it
		}
		if position = s.batchEnd(d, state.position, last); position == state.position {
			return nil
		}
		var failed error
		entries := func(yield func(journal.Entry, error) bool) {
			for e, err := range read(ctx, j, state.position+1, position) {
				if err == nil {
					state.last, state.entry = e.Position, e.ID
				}
				if failed = err; !yield(e, err) || err != nil {
					return
				}
			}
		}
		if err := d.Apply(ctx, Tx{tx, instance, derived.PostgreSQL()}, entries); err != nil || failed != nil {
			return errors.Join(err, failed)
		}
		state.position = position
		return updateState(ctx, tx, d.Name, state)
	})
	return position, err
}

// prepare returns the state of a projection. It creates the tables if they are missing, and
// empties them if the projection must be rebuilt.
func (s *Set) prepare(ctx context.Context, j *journal.Journal, d *Definition, derived *store.Derived, instance string, last journal.Position) (state, error) {
	found, err := readState(ctx, derived, d.Name)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return state{}, err
	}
	reason := ""
	switch {
	case err != nil: // the projection is new
	case found.instance != instance:
		reason = "it was built from another database"
	case found.version > d.Version && derived.PostgreSQL():
		return state{}, errors.New("a replica with a newer version built the search index; after all such replicas are stopped, run tidewaiter journal reindex")
	case found.version != d.Version:
		reason = "it was built by another version"
	default:
		holds, err := j.Holds(ctx, found.last, found.entry)
		if err != nil {
			return state{}, err
		}
		if holds && found.position <= last {
			return found, nil
		}
		reason = "it has entries that the journal no longer has"
	}
	if reason != "" {
		s.o.Log.Info("building the search index again", "reason", reason)
	}
	err = derived.Write(ctx, func(tx *sql.Tx) error { return reset(ctx, tx, derived, d, instance) })
	return state{version: d.Version, instance: instance}, err
}

// read returns the entries between two positions.
func read(ctx context.Context, j *journal.Journal, from, to journal.Position) iter.Seq2[journal.Entry, error] {
	return func(yield func(journal.Entry, error) bool) {
		for e, err := range j.Read(ctx, from-1) {
			if err == nil && e.Position > to || !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// Prune calls Definition.Prune of each projection once. Run calls it when all entries were
// read.
func (s *Set) Prune(ctx context.Context, j *journal.Journal) error {
	derived, instance, err := s.open(ctx)
	if err != nil {
		return err
	}
	removed, err := j.Removed(ctx)
	if err != nil {
		return err
	}
	for _, d := range s.definitions {
		if d.Prune == nil || len(removed) == 0 {
			continue
		}
		err := derived.Write(ctx, func(tx *sql.Tx) error {
			state, err := lockState(ctx, tx, d.Name)
			if err != nil || state.instance != instance || state.version != d.Version {
				return err
			}
			known := slices.Clone(removed)
			for i := range known {
				known[i] = min(known[i], state.position)
			}
			return d.Prune(ctx, Tx{tx, instance, derived.PostgreSQL()}, known, func(from, to journal.Position) iter.Seq2[journal.Entry, error] {
				return restingEntries(ctx, s.o.Now, s.o.Batch, read(ctx, j, from, to))
			})
		})
		if err != nil {
			return fmt.Errorf("pruning %s: %w", derived, err)
		}
	}
	return nil
}

// restingEntries returns the same entries, but rests after each batch, as Run does.
func restingEntries(ctx context.Context, now func() time.Time, batch int, entries iter.Seq2[journal.Entry, error]) iter.Seq2[journal.Entry, error] {
	return func(yield func(journal.Entry, error) bool) {
		n, began := 0, now()
		for e, err := range entries {
			if !yield(e, err) {
				return
			}
			if n++; n%batch == 0 {
				if clock.Sleep(ctx, restIdle*now().Sub(began)) != nil {
					return // Apply notices the end of ctx
				}
				began = now()
			}
		}
	}
}
