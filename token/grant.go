package token

import (
	"time"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Grant returns the claims of a token for the decision d. The token is issued at the time now. The
// result is a copy of c, with the granted scopes in Access and the times of the token. The token's
// lifetime is the minimum of the given lifetime and the decision's lifetime, but at least
// MinLifetime. Expires is rounded up to whole seconds, so that a token for a minute is valid for a
// whole minute.
//
// Grant reuses the memory of c.Access and overwrites its entries.
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

// AppendGranted appends the granted scopes to the slice dst. It omits scopes without a granted
// action.
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
