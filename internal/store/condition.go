package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

const selectInstance = "SELECT id FROM instance WHERE one = 1"

// instancePage returns the number of the file's page that holds the instance's row. The table
// has only this page.
func instancePage(ctx context.Context, q Querier) (page int64, err error) {
	err = q.QueryRowContext(ctx, "SELECT rootpage FROM sqlite_schema WHERE name = 'instance'").Scan(&page)
	return page, err
}

// condition has the lasting errors of an open database.
type condition struct {
	replaced fault // set if the last Look found another database at the URL
	damaged  fault // a query or a check has found a damaged page
}

// fault is an error that lasts. The zero value holds no error.
type fault struct{ atomic.Pointer[error] }

func (f *fault) error() error {
	if err := f.Load(); err != nil {
		return *err
	}
	return nil
}

// ID returns the id of the database. Copies have the same id. ID returns "" if the database was
// opened read-only.
func (db *DB) ID() string { return db.id }

// Schema returns the version of the tables.
func (db *DB) Schema(ctx context.Context) (version int64, err error) {
	err = db.reader.QueryRowContext(ctx, selectVersion).Scan(&version)
	return version, err
}

// Created reports whether Open created the database or found it empty.
func (db *DB) Created() bool { return db.created }

// Explain wraps the error of a query with the matching error of this package and with advice.
// If the error means damage, Ping reports the damage until a check finds no damage.
func (db *DB) Explain(err error) error {
	err = db.at.explain(err)
	if errors.Is(err, ErrDamaged) {
		db.condition.damaged.CompareAndSwap(nil, &err)
	}
	return err
}

// checkMoved returns an error if the file's name no longer refers to the open file.
func (db *DB) checkMoved() error {
	if db.file == nil {
		return nil
	}
	_, err := db.file.check()
	return err
}

// checkReplaced returns an error if a write would be lost because the database was replaced.
func (db *DB) checkReplaced() error {
	if err := db.checkMoved(); err != nil {
		return err
	}
	return db.condition.replaced.error()
}

// problem returns the reason why the database cannot be used, if the reason is known without a
// query.
func (db *DB) problem() error {
	if err := db.checkReplaced(); err != nil {
		return err
	}
	return db.condition.damaged.error()
}

// Look checks that the database can be used and is still the database that was opened. If Look
// finds another database, Write fails until Look succeeds again. Call Look about once a second.
// The error is a system error, or an error for which Unavailable returns true.
func (db *DB) Look(ctx context.Context) error {
	err := db.look(ctx)
	if errors.Is(err, ErrReplaced) {
		db.condition.replaced.Store(&err)
		return err
	}
	db.condition.replaced.Store(nil)
	if err == nil {
		err = db.problem()
	}
	return err
}

func (db *DB) look(ctx context.Context) error {
	smaller := false
	if db.file != nil {
		info, err := db.file.check()
		if err != nil {
			return err
		}
		page, err := instancePage(ctx, db.reader)
		if err != nil {
			page = 0 // the later query for the id reports the reason
		}
		if info != nil {
			if smaller, err = db.file.look(info, page); err != nil {
				return err
			}
		}
	}
	var id string
	err := db.retry(ctx, queries, func() error { return db.reader.QueryRowContext(ctx, selectInstance).Scan(&id) })
	switch err := db.Explain(err); {
	case errors.Is(err, sql.ErrNoRows), err != nil && missingTable(err):
		return fmt.Errorf("%w: its tables are gone: %w", ErrReplaced, err)
	case err != nil:
		return err
	case db.id != "" && id != db.id:
		return fmt.Errorf("%w: the URL now leads to another database", ErrReplaced)
	}
	if smaller || db.condition.damaged.error() != nil {
		return db.Check(ctx)
	}
	return nil
}

// Check reads the whole file and returns ErrDamaged if the file is damaged. Reading takes about a
// second per gigabyte. On PostgreSQL, Check does nothing, because the server checks its own
// pages.
func (db *DB) Check(ctx context.Context) error { return db.check(ctx, "quick_check") }

// Verify is like Check, but also compares each index with its table. It takes much longer than
// Check.
func (db *DB) Verify(ctx context.Context) error { return db.check(ctx, "integrity_check") }

func (db *DB) check(ctx context.Context, how string) error {
	if _, ok := db.at.(sqliteLocation); !ok {
		return nil
	}
	var found string
	err := db.reader.QueryRowContext(ctx, "PRAGMA "+how+"(1)").Scan(&found)
	if err == nil && found != "ok" {
		err = fmt.Errorf("%w: %s", ErrDamaged, found)
	}
	err = db.at.explain(err)
	if err == nil {
		db.condition.damaged.Store(nil)
	} else if errors.Is(err, ErrDamaged) {
		db.condition.damaged.Store(&err)
	}
	return err
}

// Gone reports whether the open file can no longer be reached by its name. The file's data is
// lost when the last process closes the file.
func (db *DB) Gone() bool { return errors.Is(db.checkMoved(), errGone) }

// Rescue writes all data of a deleted or replaced file into a new file in the same folder. The
// data can be read until the last process closes the old file. Rescue returns the new file's name.
// It returns "" if there is nothing to rescue: for PostgreSQL, for a database in memory, and for a
// file that still exists, even if it was partly overwritten.
func (db *DB) Rescue(ctx context.Context, now time.Time) (file string, err error) {
	p, ok := db.at.(sqliteLocation)
	if !ok || !db.Gone() {
		return "", nil
	}
	file = p.path + ".rescued-" + now.UTC().Format("20060102T150405Z")
	// SQLite would create the file with a mode that lets other users read it.
	empty, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err == nil {
		err = empty.Close()
	}
	if err != nil {
		return "", fmt.Errorf("rescuing database %s: %w", db, err)
	}
	_, err = db.writer.ExecContext(ctx, "VACUUM INTO $1", file)
	if err == nil {
		err = errors.Join(flush(file), flush(filepath.Dir(file)))
	}
	if err != nil {
		return "", errors.Join(fmt.Errorf("rescuing database %s: %w", db, db.at.explain(err)), os.Remove(file))
	}
	return file, nil
}
