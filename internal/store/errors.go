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
	// ErrDown means that the database server can't be reached, or does not answer in time.
	ErrDown = errors.New("the database can't be reached")
)

// Unavailable says whether err is a condition of the database that passes: what failed may be tried again.
func Unavailable(err error) bool {
	return errors.Is(err, ErrDown) || errors.Is(err, ErrBusy) || errors.Is(err, ErrNoSpace)
}

// named says whether an error was explained before: what a room returns to Write may come from there.
func named(err error) bool {
	for _, known := range []error{ErrNewer, ErrOlder, ErrForeign, ErrBusy, ErrInUse, ErrNotEmpty, ErrNoSpace, ErrDown} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

func unreachable(err error) error { return fmt.Errorf("%w: %w", ErrDown, err) }
