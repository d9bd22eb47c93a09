package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Derived is a second database for data that can be rebuilt from a DB. On SQLite, it is a
// separate file, because SQLite has one writer per file. On PostgreSQL, it is a separate schema.
// After a power failure, the last transactions of a Derived can be missing. Backups and copies do
// not contain the data of a Derived. Its methods may be called from any goroutine.
type Derived struct {
	name           string
	at             location
	writer, reader *sql.DB
	file           fs.FileInfo // nil if there is no file
	schema         string      // the quoted name of the schema; "": SQLite
}

// derivedSuffix is appended to the path of a SQLite file. The result is the path of its derived
// database.
const derivedSuffix = ".index"

// OpenDerived opens the derived database for writing, and creates it if it is missing.
func (db *DB) OpenDerived(ctx context.Context) (*Derived, error) { return db.openDerived(ctx, true) }

// ReadDerived opens the derived database for reading. It fails with ErrMissing if the database
// does not exist.
func (db *DB) ReadDerived(ctx context.Context) (*Derived, error) { return db.openDerived(ctx, false) }

func (db *DB) openDerived(ctx context.Context, write bool) (*Derived, error) {
	d, err := db.at.openDerived(ctx, db, write)
	if err != nil {
		return nil, fmt.Errorf("opening the derived database: %w", err)
	}
	return d, nil
}

// Instance returns the id of the database, like ID. If the database was opened read-only, Instance
// reads the id from the database.
func (db *DB) Instance(ctx context.Context) (id string, err error) {
	if db.id != "" {
		return db.id, nil
	}
	if err = db.reader.QueryRowContext(ctx, selectInstance).Scan(&id); err != nil {
		err = fmt.Errorf("reading the id of the database: %w", db.Explain(err))
	}
	return id, err
}

