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

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

const (
	// application is written into the file's header, so that no other program's database is
	// taken for ours: "tide".
	application = 0x74696465

	readers = 4 // connections
)

// Settings of every connection. Waiting for a lock ends after busy_timeout milliseconds. synchronous(FULL)
// puts each commit on the disk before it is acknowledged. Caches are in KiB (a negative number says so) and for
// each connection: small, since the system caches the file as well.
func settings(more ...string) []string {
	return append([]string{
		"busy_timeout(5000)",
		"synchronous(FULL)",
		"foreign_keys(ON)",
		"temp_store(MEMORY)",
		"trusted_schema(OFF)",
	}, more...)
}

func (p place) open(ctx context.Context, create bool) (_ *DB, err error) {
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
		err = upFile(ctx, db.writer) // nobody else can reach it, and it would be gone if we closed it
	case outdated:
		if err := db.writer.Close(); err != nil { // it holds the file open
			return nil, err
		}
		migrateErr := p.migrate(ctx)
		if db.writer, err = p.connectWriter(); err != nil {
			return nil, err
		}
		if outdated, _, err = outdatedFile(ctx, db.writer); outdated || err != nil { // unless another process was faster
			err = cmp.Or(migrateErr, err)
		}
	}
	if err != nil {
		return nil, err
	}
	// The mode stays in the file, but a file may have come from a backup.
	if _, err := db.writer.ExecContext(ctx, "PRAGMA journal_mode(WAL)"); err != nil {
		return nil, err
	}
	// A transaction that does nothing finds out now whether writing is possible at all.
	tx, err := db.writer.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	if err := tx.Rollback(); err != nil {
		return nil, err
	}
	options := forReading()
	if db.reader, err = p.connect(readers, options, db.unmoved); err != nil {
		return nil, err
	}
	return db, p.watch(ctx, db)
}

