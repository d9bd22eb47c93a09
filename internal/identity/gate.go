package identity

import (
	"context"
	"errors"
	"fmt"

	"github.com/tidewaiter/tidewaiter/internal/ratelimit"
)

// ErrRateLimited means that too many attempts failed. The error that wraps it is a *RateLimitedError. Of
// what can be guessed, nobody has looked at it: neither is it wrong, nor is anything down.
var ErrRateLimited = ratelimit.ErrLimited

// RateLimitedError says when to try again.
type RateLimitedError = ratelimit.Error

// guessable reports whether credentials of that kind can be guessed. All others are random or signed, so
// that they are verified, whatever failed before.
func guessable(k Kind) bool { return k == Password || k == None }

// Check lets check verify credentials under the limits of l, for whoever verifies some without a Chain:
// where a password is changed, or the first administrator is made. The error is a *RateLimitedError, or
// check's: an error that wraps ErrRejected counts as a failure, others count nothing.
func Check(ctx context.Context, l *ratelimit.Limiter, c Credentials, check func(context.Context, Credentials) error) error {
	_, err := gate{limiter: l}.pass(ctx, c, func(ctx context.Context, c Credentials) (Verified, error) {
		return Verified{}, check(ctx, c)
	})
	return err
}

// AlreadyRecorded reports whether an error is a refusal of which the journal has an entry that says the
// same: a flood must not fill the disk.
func AlreadyRecorded(err error) bool {
	if limited, ok := errors.AsType[*RateLimitedError](err); ok {
		return limited.Reported
	}
	_, repeated := errors.AsType[repeatedError](err)
	return repeated
}

// repeatedError is a refusal of the same credential as a moment ago.
type repeatedError struct{ error }

func (e repeatedError) Unwrap() error { return e.error }

// gate is the one way to have credentials verified.
type gate struct {
	limiter *ratelimit.Limiter // nil: there are no limits
	scope   uint64             // of what was refused for good: another configuration may accept it
}

// pass has credentials verified. What can be guessed is limited before, and what cannot be guessed only
// once it has proved to be bad; it may have to wait for its turn.
func (g gate) pass(ctx context.Context, c Credentials, verify func(context.Context, Credentials) (Verified, error)) (Verified, error) {
	if guessable(c.Kind) {
		return g.guess(ctx, c, verify)
	}
	scope, secret := g.scope+uint64(c.Kind), c.Secret.Reveal()
	v, err := Verified{}, error(ErrNeverValid)
	if !g.limiter.Dismissed(scope, secret) {
		v, err = g.inTurn(ctx, c, scope, verify)
	}
	if c.Kind != IDToken && (err == nil || incomplete(err)) {
		g.limiter.Proved(secret)
	}
	if err == nil || incomplete(err) || !errors.Is(err, ErrRejected) || g.limiter == nil {
		return v, err
	}
	return Verified{}, g.refused(scope, secret, c, err)
}

// dismiss refuses what nobody has to look at, for its form alone. It is limited as what cannot be guessed is: a flood of
// it must not fill the disk.
func (g gate) dismiss(c Credentials, err error) error {
	if g.limiter == nil {
		return err
	}
	return g.refused(g.scope+uint64(c.Kind), c.Name+"\x00"+c.Secret.Reveal(), c, err)
}

// refused counts what was refused, and says that it is limited, or that the journal has it.
func (g gate) refused(scope uint64, secret string, c Credentials, err error) error {
	switch r := g.limiter.Refuse(scope, secret, c.CountedAt(), errors.Is(err, ErrNeverValid)); {
	case r.Limited != nil:
		return r.Limited
	case r.Reported:
		return repeatedError{err}
	}
	return err
}

// inTurn has what cannot be guessed verified: what is looked up in a database one after the other, once the source has
// shown too many that are bad.
func (g gate) inTurn(ctx context.Context, c Credentials, scope uint64, verify func(context.Context, Credentials) (Verified, error)) (Verified, error) {
	if c.Kind == IDToken {
		return verify(ctx, c) // a signature, and no query
	}
	turn, err := g.limiter.Turn(ctx, c.Secret.Reveal(), c.CountedAt())
	if err != nil && !errors.Is(err, ErrRateLimited) {
		err = fmt.Errorf("waiting for the turn of its source: %w: %w", ErrUnavailable, err)
	}
	if err != nil {
		return Verified{}, err
	}
	if turn == 0 {
		return verify(ctx, c)
	}
	defer g.limiter.Leave(turn)
	if g.limiter.Dismissed(scope, c.Secret.Reveal()) { // by who had the turn before
		return Verified{}, ErrNeverValid
	}
	return verify(ctx, c)
}

func (g gate) guess(ctx context.Context, c Credentials, verify func(context.Context, Credentials) (Verified, error)) (Verified, error) {
	guess := ratelimit.Guess{Name: c.Name, Secret: c.Secret.Reveal(), From: c.CountedAt()}
	attempt, err := g.limiter.Begin(ctx, guess)
	if err != nil {
		return Verified{}, err
	}
	c.KnownPlace = attempt.KnownPlace
	v, err := verify(ctx, c)
	outcome := ratelimit.Unchecked
	switch {
	case err == nil, incomplete(err):
		outcome = ratelimit.Right
	case errors.Is(err, ErrRejected):
		outcome = ratelimit.Wrong
	case errors.Is(err, ErrRateLimited), errors.Is(ctx.Err(), context.Canceled):
		outcome = ratelimit.Abandoned
	}
	g.limiter.End(ctx, guess, attempt, outcome)
	return v, err
}
