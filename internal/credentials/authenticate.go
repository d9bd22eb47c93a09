package credentials

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/secret"
	"github.com/tidewaiter/tidewaiter/internal/store"
)

// Authenticate accepts access tokens, robot secrets, refresh tokens and sessions. Clients can
// present such a credential with the login of its owner, or without a name. For an invalid
// credential the error is ErrRejected, not ErrUnknown, so no other source is asked. Failures are
// never cached.
func (c *Credentials) Authenticate(ctx context.Context, p identity.Presented) (identity.Verified, error) {
	switch p.Kind {
	case identity.AccessToken, identity.RefreshToken, identity.Session:
		return c.loadCached(ctx, p, c.load)
	}
	return identity.Verified{}, identity.ErrUnknown
}

// Remember returns the result of the function verify for a password, and caches this result. The
// caller passes this function, because this package does not manage passwords.
func (c *Credentials) Remember(ctx context.Context, p identity.Presented, verify func(context.Context, identity.Presented) (identity.Verified, error)) (identity.Verified, error) {
	return c.loadCached(ctx, p, func(ctx context.Context, p identity.Presented) (*verifiedCredential, error) {
		v, err := verify(ctx, p)
		return &verifiedCredential{identity: v, expires: v.Until}, err
	})
}

// Forget clears the cache of verified credentials. Callers use it after they have changed accounts
// in a separate transaction. Other processes notice such a change without a call of Forget.
func (c *Credentials) Forget() { c.verified.clear() }

// loadCached returns the identity of a credential from the cache. If the cache does not have the
// credential, it calls the function load.
func (c *Credentials) loadCached(ctx context.Context, p identity.Presented, load func(context.Context, identity.Presented) (*verifiedCredential, error)) (identity.Verified, error) {
	k := c.verified.key(p)
	if v, ok := c.verified.cache.Get(k); ok {
		who, err := c.identify(ctx, v, p)
		if !errors.Is(err, errStale) {
			return who, err
		}
		c.verified.cache.Remove(k)
	}
	epoch := c.verified.currentEpoch()
	v, err := load(ctx, p)
	if err != nil {
		return identity.Verified{}, err
	}
	who, err := c.identify(ctx, v, p)
	if errors.Is(err, errStale) {
		return identity.Verified{}, identity.Rejected(staleReason)
	}
	if err == nil {
		c.verified.put(k, v, epoch)
	}
	return who, err
}

// errStale means that a cached result is no longer valid, and that the database must be queried.
var errStale = errors.New("stale")

// staleReason is the reason of a refusal for errStale.
const staleReason = "the token or the account has expired, or the token was unused for too long"

// identify is like the function check, but also records that the credential was used.
func (c *Credentials) identify(ctx context.Context, v *verifiedCredential, p identity.Presented) (identity.Verified, error) {
	who, err := c.check(ctx, v, p)
	if err == nil {
		c.recordUse(v, p.Remote, c.writer.Now())
	}
	return who, err
}

// check returns the identity of a verified credential if the credential is still valid. If,
// according to v, the credential has expired or was unused for too long, check returns errStale,
// because v can be out of date.
func (c *Credentials) check(ctx context.Context, v *verifiedCredential, p identity.Presented) (identity.Verified, error) {
	now := c.writer.Now()
	if admin.Expired(v.expires, now) {
		return identity.Verified{}, errStale // refused as slowly as an unknown token
	}
	if admin.Expired(v.parentExpiry, now) {
		return identity.Verified{}, errStale // possibly the parent was used since then
	}
	if v.purpose == Refresh && v.registry != p.Registry {
		return identity.Verified{}, identity.Rejected("the refresh token is for another registry")
	}
	if idle := c.maxIdle(v.purpose); idle > 0 && now.UnixMilli()-max(v.used.Load(), v.created) > idle.Milliseconds() {
		return identity.Verified{}, errStale // possibly another process recorded a use
	}
	who := v.identity
	if who.Principal == nil {
		find := c.findOwner
		if v.purpose == Refresh { // the sign-in of the owner can be months ago
			find = c.findOwnerUncached
		}
		owner, err := find(ctx, v.owner)
		switch {
		case errors.Is(err, identity.ErrUnknown):
			if disabled, ok := errors.AsType[*identity.DisabledError](err); ok && disabled.Told {
				return identity.Verified{}, &identity.ExplainedError{What: "the " + string(v.purpose) + " token", Reason: disabled.Why}
			}
			return identity.Verified{}, identity.Rejected(cmp.Or(identity.Reason(err), "the owner of the token does not exist"))
		case err != nil:
			return identity.Verified{}, fmt.Errorf("looking up the owner of a token: %w", err)
		case p.Name != "" && p.Name != owner.principal.Name:
			return identity.Verified{}, identity.Rejected("the token belongs to somebody else")
		case !v.basis.matches(owner.generation):
			return identity.Verified{}, identity.Rejected("the password was changed since the token was issued")
		}
		who.Principal = restrictPrincipal(owner.principal, v.limits)
	}
	return who, nil
}

