package accounts

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/credentials"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/chain"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/ratelimit/ratestore"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// AddUser adds a user.
func (a *Accounts) AddUser(ctx context.Context, by admin.Actor, u NewUser) (_ Account, err error) {
	defer admin.Wrap(&err, "adding user %.80q", u.Name)
	r := record{Account: Account{Kind: policy.User, Name: u.Name, Groups: distinct(u.Groups)}}
	if err := cmp.Or(a.rights.Require(by, admin.RightAccounts, scope.Write), admin.CheckName(u.Name), a.rights.MayChange(by, r.principal())); err != nil {
		return Account{}, err
	}
	var taken error
	if !u.Moved {
		r.Unchecked, taken = a.checkOtherSources(ctx, u.Name)
	}
	if r.hash, err = a.hash(ctx, u); err != nil {
		return Account{}, err
	}
	r.Hash = kindOfHash(r.hash)
	r.SetByDelegate = r.hash != "" && a.isDelegated(by)
	err = a.change(ctx, by, false, func(tx *sql.Tx) (*journal.Change, error) {
		return a.writer.WithIdempotency(ctx, tx, by, "user.add", u.Name, func() (string, *journal.Change, error) {
			if taken != nil { // checked last, because a retry must first find its account
				return "", nil, taken
			}
			change, err := a.create(ctx, tx, &r)
			return r.ID, change, err
		}, func(id string) (_ *journal.Change, err error) {
			r, err = a.findCreated(ctx, tx, by, id)
			return nil, err
		})
	})
	return r.Account, err
}

// findCreated finds the account that an actor added with an idempotency key. The actor must
// still have the right to change the account.
func (a *Accounts) findCreated(ctx context.Context, tx *sql.Tx, by admin.Actor, id string) (record, error) {
	r, err := findID(ctx, tx, id)
	if err == nil {
		err = a.mayManage(ctx, tx, by, &r)
	}
	return r, err
}

// create inserts an account with its memberships.
func (a *Accounts) create(ctx context.Context, tx *sql.Tx, r *record) (*journal.Change, error) {
	r.ID, r.Version, r.Created = a.writer.NewID(), 1, a.writer.Time()
	r.Changed = r.Created
	if err := insertAccount(ctx, tx, r); err != nil {
		return nil, err
	}
	for _, name := range r.Groups {
		g, err := a.findOrAddGroup(ctx, tx, name)
		if err != nil {
			admin.Wrap(&err, "group %.80q", name)
			return nil, err
		}
		if _, err := insertMember(ctx, tx, g.ID, r.ID); err != nil {
			return nil, err
		}
	}
	to := map[string]any{"id": r.ID}
	if r.hash != "" {
		to["password"] = r.Hash
	}
	if len(r.Groups) > 0 {
		to["groups"] = r.Groups
	}
	if r.SetByDelegate {
		to["set_by_delegate"] = true
	}
	if !r.Expires.IsZero() {
		to["expires"] = admin.ExpiryText(r.Expires)
	}
	if len(r.Unchecked) > 0 {
		to["unchecked"] = r.Unchecked
	}
	return &journal.Change{Action: r.Kind.String() + ".add", Target: r.Login(), To: to}, nil
}

// Account returns a user or a robot. Accounts may read themselves, and namespace owners may read
// their robots.
func (a *Accounts) Account(ctx context.Context, by admin.Actor, login string) (_ Account, err error) {
	defer admin.Wrap(&err, "looking up %.80q", login)
	forbidden := a.rights.Require(by, admin.RightAccounts, scope.Read)
	if forbidden != nil && (by.Restricted() || by.Principal == nil) {
		return Account{}, forbidden
	}
	r, err := find(ctx, a.writer.DB.Read(), login)
	if forbidden != nil && (err != nil || !r.owner().Is(by) && (r.namespace == "" || !a.ownsRobot(by, login))) {
		return Account{}, forbidden // the same answer whether the account exists or not
	}
	return r.Account, err
}

