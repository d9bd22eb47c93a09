package token

import (
	"time"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Backdate is how far the nbf and iat of a token lie in the past: clocks differ. Registries
// allow 60 s of their own for nbf; clients that look at it do not, and zot allows nothing for
// iat.
const Backdate = 10 * time.Second

// Grant returns the claims of a token for what was decided at the time now: Access is what is
// granted in place of what was requested, and the token lives for the given time or for the
// decision's own, if that is shorter, but never for less than MinLifetime. Expires is rounded up
// to whole seconds, so that a token of a minute lives for one.
//
// The entries of c.Access are overwritten, where the slice is long enough.
func (c Claims) Grant(d *policy.Decision, lifetime time.Duration, now time.Time) Claims {
	c.Access = c.Access[:0]
	if d != nil {
		c.Access = AppendGranted(c.Access, d.Results)
		if d.Lifetime > 0 {
			lifetime = min(lifetime, d.Lifetime)
		}
	}
	c.IssuedAt, c.NotBefore = now.Add(-Backdate), now.Add(-Backdate)
	c.Expires = now.Add(max(lifetime, MinLifetime) + time.Second - 1).Truncate(time.Second)
	return c
}

// AppendGranted appends what was granted of each scope, and leaves out those of which nothing was.
func AppendGranted(dst []scope.Scope, results []policy.Result) []scope.Scope {
	for i := range results {
		if results[i].Granted == 0 {
			continue
		}
		s := results[i].Asked
		s.Actions = results[i].Granted
		dst = append(dst, s)
	}
	return dst
}
