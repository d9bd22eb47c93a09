package accounts

import (
	"context"
	"errors"
	"fmt"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/policy"
)

// StartSession begins a session of a user who was verified by a password or an access token: as narrow as that, and void when
// that is. A password of another source that is changed there is none of ours: such a session lasts until its end.
//
// It is over after Options.SessionLife, or Options.SessionIdle without a request, when it is revoked, and when the password is
// changed or the user disabled. Like any token, it makes none that outlives it, also when it is over for want of requests. ErrForbidden: there are none for robots and
// workloads, nor for people of a source that cannot find them again.
func (a *Accounts) StartSession(ctx context.Context, shown identity.Credentials, who identity.Verified) (Token, identity.Secret, error) {
	t := Token{Use: Session, Client: clean(shown.Client), Expires: sooner(who.Until, a.now().Add(a.o.SessionLife))}
	var secret identity.Secret
	err := ErrForbidden
	if p := who.Principal; p != nil && p.Kind == policy.User {
		secret, err = a.exchange(ctx, &t, shown, who)
	}
	if errors.Is(err, errNoExchange) {
		err = fmt.Errorf("%w: %w", ErrForbidden, err)
	}
	if err != nil {
		return Token{}, identity.Secret{}, fmt.Errorf("beginning a session: %w", err)
	}
	return t, secret, nil
}

// Shown returns the token that the actor shows: the current session, for instance. ErrNotFound: it is none.
func (a *Accounts) Shown(ctx context.Context, by Actor) (Token, error) {
	id, err := a.parent(ctx, a.o.DB.Read(), by)
	if err == nil && id == "" {
		err = ErrNotFound
	}
	var t Token
	if err == nil {
		t, err = a.findToken(ctx, a.o.DB.Read(), id)
	}
	if err != nil {
		return Token{}, fmt.Errorf("looking up the token that is shown: %w", err)
	}
	return t, nil
}
