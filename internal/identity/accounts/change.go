package accounts

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/journal"
)

// topic is what the database counts our changes under: those after which something has to be forgotten. What
// is merely added is not among them, since what is unknown is never remembered.
const topic = "accounts"

// added and altered say whether a change is one after which others have to forget.
const (
	added   = ""
	altered = topic
)

// change does something and journals it, all or nothing. f may be called more than once. Where it returns no change,
// it has written nothing, and nothing is done.
func (a *Accounts) change(ctx context.Context, kind string, by Actor, f func(*sql.Tx) (*journal.Change, error)) error {
	if a.o.Journal == nil {
		return errors.New("changing accounts: there is no journal to note it in")
	}
	if kind == altered {
		// Also after an error, since what failed to commit may have been kept all the same.
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

// errNothing rolls a transaction back that found all as it was wanted: nobody has to forget anything.
var errNothing = errors.New("there is nothing to change")

// alter changes an account: f changes the record and says what is to be noted; nil: it is as it was wanted.
func (a *Accounts) alter(ctx context.Context, by Actor, login string, version int64, f func(*sql.Tx, *record) (*journal.Change, error)) (Account, error) {
	var result Account
	err := a.change(ctx, altered, by, func(tx *sql.Tx) (*journal.Change, error) {
		r, err := findHeld(ctx, tx, login)
		if err != nil {
			return nil, err
		}
		if err := by.Finds(r.ID, r.Version, version); err != nil {
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

// now is the time as it is kept.
func (a *Accounts) now() time.Time { return at(a.o.Now().UnixMilli()) }

func (a *Accounts) newID() string { return journal.NewID(a.o.Now()).String() }

// when is a time in the journal.
func when(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format(time.RFC3339)
}

// future checks when something is to end, and brings it to the form in which it is kept.
func (a *Accounts) future(t time.Time) (time.Time, error) {
	if t.IsZero() {
		return t, nil
	}
	if past(t, a.o.Now()) {
		return t, &InvalidError{Field: "expires", Text: "it is in the past"}
	}
	return at(t.UnixMilli()), nil
}

// cut takes a page from a list that was read one longer than it, and says where the next one begins.
func cut[T any](list []T, size int, name func(*T) string) ([]T, string) {
	if len(list) <= size {
		return list, ""
	}
	list = list[:size]
	return list, name(&list[size-1])
}
