package oidc

import (
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// Through sets the transport of a Provider's requests.
func (p *Provider) Through(t http.RoundTripper) { p.origin.(*remote).client.Transport = t }

// Remembered returns the number of cached tokens.
func (p *Provider) Remembered() int { return p.valid.Len() }

// Waiting returns the number of requests that wait for keys.
func (p *Provider) Waiting() int {
	p.keys.mu.Lock()
	defer p.keys.mu.Unlock()
	return p.keys.waiting
}

// MaxWaiting is the maximum of Waiting.
const MaxWaiting = maxWaiting

// Read parses a token as Authenticate does.
func Read(raw string) (alg, kid string, claims map[string]any, err error) {
	t, err := read(raw)
	if err != nil {
		return "", "", nil, err
	}
	return t.alg, t.kid, t.claims, nil
}

// Glob reports whether the text matches a pattern of the setting require.
func Glob(pattern, text string) bool { return glob(pattern).MatchString(text) }

// Expand expands a template.
func Expand(text string, claims map[string]any) ([]string, error) {
	t, err := parseTemplate(text)
	if err != nil {
		return nil, err
	}
	texts, _ := t.expand(claims, claim.texts)
	return texts, nil
}

// Key is a key of a JWKS.
type Key struct {
	Algorithms []string
	public     any
}

// ParseKeys parses a JWKS.
func ParseKeys(text []byte) []Key {
	set, _ := parseKeys(text)
	exported := make([]Key, len(set.keys))
	for i, k := range set.keys {
		exported[i] = Key{k.algorithms, k.public}
	}
	return exported
}

// Try verifies a token that the key has not signed.
func (k Key) Try() error {
	for _, alg := range k.Algorithms {
		raw := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"`+alg+`"}`)) + ".e30." + strings.Repeat("A", 86)
		signed, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(alg)})
		if err != nil {
			return err
		}
		if _, err := signed.Verify(k.public); err != nil {
			return err
		}
	}
	return nil
}

// Forget clears the cache.
func (p *Provider) Forget() {
	p.valid.Clear()
	p.refused.Clear()
}