func (p sqliteLocation) openDerived(_ context.Context, _ *DB, write bool) (_ *Derived, err error) {
	own := sqliteAt(p.name+derivedSuffix, p.path+derivedSuffix)
	if p.path == "" {
		location, _ := parseSQLite(p.name, p.name)
		own = location.(sqliteLocation)
	} else if _, err := os.Stat(own.path); errors.Is(err, fs.ErrNotExist) {
		if !write {
			return nil, ErrMissing
		}
		// This runs only for a new file, because closing a file would release all locks of this
		// process on the file.
		if err := own.prepare(); err != nil {
			return nil, err
		}
	}
	d := &Derived{name: own.name, at: own}
	if own.path != "" {
		if d.file, err = os.Stat(own.path); err != nil {
			return nil, err
		}
	}
	faster := []string{"synchronous(NORMAL)", "cache_size(-4096)"}
	if write {
		options := url.Values{"_txlock": {"immediate"}, "_pragma": settings(append(faster,
			"journal_mode(WAL)", "journal_size_limit(4194304)", "wal_autocheckpoint(4000)")...)}
		if d.writer, err = own.connect(1, options, nil); err != nil {
			return nil, err
		}
		if own.path != "" {
			d.writer.SetConnMaxIdleTime(unusedFor)
		}
	}
	if d.reader, err = own.connect(readers, url.Values{"_pragma": settings("cache_size(-1024)", "query_only(ON)")}, nil); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (s postgresLocation) openDerived(ctx context.Context, main *DB, write bool) (*Derived, error) {
	d := &Derived{at: s}
	var exists bool
	err := main.reader.QueryRowContext(ctx, `
		SELECT name, quote_ident(name), to_regnamespace(quote_ident(name)) IS NOT NULL
		FROM (SELECT CASE current_schema() WHEN 'public' THEN 'tidewaiter_index' ELSE current_schema() || '_index' END AS name) AS own`).
		Scan(&d.name, &d.schema, &exists)
	switch {
	case err != nil:
		return nil, s.explain(err)
	case !exists && !write:
		return nil, ErrMissing
	case !exists:
		if _, err := main.writer.ExecContext(ctx, "CREATE SCHEMA IF NOT EXISTS "+d.schema); err != nil {
			return nil, s.explain(err)
		}
	}
	settings := limits + "; SET synchronous_commit = off; SET search_path = " + d.schema
	if write {
		d.writer = s.connect(1, name, settings, answerFor)
	}
	d.reader = s.connect(2, name, "SET default_transaction_read_only = on;"+settings, answerFor)
	return d, nil
}

// String returns the name of the file or schema.
func (d *Derived) String() string { return d.name }

// PostgreSQL reports whether the database is a schema of PostgreSQL.
func (d *Derived) PostgreSQL() bool { return d.schema != "" }

// Write runs f in a transaction. Only one process can write at a time: while another process
// writes, Write fails with ErrBusy.
func (d *Derived) Write(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := d.writer.BeginTx(ctx, nil)
	if err != nil {
		return d.Explain(contextError(ctx, err))
	}
	defer tx.Rollback()
	if d.PostgreSQL() {
		var locked bool
		err := tx.QueryRowContext(ctx, "SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0))", d.schema).Scan(&locked)
		if err == nil && !locked {
			return ErrBusy
		}
		if err != nil {
			return d.Explain(contextError(ctx, err))
		}
	}
	if err = f(tx); err == nil {
		err = tx.Commit()
	}
	return d.Explain(contextError(ctx, err))
}

// Snapshot begins a transaction that sees the current state of the database. The caller must end
// the transaction with Rollback.
func (d *Derived) Snapshot(ctx context.Context) (*sql.Tx, error) {
	tx, err := d.reader.BeginTx(ctx, d.at.snapshot())
	return tx, d.Explain(err)
}

// Explain is like DB.Explain, but has no advice about damage: see Damaged.
func (d *Derived) Explain(err error) error {
	if d.Damaged(err) || sqliteCode(err) == sqlite3.SQLITE_IOERR {
		return err
	}
	return d.at.explain(err)
}

// Damaged reports whether an error means that the file is not a database, or that its content
// is damaged. In both cases, the caller must call Remove and rebuild the content.
func (d *Derived) Damaged(err error) bool {
	switch sqliteCode(err) {
	case sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT:
		return true
	case sqlite3.SQLITE_IOERR:
		failure, _ := errors.AsType[*sqlite.Error](err)
		return failure.Code() == sqlite3.SQLITE_IOERR_SHORT_READ // shorter than its header says
	}
	return errors.Is(err, ErrDamaged)
}

// Gone reports whether the file was deleted or replaced after it was opened.
func (d *Derived) Gone() bool {
	if d.file == nil {
		return false
	}
	now, err := os.Stat(d.at.(sqliteLocation).path)
	return errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(now, d.file)
}

// Size returns how many bytes the database takes on disk, or 0 if it is in memory.
func (d *Derived) Size(ctx context.Context) (size int64, err error) {
	if d.PostgreSQL() {
		err = d.reader.QueryRowContext(ctx, `
			SELECT coalesce(sum(pg_total_relation_size(oid)), 0) FROM pg_class
			WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'`).Scan(&size)
		return size, d.Explain(err)
	}
	if d.file == nil {
		return 0, nil
	}
	for _, end := range []string{"", "-wal"} {
		info, err := os.Stat(d.at.(sqliteLocation).path + end)
		if err == nil {
			size += info.Size()
		} else if !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
	}
	return size, nil
}

// Remove closes the database and deletes its files. On PostgreSQL, it only closes the database.
func (d *Derived) Remove() error {
	err := d.Close()
	if d.file == nil || d.Gone() {
		return err
	}
	for _, end := range []string{"-wal", "-shm", ""} {
		if e := os.Remove(d.at.(sqliteLocation).path + end); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// Close closes all connections.
func (d *Derived) Close() error {
	var err error
	for _, pool := range []*sql.DB{d.reader, d.writer} {
		if pool != nil {
			err = errors.Join(err, pool.Close())
		}
	}
	return err
}
