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
	"github.com/tidewaiter/tidewaiter/internal/store"
)

// target is a projection that reads a journal.
type target struct {
	*Definition
	set      *Set
	journal  *journal.Journal
	derived  *store.Derived
	instance string
}

func (s *Set) target(ctx context.Context, j *journal.Journal, d *Definition) (*target, error) {
	derived, instance, err := s.open(ctx)
	return &target{d, s, j, derived, instance}, err
}

// advance writes a batch of a projection. The last entry of the journal is at the position newest.
func (s *Set) advance(ctx context.Context, j *journal.Journal, i int, newest journal.Position) (more bool, err error) {
	t, err := s.target(ctx, j, s.definitions[i])
	var position journal.Position
	if err == nil {
		position, err = t.writeBatch(ctx, newest)
		if err != nil {
			err = fmt.Errorf("writing %s: %w", t.derived, err)
		}
	}
	s.mu.Lock()
	status := &s.status[i]
	if err == nil {
		status.Position = position
	}
	if status.Err = err; errors.Is(err, store.ErrBusy) {
		status.Err = nil
	}
	status.Behind = int64(max(0, newest-status.Position))
	s.mu.Unlock()
	if err != nil && t.derived != nil && t.derived.Damaged(err) {
		s.o.Log.Warn("derived data is damaged; building it again", "file", t.derived.String(), "reason", err.Error())
		if t.derived.PostgreSQL() {
			err = s.rebuild(ctx)
		} else {
			err = s.remove(t.derived)
		}
		return err == nil, err
	}
	return err == nil && t.batchEnd(position, newest) > position, err
}

// batchEnd returns the end of the batch that follows a position.
func (t *target) batchEnd(after, last journal.Position) journal.Position {
	end := min(last, after+max(journal.Position(t.set.o.Batch), t.Step))
	if t.Step > 0 {
		end -= (end + 1) % t.Step
	}
	return max(end, after)
}

// writeBatch writes a batch, and returns the position after it.
func (t *target) writeBatch(ctx context.Context, last journal.Position) (position journal.Position, err error) {
	before, err := t.prepare(ctx, last)
	if err != nil {
		return 0, err
	}
	if t.batchEnd(before.position, last) == before.position {
		return before.position, nil
	}
	err = t.derived.Write(ctx, func(tx *sql.Tx) error {
		state, err := lockState(ctx, tx, t.Name)
		if err != nil {
			return err
		}
		if !t.isCurrent(&state) || state.position > last {
			return store.ErrBusy // another process has just begun to rebuild it
		}
		if position = t.batchEnd(state.position, last); position == state.position {
			return nil
		}
		done, err := t.applyTail(ctx, t.tx(tx), &state)
		if err != nil {
			return err
		}
		if done {
			position = state.position
			return updateState(ctx, tx, t.Name, state)
		}
		var failed error
		entries := func(yield func(journal.Entry, error) bool) {
			for e, err := range t.read(ctx, state.position+1, position, &state) {
				if failed = err; !yield(e, err) || err != nil {
					return
				}
			}
		}
		if err := t.Apply(ctx, t.tx(tx), entries); err != nil || failed != nil {
			return errors.Join(err, failed)
		}
		state.position = position
		return updateState(ctx, tx, t.Name, state)
	})
	return position, err
}

// isCurrent reports whether this version built a projection from this database.
func (t *target) isCurrent(s *state) bool { return s.instance == t.instance && s.version == t.Version }

func (t *target) tx(tx *sql.Tx) Tx { return Tx{tx, t.instance, t.derived.PostgreSQL()} }

// prepare returns the state of the projection. It creates the tables if they are missing, and
// empties them if the projection must be rebuilt.
func (t *target) prepare(ctx context.Context, last journal.Position) (state, error) {
	found, err := readState(ctx, t.derived, t.Name)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return state{}, err
	}
	reason := ""
	switch {
	case err != nil: // the projection is new
	case found.instance != t.instance:
		reason = "it was built from another database"
	case found.version > t.Version && t.derived.PostgreSQL():
		return state{}, fmt.Errorf("a replica with a newer version built the %s; after all such replicas are stopped, run tidewaiter journal reindex", t.Title)
	case found.version != t.Version:
		reason = "it was built by another version"
	default:
		holds, err := t.journal.Holds(ctx, found.last, found.entry)
		if err != nil {
			return state{}, err
		}
		if found.position > last { // another replica can have read more entries since
			if last, err = t.journal.Last(ctx); err != nil {
				return state{}, err
			}
		}
		if holds && found.position <= last {
			return found, nil
		}
		reason = "it has entries that the journal no longer has"
	}
	if reason != "" {
		t.set.o.Log.Info("building the "+t.Title+" again", "reason", reason)
	}
	err = t.derived.Write(ctx, func(tx *sql.Tx) error { return reset(ctx, tx, t.derived, t.Definition, t.instance) })
	return state{version: t.Version, instance: t.instance}, err
}

// read returns the entries between two positions that Definition.Kinds selects. It also records in
// s the last entry that it has read, even if Kinds does not select this entry.
func (t *target) read(ctx context.Context, from, to journal.Position, s *state) iter.Seq2[journal.Entry, error] {
	return func(yield func(journal.Entry, error) bool) {
		for e, err := range t.journal.ReadKinds(ctx, from-1, t.Kinds...) {
			if err == nil {
				if e.Position > to {
					return
				}
				s.last, s.entry = e.Position, e.ID
				if len(t.Kinds) > 0 && !slices.Contains(t.Kinds, e.Kind()) {
					continue
				}
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// prune calls Definition.Prune.
func (t *target) prune(ctx context.Context) error {
	removed, err := t.journal.Removed(ctx)
	if err != nil || len(removed) == 0 {
		return err
	}
	return t.derived.Write(ctx, func(tx *sql.Tx) error {
		state, err := lockState(ctx, tx, t.Name)
		if err != nil || !t.isCurrent(&state) {
			return err
		}
		for i := range removed {
			removed[i] = min(removed[i], state.position)
		}
		return t.Prune(ctx, t.tx(tx), removed, func(from, to journal.Position) iter.Seq2[journal.Entry, error] {
			return restingEntries(ctx, t.set.o.Now, t.set.o.Batch, t.read(ctx, from, to, &state))
		})
	})
}

// restingEntries returns a sequence of the given entries that rests after each batch, as Run does.
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
