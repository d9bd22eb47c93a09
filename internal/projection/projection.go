// Package projection maintains data that is derived from the journal and can be rebuilt from it.
//
// A Definition describes which tables a projection has and how journal entries are written to
// them. A Set reads the journal in order, in one goroutine, and writes batches of entries. The
// position up to which a projection has read is written in the same transaction as the batch, so a
// projection equals its rebuild after any crash:
//
//	set := projection.New(db, projection.Options{Log: log}, search.Definition, catalog.Definition)
//	defer set.Close()
//	go set.Run(ctx, journal)
//
// Readers take a View, which is one moment of one projection. Entries after the view's position
// are only in the journal, so a reader searches these there.
//
// The tables are in the derived database (store.Derived), which is not part of backups. A
// projection is rebuilt if it has another version, if it was derived from another database, or if
// the journal does not have the entry that it read last: then a backup was restored. A damaged
// file is deleted. Errors never reach the journal's writers. They are logged and retried, and the
// projection lags meanwhile.
//
// Replicas that share a PostgreSQL database share its projections: whichever replica begins a
// batch writes it, and the others wait for the next one.
package projection

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/loglimit"
	"github.com/tidewaiter/tidewaiter/internal/store"
)

// Definition describes a projection: its tables, and how entries are written to them.
type Definition struct {
	Name    string
	Version int // increment it when the tables, or what Apply writes, change

	// Tables are the names of its tables. SQLite and PostgreSQL are the statements that create
	// them.
	Tables             []string
	SQLite, PostgreSQL string

	// Step, if it is positive, makes each batch end before a multiple of it. So Apply gets all
	// entries from one multiple to the next at once. Entries after the last multiple wait.
	Step journal.Position

	// Apply writes entries, in the order of their positions. It returns the first error of the
	// sequence unchanged. The transaction is committed with the position after it.
	Apply func(ctx context.Context, tx Tx, entries iter.Seq2[journal.Entry, error]) error

	// Compact deletes what is derived from entries that the journal has removed since. removed has,
	// for each kind of entries that has a limit, the position up to which they were removed, but at
	// most the position up to which the projection has read. read returns the entries that are left
	// from a position to another. Compact is called once a minute, and does one piece of the work.
	// nil: nothing is deleted.
	Compact func(ctx context.Context, tx Tx, removed []journal.Position, read Read) error
}

// Read returns the entries of the journal from a position to another.
type Read func(from, to journal.Position) iter.Seq2[journal.Entry, error]

// Tx is a transaction in which a batch is written.
type Tx struct {
	*sql.Tx
	Instance string // id of the database that the journal is in
	Postgres bool   // its parameters are $1, $2 …; SQLite also has ?, which it binds faster
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
	Name     string
	Position journal.Position // entries up to here were read
	Behind   int64            // entries of the journal that were not read yet
	Err      error            // why the last attempt to read more failed; nil if it succeeded
}

// View is one moment of a projection. Close it soon: SQLite cannot shorten its write-ahead log
// meanwhile.
type View struct {
	Tx
	Position journal.Position // entries up to here were read
	Last     journal.Position // position of the last entry that was read; 0: none
	Entry    journal.ID       // its id
}

// Close ends the view.
func (v *View) Close() { _ = v.Rollback() }

// ErrNotBuilt means that a projection does not exist, or must be rebuilt before it can be used.
var ErrNotBuilt = errors.New("it is not built yet")

// Set is the projections of one database. Its methods may be called from any goroutine.
type Set struct {
	db          *store.DB
	o           Options
	definitions []*Definition
	failures    loglimit.Limit

	mu       sync.Mutex // guards the fields below
	derived  *store.Derived
	instance string
	status   map[string]*Status
	closed   bool
}

// New returns a Set. It opens nothing yet and cannot fail, because the service works without
// projections.
func New(db *store.DB, o Options, definitions ...*Definition) *Set {
	o.Now = clock.Wall(o.Now)
	o.Batch = cmp.Or(o.Batch, 4096)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Set{db: db, o: o, definitions: definitions, failures: loglimit.Limit{Period: time.Minute}, status: make(map[string]*Status)}
	for _, d := range definitions {
		s.status[d.Name] = &Status{Name: d.Name}
	}
	return s
}

// Status returns the state of each projection after the last round of Run or CatchUp.
func (s *Set) Status() []Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Status, 0, len(s.definitions))
	for _, d := range s.definitions {
		all = append(all, *s.status[d.Name])
	}
	return all
}

// Behind returns Status.Behind of a projection.
func (s *Set) Behind(name string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status[name].Behind
}

// View returns the present state of a projection. The error is ErrNotBuilt, or the error of the
// derived database.
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

// open opens the derived database unless it is open.
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
		return nil // another goroutine did
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

// definition returns the statements that create the tables.
func (d *Definition) create(postgres bool) string {
	if postgres {
		return d.PostgreSQL
	}
	return cmp.Or(d.SQLite, d.PostgreSQL)
}
