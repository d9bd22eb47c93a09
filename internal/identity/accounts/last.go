package accounts

import (
	"context"
	"database/sql"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store"
)

// ErrLast means that the change would leave nobody who is an administrator for good: enabled, without an end, and in the group
// Administrators here. It is an ErrForbidden, to whomever. An operator who is Forcing may do it all the same, since he can make another.
var ErrLast error = lastError{}

type lastError struct{}

func (lastError) Error() string        { return "nobody would be left who is an administrator" }
func (lastError) Is(target error) bool { return target == ErrForbidden } //nolint:errorlint // as errors.Is wants it

// lasting says whether there is an administrator for good. Those of other sources are not seen: who they are
// is known only when they sign in.
func lasting(ctx context.Context, q store.Querier) (bool, error) {
	one, err := store.Texts(ctx, q, `
		SELECT a.id FROM account_groups g JOIN account_members m ON m.group_id = g.id JOIN accounts a ON a.id = m.account_id
		WHERE g.name = $1 AND a.disabled = 0 AND a.expires = 0 LIMIT 1`, Administrators)
	return len(one) > 0, err
}

// keeping does what f does, unless it takes the last administrator away. Changes after which something has to be
// forgotten take turns, over all processes: two that take one of the last two each are not blind to each other.
func keeping(ctx context.Context, by Actor, tx *sql.Tx, f func(*sql.Tx) (*journal.Change, error)) (*journal.Change, error) {
	if by.Forces() {
		return f(tx)
	}
	before, err := lasting(ctx, tx)
	if err != nil {
		return nil, err
	}
	note, err := f(tx)
	if err != nil || !before {
		return note, err
	}
	after, err := lasting(ctx, tx)
	if err == nil && !after {
		err = ErrLast
	}
	return note, err
}
