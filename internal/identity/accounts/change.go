package accounts

import (
	"context"
	"database/sql"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/journal"
)

// topic is the topic under which the database counts changes that invalidate caches. Additions
// are not counted, since unknown credentials are never cached.
const topic = "accounts"

// The kinds of changes. After an altered change, all processes clear their caches.
const (
	added   = ""
	altered = topic
)

// change runs f and journals its result in one transaction. f may be called more than once. If f
// returns no change, it must have written nothing, and the transaction is rolled back.
func (a *Accounts) change(ctx context.Context, kind string, by admin.Actor, f func(*sql.Tx) (*journal.Change, error)) error {
	if kind == altered {
		// Clear the cache after an error too: a failed commit may have been stored.
		defer a.warm.forget()
		change := f
		f = func(tx *sql.Tx) (*journal.Change, error) { return keeping(ctx, by, tx, change) }
	}
	return a.writer.Change(ctx, kind, by, f)
}

// alter changes an account. f changes the record and returns the journal entry, or nil if there
// is nothing to change.
func (a *Accounts) alter(ctx context.Context, by admin.Actor, login string, version int64, f func(*sql.Tx, *record) (*journal.Change, error)) (Account, error) {
	var result Account
	err := a.change(ctx, altered, by, func(tx *sql.Tx) (*journal.Change, error) {
		r, err := findHeld(ctx, tx, login)
		if err != nil {
			return nil, err
		}
		if err := by.CheckSeen(r.ID, r.Version, version); err != nil {
			return nil, err
		}
		note, err := f(tx, &r)
		if err == nil && note == nil {
			result, result.Unchanged = r.Account, true
		}
		if err != nil || note == nil {
			return nil, err
		}
		r.Changed, r.Hash = a.writer.Time(), kindOfHash(r.hash)
		if err := updateAccount(ctx, tx, &r); err != nil {
			return nil, err
		}
		result = r.Account
		note.Action, note.Target = r.Kind.String()+"."+note.Action, r.Login()
		return note, nil
	})
	if err != nil {
		return Account{}, err
	}
	return result, nil
}

// when formats a time for the journal.
func when(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format(time.RFC3339)
}

// future rejects an expiry in the past. It returns the time in the precision of the database.
func (a *Accounts) future(t time.Time) (time.Time, error) {
	if t.IsZero() {
		return t, nil
	}
	if past(t, a.o.Now()) {
		return t, admin.Invalid("expires", "it is in the past")
	}
	return admin.Time(t.UnixMilli()), nil
}