// List returns a page of accounts of one kind, users or robots, sorted by name. The second result
// is Page.After for the next page, or "" if there is no next page.
func (a *Accounts) List(ctx context.Context, by admin.Actor, kind policy.Kind, page admin.Page) (list []Account, next string, err error) {
	defer admin.Wrap(&err, "listing accounts")
	if err := a.rights.Require(by, admin.RightAccounts, scope.Read); err != nil {
		return nil, "", err
	}
	return a.list(ctx, page, "kind = $3", kind.String())
}

// list returns a page of the accounts that match an SQL condition. The arguments are the
// values for the placeholders of the condition.
func (a *Accounts) list(ctx context.Context, page admin.Page, condition string, args ...any) (list []Account, next string, err error) {
	records, next, err := admin.List(ctx, a.writer.DB.Read(), page, scanAccount, func(r *record) string { return r.Name },
		"SELECT "+accountColumns+" FROM accounts WHERE name > $1 AND "+condition+" ORDER BY name LIMIT $2", args...)
	for _, r := range records {
		if r, err = withGroups(ctx, a.writer.DB.Read())(r, err); err != nil {
			return nil, "", err
		}
		list = append(list, r.Account)
	}
	return list, next, err
}

// Users looks for local users with the given names, and returns the names that it finds. Callers
// use Users to find names that are also in another source.
func (a *Accounts) Users(ctx context.Context, by admin.Actor, names []string) (known []string, err error) {
	if err := a.rights.Require(by, admin.RightAccounts, scope.Read); err != nil {
		return nil, err
	}
	for some := range slices.Chunk(names, maxCompared) {
		args := []any{policy.User.String()}
		places := make([]string, len(some))
		for i, name := range some {
			args = append(args, name)
			places[i] = "$" + strconv.Itoa(i+2)
		}
		found, err := store.Texts(ctx, a.writer.DB.Read(), "SELECT name FROM accounts WHERE kind = $1 AND name IN ("+strings.Join(places, ", ")+") ORDER BY name", args...)
		if err != nil {
			return nil, fmt.Errorf("comparing names: %w", err)
		}
		known = append(known, found...)
	}
	return known, nil
}

// maxCompared is the maximum number of names in one query.
const maxCompared = 500

// SetPassword sets the password of another user. It revokes the user's refresh tokens and
// sessions. If an administrator replaces a password that a delegate knows, SetPassword also
// revokes the user's access tokens. Users change their own password with ChangePassword.
// ChangePassword requires the current password, so that nobody can use a leaked token to set a
// password.
func (a *Accounts) SetPassword(ctx context.Context, by admin.Actor, name string, secret identity.Secret, version int64) (_ Account, err error) {
	defer admin.Wrap(&err, "setting the password of %.80q", name)
	if err := a.rights.Require(by, admin.RightAccounts, scope.Write); err != nil {
		return Account{}, err
	}
	if admin.CheckName(name) != nil {
		return Account{}, &admin.NotFoundError{Kind: policy.User.String(), Name: name}
	}
	hash, err := a.newHash(ctx, name, secret.Reveal())
	if err != nil {
		return Account{}, err
	}
	return a.alter(ctx, by, name, version, func(tx *sql.Tx, r *record) (*journal.Change, error) {
		if r.owner().Is(by) {
			return nil, fmt.Errorf("%w: to change your own password, give the current one", admin.ErrForbidden)
		}
		if err := a.rights.MayChange(by, r.principal()); err != nil {
			return nil, err
		}
		change, err := replaceHash(ctx, tx, r, hash)
		if err != nil {
			return nil, err
		}
		return change, a.recordOwner(ctx, tx, by, r, change)
	})
}

