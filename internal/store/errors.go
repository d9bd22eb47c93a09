package store

import (
	"errors"
	"fmt"
	"slices"
)

var (
	// ErrNewer means that a newer version of Tidewaiter wrote the database. Open has not changed
	// the database.
	ErrNewer = errors.New("it was written by a newer version of Tidewaiter")
	// ErrOlder means that the tables need a migration, which only Open runs.
	ErrOlder = errors.New("it was written by an older version of Tidewaiter and is not yet migrated; start `tidewaiter serve` once")
	// ErrForeign means that the file or schema belongs to another program.
	ErrForeign = errors.New("it is not a Tidewaiter database")
	// ErrBusy means that a lock was not released within 5 seconds, or that two writes
	// conflicted. A retry may succeed.
	ErrBusy = errors.New("it is locked by another process")
	// ErrInUse means that exclusive access is required and another Tidewaiter process has the
	// database open.
	ErrInUse = errors.New("it is in use: stop every Tidewaiter process that uses it")
	// ErrNotEmpty means that a copy would overwrite existing data.
	ErrNotEmpty = errors.New("it is not empty")
	// ErrNoSpace means that the disk or the quota is full.
	ErrNoSpace = errors.New("no space is left on its disk")
	// ErrMissing means that the database does not exist or has no tables.
	ErrMissing = errors.New("there is no database")
	// ErrReplaced means that the URL no longer leads to the open database. The file was deleted,
	// replaced or overwritten, or the server has another database under the same name. A write
	// would be lost.
	ErrReplaced = errors.New("the database was replaced while it is in use")
	// errGone is ErrReplaced for an open file that is intact, but has lost its name.
	errGone = fmt.Errorf("%w", ErrReplaced)
	// ErrDamaged means that the file or its disk is broken.
	ErrDamaged = errors.New("the database is damaged: stop Tidewaiter, move the file away, and restore a backup with `tidewaiter database restore FILE`")
	// ErrDown means that the database server cannot be reached or does not answer in time.
	ErrDown = errors.New("the database can't be reached")
)

var (
	conditions = []error{ErrDown, ErrBusy, ErrNoSpace, ErrReplaced, ErrDamaged}
	others     = []error{ErrNewer, ErrOlder, ErrForeign, ErrInUse, ErrNotEmpty, ErrMissing}
)

// Unavailable reports whether the state of the database, such as a full disk, is the cause of err.
// If so, the request is not the cause, and can be retried when this state is over.
func Unavailable(err error) bool { return isAny(err, conditions) }

// isExplained reports whether err already wraps an error of this package. The function that Write
// runs may return such an error.
func isExplained(err error) bool { return isAny(err, conditions) || isAny(err, others) }

func isAny(err error, list []error) bool {
	return slices.ContainsFunc(list, func(known error) bool { return errors.Is(err, known) })
}

func unreachable(err error) error { return fmt.Errorf("%w: %w", ErrDown, err) }
