package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const selectInstance = "SELECT id FROM instance WHERE one = 1"

// instancePage returns the page of the file that the instance's row stands in: the table has no other.
func instancePage(ctx context.Context, q Querier) (page int64, err error) {
	err = q.QueryRowContext(ctx, "SELECT rootpage FROM sqlite_schema WHERE name = 'instance'").Scan(&page)
	return page, err
}

// condition is what is known to be wrong with a database that is open.
type condition struct {
	mu       sync.Mutex
	replaced error // the last Look found another database in its place
	damaged  error // a query ran into a broken page, or a check found one
}

// ID returns the id of the database, which is its own and that of its copies. "": it was opened for reading.
func (db *DB) ID() string { return db.id }

// Created reports whether there was no database, or an empty one, before it was opened.
func (db *DB) Created() bool { return db.created }

// Explain gives an error of a query the name that callers know, in words that help people. An error that says that the
// file is damaged is remembered: Ping repeats it until a check finds the file whole.
func (db *DB) Explain(err error) error {
	err = db.at.explain(err)
	if errors.Is(err, ErrDamaged) {
		db.state.mu.Lock()
		if db.state.damaged == nil {
			db.state.damaged = err
		}
		db.state.mu.Unlock()
	}
	return err
}

// unmoved reports whether the file's name still leads to what is open.
func (db *DB) unmoved() error {
	if db.file == nil {
		return nil
	}
	return db.file.check()
}

// replaced reports whether what would be written now would be lost.
func (db *DB) replaced() error {
	if err := db.unmoved(); err != nil {
		return err
	}
	db.state.mu.Lock()
	defer db.state.mu.Unlock()
	return db.state.replaced
}

// problem is what stands in the way of using the database, as far as it is known without asking it.
func (db *DB) problem() error {
	if err := db.replaced(); err != nil {
		return err
	}
	db.state.mu.Lock()
	defer db.state.mu.Unlock()
	return db.state.damaged
}

// Look finds out whether the database can be used and is still the one that was opened. Until it returns nil again, Write
// refuses what would be lost. It is to be called about once a second. The errors are those of Unavailable, or what
// the system said.
func (db *DB) Look(ctx context.Context) error {
	err := db.look(ctx)
	db.state.mu.Lock()
	db.state.replaced = nil
	if errors.Is(err, ErrReplaced) {
		db.state.replaced = err
	}
	db.state.mu.Unlock()
	if err == nil {
		err = db.problem()
	}
	return err
}

func (db *DB) look(ctx context.Context) error {
	smaller := false
	if db.file != nil {
		if err := db.file.check(); err != nil {
			return err
		}
		page, err := instancePage(ctx, db.reader)
		if err != nil {
			page = 0 // the question for the id below finds out why
		}
		if smaller, err = db.file.look(page); err != nil {
			return err
		}
	}
	var id string
	ask := func() error { return db.reader.QueryRowContext(ctx, selectInstance).Scan(&id) }
	err := ask()
	for tries := 0; tries < 2*queries && err != nil && db.at.stale(err) && ctx.Err() == nil; tries++ {
		err = ask()
	}
	switch err := db.Explain(err); {
	case errors.Is(err, sql.ErrNoRows), err != nil && missingTable(err):
		return fmt.Errorf("%w: its tables are gone: %w", ErrReplaced, err)
	case err != nil:
		return err
	case db.id != "" && id != db.id:
		return fmt.Errorf("%w: another one stands in its place", ErrReplaced)
	}
	if smaller || db.suspected() {
		return db.Check(ctx)
	}
	return nil
}

func (db *DB) suspected() bool {
	db.state.mu.Lock()
	defer db.state.mu.Unlock()
	return db.state.damaged != nil
}

// Check reads the whole file and reports what is damaged as ErrDamaged. It takes a second for about a gigabyte. On
// PostgreSQL, which looks after its own pages, it does nothing.
func (db *DB) Check(ctx context.Context) error { return db.check(ctx, "quick_check") }

// Verify is Check that also compares each index with its table, which takes several times as long.
func (db *DB) Verify(ctx context.Context) error { return db.check(ctx, "integrity_check") }

func (db *DB) check(ctx context.Context, how string) error {
	if _, ok := db.at.(place); !ok {
		return nil
	}
	var found string
	err := db.reader.QueryRowContext(ctx, "PRAGMA "+how+"(1)").Scan(&found)
	if err == nil && found != "ok" {
		err = fmt.Errorf("%w: %s", ErrDamaged, found)
	}
	err = db.at.explain(err)
	db.state.mu.Lock()
	defer db.state.mu.Unlock()
	if err == nil || errors.Is(err, ErrDamaged) {
		db.state.damaged = err
	}
	return err
}

// Gone reports whether the file that is open can no longer be reached by its name, and is lost when it is closed.
func (db *DB) Gone() bool { return errors.Is(db.unmoved(), errGone) }

// Rescue writes all that the database holds into a new file beside its place, when the file itself was deleted or
// replaced: until the last process that has it open ends, what was kept can still be read. It returns the file's
// name; "" where there is nothing to rescue: a server, a database in memory, and a file that is there, if only in part.
func (db *DB) Rescue(ctx context.Context, now time.Time) (file string, err error) {
	p, ok := db.at.(place)
	if !ok || !db.Gone() {
		return "", nil
	}
	file = p.path + ".rescued-" + now.UTC().Format("20060102T150405Z")
	empty, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) // SQLite would make it readable to others
	if err != nil {
		return "", fmt.Errorf("rescuing database %s: %w", db, err)
	}
	if err := empty.Close(); err != nil {
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
