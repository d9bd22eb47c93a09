package accounts

import (
	"cmp"
	"context"
	"database/sql"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/journal"
)

// change is like Credentials.Change. If revokes is true, change also checks that an
// administrator remains.
func (a *Accounts) change(ctx context.Context, by admin.Actor, revokes bool, f func(*sql.Tx) (*journal.Change, error)) error {
	return a.Credentials.Change(ctx, by, revokes, func(tx *sql.Tx) (*journal.Change, error) {
		if revokes {
			return keepAdministrator(ctx, by, tx, f)
		}
		return f(tx)
	})
}

// alter changes an account. The function f changes the record and returns the journal entry, or
// nil if there is nothing to change.
func (a *Accounts) alter(ctx context.Context, by admin.Actor, login string, version int64, f func(*sql.Tx, *record) (*journal.Change, error)) (account Account, err error) {
	err = a.change(ctx, by, true, func(tx *sql.Tx) (*journal.Change, error) {
		r, err := findLocked(ctx, tx, login)
		if err := cmp.Or(err, by.CheckSeen(r.ID, r.Version, version)); err != nil {
			return nil, err
		}
		change, err := f(tx, &r)
		if err == nil && change != nil {
			r.Changed, r.Hash = a.writer.Time(), kindOfHash(r.hash)
			change.Action, change.Target = r.Kind.String()+"."+change.Action, r.Login()
			err = updateAccount(ctx, tx, &r)
		}
		account, account.Unchanged = r.Account, change == nil
		return change, err
	})
	return account, err
}
