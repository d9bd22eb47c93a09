package accounts

import (
	"context"
	"database/sql"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store"
)

// ErrLast means that no permanent local administrator would be left after the change. Such an
// administrator is a member of the group Administrators whose account is enabled and has no
// expiry. ErrLast matches ErrForbidden. An operator can force the change (Actor.WithForce),
// because operators can add an administrator afterwards.
var ErrLast = admin.Forbidden("no administrator would be left")

// hasAdministrator reports whether any account is an administrator. If lasting is true, it ignores
// accounts that are disabled or will expire. It always ignores administrators from other sources,
// because Tidewaiter knows them only when they sign in.
func hasAdministrator(ctx context.Context, q store.Querier, lasting bool) (bool, error) {
	one, err := store.Texts(ctx, q, `
		SELECT a.id FROM account_groups g JOIN account_members m ON m.group_id = g.id JOIN accounts a ON a.id = m.account_id
		WHERE g.name = $1 AND ($2 = 0 OR a.disabled = 0 AND a.expires = 0) LIMIT 1`, admin.Administrators, bit(lasting))
	return len(one) > 0, err
}

// keepAdministrator runs f, and fails with ErrLast if f removes the last administrator. Changes
// that revoke something are serialized over all processes. So two concurrent changes cannot each
// remove one of the last two administrators.
func keepAdministrator(ctx context.Context, by admin.Actor, tx *sql.Tx, f func(*sql.Tx) (*journal.Change, error)) (*journal.Change, error) {
	if by.Forces() {
		return f(tx)
	}
	before, err := hasAdministrator(ctx, tx, true)
	if err != nil {
		return nil, err
	}
	change, err := f(tx)
	if err != nil || !before {
		return change, err
	}
	after, err := hasAdministrator(ctx, tx, true)
	if err == nil && !after {
		err = ErrLast
	}
	return change, err
}
