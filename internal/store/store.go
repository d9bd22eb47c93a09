// Package store answers: where is it kept?
//
// A DB is a handle to the database: opening, migrating, writing in transactions, reading beside
// them, watching for changes, copying. It holds no queries: each room keeps its own SQL, which runs on both databases.
//
// State is kept in one SQLite file, with its write-ahead log beside it, or on a PostgreSQL server. Several
// processes of one machine may have the file open: each write waits for its turn, and readers wait for nobody. The
// file must lie on a disk of that machine: SQLite's locks and shared memory do not work over a network.
// Processes of any number of machines may share a database of PostgreSQL.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"time"
)

// DB is a handle to the database. All methods may be called from any goroutine.
type DB struct {
	at     location
	writer *sql.DB // SQLite: one connection, so that writes take turns here and not by waiting for its lock
	reader *sql.DB
	alone  bool // nobody else has it open

	id      string      // of the instance; "" where it was opened for reading alone
	created bool        // by this process
	file    *openFile   // nil: a server, a database in memory, or one that is only read
	before  fs.FileInfo // what the file looked like, if it is read without locks

	state condition
}

// Open opens the database at url, makes what is missing, and brings its tables up to date.
//
//	sqlite:///var/lib/tidewaiter/state.db   an absolute path
//	sqlite:state.db                         a path relative to the working directory
//	sqlite::memory:                         nothing is kept
//	postgres://tidewaiter@db.example.com/tidewaiter?password_file=/run/secrets/state
//
// For SQLite, a missing folder is made with mode 0700 and a missing file with 0600, and tables are brought up to
// date only while no other process has the file open. On PostgreSQL the database must be there, and one process at a
// time brings its tables up to date, beside others that run.
//
// A URL for PostgreSQL is what libpq understands, with password_file for a file that holds the password and
// nothing else: it is read anew for each connection. Whoever is not on this machine is spoken to over TLS, and must
// prove who he is, unless sslmode says otherwise. No error and no log repeats a password.
//
// It fails with ErrNewer, ErrForeign, ErrBusy, ErrNoSpace or ErrDown, or what the system said, wrapped with the
// name of the database.
func Open(ctx context.Context, url string) (*DB, error) {
	return openFor(ctx, url, true)
}

// OpenExisting is Open that creates no database: it fails with ErrMissing where there is none, or an empty one.
func OpenExisting(ctx context.Context, url string) (*DB, error) {
	return openFor(ctx, url, false)
}

func openFor(ctx context.Context, url string, create bool) (*DB, error) {
	open := func(at location, ctx context.Context) (*DB, error) { return at.open(ctx, create) }
	// Of several that open a new SQLite file at the same moment, each may keep the others from making its
	// tables: who gave up lets go of the file, and comes back when the others had a chance to be done.
	for tries := 3; ; tries-- {
		db, err := opened(ctx, url, open)
		if err == nil || tries == 1 || !errors.Is(err, ErrBusy) {
			return db, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(rand.N(time.Second)):
		}
	}
}

// OpenReadOnly opens the database at url beside a process that writes to it. It makes and changes
// nothing: it fails where there is no database, and with ErrOlder where its tables are not up to date.
func OpenReadOnly(ctx context.Context, url string) (*DB, error) {
	return opened(ctx, url, location.openReadOnly)
}

func opened(ctx context.Context, url string, open func(location, context.Context) (*DB, error)) (*DB, error) {
	at, err := parse(url)
	if err != nil {
		return nil, err
	}
	db, err := open(at, ctx)
	if err != nil {
		return nil, fmt.Errorf("opening database %s: %w", at, at.explain(err))
	}
	return db, nil
}