// watch notes which file is open, and which database is in it.
func (p place) watch(ctx context.Context, db *DB) error {
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

func (p place) openReadOnly(ctx context.Context) (_ *DB, err error) {
	if p.path == "" {
		return p.read(ctx, nil)
	}
	before, err := os.Stat(p.path)
	if err != nil {
		return nil, err
	}
	db, err := p.read(ctx, nil)
	var failure *sqlite.Error
	if !errors.As(err, &failure) || failure.Code()&0xff != sqlite3.SQLITE_CANTOPEN && failure.Code()&0xff != sqlite3.SQLITE_READONLY {
		return db, err
	}
	// Readers, too, write into shared memory beside the file. Where that is not possible, on a disk that is read-only or in
	// somebody else's folder, the file is read as one that nobody changes.
	if log, logErr := os.Stat(p.path + "-wal"); logErr == nil && log.Size() > 0 {
		return nil, fmt.Errorf("what was written last stands in %s-wal, which can only be read where the folder is writable: copy both files into one: %w", p.path, err)
	}
	return p.read(ctx, before)
}

// read opens the file for reading: without any lock if before is what it looked like, which Close compares.
func (p place) read(ctx context.Context, before fs.FileInfo) (_ *DB, err error) {
	db := &DB{at: p, before: before}
	options := forReading()
	if before != nil {
		options.Set("immutable", "1")
	}
	if db.reader, err = p.connect(readers, options, nil); err != nil {
		return nil, err
	}
	db.writer = db.reader // which refuses
	outdated, _, err := outdatedFile(ctx, db.writer)
	if err == nil && outdated {
		err = ErrOlder
	}
	if err != nil {
		return nil, errors.Join(err, db.reader.Close())
	}
	return db, nil
}

// unchanged reports whether a file that was read without locks is as it was before.
func (p place) unchanged(before fs.FileInfo) error {
	now, err := os.Stat(p.path)
	if err != nil {
		return err
	}
	if log, err := os.Stat(p.path + "-wal"); err == nil && log.Size() > 0 || !os.SameFile(now, before) || now.Size() != before.Size() || !now.ModTime().Equal(before.ModTime()) {
		return errors.New("the file was changed while it was read: read it where its folder is writable, or a copy of it")
	}
	return nil
}

// openBeside is no other: nothing here takes too long.
func (p place) openBeside(ctx context.Context) (*DB, error) { return p.openReadOnly(ctx) }

// openAlone has the file for itself: SQLite's exclusive mode keeps even readers out while it is open.
func (p place) openAlone(ctx context.Context) (*DB, error) {
	db, err := p.open(ctx, true) // which makes the file and its tables
	if err != nil {
		return nil, err
	}
	if err := db.Close(); err != nil {
		return nil, err
	}
	alone, err := p.connect(1, url.Values{"_txlock": {"immediate"}, "_pragma": exclusive()}, nil)
	if err != nil {
		return nil, err
	}
	db = &DB{at: p, writer: alone, reader: alone, alone: true}
	tx, err := alone.BeginTx(ctx, nil) // takes the lock, and the connection keeps it
	if err == nil {
		err = tx.Rollback()
	}
	switch err := p.explain(err); {
	case errors.Is(err, ErrBusy):
		return nil, errors.Join(ErrInUse, alone.Close())
	case err != nil:
		return nil, errors.Join(err, alone.Close())
	}
	return db, nil
}

// occupy has nothing to do: a transaction that writes keeps all other writers out.
func (p place) occupy(context.Context, *sql.Tx) error { return nil }

func (p place) tables(ctx context.Context, tx *sql.Tx) ([]string, error) {
	return names(ctx, tx, `
		SELECT name FROM sqlite_schema
		WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> 'goose_db_version' ORDER BY name`)
}

// stale is never so: connections to a file do not end.
func (p place) stale(error) bool { return false }

// snapshot: any transaction of SQLite is one.
func (p place) snapshot() *sql.TxOptions { return nil }

func (p place) connectWriter() (*sql.DB, error) {
	return p.connect(1, url.Values{
		"_txlock": {"immediate"}, // a transaction that will write takes its turn at once, and can't be refused later
		"_pragma": settings("cache_size(-1024)", "journal_size_limit(16777216)"),
	}, nil)
}

func forReading() url.Values {
	return url.Values{"_pragma": settings("cache_size(-512)", "query_only(ON)")}
}

// connect opens a pool. It dials nothing yet, so that readers that nobody needs cost nothing. allowed, unless it is nil, is
// asked before each connection whether the file is still the one that the first of them opened: another one that
// stands in its place must not be read in part.
func (p place) connect(connections int, options url.Values, allowed func() error) (*sql.DB, error) {
	if p.path != "" {
		options.Set("mode", "rw") // prepare has made it: a connection must not make another one where it was deleted
	}
	inner, err := sqlite.NewConnector(p.source(options))
	if err != nil {
		return nil, err
	}
	pool := sql.OpenDB(connector{inner, allowed})
	pool.SetMaxOpenConns(connections)
	pool.SetMaxIdleConns(connections)
	return pool, nil
}

// connector opens connections to a file.
type connector struct {
	driver.Connector
	allowed func() error
}

func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	if c.allowed != nil {
		if err := c.allowed(); err != nil {
			return nil, err
		}
	}
	return c.Connector.Connect(ctx)
}

// outdatedFile says whether the tables are older than this binary, and whether there are none at all. Their version is a
// number in the file's header, set after the last migration: asking goose takes many times as long. A newer binary that
// was killed before it set the number has left newer tables under an older number, so goose's own table is read as well.
func outdatedFile(ctx context.Context, pool *sql.DB) (outdated, empty bool, err error) {
	newest, err := newest(sqliteFolder)
	if err != nil {
		return false, false, err
	}
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
		err := pool.QueryRowContext(ctx, `SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied`).Scan(&applied)
		if err != nil {
			return false, false, err
		}
	}
	if found := max(version, applied); found > newest {
		return false, false, fmt.Errorf("%w (its tables are of version %d, this one knows %d)", ErrNewer, found, newest)
	}
	return version < newest, tables == 0, nil
}

func (p place) explain(err error) error {
	if named(err) {
		return err
	}
	var failure *sqlite.Error
	if errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	if !errors.As(err, &failure) {
		return err
	}
	switch failure.Code() & 0xff { // the rest refines it
	case sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%w: %w", ErrForeign, err)
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return fmt.Errorf("%w: %w", ErrBusy, err)
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN:
		return fmt.Errorf("the file and its folder must be writable: %w", err)
	case sqlite3.SQLITE_CORRUPT:
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	case sqlite3.SQLITE_IOERR:
		// A file that is shorter than its header says reads like one, and a disk that fails does.
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}

// missingTable reports whether a query failed because a table is not there. SQLite has no code of its own for that, and
// the queries that are asked about are known to be right.
func missingTable(err error) bool {
	failure, ok := errors.AsType[*sqlite.Error](err)
	return ok && failure.Code() == sqlite3.SQLITE_ERROR
}
