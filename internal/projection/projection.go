// Package projection maintains data that is derived from the journal and can be rebuilt from it.
//
// A Definition describes which tables a projection has and how journal entries are written to
// them. A Set reads the journal in order, in one goroutine, and writes batches of entries. Each
// batch is written in one transaction, together with the position up to which the projection has
// read. So after any crash, a projection has the same content as after a rebuild. This code
// maintains two projections:
//
//	set := projection.New(db, projection.Options{Log: log}, search.Definition, catalog.Definition)
//	defer set.Close()
//	go set.Run(ctx, journal)
//
// The journal's Options.Observe should be set.Observe. Then most entries of this process need not
// be read from the journal again (see Collector).
//
// Readers use a View, which is a snapshot of one projection. Entries after the view's position are
// only in the journal, so a reader searches them in the journal.
//
// The tables are in the derived database (store.Derived), which is not part of backups. A
// projection is rebuilt if it has another version, or if it was derived from another database. It
// is also rebuilt if the journal no longer has the last entry that the projection read, because a
// backup was restored. A damaged file is deleted. Errors do not affect the journal's writers or
// other projections. After an error, the projection lags behind; the error is logged, and the
// batch is retried.
//
// Replicas that share a PostgreSQL database share its projections. The replica that begins a batch
// first writes it. The other replicas wait for the next batch.
package projection

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store"
)

// Definition describes a projection: its tables, and how entries are written to them.
type Definition struct {
	Name    string
	Version int // increment it when the tables change, or when Apply writes other rows

	// Messages for people use the following texts: "cannot update the <Title>, so <Lag>".
	Title, Lag string

	// Tables are the names of the projection's tables. SQLite and PostgreSQL are the statements
	// that create these tables.
	Tables             []string
	SQLite, PostgreSQL string

	// Apply gets only the entries of these kinds. Entries of other kinds are not decoded. If Kinds
	// is empty, Apply gets all entries.
	Kinds []journal.Kind

	// If Step is positive, each batch ends before a multiple of Step. So a batch has all entries
	// between two multiples. Entries after the last multiple wait until the next multiple is
	// reached.
	Step journal.Position

	// Apply writes the selected entries in the order of their positions. It returns the first
	// error of the sequence unchanged. After Apply, the new position is written, and the
	// transaction is committed.
	Apply func(ctx context.Context, tx Tx, entries iter.Seq2[journal.Entry, error]) error

	// Collector, if it is not nil, has the last entries that this process wrote.
	Collector Collector

	// Prune deletes the data of entries that were removed from the journal. The argument removed
	// is a slice of positions. It has one position for each kind of entry that has a limit.
	// Entries of that kind up to this position were removed. No position is greater than the last
	// position that the projection has read. The function remaining returns the remaining entries
	// of a range. Prune is called once a minute, and does a limited amount of work. nil: nothing
	// is deleted.
	Prune func(ctx context.Context, tx Tx, removed []journal.Position, remaining Read) error
}

// Read returns the entries of the journal between two positions.
type Read func(from, to journal.Position) iter.Seq2[journal.Entry, error]

// Tx is a transaction in which a batch is written.
type Tx struct {
	*sql.Tx
	Instance string // id of the journal's database
	Postgres bool   // parameters are $1, $2 …; SQLite also has ?, which is faster
}

// Options are the settings of a Set. The zero value is ready to use.
type Options struct {
	Now func() time.Time // nil: time.Now
	Log *slog.Logger     // nil: no log
	// ReadOnly opens existing projections for views. Run and CatchUp must not be called.
	ReadOnly bool
	// Batch is the maximum number of entries in a transaction. 0: 4096.
	Batch int
}

// Status is the state of a projection.
type Status struct {
	*Definition
	Position journal.Position // entries up to here were read
	Behind   int64            // entries of the journal that were not read yet
	// the error of the last attempt to read more entries; nil: the attempt succeeded
	Err error
}

// View is a snapshot of a projection. Close it soon, because SQLite cannot shorten its write-ahead
// log while a view is open.
type View struct {
	Tx
	Position journal.Position // entries up to here were read
	Last     journal.Position // position of the last entry that was read; 0: none
	Entry    journal.ID       // id of the last entry that was read
}

// Close ends the view.
func (v *View) Close() { _ = v.Rollback() }

// ErrNotBuilt means that a projection does not exist, or must be rebuilt before it can be used.
var ErrNotBuilt = errors.New("the projection is not built yet")

// Set is the projections of one database. Its methods may be called from any goroutine.
type Set struct {
	db          *store.DB
	o           Options
	definitions []*Definition
	tail        tail

	mu       sync.Mutex // guards the fields below
	derived  *store.Derived
	instance string
	status   []Status // in the order of definitions
	closed   bool
}

// New returns a Set. New does not open the database, so it cannot fail. The service also works
// without projections.
func New(db *store.DB, o Options, definitions ...*Definition) *Set {
	o.Now = clock.Wall(o.Now)
	o.Batch = cmp.Or(o.Batch, 4096)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Set{db: db, o: o, definitions: definitions}
	for _, d := range definitions {
		s.status = append(s.status, Status{Definition: d})
	}
	return s
}

// Status returns the state of each projection after the last round of Run or CatchUp.
func (s *Set) Status() []Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.status)
}

// View returns a snapshot of the current state of a projection. The error is ErrNotBuilt, or the
// error of the derived database.
func (s *Set) View(ctx context.Context, d *Definition) (*View, error) {
	derived, instance, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	tx, err := derived.Snapshot(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", derived, err)
	}
	v := &View{Tx: Tx{tx, instance, derived.PostgreSQL()}}
	state, err := selectState(ctx, tx, d.Name)
	switch {
	case err == nil && (state.instance != instance || state.version != d.Version):
		err = ErrNotBuilt
	case err != nil:
		err = fmt.Errorf("reading %s: %w", derived, errors.Join(ErrNotBuilt, derived.Explain(err)))
	}
	if err != nil {
		v.Close()
		return nil, err
	}
	v.Position, v.Last, v.Entry = state.position, state.last, state.entry
	return v, nil
}

// open opens the derived database if it is not open yet.
func (s *Set) open(ctx context.Context) (*store.Derived, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return nil, "", errors.New("the projections are closed")
	case s.derived != nil && !s.derived.Gone():
		return s.derived, s.instance, nil
	case s.derived != nil:
		_ = s.derived.Close()
		s.derived = nil
	}
	instance, err := s.db.Instance(ctx)
	if err != nil {
		return nil, "", err
	}
	open := s.db.OpenDerived
	if s.o.ReadOnly {
		open = s.db.ReadDerived
	}
	derived, err := open(ctx)
	if err != nil {
		return nil, "", err
	}
	s.derived, s.instance = derived, instance
	return derived, instance, nil
}

// remove deletes a damaged derived database.
func (s *Set) remove(damaged *store.Derived) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.derived != damaged {
		return nil // another goroutine removed it
	}
	s.derived = nil
	return damaged.Remove()
}

// Close closes the derived database. Run must have ended before.
func (s *Set) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.derived == nil {
		return nil
	}
	derived := s.derived
	s.derived = nil
	return derived.Close()
}

// Size returns how many bytes the derived database takes on disk.
func (s *Set) Size(ctx context.Context) (int64, error) {
	derived, _, err := s.open(ctx)
	if err != nil {
		return 0, err
	}
	return derived.Size(ctx)
}

// create returns the statements that create the tables.
func (d *Definition) create(postgres bool) string {
	if postgres {
		return d.PostgreSQL
	}
	return cmp.Or(d.SQLite, d.PostgreSQL)
}
