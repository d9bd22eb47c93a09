package accounts

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store"
)

// errUsed means that the secret of a creation was used, so its response was not lost.
var errUsed = fmt.Errorf("%w, and its secret was used already", admin.ErrExists)

// handOut is change for f that issues a secret. That is usually an added change. If f revokes
// another secret it returns errVoids, and runs again as an altered change.
func (a *Accounts) handOut(ctx context.Context, by admin.Actor, f func(_ *sql.Tx, kind string) (*journal.Change, error)) error {
	err := a.change(ctx, added, by, func(tx *sql.Tx) (*journal.Change, error) { return f(tx, added) })
	if errors.Is(err, errVoids) {
		err = a.change(ctx, altered, by, func(tx *sql.Tx) (*journal.Change, error) { return f(tx, altered) })
	}
	return err
}

// errVoids means that the change revokes a secret that was issued before.
var errVoids = errors.New("the change revokes a secret")

// again replaces the secret of a token whose response was lost, unless the first secret was used.
func (a *Accounts) again(ctx context.Context, tx *sql.Tx, kind string, t *Token, d digest) (*journal.Change, error) {
	if kind != altered {
		return nil, errVoids
	}
	if a.lastTouch(t.ID) != 0 {
		return nil, errUsed // a use that is not written yet
	}
	n, err := store.Affected(tx.ExecContext(ctx, "UPDATE account_tokens SET hash = $1 WHERE id = $2 AND used = 0", d[:], t.ID))
	if err == nil && n == 0 {
		err = errUsed
	}
	return &journal.Change{Action: string(t.Use) + ".again", Target: t.Owner.String(), To: noted(t)}, err
}
