package credentials

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/secret"
	"github.com/tidewaiter/tidewaiter/internal/store"
)

// Change is like Writer.Change. If the change can make a credential invalid, the parameter revokes
// must be true, so that all processes clear their caches. A change that adds a credential does not
// have to clear the caches, because unknown credentials are never cached.
func (c *Credentials) Change(ctx context.Context, by admin.Actor, revokes bool, f func(*sql.Tx) (*journal.Change, error)) error {
	if !revokes {
		return c.writer.Change(ctx, "", by, f)
	}
	defer c.Forget() // also after an error, because a failed commit can be stored
	return c.writer.Change(ctx, admin.AccountsTopic, by, f)
}

// Issue is like Change, for a function f that issues a secret. Usually f revokes nothing, so
// Issue passes false. If f returns errRevokes because it has to revoke another secret, Issue
// calls f again and passes true.
func (c *Credentials) Issue(ctx context.Context, by admin.Actor, f func(tx *sql.Tx, revokes bool) (*journal.Change, error)) error {
	err := errRevokes
	for _, revokes := range []bool{false, true} {
		if errors.Is(err, errRevokes) {
			err = c.Change(ctx, by, revokes, func(tx *sql.Tx) (*journal.Change, error) { return f(tx, revokes) })
		}
	}
	return err
}

// errRevokes means that a change has to revoke a secret.
var errRevokes = errors.New("the change revokes a secret")

// errUsed means that the secret of a created object was used, so the response was not lost.
var errUsed = fmt.Errorf("%w, and its secret was used already", admin.ErrExists)

// reissue replaces the secret of a token whose response was lost. Only the hash of the first
// secret is stored, so the first secret cannot be returned again. If the first secret was used,
// the response was not lost, and reissue returns errUsed.
func (c *Credentials) reissue(ctx context.Context, tx *sql.Tx, revokes bool, t *Token, d secret.Digest) (*journal.Change, error) {
	if !revokes {
		return nil, errRevokes
	}
	if c.unwrittenUse(t.ID) != 0 {
		return nil, errUsed
	}
	n, err := store.Affected(tx.ExecContext(ctx, "UPDATE account_tokens SET hash = $1 WHERE id = $2 AND used = 0", d[:], t.ID))
	if err == nil && n == 0 {
		err = errUsed
	}
	return &journal.Change{Action: string(t.Purpose) + ".again", Target: t.Owner.String(), To: journalForm(t)}, err
}
