package issuer

import (
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
	"github.com/tidewaiter/tidewaiter/token"
)

// paper is a signed token.
type paper struct {
	id      journal.ID // its jti
	token   []byte
	issued  time.Time
	expires time.Time
	reuse   clock.Span // when it may answer again
}

// paper finds or signs the token for an answer.
func (live *generation) paper(registry *Registry, who identity.Verified, answer *Answer, now time.Time) (paper, error) {
	lifetime := registry.life(who, &answer.Decision, &live.AtMost, now).Lasts
	var key []byte
	if live.Reuse {
		var room [256]byte
		key = appendKey(room[:0], registry, who.Principal, lifetime, answer.Decision.Results)
		if p, ok := live.tokens.find(key, now); ok {
			answer.Reused = true
			return p, nil
		}
	}
	signer, err := live.Keys.Signer(registry.KeyID, registry.Algorithm, now)
	if err != nil {
		return paper{}, err
	}
	// Claims count whole seconds: rounded up, so that a client that is told of a minute has one.
	p := paper{
		id:      answer.ID,
		issued:  now,
		expires: now.Add(lifetime + time.Second - 1).Truncate(time.Second),
		reuse:   clock.For(now, window(lifetime)),
	}
	if until := signer.Until(); !until.IsZero() && p.expires.After(until) && until.Sub(now) >= shortest {
		p.expires = until.Truncate(time.Second) // the last minutes of a root
	}
	claims := token.Claims{
		Issuer:    live.Name,
		Subject:   identity.Login(who.Principal),
		Audience:  registry.Service,
		ID:        answer.ID.String(),
		IssuedAt:  now.Add(-backdate),
		NotBefore: now.Add(-backdate),
		Expires:   p.expires,
	}
	var grants [4]scope.Scope
	claims.Access = appendGrants(grants[:0], answer.Decision.Results)
	if registry.CatalogByPull {
		for i, s := range claims.Access {
			if s.Type == scope.TypeRegistry {
				claims.Access[i] = scope.Scope{Type: scope.TypeRepository, Actions: scope.Pull}
			}
		}
	}
	p.token, err = signer.Append(make([]byte, 0, tokenBytes), &claims)
	if err != nil {
		return paper{}, err
	}
	if live.Reuse {
		live.tokens.keep(key, p)
	}
	return p, nil
}

const (
	// backdate is how far a token's nbf and iat lie back: the clocks of registries and ours differ.
	// Registries allow 60 s of their own for nbf; clients that look at nbf do not, and zot allows nothing
	// for iat.
	backdate = 10 * time.Second
	// tokenBytes is room for an ES256 token with a leaf's certificate and one repository (seen: 1,000).
	tokenBytes = 1280
)

// appendGrants appends what was granted, leaving out scopes of which nothing was.
func appendGrants(dst []scope.Scope, results []policy.Result) []scope.Scope {
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
