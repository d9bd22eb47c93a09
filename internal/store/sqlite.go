package store

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"syscall"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

const (
	// application is the application id in the file's header ("tide"). A database with another id
	// belongs to another program, and is not opened.
	application = 0x74696465

	readers = 4 // connections

	// unusedFor is how long a reader stays open without use. Each reader uses a megabyte of
	// memory.
	unusedFor = 30 * time.Second
)

// settings returns the settings of every connection. busy_timeout is in milliseconds.
// synchronous(FULL) flushes each commit to disk before the commit is acknowledged. A negative
// cache_size is in KiB and per connection. The cache is small, because the operating system
// caches the file as well.
func settings(more ...string) []string {
	return append([]string{
		"busy_timeout(5000)",
		"synchronous(FULL)",
		"foreign_keys(ON)",
		"temp_store(MEMORY)",
		"trusted_schema(OFF)",
	}, more...)
}

func (p sqliteLocation) open(ctx context.Context, create bool) (_ *DB, err error) {
	if !create && p.path != "" {
		if info, err := os.Stat(p.path); errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
			return nil, ErrMissing
		}
	}
	if err := p.prepare(); err != nil {
		return nil, err
	}
	db := &DB{at: p}
	if db.writer, err = p.connectWriter(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			db.writer.Close()
		}
	}()
	outdated, empty, err := outdatedFile(ctx, db.writer)
	if err == nil && empty && !create {
		err = ErrMissing
	}
	if err != nil {
		return nil, err
	}
	db.created = empty
	switch {
	case outdated && p.path == "":
		err = upFile(ctx, db.writer) // closing a database in memory would delete it
	case outdated:
		if err := db.writer.Close(); err != nil { // an open connection would lock the file
			return nil, err
		}
		migrateErr := p.migrate(ctx)
		if db.writer, err = p.connectWriter(); err != nil {
			return nil, err
		}
		// Another process may have migrated the tables before this process got the lock.
		if outdated, _, err = outdatedFile(ctx, db.writer); outdated || err != nil {
			err = cmp.Or(migrateErr, err)
		}
	}
	if err != nil {
		return nil, err
	}
	// The journal mode is stored in the file, but the file may come from a backup with another
	// mode.
	if _, err := db.writer.ExecContext(ctx, "PRAGMA journal_mode(WAL)"); err != nil {
		return nil, err
	}
	// An empty write transaction tests whether the file can be written.
	tx, err := db.writer.BeginTx(ctx, nil)
	if err == nil {
		err = tx.Rollback()
	}
	if err != nil {
		return nil, err
	}
	if db.reader, err = p.connect(readers, forReading(), db.checkMoved); err != nil {
		return nil, err
	}
	return db, p.watch(ctx, db)
}

// watch records which file is open and which database it holds.
func (p sqliteLocation) watch(ctx context.Context, db *DB) error {
	if err := db.writer.QueryRowContext(ctx, selectInstance).Scan(&db.id); err != nil || p.path == "" {
		return err
	}
	page, err := instancePage(ctx, db.writer)
	if err != nil {
		return err
	}
	db.file, err = watchFile(p.path, db.id, page)
	return err
}

func (p sqliteLocation) openReadOnly(ctx context.Context) (_ *DB, err error) {
	if p.path == "" {
		return p.read(ctx, nil)
	}
	before, err := os.Stat(p.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrMissing
	}
	if err != nil {
		return nil, err
	}
	db, err := p.read(ctx, nil)
	if code := sqliteCode(err); code != sqlite3.SQLITE_CANTOPEN && code != sqlite3.SQLITE_READONLY {
		return db, err
	}
	// SQLite's readers write to shared memory, which is a file in the same folder. This is
	// impossible on a read-only disk or in another user's folder. In this case, the file is read
	// as immutable.
	if log, logErr := os.Stat(p.path + "-wal"); logErr == nil && log.Size() > 0 {
		return nil, fmt.Errorf("recent changes are in %s-wal, which can only be read in a writable folder; copy both files to a writable folder: %w", p.path, err)
	}
	return p.read(ctx, before)
}

// read opens the file for reading. If the state of the file is known, read takes no locks, and
// Close checks that the file is still in this state.
func (p sqliteLocation) read(ctx context.Context, known fs.FileInfo) (_ *DB, err error) {
	db := &DB{at: p, before: known}
	options := forReading()
	if known != nil {
		options.Set("immutable", "1")
	}
	if db.reader, err = p.connect(readers, options, nil); err != nil {
		return nil, err
	}
	db.writer = db.reader // read-only connections
	outdated, _, err := outdatedFile(ctx, db.writer)
	if err == nil && outdated {
		err = ErrOlder
	}
	if err != nil {
		return nil, errors.Join(err, db.reader.Close())
	}
	return db, nil
}

// checkUnchanged returns an error if a file that is read without locks has changed since it was
// opened.
func (p sqliteLocation) checkUnchanged(before fs.FileInfo) error {
	now, err := os.Stat(p.path)
	if err != nil {
		return err
	}
	if log, err := os.Stat(p.path + "-wal"); err == nil && log.Size() > 0 || !os.SameFile(now, before) || now.Size() != before.Size() || !now.ModTime().Equal(before.ModTime()) {
		return errors.New("the file changed while it was read; read it in a writable folder, or read a copy")
	}
	return nil
}

// openUnlimited is the same as openReadOnly, because SQLite has no time limits.
func (p sqliteLocation) openUnlimited(ctx context.Context) (*DB, error) { return p.openReadOnly(ctx) }