// Write runs f in one transaction. What f did is durable when Write returns nil: it is on the disk,
// and survives loss of power. If f fails, nothing of it is kept, and Write returns f's error (with ErrBusy,
// ErrNoSpace or ErrDown before it where the database said so). If committing fails, or ctx ends meanwhile, it may have been
// kept all the same.
//
// Unless topic is "", the topic's change counter is raised in the same transaction. Writes of one topic take
// turns, over all processes: f sees all that the ones before it did, and nothing of its topic changes under it. On
// SQLite all writes take turns.
//
// f must not call Write, nor wait for anybody who does.
func (db *DB) Write(ctx context.Context, topic string, f func(*sql.Tx) error) error {
	if err := db.replaced(); err != nil {
		return fmt.Errorf("writing to the database: %w", err)
	}
	tx, err := db.begin(ctx)
	if err != nil {
		return fmt.Errorf("writing to the database: %w", db.Explain(err))
	}
	defer tx.Rollback() // after Commit it does nothing
	if topic != "" {
		// First: on PostgreSQL the counter's row is what writes of the topic stand in line for.
		if err := bump(ctx, tx, topic); err != nil {
			return fmt.Errorf("writing to the database: noting a change of %s: %w", topic, db.Explain(ended(ctx, err)))
		}
	}
	if err := f(tx); err != nil {
		return db.Explain(ended(ctx, err))
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("writing to the database: %w", db.Explain(ended(ctx, err)))
	}
	// Once more: what was written to a file that was deleted meanwhile is not durable.
	if err := db.replaced(); err != nil {
		return fmt.Errorf("writing to the database: %w", err)
	}
	return nil
}

// ended says why a transaction is over. database/sql rolls it back by itself when its context ends, and whoever
// uses it a moment later is told only that it is over.
func ended(ctx context.Context, err error) error {
	if errors.Is(err, sql.ErrTxDone) && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// Bump raises the counter of one more topic in a transaction of Write. Whoever writes several topics names them in the same order as
// all others do: on PostgreSQL each is a line to stand in.
func (db *DB) Bump(ctx context.Context, tx *sql.Tx, topic string) error {
	if err := bump(ctx, tx, topic); err != nil {
		return fmt.Errorf("noting a change of %s: %w", topic, err)
	}
	return nil
}

// Snapshot runs f in one transaction for reading: all that f reads is as it was at one moment.
func (db *DB) Snapshot(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := db.reader.BeginTx(ctx, db.at.snapshot())
	if err != nil {
		return fmt.Errorf("reading from the database: %w", db.Explain(err))
	}
	defer tx.Rollback()
	if err := f(tx); err != nil {
		return fmt.Errorf("reading from the database: %w", db.Explain(ended(ctx, err)))
	}
	return nil
}

// begin begins a transaction. Connections that ended since they were used last are passed over.
func (db *DB) begin(ctx context.Context) (*sql.Tx, error) {
	for range 2 * writers {
		tx, err := db.writer.BeginTx(ctx, nil)
		if err == nil || !db.at.stale(err) || ctx.Err() != nil {
			return tx, err
		}
	}
	return db.writer.BeginTx(ctx, nil)
}

// Read returns the connections for reading. They refuse to write. Rows that stay open keep SQLite's
// write-ahead log from being emptied: read, close, then work.
func (db *DB) Read() *sql.DB { return db.reader }

// Ping says whether the database can be read. Connections that ended since they were used last are passed over.
func (db *DB) Ping(ctx context.Context) error {
	if err := db.problem(); err != nil {
		return fmt.Errorf("reading from the database: %w", err)
	}
	var one int
	err := db.reader.QueryRowContext(ctx, "SELECT 1").Scan(&one)
	for tries := 0; tries < 2*readers && err != nil && db.at.stale(err) && ctx.Err() == nil; tries++ {
		err = db.reader.QueryRowContext(ctx, "SELECT 1").Scan(&one)
	}
	if err != nil {
		return fmt.Errorf("reading from the database: %w", db.Explain(err))
	}
	return nil
}

// Close ends all connections. Whatever is committed stays.
func (db *DB) Close() error {
	readerErr := db.reader.Close()
	// The last connection to close empties SQLite's write-ahead log into the file and removes it.
	err := errors.Join(readerErr, db.writer.Close())
	if db.file != nil {
		err = errors.Join(err, db.file.close())
	}
	if p, ok := db.at.(place); ok && db.before != nil {
		err = errors.Join(err, p.unchanged(db.before))
	}
	if err != nil {
		return fmt.Errorf("closing database %s: %w", db.at, db.Explain(err))
	}
	return nil
}

// String returns the name of the database for messages.
func (db *DB) String() string { return db.at.String() }
