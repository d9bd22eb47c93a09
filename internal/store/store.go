// Package store opens and manages the database in which the service stores its data.
//
// A DB is a handle to the database. This package opens a database, migrates it, runs
// transactions, watches it for changes and copies it. It has no queries for the tables of other
// packages. Each package has its own SQL, which runs on both kinds of database.
//
// The database is a SQLite file with a write-ahead log, or a database on a PostgreSQL server.
// Several processes of one machine may have the file open at the same time. They write one after
// the other, and readers never wait. The file must be on a local disk, because SQLite's locks and
// shared memory do not work over a network. Processes on any number of machines may share a
// PostgreSQL database.
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
	at        location
	writer    *sql.DB // SQLite: one connection; writers wait for it instead of for the lock
	reader    *sql.DB
	exclusive bool // no other process has the database open

	id      string      // id of the instance; "" if opened read-only
	created bool        // Open created the database or found it empty
	file    *openFile   // nil for PostgreSQL, for a database in memory and if opened read-only
	before  fs.FileInfo // the file when it was opened, if it is read without locks

	condition condition
}

// Open opens the database at url, creates it if it is missing, and migrates its tables.
//
//	sqlite:///var/lib/tidewaiter/state.db   an absolute path
//	sqlite:state.db                         a path relative to the working directory
//	sqlite::memory:                         in memory; nothing is stored
//	postgres://tidewaiter@db.example.com/tidewaiter?password_file=/run/secrets/state
//
// For SQLite, a missing folder is created with mode 0700 and a missing file with 0600. Tables
// are migrated only while no other process has the file open. On PostgreSQL, the database must
// exist. One process at a time migrates the tables, and other processes can continue to run.
//
// A PostgreSQL URL can be any URL that libpq accepts. In addition, it can have the option
// password_file. This option names a file that contains only the password. The file is read for
// each connection. Connections to other machines use TLS and verify the server's certificate,
// unless sslmode has another value. Errors and logs never contain the password.
//
// Errors are ErrNewer, ErrForeign, ErrBusy, ErrNoSpace, ErrDown or a system error, wrapped with
// the name of the database.
func Open(ctx context.Context, url string) (*DB, error) {
	return openFor(ctx, url, true)
}

// OpenExisting is like Open but never creates a database. It fails with ErrMissing if the
// database does not exist or is empty.
func OpenExisting(ctx context.Context, url string) (*DB, error) {
	return openFor(ctx, url, false)
}

