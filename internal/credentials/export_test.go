package credentials

import (
	"context"

	"github.com/tidewaiter/tidewaiter/policy"
)

// SetMaxTokens sets how many tokens one owner can have for each purpose.
func (c *Credentials) SetMaxTokens(n int) { c.maxTokens = n }

// Maintain does the work of Run without a ticker, and turns the cache on. It returns a function
// that repeats this work.
func (c *Credentials) Maintain(ctx context.Context) func() {
	counter, done := unknownCounter, maintenanceTimes{}
	c.verified.run(1)
	maintain := func() {
		if c.noticeChanges(ctx, &counter) == nil {
			_ = c.maintain(ctx, &done) // retried next time, as in Run
		}
	}
	maintain()
	return maintain
}

// FlushLastUsed writes the newest uses of tokens.
func (c *Credentials) FlushLastUsed(ctx context.Context) error { return c.flushLastUsed(ctx) }

// Covers reports whether the wide pattern matches everything that the narrow pattern matches.
func Covers(wide, narrow string) bool { return covers(wide, narrow) }

// PurgeQuery selects expired tokens.
const PurgeQuery = purgeQuery

// Cached returns the number of cached credentials.
func (c *Credentials) Cached() int { return c.verified.cache.Len() }

// Restricted returns a principal that also has the limits of a token.
func Restricted(p *policy.Principal, limits []policy.Limit) *policy.Principal {
	return restrictPrincipal(p, limits)
}
