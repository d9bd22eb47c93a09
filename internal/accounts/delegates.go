package accounts

import (
	"context"
	"database/sql"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/credentials"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// A delegate is an actor who may change accounts but is not an administrator. A delegate who sets
// a user's password knows this password, and could wait until the user becomes an administrator.
// So the account is marked with SetByDelegate. Until an administrator sets another password or
// secret, the account cannot join a group that makes it an administrator. When an administrator
// sets another password or secret, the account's access tokens are also revoked, because anyone
// with the old password could have created them in the user's name.
//
// The mark stays when the user changes the password, because the delegate knows the old password,
// and could have made this change in the user's name. Package credentials restricts the tokens
// that a delegate creates for somebody else.

// ErrSetByDelegate means that a change would make an account an administrator although a delegate
// has set the account's password or secret. ErrSetByDelegate matches admin.ErrForbidden.
var ErrSetByDelegate = admin.Forbidden("a user who is not an administrator has set its password or secret: an administrator must set another one first")

// isDelegated reports whether the actor is a delegate: somebody who may not change
// administrators. If a delegate sets a password or secret, SetByDelegate becomes true.
func (a *Accounts) isDelegated(by admin.Actor) bool {
	return !a.rights.May(by, admin.RightAdministrators, scope.Write)
}

// recordOwner updates r.SetByDelegate after the actor has set the password or secret of r. If an
// administrator replaces a password or secret of a delegate, recordOwner also deletes the access
// tokens of r.
func (a *Accounts) recordOwner(ctx context.Context, tx *sql.Tx, by admin.Actor, r *record, change *journal.Change) error {
	was := r.SetByDelegate
	r.SetByDelegate = a.isDelegated(by)
	if was != r.SetByDelegate {
		change.To["set_by_delegate"] = r.SetByDelegate
	}
	if !was || r.SetByDelegate {
		return nil
	}
	n, err := credentials.DeleteTokens(ctx, tx, r.owner(), credentials.Access)
	if n > 0 {
		change.To["tokens_revoked"] = n
	}
	return err
}

// wouldPromote returns ErrSetByDelegate if a delegate has set the password or secret of the
// account r, and a change would make r an administrator. The changed principal is r's
// principal after the change.
func (a *Accounts) wouldPromote(by admin.Actor, r *record, changed *policy.Principal) error {
	if r.SetByDelegate && a.rights.Administers(changed, by.Remote) && !a.rights.Administers(r.principal(), by.Remote) {
		return ErrSetByDelegate
	}
	return nil
}
