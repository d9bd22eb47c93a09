package issuer

import (
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/username"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/scope"
	"github.com/tidewaiter/tidewaiter/token"
)

// issuedToken is a signed token.
type issuedToken struct {
	id      journal.ID // jti
	token   []byte
	issued  time.Time
	expires time.Time
	// lifetime is sent to the client as expires_in. The client must not use the token after its
	// expiry, so the lifetime ends no later than the expiry.
	lifetime time.Duration
	reuse    clock.Span // the token may be reused in this span
}

// expiresIn returns how long a client may use the token, in seconds.
func (t *issuedToken) expiresIn(now time.Time) int {
	return int(min(t.lifetime, t.expires.Sub(now)) / time.Second)
}

// issue returns a token for the answer: a cached token if it can be reused, or otherwise a new
// one.
func (live *generation) issue(registry *Registry, who identity.Verified, answer *Answer, now time.Time) (issuedToken, error) {
	lifetime := registry.lifetime(who, &answer.Decision, &live.MaxLifetime, now).Lasts
	var key []byte
	if live.Reuse {
		var buf [256]byte
		key = appendKey(buf[:0], registry, who.Principal, lifetime, answer.Decision.Results)
		if p, ok := live.tokens.find(key, now); ok {
			answer.Reused = true
			return p, nil
		}
	}
	signer, err := live.Keys.Signer(registry.KeyID, registry.Algorithm, now)
	if err != nil {
		return issuedToken{}, err
	}
	var grants [4]scope.Scope
	claims := token.Claims{
		Issuer:   live.Name,
		Subject:  username.Login(who.Principal),
		Audience: registry.Service,
		ID:       answer.ID.String(),
		Access:   grants[:0],
	}
	claims = claims.Grant(&answer.Decision, lifetime, now)
	signer.Limit(&claims, now)
	p := issuedToken{
		id:     answer.ID,
		issued: now,
		// Copy only the Unix time. A time.Time contains a pointer, so storing claims.Expires
		// would make the compiler allocate the grants on the heap.
		expires:  time.Unix(claims.Expires.Unix(), 0),
		lifetime: lifetime,
	}
	p.reuse = clock.For(now, reuseWindow(lifetime))
	if registry.CatalogByPull {
		for i, s := range claims.Access {
			if s.Type == scope.TypeRegistry {
				claims.Access[i] = scope.Scope{Type: scope.TypeRepository, Actions: scope.Pull}
			}
		}
	}
	p.token, err = signer.Append(make([]byte, 0, tokenBytes), &claims)
	if err != nil {
		return issuedToken{}, err
	}
	if live.Reuse {
		live.tokens.keep(key, p)
	}
	return p, nil
}

// tokenBytes is the initial capacity of the buffer for a token. An ES256 token with a leaf
// certificate and one repository has about 1,000 bytes.
const tokenBytes = 1280
