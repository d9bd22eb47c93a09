package accounts

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Who sets a password or makes a token for somebody else knows it. Whoever may change accounts without being an administrator would only have to wait
// until one of those users is made an administrator. So
//
//   - a token that they make for another is good at registries alone (atRegistries): it has none of its owner's rights over Tidewaiter, whatever
//     those come to be, nor has what is made with it;
//   - an account whose password or secret they have set is lent. It joins no group that makes it an administrator until one has set
//     another password or secret, by which the tokens of that time are void, whoever made them: with the password everybody is the user.
//
// That the user himself has changed the password since proves nothing: it may have been the other one who did.

// ErrLent means that an account would become an administrator whose password or secret somebody knows who is none.
var ErrLent error = lentError{}

type lentError struct{}

func (lentError) Error() string {
	return "somebody who is no administrator has set its password or secret, and would be one with it: set another first"
}
func (lentError) Is(target error) bool { return target == ErrForbidden } //nolint:errorlint // as errors.Is wants it

// lends says whether what the actor sets for another makes an account a lent one.
func (a *Accounts) lends(by Actor) bool { return !a.May(by, rightAdministrators, scope.Write) }

// settled notes in whose hands the account is whose password or secret the actor has just set.
func (a *Accounts) settled(ctx context.Context, tx *sql.Tx, by Actor, r *record, note *journal.Change) error {
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

// atRegistries narrows limits to what is no right over Tidewaiter itself. Who asks for such a right is refused.
func atRegistries(limits []policy.Limit) ([]policy.Limit, error) {
	for _, l := range limits {
		if l.Type == scope.TypeTidewaiter {
			return nil, fmt.Errorf("a token for another with rights over Tidewaiter itself %w", rulebook.Requires(rightAdministrators, scope.Write))
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

// promotes is ErrLent if an account that is lent would become an administrator.
func (a *Accounts) promotes(by Actor, r *record, after *policy.Principal) error {
	if r.Lent && a.administers(by, after) && !a.administers(by, r.principal()) {
		return ErrLent
	}
	return nil
}