// openExclusive opens the file in SQLite's exclusive mode. In this mode, other processes cannot
// even read the file.
func (p sqliteLocation) openExclusive(ctx context.Context) (*DB, error) {
	db, err := p.open(ctx, true) // creates the file and its tables
	if err != nil {
		return nil, err
	}
	if err := db.Close(); err != nil {
		return nil, err
	}
	pool, err := p.connect(1, url.Values{"_txlock": {"immediate"}, "_pragma": exclusiveSettings()}, nil)
	if err != nil {
		return nil, err
	}
	db = &DB{at: p, writer: pool, reader: pool, exclusive: true}
	tx, err := pool.BeginTx(ctx, nil) // the connection keeps the lock after the transaction
	if err == nil {
		err = tx.Rollback()
	}
	switch err := p.explain(err); {
	case errors.Is(err, ErrBusy):
		return nil, errors.Join(ErrInUse, pool.Close())
	case err != nil:
		return nil, errors.Join(err, pool.Close())
	}
	return db, nil
}

// lockWriters does nothing, because a write transaction already excludes all other writers.
func (p sqliteLocation) lockWriters(context.Context, *sql.Tx) error { return nil }

func (p sqliteLocation) tables(ctx context.Context, tx *sql.Tx) ([]string, error) {
	return Texts(ctx, tx, `
		SELECT name FROM sqlite_schema
		WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> 'goose_db_version' ORDER BY name`)
}

// connectionEnded returns false, because connections to a file do not end.
func (p sqliteLocation) connectionEnded(error) bool { return false }

// snapshot returns nil, because every SQLite transaction sees one consistent state of the
// database.
func (p sqliteLocation) snapshot() *sql.TxOptions { return nil }

func (p sqliteLocation) connectWriter() (*sql.DB, error) {
	return p.connect(1, url.Values{
		// Take the write lock at the start of the transaction, so that getting the lock cannot
		// fail later.
		"_txlock": {"immediate"},
		"_pragma": settings("cache_size(-1024)", "journal_size_limit(16777216)"),
	}, nil)
}

func forReading() url.Values {
	return url.Values{"_pragma": settings("cache_size(-512)", "query_only(ON)")}
}

// connect returns a pool. It opens no connection yet, so unused readers cost nothing. If check is
// not nil, the pool calls check before it opens a connection. check must return an error if the
// path no longer refers to the file that the first connection opened. Otherwise the connections
// of a pool could use different files.
func (p sqliteLocation) connect(connections int, options url.Values, check func() error) (*sql.DB, error) {
	if p.path != "" {
		// prepare has created the file. If the file is deleted, a connection must not create
		// another file.
		options.Set("mode", "rw")
	}
	inner, err := sqlite.NewConnector(p.source(options))
	if err != nil {
		return nil, err
	}
	pool := sql.OpenDB(connector{inner, check})
	pool.SetMaxOpenConns(connections)
	pool.SetMaxIdleConns(connections)
	if connections > 1 && p.path != "" { // closing the last connection deletes a database in memory
		pool.SetConnMaxIdleTime(unusedFor)
	}
	return pool, nil
}

// connector opens connections to a file.
type connector struct {
	driver.Connector
	check func() error
}

func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	if c.check != nil {
		if err := c.check(); err != nil {
			return nil, err
		}
	}
	return c.Connector.Connect(ctx)
}

// outdatedFile reports whether the tables are older than this binary, and whether there are no
// tables. The version of the tables is stored in the file's header, because reading the header is
// much faster than calling goose. The version is set after the last migration. If a newer binary
// was killed before it set the version, the tables are newer than the version. So outdatedFile
// also reads goose's table.
func outdatedFile(ctx context.Context, pool *sql.DB) (outdated, empty bool, err error) {
	var id, version, tables int64
	var migrated bool
	err = pool.QueryRowContext(ctx, `
		SELECT (SELECT application_id FROM pragma_application_id),
		       (SELECT user_version FROM pragma_user_version),
		       count(*), coalesce(max(name = 'goose_db_version'), 0)
		FROM sqlite_schema`).Scan(&id, &version, &tables, &migrated)
	if err != nil {
		return false, false, err
	}
	if id != application && (id != 0 || tables != 0) {
		return false, false, ErrForeign
	}
	applied := version
	if migrated {
		if err := pool.QueryRowContext(ctx, selectVersion).Scan(&applied); err != nil {
			return false, false, err
		}
	}
	if _, err := isOutdated(applied, sqliteFolder); err != nil {
		return false, false, err
	}
	outdated, err = isOutdated(version, sqliteFolder)
	return outdated, tables == 0, err
}

func (p sqliteLocation) explain(err error) error {
	if isExplained(err) {
		return err
	}
	if errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	switch sqliteCode(err) {
	case sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%w: %w", ErrForeign, err)
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return fmt.Errorf("%w: %w", ErrBusy, err)
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN:
		return fmt.Errorf("the file and its folder must be writable: %w", err)
	case sqlite3.SQLITE_CORRUPT,
		// This error has two causes: a file that is shorter than the size in its header, and a
		// failing disk.
		sqlite3.SQLITE_IOERR:
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}

// missingTable reports whether a query failed because a table does not exist. SQLite has only a
// general code for invalid queries. The queries of the callers are valid, so for them the code
// means that a table does not exist.
func missingTable(err error) bool { return sqliteCode(err) == sqlite3.SQLITE_ERROR }

// sqliteCode returns SQLite's result code of an error, without the high bits, which are details.
// It returns 0 if the error has no code.
func sqliteCode(err error) int {
	if failure, ok := errors.AsType[*sqlite.Error](err); ok {
		return failure.Code() & 0xff
	}
	return 0
}
