package accounts

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/credentials"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/password"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/policy"
)

// Kinds returns the kinds of credentials that Authenticate accepts.
func Kinds() []identity.Kind {
	return []identity.Kind{identity.Password, identity.AccessToken, identity.RefreshToken, identity.Session}
}

// Authenticate accepts passwords of local users, and all credentials that Tidewaiter issued. If a
// robot does not exist, the error is a rejection and not identity.ErrUnknown, so that no other
// source is asked about the robot.
//
// A password that was verified recently needs no query and no hash. Failures are never cached.
func (a *Accounts) Authenticate(ctx context.Context, p identity.Presented) (v identity.Verified, err error) {
	defer func() {
		if err != nil {
			err = a.writer.DB.Explain(err) // detects a damaged database file and remembers it
		}
	}()
	switch {
	case p.Kind != identity.Password:
		return a.Credentials.Authenticate(ctx, p)
	case strings.HasPrefix(p.Name, RobotPrefix):
		return identity.Verified{}, identity.Rejected("this is not the form of a robot secret")
	case admin.CheckName(p.Name) != nil:
		return identity.Verified{}, identity.ErrUnknown
	}
	return a.Credentials.Remember(ctx, p, a.verifyPassword)
}

func (a *Accounts) verifyPassword(ctx context.Context, p identity.Presented) (identity.Verified, error) {
	r, err := find(ctx, a.writer.DB.Read(), p.Name)
	if errors.Is(err, admin.ErrNotFound) {
		return identity.Verified{}, identity.ErrUnknown
	}
	if err != nil {
		return identity.Verified{}, fmt.Errorf("looking up a user: %w", err)
	}
	secret := p.Secret.Reveal()
	if ended := r.endedReason(a.writer.Now()); ended != "" || r.hash == "" {
		// Do not compare the password. If the password were correct, the result would be cached,
		// and the next refusal would be faster. The time would then reveal that the password is
		// correct.
		err := sourceError(a.o.Hashing.DummyFor(ctx, requesterOf(p), r.hash, secret))
		if errors.Is(err, identity.ErrRejected) {
			err = identity.Rejected(cmp.Or(ended, "it has no password"))
		}
		return identity.Verified{}, err
	}
	if err := a.o.Hashing.CompareFor(ctx, requesterOf(p), r.hash, secret); err != nil {
		return identity.Verified{}, sourceError(err)
	}
	if r.Hash == "bcrypt" {
		a.rehash(ctx, &r, p)
	}
	return identity.Verified{Principal: r.principal(), Credential: credentials.CredentialPassword, Until: r.Expires}, nil
}

// endedReason returns the reason why an account cannot sign in, or "" if it can sign in.
func (r *record) endedReason(now time.Time) string {
	switch {
	case r.Disabled:
		return "it is disabled"
	case admin.Expired(r.Expires, now):
		return "it expired " + admin.ExpiryText(r.Expires)
	}
	return ""
}

// requesterOf identifies the client for which a hash is computed. The hashing queue serves
// clients with different addresses in turn.
func requesterOf(p identity.Presented) password.Requester {
	return password.Requester{Name: p.Name, Address: p.CountedAt(), KnownPlace: p.KnownPlace}
}

// sourceError converts a failed comparison to the error of an identity source. Unexpected errors
// are returned unchanged, as outages.
func sourceError(err error) error {
	switch {
	case err == nil, errors.Is(err, password.ErrMismatch), errors.Is(err, password.ErrTooLong):
		return identity.ErrRejected
	}
	return fmt.Errorf("checking a password: %w", err)
}

// rehash replaces a bcrypt hash by an argon2id hash. Only a sign-in can do so, because only a
// sign-in knows the password. A failure is only logged, because the next sign-in tries again.
func (a *Accounts) rehash(ctx context.Context, r *record, p identity.Presented) {
	hash, err := a.o.Hashing.Hash(ctx, p.Secret.Reveal())
	if err == nil {
		by := admin.Actor{Principal: r.principal(), Remote: p.Remote, Credential: credentials.CredentialPassword}
		err = a.change(ctx, by, false, func(tx *sql.Tx) (*journal.Change, error) {
			n, err := store.Affected(tx.ExecContext(ctx, "UPDATE accounts SET hash = $1 WHERE id = $2 AND hash = $3", hash, r.ID, r.hash))
			if err != nil || n == 0 { // n == 0: the hash was changed meanwhile
				return nil, err
			}
			return &journal.Change{Action: "user.rehash", Target: r.Login(), From: map[string]any{"password": r.Hash}, To: map[string]any{"password": kindOfHash(hash)}}, nil
		})
	}
	if err != nil {
		a.o.Log.Warn("a bcrypt hash was not replaced", "user", r.Name, "error", err)
	}
}

// Dummy takes as long as Authenticate takes for a wrong password.
func (a *Accounts) Dummy(ctx context.Context, p identity.Presented) error {
	err := sourceError(a.o.Hashing.DummyFor(ctx, requesterOf(p), "", p.Secret.Reveal()))
	if errors.Is(err, identity.ErrRejected) {
		return nil
	}
	return err
}

// DummyLookup sends the query that Authenticate would send for the name, and ignores the
// result.
func (a *Accounts) DummyLookup(ctx context.Context, p identity.Presented) error {
	if p.Kind != identity.Password || strings.HasPrefix(p.Name, RobotPrefix) || admin.CheckName(p.Name) != nil {
		return nil
	}
	if _, err := find(ctx, a.writer.DB.Read(), p.Name); err != nil && !errors.Is(err, admin.ErrNotFound) {
		return fmt.Errorf("looking up a user: %w", err)
	}
	return nil
}

// Find returns the principal with the given login. If id is not "", it returns the principal with
// this id, and name must be the principal's login or name. For a disabled or expired account it
// returns an identity.DisabledError.
func (a *Accounts) Find(ctx context.Context, name, id string) (*policy.Principal, error) {
	o := credentials.Owner{ID: id}
	if id == "" {
		o.Kind, o.Name, _ = parseLogin(name)
	}
	owner, err := localOwners{}.Owner(ctx, a.writer.DB.Read(), o, a.writer.Now())
	switch {
	case errors.Is(err, admin.ErrNotFound), err == nil && name != owner.Login && (id == "" || name != owner.Principal.Name):
		return nil, identity.ErrUnknown
	case err != nil:
		return nil, fmt.Errorf("looking up an account: %w", err)
	case owner.Ended != "":
		return nil, &identity.DisabledError{Why: owner.Ended}
	}
	return owner.Principal, nil
}