// replaceHash sets another password and revokes the tokens created with the old password.
func replaceHash(ctx context.Context, tx *sql.Tx, r *record, hash string) (*journal.Change, error) {
	change := &journal.Change{Action: "password", From: map[string]any{"password": r.Hash}, To: map[string]any{"password": kindOfHash(hash)}}
	if err := signOut(ctx, tx, r, change); err != nil {
		return nil, err
	}
	r.hash = hash
	return change, nil
}

// signOut revokes the refresh tokens and sessions of an account.
func signOut(ctx context.Context, tx *sql.Tx, r *record, change *journal.Change) error {
	refresh, err := credentials.DeleteTokens(ctx, tx, r.owner(), credentials.Refresh)
	sessions, err2 := credentials.DeleteTokens(ctx, tx, r.owner(), credentials.Session)
	if change.To["refresh_revoked"] = refresh; sessions > 0 {
		change.To["sessions_ended"] = sessions
	}
	return errors.Join(err, err2)
}

// ChangePassword sets the actor's own password. It needs the current password; a token is not
// enough. If the current password is wrong, the error is an InvalidError of the field "current".
// Each wrong password counts as a failed sign-in. After too many guesses, ChangePassword returns a
// ratelimit.Error.
func (a *Accounts) ChangePassword(ctx context.Context, by admin.Actor, current, secret identity.Secret) (_ Account, err error) {
	defer admin.Wrap(&err, "changing a password")
	p := by.Principal
	if by.Restricted() {
		return Account{}, admin.ErrRestricted
	}
	none := fmt.Errorf("%w: you do not sign in with a password that is stored here", admin.ErrForbidden)
	if p == nil || p.Kind != policy.User || p.Source != Source {
		return Account{}, none
	}
	r, err := find(ctx, a.writer.DB.Read(), p.Name)
	if err != nil || !r.owner().Is(by) || r.hash == "" || r.endedReason(a.writer.Now()) != "" {
		if err == nil || errors.Is(err, admin.ErrNotFound) {
			err = none
		}
		return Account{}, err
	}
	// Because of the rate limit, an attacker with a stolen session can neither guess the password
	// nor block the hashing queue.
	presented := identity.Presented{Kind: identity.Password, Name: p.Name, Secret: current, Remote: by.Remote}
	switch err := chain.Check(ctx, a.o.Limiter(), presented, func(ctx context.Context, presented identity.Presented) error {
		if err := a.o.Hashing.CompareFor(ctx, requesterOf(presented), r.hash, current.Reveal()); err != nil {
			return sourceError(err)
		}
		return nil
	}); {
	case errors.Is(err, identity.ErrRejected):
		return Account{}, admin.Invalid("current", "this is not the current password")
	case err != nil:
		return Account{}, err
	}
	hash, err := a.newHash(ctx, p.Name, secret.Reveal())
	if err != nil {
		return Account{}, err
	}
	compared := r.hash
	return a.alter(ctx, by, p.Name, 0, func(tx *sql.Tx, r *record) (*journal.Change, error) {
		if !r.owner().Is(by) || r.hash != compared || r.endedReason(a.writer.Now()) != "" {
			return nil, admin.ErrChanged
		}
		return replaceHash(ctx, tx, r, hash)
	})
}

// SetExpiry sets when an account expires. The zero time means never. If the account has this
// expiry already, SetExpiry changes nothing.
func (a *Accounts) SetExpiry(ctx context.Context, by admin.Actor, login string, end time.Time, version int64) (_ Account, err error) {
	defer admin.Wrap(&err, "setting the expiry of %.80q", login)
	if err := cmp.Or(a.mayManageLogin(by, login), a.writer.CheckExpiry(end)); err != nil {
		return Account{}, err
	}
	end = store.Rounded(end)
	return a.alter(ctx, by, login, version, func(tx *sql.Tx, r *record) (*journal.Change, error) {
		if err := a.mayManage(ctx, tx, by, r); err != nil || end.Equal(r.Expires) {
			return nil, err
		}
		from := map[string]any{"expires": admin.ExpiryText(r.Expires)}
		r.Expires = end
		return &journal.Change{Action: "expiry", From: from, To: map[string]any{"expires": admin.ExpiryText(end)}}, nil
	})
}

