package accounts

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Anyone who sets a password or creates a token for somebody else knows that secret. If such a
// person may change accounts without being an administrator, they would only have to wait until
// the user becomes an administrator. So
//
//   - a token that they create for somebody else is valid at registries only
//     (atRegistries). It never has its owner's rights over Tidewaiter, and neither have
//     tokens created with it;
//   - an account whose password or secret they have set is marked as Lent. It cannot
//     join a group that makes it an administrator until an administrator sets another
//     password or secret. That also revokes all its access tokens: anyone with the password
//     could have created them in the user's name.
//
// A user who changes the password does not clear the mark: the person who set it may have changed
// it instead.

// ErrLent means that an account would become an administrator although a non-administrator knows
// its password or secret. It matches ErrForbidden.
var ErrLent = admin.Forbidden("a user who is not an administrator has set its password or secret: an administrator must set another one first")

// lends reports whether an account becomes Lent when the actor sets its password or secret.
func (a *Accounts) lends(by admin.Actor) bool {
	return !a.May(by, admin.RightAdministrators, scope.Write)
}

// settled updates Lent after the actor has set the password or secret of an account.
func (a *Accounts) settled(ctx context.Context, tx *sql.Tx, by admin.Actor, r *record, note *journal.Change) error {
	was := r.Lent
	r.Lent = a.lends(by)
	if was != r.Lent {
		note.To["lent"] = r.Lent
	}
	if !was || r.Lent {
		return nil
	}
	n, err := deleteTokens(ctx, tx, r.owner(), Access)
	if n > 0 {
		note.To["tokens_revoked"] = n
	}
	return err
}

// atRegistries restricts limits to registries. It rejects limits that include a right over
// Tidewaiter.
func atRegistries(limits []policy.Limit) ([]policy.Limit, error) {
	for _, l := range limits {
		if l.Type == scope.TypeTidewaiter {
			return nil, fmt.Errorf("a token for somebody else with rights over Tidewaiter itself %w", admin.Requires(admin.RightAdministrators, scope.Write))
		}
	}
	if len(limits) > 0 {
		return limits, nil
	}
	return []policy.Limit{
		{Names: []string{"**"}, Actions: scope.Repository},
		{Type: scope.TypeRegistry, Names: []string{"catalog"}, Actions: scope.All},
	}, nil
}

// promotes returns ErrLent if an account that is Lent would become an administrator.
func (a *Accounts) promotes(by admin.Actor, r *record, after *policy.Principal) error {
	if r.Lent && a.administers(by, after) && !a.administers(by, r.principal()) {
		return ErrLent
	}
	return nil
}
