package accounts

import (
	"context"
	"database/sql"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/policy"
)

// Write is how accounts reach their database.
type Write = func(ctx context.Context, topic string, f func(*sql.Tx) error) error

// SetWrite puts a misbehaving database before the real one.
func (a *Accounts) SetWrite(wrap func(real Write) Write) { a.write = wrap(a.write) }

// SetMost says how many tokens of one use an owner can have.
func (a *Accounts) SetMost(most int) { a.most = most }

// Tend does what Run does, without its clock, and keeps what is good warm from then on.
func (a *Accounts) Tend(ctx context.Context) func() {
	counter, done := unknownCounter, maintained{}
	a.warm.use(1)
	tend := func() {
		if a.notice(ctx, &counter) == nil {
			_ = a.maintain(ctx, &done) // the next time it is tried again, as in Run
		}
	}
	tend()
	return tend
}

// Note writes when tokens were used.
func (a *Accounts) Note(ctx context.Context) error { return a.note(ctx) }

// Secret makes a secret of the kind of a letter.
func Secret(letter byte) identity.Secret {
	secret, _ := newSecret(letter)
	return secret
}

// Parse says whether a text is a secret, and of which kind.
func Parse(text string) (letter byte, ok bool) {
	letter, _, ok = parseSecret(text)
	return letter, ok
}

// Covers says whether one pattern matches all that another does.
func Covers(wide, pattern string) bool { return covers(wide, pattern) }

// Within says whether limits leave nothing that somebody's own do not.
func Within(who *policy.Principal, limits []policy.Limit) bool { return within(who, limits) }

// SweepQuery finds what has ended.
const SweepQuery = sweepQuery

// Warm is how many credentials are warm.
func (a *Accounts) Warm() int {
	a.warm.mu.RLock()
	defer a.warm.mu.RUnlock()
	return len(a.warm.young) + len(a.warm.old)
}

// KeyDigest is what is kept of a caller's key.
func KeyDigest(source, id, key string) [32]byte {
	return keyDigest(Actor{Principal: &policy.Principal{Source: source, ID: id}, Key: key})
}

// Narrowed is a principal with the limits of a token.
func Narrowed(p *policy.Principal, limits []policy.Limit) *policy.Principal {
	return narrowed(p, limits)
}
