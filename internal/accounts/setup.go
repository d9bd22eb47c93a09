package accounts

import (
	"cmp"
	"context"
	"crypto/subtle"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/chain"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/secret"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/policy"
)

// setupLife is the lifetime of a setup secret. A setup secret is needed to create the first
// administrator.
const setupLife = 24 * time.Hour

// Administered reports whether any account is an administrator.
func (a *Accounts) Administered(ctx context.Context) (_ bool, err error) {
	defer admin.Wrap(&err, "looking for an administrator")
	return hasAdministrator(ctx, a.writer.DB.Read(), false)
}

// SetupSecret issues a secret with which SetUp can create the first administrator. The secret can
// be used once, before it expires. Callers must print the secret only in a place that only
// operators can read, such as the log. SetupSecret returns ErrExists if there is an administrator
// already.
func (a *Accounts) SetupSecret(ctx context.Context) (_ identity.Secret, expires time.Time, err error) {
	defer admin.Wrap(&err, "issuing a setup secret")
	text, d := secret.New(secret.Setup)
	now := a.writer.Time()
	expires = now.Add(setupLife)
	err = a.change(ctx, admin.Operator("setup"), false, func(tx *sql.Tx) (*journal.Change, error) {
		if there, err := hasAdministrator(ctx, tx, false); there || err != nil {
			return nil, cmp.Or(err, admin.ErrExists)
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM account_setup WHERE expires <= $1", store.Millis(now)); err != nil {
			return nil, err
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO account_setup (hash, expires) VALUES ($1, $2)", d[:], store.Millis(expires))
		return &journal.Change{Action: "setup.offer", To: map[string]any{"expires": admin.ExpiryText(expires)}}, err
	})
	return identity.NewSecret(text), expires, err
}

// SetUp creates the first administrator, who must have a password. It returns ErrForbidden if the
// secret is wrong, expired or used. A wrong secret counts like a wrong token at sign-in. After too
// many guesses, SetUp returns a ratelimit.Error. SetUp uses only the addresses of the caller.
func (a *Accounts) SetUp(ctx context.Context, offered identity.Secret, u NewUser, caller identity.Presented) (_ Account, err error) {
	defer admin.Wrap(&err, "setting up")
	letter, d, ok := secret.Parse(offered.Reveal())
	// Check before hashing, which is expensive. The transaction checks again.
	presented := identity.Presented{Kind: identity.AccessToken, Secret: offered, Remote: caller.Remote, Peer: caller.Peer}
	err = chain.Check(ctx, a.o.Limiter(), presented, func(ctx context.Context, _ identity.Presented) error {
		if !ok || letter != secret.Setup {
			return identity.ErrRejected
		}
		return a.checkSetupSecret(ctx, d)
	})
	if errors.Is(err, identity.ErrRejected) {
		err = errSetupSecret
	}
	if err != nil {
		return Account{}, err
	}
	if err := admin.CheckName(u.Name); err != nil {
		return Account{}, err
	}
	if u.Password.Reveal() == "" {
		return Account{}, admin.Invalid("password", "it is required")
	}
	unchecked, err := a.checkOtherSources(ctx, u.Name)
	if err != nil {
		return Account{}, err
	}
	hash, err := a.hash(ctx, u)
	if err != nil {
		return Account{}, err
	}
	r := record{Account: Account{
		Kind: policy.User, Name: u.Name, Hash: kindOfHash(hash), Groups: distinct(append(u.Groups, admin.Administrators)), Unchecked: unchecked,
	}, hash: hash}
	by := admin.Operator("setup")
	by.Remote = caller.Remote
	err = a.change(ctx, by, true, func(tx *sql.Tx) (*journal.Change, error) {
		if err := consumeSetupSecret(ctx, tx, d, a.writer.Time()); err != nil {
			return nil, err
		}
		if there, err := hasAdministrator(ctx, tx, false); there || err != nil {
			return nil, cmp.Or(err, admin.ErrExists)
		}
		return a.create(ctx, tx, &r)
	})
	return r.Account, err
}

// checkSetupSecret returns identity.ErrRejected if the setup secret is not valid.
func (a *Accounts) checkSetupSecret(ctx context.Context, d secret.Digest) error {
	found, err := store.Texts(ctx, a.writer.DB.Read(), "SELECT 'yes' FROM account_setup WHERE hash = $1 AND expires > $2", d[:], store.Millis(a.writer.Now()))
	if err == nil && len(found) == 0 {
		err = identity.ErrRejected
	}
	return err
}

// SetupExpires returns the time at which the setup secret with the digest d expires. The error
// is admin.ErrNotFound if there is no such secret.
func (a *Accounts) SetupExpires(ctx context.Context, d secret.Digest) (time.Time, error) {
	var expires int64
	_, err := admin.OrNotFound(0, a.writer.DB.Read().QueryRowContext(ctx, "SELECT expires FROM account_setup WHERE hash = $1", d[:]).Scan(&expires))
	return store.Time(expires), err
}

// consumeSetupSecret checks that there is a valid secret with the digest d, and deletes all setup
// secrets. A concurrent call waits for the row locks and then finds no secret.
func consumeSetupSecret(ctx context.Context, tx *sql.Tx, d secret.Digest, now time.Time) error {
	type setupSecret struct {
		hash    []byte
		expires int64
	}
	secrets, err := store.Collect(ctx, tx, func(row store.Row) (s setupSecret, err error) { return s, row.Scan(&s.hash, &s.expires) },
		"DELETE FROM account_setup RETURNING hash, expires")
	if err != nil {
		return err
	}
	for _, s := range secrets {
		if subtle.ConstantTimeCompare(s.hash, d[:]) == 1 && !admin.Expired(store.Time(s.expires), now) {
			return nil
		}
	}
	return errSetupSecret
}

// errSetupSecret is the same for wrong, used and expired secrets, so that clients cannot
// distinguish them.
var errSetupSecret = fmt.Errorf("%w: the secret is wrong, used or expired", admin.ErrForbidden)