// load reads an issued credential from the database.
func (c *Credentials) load(ctx context.Context, p identity.Presented) (*verifiedCredential, error) {
	letter, d, ok := secret.Parse(p.Secret.Reveal())
	if !ok || kinds[purposeOf(letter)].presentedAs != p.Kind {
		return nil, identity.WithReason(identity.ErrNeverValid, "the token is mistyped, or of another kind")
	}
	t, err := c.findSecret(ctx, c.writer.DB.Read(), d)
	if errors.Is(err, admin.ErrNotFound) {
		// Tokens are random, so no later change makes an unknown token valid.
		return nil, identity.WithReason(identity.ErrNeverValid, "there is no such token: it was revoked, or never issued")
	}
	if err != nil {
		return nil, fmt.Errorf("looking up a token: %w", err)
	}
	if purposeOf(letter) != t.Purpose {
		return nil, identity.Rejected("the token is of another kind")
	}
	return c.verify(ctx, &t, p)
}

// verify reads from the database everything that decides whether a token is valid. If p has no
// secret, verify does not compare the token with a password of another source.
func (c *Credentials) verify(ctx context.Context, t *Token, p identity.Presented) (_ *verifiedCredential, err error) {
	v := &verifiedCredential{
		identity: identity.Verified{Credential: t.credential(), Until: t.Expires},
		expires:  t.Expires, token: t.ID, registry: t.Registry, purpose: t.Purpose,
		created: store.Millis(t.Created), owner: t.Owner, limits: t.Limits,
	}
	bound := (t.Purpose == Refresh || t.Purpose == Session) && t.Parent == "" && !isLocal(t.Owner)
	if bound && p.Secret.Reveal() != "" {
		v.basis = newBasis(p.Secret, t.basis)
	}
	v.used.Store(max(store.Millis(t.Used), c.unwrittenUse(t.ID)))
	if v.parentExpiry, err = c.parentExpiry(ctx, c.writer.DB.Read(), t); err != nil {
		return nil, fmt.Errorf("looking up the parents of a token: %w", err)
	}
	if !isLocal(t.Owner) {
		return v, nil
	}
	owner, err := c.o.Local.Owner(ctx, c.writer.DB.Read(), t.Owner, c.writer.Now())
	switch {
	case errors.Is(err, admin.ErrNotFound):
		return nil, identity.Rejected("the owner of the token does not exist")
	case err != nil:
		return nil, fmt.Errorf("looking up the owner of a token: %w", err)
	case owner.Ended != "":
		return nil, identity.Rejected(owner.Ended)
	case p.Name != "" && p.Name != owner.Login:
		return nil, identity.Rejected("the token belongs to somebody else")
	}
	v.expires = earlierExpiry(t.Expires, owner.Expires)
	v.identity.Principal, v.identity.Until = restrictPrincipal(owner.Principal, t.Limits), v.expires
	return v, nil
}

// parentExpiry returns the earliest time at which any ancestor of the token expires or becomes
// idle. It returns the zero time if this never happens. A use of an ancestor postpones this time,
// but a use of the token itself does not.
func (c *Credentials) parentExpiry(ctx context.Context, q store.Querier, t *Token) (end time.Time, err error) {
	ancestors, err := c.ancestors(ctx, q, t)
	for _, a := range ancestors {
		end = earlierExpiry(end, a.Expires)
		if idle := c.maxIdle(a.Purpose); idle > 0 {
			end = earlierExpiry(end, store.Time(max(store.Millis(a.Used), store.Millis(a.Created), c.unwrittenUse(a.ID))).Add(idle+time.Millisecond))
		}
	}
	return end, err
}

// earlierExpiry returns the earlier of two expiry times. The zero time means that a token never
// expires.
func earlierExpiry(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
