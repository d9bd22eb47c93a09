package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
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

func (p place) open(ctx context.Context) (_ *DB, err error) {
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
	outdated, err := outdatedFile(ctx, db.writer)
	if err != nil {
		return nil, err
	}
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
		if outdated, err = outdatedFile(ctx, db.writer); outdated || err != nil { // unless another process was faster
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
	if db.reader, err = p.connectReaders(); err != nil {
		return nil, err
	}
	return db, nil
}

func (p place) openReadOnly(ctx context.Context) (_ *DB, err error) {
	if p.path != "" {
		if _, err := os.Stat(p.path); err != nil {
			return nil, err
		}
	}
	db := &DB{at: p}
	if db.reader, err = p.connectReaders(); err != nil {
		return nil, err
	}
	db.writer = db.reader // which refuses
	defer func() {
		if err != nil {
			db.reader.Close()
		}
	}()
	outdated, err := outdatedFile(ctx, db.writer)
	if err != nil {
		return nil, err
	}
	if outdated {
		return nil, ErrOlder
	}
	return db, nil
}

// openBeside is no other: nothing here takes too long.
func (p place) openBeside(ctx context.Context) (*DB, error) { return p.openReadOnly(ctx) }

// openAlone has the file for itself: SQLite's exclusive mode keeps even readers out while it is open.
func (p place) openAlone(ctx context.Context) (*DB, error) {
	db, err := p.open(ctx) // which makes the file and its tables
	if err != nil {
		return nil, err
	}
	if err := db.Close(); err != nil {
		return nil, err
	}
	alone, err := p.connect(1, url.Values{"_txlock": {"immediate"}, "_pragma": exclusive()})
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
	})
}

func (p place) connectReaders() (*sql.DB, error) {
	return p.connect(readers, url.Values{"_pragma": settings("cache_size(-512)", "query_only(ON)")})
}

// connect opens a pool. It dials nothing yet, so that readers that nobody needs cost nothing.
func (p place) connect(connections int, options url.Values) (*sql.DB, error) {
	pool, err := sql.Open("sqlite", p.source(options))
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(connections)
	pool.SetMaxIdleConns(connections)
	return pool, nil
}

// outdatedFile says whether the tables are older than this binary. Their version is a number in the file's header, set
// after the last migration: asking goose takes many times as long.
func outdatedFile(ctx context.Context, pool *sql.DB) (bool, error) {
	newest, err := newest(sqliteFolder)
	if err != nil {
		return false, err
	}
	var id, version, tables int64
	err = pool.QueryRowContext(ctx, `
		SELECT (SELECT application_id FROM pragma_application_id),
		       (SELECT user_version FROM pragma_user_version),
		       (SELECT count(*) FROM sqlite_schema)`).Scan(&id, &version, &tables)
	switch {
	case err != nil:
		return false, err
	case id != application && (id != 0 || tables != 0):
		return false, ErrForeign
	case version > newest:
		return false, fmt.Errorf("%w (its tables are of version %d, this one knows %d)", ErrNewer, version, newest)
	}
	return version < newest, nil
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
		return fmt.Errorf("the file is damaged; restore it from a backup: %w", err)
	}
	return err
}