func openFor(ctx context.Context, url string, create bool) (*DB, error) {
	open := func(at location, ctx context.Context) (*DB, error) { return at.open(ctx, create) }
	// Processes that open a new SQLite file at the same moment can block each other's migrations.
	// In this case, a process closes the file, gives the other processes time to finish, and tries
	// again.
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

// OpenReadOnly opens the database at url for reading. Other processes may write to the database at
// the same time. OpenReadOnly creates and changes nothing. It fails with ErrMissing if the database
// does not exist, and with ErrOlder if its tables need a migration.
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

// Write runs f in one transaction. When Write returns nil, the changes are on disk and survive
// a loss of power. If f fails, the transaction is rolled back, and Write returns f's error. The
// error is wrapped with ErrBusy, ErrNoSpace or ErrDown if the database reported such a condition.
// If the commit fails or ctx ends during the commit, the changes may still have been written.
//
// If topic is not "", the transaction also increments the topic's change counter. Writes of one
// topic run one after the other, over all processes. So f sees the changes of all earlier
// writes, and no other write of the topic changes data while f runs. On SQLite all writes run
// one after the other.
//
// f must not call Write, and must not wait for a goroutine that calls Write.
func (db *DB) Write(ctx context.Context, topic string, f func(*sql.Tx) error) error {
	if err := db.checkReplaced(); err != nil {
		return fmt.Errorf("writing to the database: %w", err)
	}
	tx, err := db.begin(ctx)
	if err != nil {
		return fmt.Errorf("writing to the database: %w", db.Explain(err))
	}
	defer tx.Rollback() // a no-op after Commit
	if topic != "" {
		// Increment the counter before f runs. On PostgreSQL, the counter's row is the lock
		// that serializes writes of one topic.
		if err := bump(ctx, tx, topic); err != nil {
			return fmt.Errorf("writing to the database: incrementing the change counter of %s: %w", topic, db.Explain(contextError(ctx, err)))
		}
	}
	if err := f(tx); err != nil {
		return db.Explain(contextError(ctx, err))
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("writing to the database: %w", db.Explain(contextError(ctx, err)))
	}
	// Check again, because the data is not durable if the file was deleted during the write.
	if err := db.checkReplaced(); err != nil {
		return fmt.Errorf("writing to the database: %w", err)
	}
	return nil
}

// contextError returns the error of ctx if err is sql.ErrTxDone, which only means that the
// transaction has ended. Otherwise it returns err. When a context ends, database/sql rolls the
// transaction back, and later calls only return sql.ErrTxDone.
func contextError(ctx context.Context, err error) error {
	if errors.Is(err, sql.ErrTxDone) && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// Bump increments the change counter of another topic in a transaction of Write. All callers
// must use the same order of topics, because on PostgreSQL each counter's row is a lock.
func (db *DB) Bump(ctx context.Context, tx *sql.Tx, topic string) error {
	if err := bump(ctx, tx, topic); err != nil {
		return fmt.Errorf("incrementing the change counter of %s: %w", topic, err)
	}
	return nil
}

// Snapshot runs f in one read transaction, so f sees one consistent state of the database.
func (db *DB) Snapshot(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := db.reader.BeginTx(ctx, db.at.snapshot())
	if err != nil {
		return fmt.Errorf("reading from the database: %w", db.Explain(err))
	}
	defer tx.Rollback()
	if err := f(tx); err != nil {
		return fmt.Errorf("reading from the database: %w", db.Explain(contextError(ctx, err)))
	}
	return nil
}

// begin starts a transaction. It skips pooled connections that have ended after their last use.
func (db *DB) begin(ctx context.Context) (tx *sql.Tx, err error) {
	err = db.retry(ctx, writers, func() error {
		tx, err = db.writer.BeginTx(ctx, nil)
		return err
	})
	return tx, err
}

// retry calls f. If f fails because the server closed its pooled connection while the connection
// was idle, retry calls f again.
func (db *DB) retry(ctx context.Context, connections int, f func() error) error {
	err := f()
	for tries := 0; tries < 2*connections && err != nil && db.at.connectionEnded(err) && ctx.Err() == nil; tries++ {
		err = f()
	}
	return err
}

// Read returns the connections for reading. These connections refuse writes. Close rows before
// other work, because SQLite cannot truncate its write-ahead log while rows are open.
func (db *DB) Read() *sql.DB { return db.reader }

// Ping returns an error if the database cannot be read. It skips pooled connections that have
// ended after their last use.
func (db *DB) Ping(ctx context.Context) error {
	if err := db.problem(); err != nil {
		return fmt.Errorf("reading from the database: %w", err)
	}
	var one int
	err := db.retry(ctx, queries, func() error { return db.reader.QueryRowContext(ctx, "SELECT 1").Scan(&one) })
	if err != nil {
		return fmt.Errorf("reading from the database: %w", db.Explain(err))
	}
	return nil
}

// Close closes all connections.
func (db *DB) Close() error {
	readerErr := db.reader.Close()
	// When the last connection is closed, SQLite writes its write-ahead log to the file and
	// removes the log.
	err := errors.Join(readerErr, db.writer.Close())
	if db.file != nil {
		err = errors.Join(err, db.file.close())
	}
	if p, ok := db.at.(sqliteLocation); ok && db.before != nil {
		err = errors.Join(err, p.checkUnchanged(db.before))
	}
	if err != nil {
		return fmt.Errorf("closing database %s: %w", db.at, db.Explain(err))
	}
	return nil
}

// String returns the name of the database for messages.
func (db *DB) String() string { return db.at.String() }
