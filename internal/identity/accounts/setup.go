package accounts

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/policy"
)

// setupLife is the lifetime of a secret for the first administrator.
const setupLife = 24 * time.Hour

// Administered reports whether any account is an administrator.
func (a *Accounts) Administered(ctx context.Context) (_ bool, err error) {
	defer admin.Wrap(&err, "looking for an administrator")
	yes, err := administered(ctx, a.o.DB.Read())
	return yes, err
}

func administered(ctx context.Context, q store.Querier) (bool, error) {
	one, err := store.Texts(ctx, q, `
		SELECT a.id FROM account_groups g JOIN account_members m ON m.group_id = g.id JOIN accounts a ON a.id = m.account_id
		WHERE g.name = $1 LIMIT 1`, admin.Administrators)
	return len(one) > 0, err
}

// SetupSecret issues a secret with which SetUp can create the first administrator, once, before
// it expires. Print it only where the operator sees it, such as the log. SetupSecret returns
// ErrExists if there is an administrator already.
func (a *Accounts) SetupSecret(ctx context.Context) (secret identity.Secret, expires time.Time, err error) {
	defer admin.Wrap(&err, "issuing a setup secret")
	secret, d := newSecret(letterSetup)
	now := a.writer.Time()
	expires = now.Add(setupLife)
	err = a.change(ctx, added, admin.Operator("setup"), func(tx *sql.Tx) (*journal.Change, error) {
		if there, err := administered(ctx, tx); there || err != nil {
			return nil, orExists(err)
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM account_setup WHERE expires <= $1", admin.Millis(now)); err != nil {
			return nil, err
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO account_setup (hash, expires) VALUES ($1, $2)", d[:], admin.Millis(expires))
		return &journal.Change{Action: "setup.offer", To: map[string]any{"expires": when(expires)}}, err
	})
	return secret, expires, err
}

// SetUp creates the first administrator, who must have a password. It returns ErrForbidden if the
// secret is wrong, expired or used. A wrong secret counts as a wrong token at sign-in, so
// guessing ends in an identity.RateLimitedError. Only the addresses of from are used.
func (a *Accounts) SetUp(ctx context.Context, secret identity.Secret, u NewUser, from identity.Presented) (_ Account, err error) {
	defer admin.Wrap(&err, "setting up")
	letter, d, ok := parseSecret(secret.Reveal())
	// Check before hashing, which is expensive. The transaction checks again.
	shown := identity.Presented{Kind: identity.AccessToken, Secret: secret, Remote: from.Remote, Peer: from.Peer}
	err = identity.Check(ctx, a.o.Limiter(), shown, func(ctx context.Context, _ identity.Presented) error {
		if !ok || letter != letterSetup {
			return identity.ErrRejected
		}
		return a.offered(ctx, d)
	})
	if errors.Is(err, identity.ErrRejected) {
		err = errNoOffer
	}
	if err != nil {
		return Account{}, err
	}
	if err := checkName(u.Name); err != nil {
		return Account{}, err
	}
	if u.Password.Reveal() == "" {
		return Account{}, admin.Invalid("password", "it is required")
	}
	unchecked, err := a.free(ctx, u.Name)
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
	by.Remote = from.Remote
	err = a.change(ctx, altered, by, func(tx *sql.Tx) (*journal.Change, error) {
		if err := takeOffer(ctx, tx, d, a.writer.Time()); err != nil {
			return nil, err
		}
		if there, err := administered(ctx, tx); there || err != nil {
			return nil, orExists(err)
		}
		return a.create(ctx, tx, &r)
	})
	return r.Account, err
}

// offered returns identity.ErrRejected unless the setup secret is valid.
func (a *Accounts) offered(ctx context.Context, d digest) error {
	found, err := store.Texts(ctx, a.o.DB.Read(), "SELECT 'yes' FROM account_setup WHERE hash = $1 AND expires > $2", d[:], admin.Millis(a.o.Now()))
	if err == nil && len(found) == 0 {
		err = identity.ErrRejected
	}
	return err
}

// takeOffer deletes all setup secrets and fails unless d was a valid one. A concurrent call waits
// for the row locks and then finds no secret.
func takeOffer(ctx context.Context, tx *sql.Tx, d digest, now time.Time) error {
	type offer struct {
		hash    []byte
		expires int64
	}
	offers, err := store.Collect(ctx, tx, func(row store.Row) (o offer, err error) { return o, row.Scan(&o.hash, &o.expires) },
		"DELETE FROM account_setup RETURNING hash, expires")
	if err != nil {
		return err
	}
	for _, o := range offers {
		if subtle.ConstantTimeCompare(o.hash, d[:]) == 1 && !past(admin.Time(o.expires), now) {
			return nil
		}
	}
	return errNoOffer
}

// errNoOffer does not tell wrong, used and expired secrets apart.
var errNoOffer = fmt.Errorf("%w: the secret is wrong, used or expired", admin.ErrForbidden)

func orExists(err error) error {
	if err == nil {
		err = admin.ErrExists
	}
	return err
}
