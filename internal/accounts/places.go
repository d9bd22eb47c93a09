package accounts

import (
	"context"
	"database/sql"
	"net/netip"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/ratelimit"
	"github.com/tidewaiter/tidewaiter/internal/ratelimit/ratestore"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// AllowPlace marks a network as known for a user who has not signed in from this network. From
// this network, the user can then sign in even while others try wrong passwords for this user. The
// prefix is an IPv4 /24 or an IPv6 /48, or a part of such a network. Other processes that rate
// limit this user notice the change within a minute. Allowing the same place twice on one day
// changes nothing.
func (a *Accounts) AllowPlace(ctx context.Context, by admin.Actor, login string, from netip.Prefix) (_ Account, err error) {
	defer admin.Wrap(&err, "allowing %.80q a place", login)
	if err := a.rights.Require(by, admin.RightAccounts, scope.Write); err != nil {
		return Account{}, err
	}
	place := ratelimit.PlaceOf(from.Addr())
	if !place.IsValid() || from.Bits() < place.Bits() {
		return Account{}, admin.Invalid("from", "it must be an IPv4 /24 or an IPv6 /48, or part of one")
	}
	var r record
	err = a.change(ctx, by, false, func(tx *sql.Tx) (_ *journal.Change, err error) {
		if r, err = findLocked(ctx, tx, login); err != nil {
			return nil, err
		}
		if r.Kind != policy.User {
			// Robot secrets are not rate limited.
			return nil, &admin.NotFoundError{Kind: policy.User.String(), Name: login}
		}
		if err := a.rights.MayChange(by, r.principal()); err != nil {
			return nil, err
		}
		learned := ratelimit.Learned{Place: ratelimit.Place{Name: ratelimit.Fold(r.Name), Prefix: place}, Source: Source, ID: r.ID}
		isNew, err := ratestore.AddPlace(ctx, tx, learned, a.writer.Now())
		if r.Unchanged = err == nil && !isNew; err != nil || !isNew {
			return nil, err
		}
		return &journal.Change{Action: "user.allow", Target: r.Login(), To: map[string]any{"from": place.String()}}, nil
	})
	return r.Account, err
}
