package credentials

import (
	"context"
	"errors"
	"fmt"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/policy"
)

// StartSession starts a session for a user who was verified by a password or an access token. The
// session has the restrictions of that credential and becomes invalid when the credential becomes
// invalid. For a password of another source, a change is noticed only if the source has
// generations (chain.Generations).
//
// A session expires after Options.SessionLife, or after Options.SessionIdle without a request. It
// also ends when it is revoked, when the password is changed, or when the user is disabled. Tokens
// that a session creates become invalid together with the session, even if the session ends
// because it is idle. StartSession returns ErrForbidden for robots and workloads, and for users
// whose source cannot look them up.
func (c *Credentials) StartSession(ctx context.Context, presented identity.Presented, who identity.Verified) (_ Token, _ identity.Secret, err error) {
	defer admin.Wrap(&err, "starting a session")
	t := Token{Purpose: Session, Client: cleanClientName(presented.Client), Expires: earlierExpiry(who.Until, c.writer.Time().Add(c.o.SessionLife))}
	var secret identity.Secret
	err = admin.ErrForbidden
	if p := who.Principal; p != nil && p.Kind == policy.User {
		secret, err = c.exchange(ctx, &t, presented, who)
	}
	if errors.Is(err, errNoExchange) {
		err = fmt.Errorf("%w: %w", admin.ErrForbidden, err)
	}
	return t, secret, err
}

// PresentedToken returns the token that the actor presented, such as the current session. It
// returns ErrNotFound if the actor presented something else.
func (c *Credentials) PresentedToken(ctx context.Context, by admin.Actor) (_ Token, err error) {
	defer admin.Wrap(&err, "looking up the presented token")
	id, err := c.presentedID(ctx, c.writer.DB.Read(), by)
	if err != nil {
		return Token{}, err
	}
	return c.findToken(ctx, c.writer.DB.Read(), id) // no token has the id ""
}
