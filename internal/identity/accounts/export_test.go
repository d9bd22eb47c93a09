package accounts

import (
	"context"
	"database/sql"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/policy"
)

// Write is the function through which accounts write to the database.
type Write = func(ctx context.Context, topic string, f func(*sql.Tx) error) error

// SetWrite replaces it by one that injects faults.
func (a *Accounts) SetWrite(wrap func(real Write) Write) { a.writer.Write = wrap(a.writer.Write) }

// SetMost sets the maximum number of tokens of one use per owner.
func (a *Accounts) SetMost(most int) { a.most = most }

// Tend does the work of Run without its ticker, and turns the cache on.
func (a *Accounts) Tend(ctx context.Context) func() {
	counter, done := unknownCounter, maintained{}
	a.warm.use(1)
	tend := func() {
		if a.notice(ctx, &counter) == nil {
			_ = a.maintain(ctx, &done) // retried next time, as in Run
		}
	}
	tend()
	return tend
}

// Note writes the last uses of tokens.
func (a *Accounts) Note(ctx context.Context) error { return a.note(ctx) }

// Secret returns a new secret with a letter.
func Secret(letter byte) identity.Secret {
	secret, _ := newSecret(letter)
	return secret
}

// Parse reports whether a text is a secret, and returns its letter.
func Parse(text string) (letter byte, ok bool) {
	letter, _, ok = parseSecret(text)
	return letter, ok
}

// Covers reports whether one pattern matches everything that another matches.
func Covers(wide, pattern string) bool { return covers(wide, pattern) }

// Within reports whether limits allow nothing that the principal's own limits do not.
func Within(who *policy.Principal, limits []policy.Limit) bool { return within(who, limits) }

// SweepQuery selects expired tokens.
const SweepQuery = sweepQuery

// Warm returns the number of cached credentials.
func (a *Accounts) Warm() int {
	a.warm.mu.RLock()
	defer a.warm.mu.RUnlock()
	return len(a.warm.young) + len(a.warm.old)
}

// Narrowed returns a principal with the limits of a token.
func Narrowed(p *policy.Principal, limits []policy.Limit) *policy.Principal {
	return narrowed(p, limits)
}
