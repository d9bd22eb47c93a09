package accounts

import (
	"context"
	"database/sql"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store"
)

// ErrLast means that the change would leave no permanent local administrator: an enabled account
// without an expiry in the group Administrators. It matches ErrForbidden. An operator who is
// Forcing may make the change all the same, since operators can add an administrator.
var ErrLast = admin.Forbidden("no administrator would be left")

// lasting reports whether there is a permanent local administrator. Administrators of other
// sources do not count: they are known only when they sign in.
func lasting(ctx context.Context, q store.Querier) (bool, error) {
	one, err := store.Texts(ctx, q, `
		SELECT a.id FROM account_groups g JOIN account_members m ON m.group_id = g.id JOIN accounts a ON a.id = m.account_id
		WHERE g.name = $1 AND a.disabled = 0 AND a.expires = 0 LIMIT 1`, admin.Administrators)
	return len(one) > 0, err
}

// keeping runs f, and fails with ErrLast if f removes the last administrator. Altered changes are
// serialized over all processes. So two concurrent changes cannot each remove one of the last two
// administrators.
func keeping(ctx context.Context, by admin.Actor, tx *sql.Tx, f func(*sql.Tx) (*journal.Change, error)) (*journal.Change, error) {
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
