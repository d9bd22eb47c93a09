package credentials

import (
	"context"
	"errors"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/secret"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Credential returns the name of the token in the journal (identity.Verified.Credential). The
// owner of an access token chooses its name, so a later token can have the same name.
func (t *Token) Credential() string { return t.credential() }

// TokenOf returns the token whose secret has the given digest, even if the token is not valid. It
// requires tidewaiter:accounts. The error is ErrNotFound if the secret was never issued, or was
// revoked.
func (c *Credentials) TokenOf(ctx context.Context, by admin.Actor, d secret.Digest) (_ Token, err error) {
	defer admin.Wrap(&err, "looking up a secret")
	if err := c.rights.Require(by, admin.RightAccounts, scope.Read); err != nil {
		return Token{}, err
	}
	return c.scanToken(c.writer.DB.Read().QueryRowContext(ctx, "SELECT "+tokenColumns+" FROM account_tokens t WHERE t.hash = $1", d[:]))
}

// Invalid returns the reason why a token would be refused now, or "" if it is valid. The call does
// not count as a use of the token. The secret is optional. Without the secret, Invalid does not
// notice a changed password if the token was created with a password of another source. An error
// means that an outage prevented the check.
func (c *Credentials) Invalid(ctx context.Context, t *Token, s identity.Secret) (reason string, err error) {
	p := identity.Presented{Kind: kinds[t.Purpose].presentedAs, Secret: s, Registry: t.Registry}
	v, err := c.verify(ctx, t, p)
	if err == nil && t.Parent != "" {
		_, err = c.findToken(ctx, c.writer.DB.Read(), t.Parent)
	}
	if err == nil {
		_, err = c.check(ctx, v, p)
	}
	switch {
	case errors.Is(err, errStale):
		return c.whyStale(t, v), nil
	case errors.Is(err, admin.ErrNotFound):
		return "the credential that created the token was revoked", nil
	case errors.Is(err, identity.ErrRejected):
		return identity.Reason(err), nil
	}
	return "", err
}

// whyStale returns why check has refused a token with errStale.
func (c *Credentials) whyStale(t *Token, v *verifiedCredential) string {
	switch now := c.writer.Now(); {
	case admin.Expired(t.Expires, now):
		return "it has expired"
	case admin.Expired(v.expires, now):
		return "its owner has expired"
	case admin.Expired(v.parentExpiry, now):
		return "the credential that it was created with has expired, or was unused for too long"
	}
	return "it was unused for too long"
}