// Disable disables an account, so that it cannot sign in, and revokes its refresh tokens and
// sessions. The access tokens and secrets of the account are rejected until the account is enabled
// again. If the account is disabled already, Disable changes nothing.
func (a *Accounts) Disable(ctx context.Context, by admin.Actor, login string, version int64) (_ Account, err error) {
	defer admin.Wrap(&err, "disabling %.80q", login)
	return a.setDisabled(ctx, by, login, version, true)
}

// Enable lets a disabled account sign in again. Revoked tokens stay revoked. If the account is
// enabled already, Enable changes nothing.
func (a *Accounts) Enable(ctx context.Context, by admin.Actor, login string, version int64) (_ Account, err error) {
	defer admin.Wrap(&err, "enabling %.80q", login)
	return a.setDisabled(ctx, by, login, version, false)
}

func (a *Accounts) setDisabled(ctx context.Context, by admin.Actor, login string, version int64, disabled bool) (Account, error) {
	if err := a.mayManageLogin(by, login); err != nil {
		return Account{}, err
	}
	return a.alter(ctx, by, login, version, func(tx *sql.Tx, r *record) (*journal.Change, error) {
		if err := a.mayManage(ctx, tx, by, r); err != nil || r.Disabled == disabled {
			return nil, err
		}
		change := &journal.Change{Action: "enable", From: map[string]any{"disabled": r.Disabled}, To: map[string]any{"disabled": disabled}}
		if disabled {
			change.Action = "disable"
			if err := signOut(ctx, tx, r, change); err != nil {
				return nil, err
			}
		}
		r.Disabled = disabled
		return change, nil
	})
}

// Delete deletes an account and everything that belongs to it.
func (a *Accounts) Delete(ctx context.Context, by admin.Actor, login string, version int64) (err error) {
	defer admin.Wrap(&err, "deleting %.80q", login)
	if err := a.mayManageLogin(by, login); err != nil {
		return err
	}
	return a.change(ctx, by, true, func(tx *sql.Tx) (*journal.Change, error) { return a.delete(ctx, tx, by, login, version) })
}

func (a *Accounts) delete(ctx context.Context, tx *sql.Tx, by admin.Actor, login string, version int64) (*journal.Change, error) {
	r, err := findLocked(ctx, tx, login)
	if err := cmp.Or(err, by.CheckSeen(r.ID, r.Version, version)); err != nil {
		return nil, err
	}
	if err := a.mayManage(ctx, tx, by, &r); err != nil {
		return nil, err
	}
	if err := admin.OrChanged(tx.ExecContext(ctx, "DELETE FROM accounts WHERE id = $1 AND version = $2", r.ID, r.Version)); err != nil {
		return nil, err
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM account_members WHERE account_id = $1", r.ID); err != nil {
		return nil, err
	}
	// A later account with the same name must not inherit memberships of namespaces.
	if err := rulebook.RemoveMember(ctx, a.writer.DB, tx, r.Kind.String()+":"+r.Name); err != nil {
		return nil, err
	}
	tokens, err := credentials.DeleteTokens(ctx, tx, r.owner(), "")
	if err != nil {
		return nil, err
	}
	if err := ratestore.DeletePlaces(ctx, tx, Source, r.ID); err != nil {
		return nil, fmt.Errorf("deleting known places: %w", err)
	}
	from := map[string]any{"id": r.ID, "groups": r.Groups, "tokens": tokens}
	return &journal.Change{Action: r.Kind.String() + ".delete", Target: r.Login(), From: from}, nil
}

func distinct(names []string) []string {
	names = slices.Clone(names)
	slices.Sort(names)
	return slices.Compact(names)
}
