// Package store answers: where is it kept?
//
// A DB is a handle to the database: opening, migrating, writing in one transaction at a time, reading
// beside it. It holds no queries: each room keeps its own SQL.
//
// State is kept in one SQLite file, with its write-ahead log beside it. Several processes of one machine may
// have it open: each write waits for its turn, and readers wait for nobody. The file must lie on a
// disk of that machine: SQLite's locks and shared memory do not work over a network.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

var (
	// ErrNewer means that the database was made by a newer Tidewaiter, and was left as it is.
	ErrNewer = errors.New("it was written by a newer version of Tidewaiter")
	// ErrOlder means that the database waits for Open to bring it up to date.
	ErrOlder = errors.New("it was written by an older version of Tidewaiter and not yet brought up to date by `tidewaiter serve`")
	// ErrForeign means that the file holds something else than Tidewaiter's state.
	ErrForeign = errors.New("it is not a database of Tidewaiter")
	// ErrBusy means that another process kept the database locked for longer than 5 seconds.
	ErrBusy = errors.New("another process has it locked")
	// ErrNoSpace means that the disk, or the quota, is full.
	ErrNoSpace = errors.New("no space is left on its disk")
)

// DB is a handle to the database. All methods may be called from any goroutine.
type DB struct {
	name   string  // for messages
	writer *sql.DB // one connection: writes take turns here, not by waiting for SQLite's lock
	reader *sql.DB
}

// Open opens the database at url, makes it if there is none, and brings its tables up to date.
//
//	sqlite:///var/lib/tidewaiter/state.db   an absolute path
//	sqlite:state.db                         a path relative to the working directory
//	sqlite::memory:                         nothing is kept
//
// A missing folder is made with mode 0700 and a missing file with 0600. It fails with ErrNewer, ErrForeign, ErrBusy or
// ErrNoSpace, or what the system said, wrapped with the name of the database. Tables are brought up to date
// only while no other process has the database open.
func Open(ctx context.Context, url string) (*DB, error) {
	p, err := parse(url)
	if err != nil {
		return nil, err
	}
	db, err := p.open(ctx)
	if err != nil {
		return nil, fmt.Errorf("opening state %s: %w", p.name, explain(err))
	}
	return db, nil
}

// OpenReadOnly opens the database at url beside a process that writes to it. It makes and changes
// nothing: it fails where there is no database, and with ErrOlder where its tables are not up to date.
func OpenReadOnly(ctx context.Context, url string) (*DB, error) {
	p, err := parse(url)
	if err != nil {
		return nil, err
	}
	db, err := p.openReadOnly(ctx)
	if err != nil {
		return nil, fmt.Errorf("opening state %s: %w", p.name, explain(err))
	}
	return db, nil
}

// Write runs f in one transaction. What f did is durable when Write returns nil: it is on the disk,
// and survives loss of power. If f fails, nothing of it is kept, and Write returns f's error (with ErrBusy or
// ErrNoSpace before it where SQLite said so). If committing fails, or ctx ends meanwhile, it may have been
// kept all the same.
//
// Unless topic is "", the topic's change counter is raised in the same transaction.
//
// There is one writer: f must not call Write, nor wait for anybody who does.
func (db *DB) Write(ctx context.Context, topic string, f func(*sql.Tx) error) error {
	tx, err := db.writer.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("writing state: %w", explain(err))
	}
	defer tx.Rollback() // after Commit it does nothing
	if err := f(tx); err != nil {
		return explain(err)
	}
	if topic != "" {
		if err := bump(ctx, tx, topic); err != nil {
			return fmt.Errorf("writing state: noting a change of %s: %w", topic, explain(err))
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("writing state: %w", explain(err))
	}
	return nil
}

// Read returns the connections for reading. They refuse to write. Rows that stay open keep the
// write-ahead log from being emptied: read, close, then work.
func (db *DB) Read() *sql.DB { return db.reader }

// Close ends all connections. Whatever is committed stays.
func (db *DB) Close() error {
	readerErr := db.reader.Close()
	// The last connection to close empties the write-ahead log into the file and removes it.
	if err := errors.Join(readerErr, db.writer.Close()); err != nil {
		return fmt.Errorf("closing state %s: %w", db.name, explain(err))
	}
	return nil
}

// String returns the name of the database for messages.
func (db *DB) String() string { return db.name }
