package oidc_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/tidewaiter/tidewaiter/internal/clock/clocktest"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/oidc"
)

// signing is a private key of an issuer.
type signing struct {
	kid string
	alg jose.SignatureAlgorithm
	key any // for jose.SigningKey
}

func newKey(t testing.TB, kid string) signing {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signing{kid, jose.ES256, k}
}

// claims are the claims of a token.
type claims map[string]any

// extend returns a copy of the claims with the other claims added. If both c and others have a
// claim of the same name, the claim of others is used. The value nil removes a claim.
func (c claims) extend(others claims) claims {
	all := maps.Clone(c)
	for name, v := range others {
		if all[name] = v; v == nil {
			delete(all, name)
		}
	}
	return all
}

// sign signs a token as go-jose does, with additional headers.
func (s signing) sign(t testing.TB, c any, header ...claims) string {
	t.Helper()
	payload, ok := c.([]byte)
	if !ok {
		var err error
		if payload, err = json.Marshal(c); err != nil {
			t.Fatal(err)
		}
	}
	o := &jose.SignerOptions{}
	o.WithType("JWT")
	if s.kid != "" {
		o.WithHeader("kid", s.kid)
	}
	for _, h := range header {
		for name, v := range h {
			o.WithHeader(jose.HeaderKey(name), v)
			if v == nil {
				delete(o.ExtraHeaders, jose.HeaderKey(name))
			}
		}
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: s.alg, Key: s.key}, o)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func (s signing) public(use string) jose.JSONWebKey {
	private := jose.JSONWebKey{Key: s.key, KeyID: s.kid, Algorithm: string(s.alg), Use: use}
	return private.Public()
}

// issuer is a small OpenID provider with discovery, keys and faults.
type issuer struct {
	t   testing.TB
	url string
	*clocktest.Clock
	key signing

	mu      sync.Mutex
	keys    []any                                         // in the JWKS
	answer  func(http.ResponseWriter, *http.Request) bool // true: the request is answered
	fetched []string                                      // paths
	bearers []string
	server  *httptest.Server
}

func newIssuer(t testing.TB) *issuer {
	i := &issuer{t: t, Clock: clocktest.Noon(), key: newKey(t, "one")}
	i.keys = []any{i.key.public("sig")}
	i.server = httptest.NewServer(i)
	t.Cleanup(i.server.Close)
	i.url = i.server.URL
	return i
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	i.fetched = append(i.fetched, r.URL.Path)
	i.bearers = append(i.bearers, r.Header.Get("Authorization"))
	keys, answer := i.keys, i.answer
	i.mu.Unlock()
	if answer != nil && answer(w, r) {
		return
	}
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		_ = json.NewEncoder(w).Encode(claims{"issuer": i.url, "jwks_uri": i.url + "/keys"})
	case "/keys":
		_ = json.NewEncoder(w).Encode(claims{"keys": keys})
	default:
		http.NotFound(w, r)
	}
}

// answerWith makes the issuer answer with the given function. The value nil restores the normal
// answers.
func (i *issuer) answerWith(answer func(http.ResponseWriter, *http.Request) bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.answer = answer
}

// fail makes the issuer answer each request with status 500.
func (i *issuer) fail() {
	i.answerWith(func(w http.ResponseWriter, _ *http.Request) bool {
		http.Error(w, "broken", http.StatusInternalServerError)
		return true
	})
}

// publish sets the published keys.
func (i *issuer) publish(keys ...any) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = keys
}

// count returns how often a path was fetched.
func (i *issuer) count(path string) (n int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, p := range i.fetched {
		if p == path {
			n++
		}
	}
	return n
}

// claims returns the claims of a valid token.
func (i *issuer) claims() claims {
	now := i.Now().Unix()
	return claims{
		"iss": i.url, "aud": "https://auth.example.com", "sub": "job:1",
		"iat": now, "nbf": now, "exp": now + 300,
	}
}

// token returns a valid token. The given claims are added to the claims of the token, or replace
// claims of the same name.
func (i *issuer) token(others ...claims) string {
	i.t.Helper()
	c := i.claims()
	for _, o := range others {
		c = c.extend(o)
	}
	return i.key.sign(i.t, c)
}

// options returns options for a Provider of this issuer.
func (i *issuer) options() oidc.Options {
	return oidc.Options{Name: "ci", Issuer: i.url, Audience: []string{"https://auth.example.com"}, Now: i.Now}
}

func (i *issuer) provider(changes ...func(*oidc.Options)) *oidc.Provider {
	i.t.Helper()
	o := i.options()
	for _, change := range changes {
		change(&o)
	}
	return newProvider(i.t, o)
}

func newProvider(t testing.TB, o oidc.Options) *oidc.Provider {
	t.Helper()
	p, err := oidc.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// show presents a token, with any user name.
func show(t testing.TB, p *oidc.Provider, raw string) (identity.Verified, error) {
	t.Helper()
	return p.Authenticate(t.Context(), identity.Presented{Kind: identity.IDToken, Name: "oidc", Secret: identity.NewSecret(raw)})
}

func sprint(v any) string { return fmt.Sprintf("%v", v) }
