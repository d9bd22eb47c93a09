package projection

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/loglimit"
	"github.com/tidewaiter/tidewaiter/internal/store"
)

const (
	lookEvery  = 500 * time.Millisecond // time between two rounds if all entries were read
	retryEvery = 5 * time.Second        // time between two rounds after an error
	pruneEvery = time.Minute

	// Reading an entry from the journal and indexing it takes more processor time than recording
	// it. Requests must not wait for this work, so Run rests after each batch. The rest is
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
	limits := make([]loglimit.Limit, len(s.definitions))
	for i := range limits {
		limits[i].Period = time.Minute
	}
	for ctx.Err() == nil {
		began := s.o.Now()
		more, last, errs := s.round(ctx, j)
		if !more && pruned.Over(began) {
			pruned = clock.For(began, pruneEvery)
			s.prune(ctx, j, errs)
		}
		failed := false
		for i, d := range s.definitions {
			failed = s.report(ctx, d, errs[i], &limits[i]) || failed
		}
		wait := p.restTime(s.o.Now(), s.o.Now().Sub(began), last, more)
		if failed && !more { // the projections without an error have read all entries
			wait = retryEvery
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

// report logs an error of a projection, and repeats the log line from time to time while the error
// lasts. It returns false if there is no error, or if another process writes the batch.
func (s *Set) report(ctx context.Context, d *Definition, err error, limit *loglimit.Limit) bool {
	if ctx.Err() != nil || errors.Is(err, store.ErrBusy) {
		return false
	}
	if err == nil {
		limit.Reset()
		return false
	}
	if missed, ok := limit.Allow(s.o.Now()); ok {
		// The error is logged as text, because an error value would count as an outage of the
		// database.
		s.o.Log.Warn(fmt.Sprintf("updating the %s failed; until this works again, %s", d.Title, d.Lag),
			"reason", err.Error(), loglimit.Missed, missed)
	}
	return true
}

// firstError returns the first of the errors of the projections. It returns store.ErrBusy only if
// there is no other error.
func firstError(errs []error) (first error) {
	for _, err := range errs {
		if first == nil || err != nil && errors.Is(first, store.ErrBusy) {
			first = err
		}
	}
	return first
}

// CatchUp reads the journal up to its current end. If progress is not nil, CatchUp calls this
// function after each batch. If a projection fails, CatchUp completes the others first.
func (s *Set) CatchUp(ctx context.Context, j *journal.Journal, progress func([]Status)) error {
	for {
		more, _, errs := s.round(ctx, j)
		err := firstError(errs)
		if errors.Is(err, store.ErrBusy) { // another process writes a batch
			if err := clock.Sleep(ctx, lookEvery); err != nil {
				return err
			}
			continue
		}
		if err == nil && progress != nil {
			progress(s.Status())
		}
		if !more {
			return err
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

// round writes a batch of each projection. It returns whether there is work for another round, the
// end of the journal, and the error of each projection.
func (s *Set) round(ctx context.Context, j *journal.Journal) (more bool, last journal.Position, errs []error) {
	last, err := j.Last(ctx)
	if err != nil {
		return false, 0, slices.Repeat([]error{err}, len(s.definitions))
	}
	for i := range s.definitions {
		one, err := s.advance(ctx, j, i, last)
		more, errs = more || one, append(errs, err)
	}
	return more, last, errs
}

// Prune calls Definition.Prune of each projection once. It returns the first error.
func (s *Set) Prune(ctx context.Context, j *journal.Journal) error {
	errs := make([]error, len(s.definitions))
	s.prune(ctx, j, errs)
	return firstError(errs)
}

// prune prunes each projection that has no error yet.
func (s *Set) prune(ctx context.Context, j *journal.Journal, errs []error) {
	for i, d := range s.definitions {
		if errs[i] != nil || d.Prune == nil {
			continue
		}
		t, err := s.target(ctx, j, d)
		if err == nil {
			err = t.prune(ctx)
		}
		if err != nil {
			errs[i] = fmt.Errorf("pruning the %s: %w", d.Title, err)
		}
	}
}
