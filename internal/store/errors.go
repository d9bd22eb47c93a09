package store

import (
	"errors"
	"fmt"
)

var (
	// ErrNewer means that the database was made by a newer Tidewaiter, and was left as it is.
	ErrNewer = errors.New("it was written by a newer version of Tidewaiter")
	// ErrOlder means that the database waits for Open to bring it up to date.
	ErrOlder = errors.New("it was written by an older version of Tidewaiter and not yet brought up to date by `tidewaiter serve`")
	// ErrForeign means that something else than Tidewaiter's state is kept there.
	ErrForeign = errors.New("it is not a database of Tidewaiter")
	// ErrBusy means that somebody else kept what is needed locked for longer than 5 seconds, or that two
	// writes stood in each other's way: it may succeed when it is tried again.
	ErrBusy = errors.New("another process has it locked")
	// ErrInUse means that it was wanted alone, and a process of Tidewaiter has it open.
	ErrInUse = errors.New("it is in use: stop every Tidewaiter that works with it")
	// ErrNotEmpty means that a copy would overwrite what is there.
	ErrNotEmpty = errors.New("it is not empty")
	// ErrNoSpace means that the disk, or the quota, is full.
	ErrNoSpace = errors.New("no space is left on its disk")
	// ErrMissing means that there is no database, or one without any tables, where one is wanted.
	ErrMissing = errors.New("there is no database")
	// ErrReplaced means that what is open is no longer what stands in its place: the file was deleted, replaced or
	// overwritten, or the server has another database under the same name. What would be written now would be lost.
	ErrReplaced = errors.New("the database was replaced while it is in use")
	// errGone is ErrReplaced where the file that is open bears its name no longer, and is otherwise whole.
	errGone = fmt.Errorf("%w", ErrReplaced)
	// ErrDamaged means that the file, or its disk, is broken.
	ErrDamaged = errors.New("the database is damaged: stop Tidewaiter, move the file away, and restore a backup with `tidewaiter database restore FILE`")
	// ErrDown means that the database server can't be reached, or does not answer in time.
	ErrDown = errors.New("the database can't be reached")
)

// Unavailable reports whether err is a condition of the database and not of what was asked of it: what failed may be
// tried again when the condition has passed, by itself or because somebody saw to it.
func Unavailable(err error) bool {
	return errors.Is(err, ErrDown) || errors.Is(err, ErrBusy) || errors.Is(err, ErrNoSpace) ||
		errors.Is(err, ErrReplaced) || errors.Is(err, ErrDamaged)
}

// named says whether an error was explained before: what a room returns to Write may come from there.
func named(err error) bool {
	for _, known := range []error{ErrNewer, ErrOlder, ErrForeign, ErrBusy, ErrInUse, ErrNotEmpty, ErrNoSpace, ErrDown, ErrMissing, ErrReplaced, ErrDamaged} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

func unreachable(err error) error { return fmt.Errorf("%w: %w", ErrDown, err) }
