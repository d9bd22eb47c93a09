package chain

import (
	"context"
	"errors"
	"fmt"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/ratelimit"
)

// isGuessable reports whether credentials of a kind can be guessed. Other credentials are random
// or signed, so they are verified even after many failures.
func isGuessable(k identity.Kind) bool { return k == identity.Password || k == identity.None }

// Check verifies credentials with the function check, and applies the limits of l. Use it for
// operations that verify a secret without a Chain: to change a password, and to create the first
// administrator. The error is a *ratelimit.Error or the error of the function. An error that wraps
// ErrRejected counts as a failure. Other errors do not count.
func Check(ctx context.Context, l *ratelimit.Limiter, c identity.Presented, check func(context.Context, identity.Presented) error) error {
	_, err := gate{limiter: l}.pass(ctx, c, func(ctx context.Context, c identity.Presented) (identity.Verified, error) {
		return identity.Verified{}, check(ctx, c)
	})
	return err
}

// AlreadyRecorded reports whether err is a refusal for which the journal already has an equal
// entry. Callers do not record such a refusal again, so that a flood does not fill the disk.
func AlreadyRecorded(err error) bool {
	if limited, ok := errors.AsType[*ratelimit.Error](err); ok {
		return limited.Reported
	}
	_, repeated := errors.AsType[repeatedError](err)
	return repeated
}

// repeatedError is a refusal of a credential that was already refused a moment ago.
type repeatedError struct{ error }

func (e repeatedError) Unwrap() error { return e.error }

// gate applies rate limits to all verifications of credentials.
type gate struct {
	limiter *ratelimit.Limiter // nil: no limits
	scope   uint64             // the scope for Limiter.Dismissed; each configuration has its own
}

// pass verifies credentials. For credentials that can be guessed, pass applies the limits before
// the verification. For other credentials, pass applies the limits only after the verification has
// failed. Before the verification, these other credentials can only be delayed (verifyInTurn).
func (g gate) pass(ctx context.Context, c identity.Presented, verify func(context.Context, identity.Presented) (identity.Verified, error)) (identity.Verified, error) {
	if isGuessable(c.Kind) {
		return g.guess(ctx, c, verify)
	}
	scope, secret := g.scope+uint64(c.Kind), c.Secret.Reveal()
	v, err := identity.Verified{}, identity.ErrNeverValid
	if !g.limiter.Dismissed(scope, secret) {
		v, err = g.verifyInTurn(ctx, c, scope, verify)
	}
	if c.Kind != identity.IDToken && (err == nil || isIncomplete(err)) {
		g.limiter.Proved(secret)
	}
	if err == nil || isIncomplete(err) || !errors.Is(err, identity.ErrRejected) || g.limiter == nil {
		return v, err
	}
	return identity.Verified{}, g.countRefusal(scope, secret, c, err)
}

// dismiss refuses a credential because of its form, and asks no source. The limits of credentials
// that cannot be guessed apply, so that a flood does not fill the disk.
func (g gate) dismiss(c identity.Presented, err error) error {
	if g.limiter == nil {
		return err
	}
	return g.countRefusal(g.scope+uint64(c.Kind), c.Name+"\x00"+c.Secret.Reveal(), c, err)
}

// countRefusal counts a refusal. If the client's address has exceeded its limit, countRefusal
// returns the rate limit error. Otherwise it returns the refusal, as a repeatedError if the
// journal already has an equal refusal.
func (g gate) countRefusal(scope uint64, secret string, c identity.Presented, err error) error {
	switch limited, reported := g.limiter.Refuse(scope, secret, c.CountedAt(), errors.Is(err, identity.ErrNeverValid)); {
	case limited != nil:
		return limited
	case reported:
		return repeatedError{err}
	}
	return err
}

// verifyInTurn verifies a credential that cannot be guessed. If the client's address has
// presented too many invalid credentials, the credentials from this address that need a
// database query are verified one at a time.
func (g gate) verifyInTurn(ctx context.Context, c identity.Presented, scope uint64, verify func(context.Context, identity.Presented) (identity.Verified, error)) (identity.Verified, error) {
	if c.Kind == identity.IDToken {
		return verify(ctx, c) // the verification is only a signature check, without a query
	}
	turn, err := g.limiter.Turn(ctx, c.Secret.Reveal(), c.CountedAt())
	if err != nil && !errors.Is(err, identity.ErrRateLimited) {
		err = fmt.Errorf("waiting for other credentials of this address: %w: %w", identity.ErrUnavailable, err)
	}
	if err != nil {
		return identity.Verified{}, err
	}
	if turn == 0 {
		return verify(ctx, c)
	}
	defer g.limiter.Leave(turn)
	if g.limiter.Dismissed(scope, c.Secret.Reveal()) { // refused by an earlier call in the queue
		return identity.Verified{}, identity.ErrNeverValid
	}
	return verify(ctx, c)
}

func (g gate) guess(ctx context.Context, c identity.Presented, verify func(context.Context, identity.Presented) (identity.Verified, error)) (identity.Verified, error) {
	guess := ratelimit.Guess{Name: c.Name, Secret: c.Secret.Reveal(), From: c.CountedAt()}
	attempt, err := g.limiter.Begin(ctx, guess)
	if err != nil {
		return identity.Verified{}, err
	}
	c.KnownPlace = attempt.KnownPlace
	v, err := verify(ctx, c)
	outcome := ratelimit.Unchecked
	switch {
	case err == nil, isIncomplete(err):
		outcome = ratelimit.Right
	case errors.Is(err, identity.ErrRejected):
		outcome = ratelimit.Wrong
	case errors.Is(err, identity.ErrRateLimited), errors.Is(ctx.Err(), context.Canceled):
		outcome = ratelimit.Abandoned
	}
	g.limiter.End(ctx, guess, attempt, outcome)
	return v, err
}
