package admin

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store"
)

// Writer writes changes to the database, each in one transaction with its journal entry. Its
// methods may be called from any goroutine.
type Writer struct {
	DB      *store.DB
	Journal *journal.Journal // nil: every change fails
	Now     func() time.Time // a wall clock

	// Write is DB.Write, or a function that injects faults in tests.
	Write func(ctx context.Context, topic string, f func(*sql.Tx) error) error
}

// NewWriter returns a Writer. If db is nil, nothing can be changed or read.
func NewWriter(db *store.DB, j *journal.Journal, now func() time.Time) *Writer {
	w := &Writer{DB: db, Journal: j, Now: clock.Wall(now)}
	if db != nil {
		w.Write = db.Write
	}
	return w
}

// Change runs f in a transaction and journals the change that f returns. Change can call f more
// than once. All processes that watch the topic notice the change (store.DB). If topic is "",
// no process notices the change.
//
// If f returns no change, f must have written nothing. Change then rolls the transaction back, so
// that no process notices anything. If Change returns an error, the change can still be stored,
// because a commit can succeed although the database reports a failure.
func (w *Writer) Change(ctx context.Context, topic string, by Actor, f func(*sql.Tx) (*journal.Change, error)) error {
	if w.Journal == nil {
		return errors.New("there is no journal, so nothing can be changed")
	}
	err := w.Write(ctx, topic, func(tx *sql.Tx) error {
		change, err := f(tx)
		if err != nil {
			return err
		}
		if change == nil {
			return errNoChange
		}
		change.Actor = by.String()
		if via := by.signInText(); via != "" {
			if change.To == nil {
				change.To = make(map[string]any)
			}
			change.To["via"] = via
		}
		entry := journal.Entry{Time: w.Now(), Change: change}
		if change.Action == "session.add" { // a sign-in to the API
			details := maps.Clone(change.To)
			maps.Copy(details, change.From)
			entry.Change, entry.Service = nil, &journal.Service{
				Action: change.Action, Target: change.Target, Actor: change.Actor, Remote: by.Remote, Details: details,
			}
		}
		return w.Journal.AppendTx(ctx, tx, entry)
	})
	if errors.Is(err, errNoChange) {
		return nil
	}
	return err
}

// errNoChange rolls back a transaction that changed nothing.
var errNoChange = errors.New("there is nothing to change")

// Time returns the current time in the precision of the database.
func (w *Writer) Time() time.Time { return store.Rounded(w.Now()) }

// NewID returns the id of a new object. Ids are ordered by time.
func (w *Writer) NewID() string { return journal.NewID(w.Now()).String() }

// CheckExpiry returns an InvalidError of the field "expires" if t is in the past. The zero time
// is never in the past.
func (w *Writer) CheckExpiry(t time.Time) error {
	if Expired(t, w.Now()) {
		return Invalid("expires", "it is in the past")
	}
	return nil
}

// Expired reports whether an expiry is in the past. The zero time means that the object never
// expires.
func Expired(t, now time.Time) bool { return !t.IsZero() && !now.Before(t) }

// ExpiryText returns an expiry as the journal records it: "never", or a time such as
// "2026-11-23T12:00:00Z".
func ExpiryText(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format(time.RFC3339)
}
