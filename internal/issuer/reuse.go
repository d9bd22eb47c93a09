package issuer

import (
	"encoding/binary"
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/policy"
)

// reuseWindow returns how long a token may be reused: a tenth of its lifetime, but at most 30
// seconds. A reused token must still be valid for at least token.MinLifetime, because clients
// assume this minimum.
func reuseWindow(lifetime time.Duration) time.Duration {
	return max(0, min(lifetime/10, 30*time.Second, lifetime-shortest))
}

// tokenCache holds tokens that may be reused for an identical answer. It has two generations of
// tokens, and drops the older generation when the younger one is full. So it holds at most
// 2*generationSize tokens of about 1.3 kB, even if a client requests a million different
// scopes.
type tokenCache struct {
	mu           sync.Mutex
	young, older map[string]issuedToken
}

const generationSize = 2048

func newTokenCache() *tokenCache {
	return &tokenCache{young: make(map[string]issuedToken)}
}

func (r *tokenCache) find(key []byte, now time.Time) (issuedToken, bool) {
	r.mu.Lock()
	p, ok := r.young[string(key)]
	if !ok {
		p, ok = r.older[string(key)]
	}
	r.mu.Unlock()
	return p, ok && p.reuse.Holds(now)
}

func (r *tokenCache) keep(key []byte, p issuedToken) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.young) >= generationSize {
		r.older, r.young = r.young, make(map[string]issuedToken, generationSize)
	}
	r.young[string(key)] = p
}

// appendKey appends the key of a token in the cache. A token is reused only if all parts of the
// key are equal: registry, principal, lifetime and grants. The principal's id is enough, because
// a source never reuses an id. The other parts of a token are equal for all tokens of a cache
// (see sameTokens). Each part of the key is preceded by its length, so that no crafted name can
// be read as two parts.
func appendKey(dst []byte, registry *Registry, p *policy.Principal, lifetime time.Duration, results []policy.Result) []byte {
	dst = appendPart(dst, registry.Service)
	dst = append(dst, byte(p.Kind))
	dst = appendPart(dst, p.Source)
	dst = appendPart(dst, p.ID)
	dst = appendPart(dst, p.Name)
	dst = binary.AppendVarint(dst, int64(lifetime))
	for i := range results {
		if results[i].Granted == 0 {
			continue
		}
		dst = appendPart(dst, results[i].Asked.Type)
		dst = appendPart(dst, results[i].Asked.Class)
		dst = appendPart(dst, results[i].Asked.Name)
		dst = append(dst, byte(results[i].Granted))
	}
	return dst
}

func appendPart(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}
