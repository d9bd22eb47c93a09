package accounts

import (
	"context"
	"database/sql"
	"errors"
	"time"

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
func (a *Accounts) change(ctx context.Context, kind string, by Actor, f func(*sql.Tx) (*journal.Change, error)) error {
	if a.o.Journal == nil {
		return errors.New("changing accounts: there is no journal")
	}
	if kind == altered {
		// Clear the cache after an error too: a failed commit may have been stored.
		defer a.warm.forget()
		change := f
		f = func(tx *sql.Tx) (*journal.Change, error) { return keeping(ctx, by, tx, change) }
	}
	err := a.write(ctx, kind, func(tx *sql.Tx) error {
		note, err := f(tx)
		if err == nil && note == nil {
			err = errNothing
		}
		if err != nil {
			return err
		}
		note.Actor = by.String()
		if via := by.Via(Source); via != "" {
			if note.To == nil {
				note.To = make(map[string]any)
			}
			note.To["via"] = via
		}
		return a.o.Journal.AppendTx(ctx, tx, journal.Entry{Time: a.o.Now(), Change: note})
	})
	if errors.Is(err, errNothing) {
		return nil
	}
	return err
}

// errNothing rolls back a transaction that changed nothing, so that no process clears its cache.
var errNothing = errors.New("there is nothing to change")

// alter changes an account. f changes the record and returns the journal entry, or nil if there
// is nothing to change.
func (a *Accounts) alter(ctx context.Context, by Actor, login string, version int64, f func(*sql.Tx, *record) (*journal.Change, error)) (Account, error) {
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
		r.Changed, r.Hash = a.now(), kindOfHash(r.hash)
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

// now returns the time in the precision of the database.
func (a *Accounts) now() time.Time { return at(a.o.Now().UnixMilli()) }

func (a *Accounts) newID() string { return journal.NewID(a.o.Now()).String() }

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
		return t, &InvalidError{Field: "expires", Text: "it is in the past"}
	}
	return at(t.UnixMilli()), nil
}

// cut returns the first size items of a list that was read with one extra item, and the start of
// the next page.
func cut[T any](list []T, size int, name func(*T) string) ([]T, string) {
	if len(list) <= size {
		return list, ""
	}
	list = list[:size]
	return list, name(&list[size-1])
}
