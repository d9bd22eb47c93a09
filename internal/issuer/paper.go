package issuer

import (
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/scope"
	"github.com/tidewaiter/tidewaiter/token"
)

// paper is a signed token.
type paper struct {
	id      journal.ID // its jti
	token   []byte
	issued  time.Time
	expires time.Time
	life    time.Duration // which clients are told; it ends no later than expires
	reuse   clock.Span    // when it may answer again
}

// expiresIn is how many seconds a client may use the token.
func (p *paper) expiresIn(now time.Time) int {
	return int(min(p.life, p.expires.Sub(now)) / time.Second)
}

// paper finds or signs the token for an answer.
func (live *generation) paper(registry *Registry, who identity.Verified, answer *Answer, now time.Time) (paper, error) {
	lifetime := registry.life(who, &answer.Decision, &live.MaxLifetime, now).Lasts
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
	var grants [4]scope.Scope
	claims := token.Claims{
		Issuer:   live.Name,
		Subject:  identity.Login(who.Principal),
		Audience: registry.Service,
		ID:       answer.ID.String(),
		Access:   grants[:0],
	}
	claims = claims.Grant(&answer.Decision, lifetime, now)
	signer.Limit(&claims, now)
	p := paper{
		id:      answer.ID,
		issued:  now,
		expires: time.Unix(claims.Expires.Unix(), 0), // a copy of the time would bring the grants to the heap
		life:    lifetime,
	}
	// The end is rounded up. For as long as that has added, the token answers again: whoever asks has all of its life
	// before him, as explain says.
	p.reuse = clock.For(now, p.expires.Sub(now)-lifetime)
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

// tokenBytes is room for an ES256 token with a leaf's certificate and one repository (seen: 1,000).
const tokenBytes = 1280
