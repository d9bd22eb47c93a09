// Package idtoken is an issuer of ID tokens for tests.
//
// Start runs an issuer whose tokens have the claims of GitHub Actions or Kubernetes. Like these
// issuers, it changes its signing key after some tokens. The new key is already published at that
// time.
package idtoken

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Issuer issues ID tokens until the test ends. It may be used from parallel tests.
type Issuer struct {
	URL string // the tokens' iss

	issued atomic.Int64
	keys   [2]jose.JSONWebKey // both keys are published; the second key signs after perKey tokens
}

// Claims are a token's claims except iss, aud and its times.
type Claims map[string]any

// GitHub returns the claims of a workflow on the main branch of acme/app.
func GitHub() Claims {
	return Claims{
		"sub":        "repo:acme/app:ref:refs/heads/main",
		"repository": "acme/app", "repository_id": "74", "repository_owner": "acme", "repository_owner_id": "65",
		"repository_visibility": "private", "ref": "refs/heads/main", "ref_type": "branch", "ref_protected": "true",
		"sha": "f1ea37bfa0c04c1b5ab9ba5d4f6ba9ab6e0e2b7e", "run_id": "12", "run_number": "10", "run_attempt": "1",
		"actor": "octocat", "actor_id": "12", "workflow": "image", "event_name": "push", "runner_environment": "github-hosted",
		"workflow_ref":     "acme/app/.github/workflows/image.yml@refs/heads/main",
		"job_workflow_ref": "acme/app/.github/workflows/image.yml@refs/heads/main",
	}
}

// Kubernetes returns the claims of a pod of the service account builder in the namespace ci.
func Kubernetes() Claims {
	return Claims{
		"sub": "system:serviceaccount:ci:builder",
		"kubernetes.io": map[string]any{
			"namespace":      "ci",
			"serviceaccount": map[string]string{"name": "builder", "uid": "5a0a5b38-4f1e-4b4c-9d7c-0f3b1f9f2c11"},
			"pod":            map[string]string{"name": "builder-7c9d", "uid": "0b7cbb5e-2f0c-4d9d-8a86-2d4c3a3f6a10"},
			"node":           map[string]string{"name": "node-1", "uid": "6c0d5a5f-1b7b-43b9-9c7e-4a7f3b1a2e55"},
		},
	}
}

// Start starts an issuer.
func Start(t testing.TB) *Issuer {
	t.Helper()
	i := &Issuer{}
	for n := range i.keys {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		i.keys[n] = jose.JSONWebKey{Key: private, KeyID: fmt.Sprintf("key-%d", n+1), Algorithm: "ES256", Use: "sig"}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{
			"issuer": i.URL, "jwks_uri": i.URL + "/keys",
			"response_types_supported": []string{"id_token"}, "subject_types_supported": []string{"public"},
			"id_token_signing_alg_values_supported": []string{"ES256"},
		})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		var set jose.JSONWebKeySet
		for _, k := range i.keys {
			set.Keys = append(set.Keys, k.Public())
		}
		answer(w, set)
	})
	server := httptest.NewServer(mux) // plain HTTP is allowed on loopback
	t.Cleanup(server.Close)
	i.URL = server.URL
	return i
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // a failed write means that the client is gone
}

// perKey is the number of tokens that the first key signs. It is small, so that a run with few
// clients includes a rotation.
const perKey = 4

// Token issues an ID token for an audience.
func (i *Issuer) Token(t testing.TB, audience string, c Claims) string {
	t.Helper()
	key := i.keys[0]
	if i.issued.Add(1) > perKey {
		key = i.keys[1]
	}
	now := time.Now()
	all := maps.Clone(c)
	maps.Copy(all, Claims{
		"iss": i.URL, "aud": audience, "jti": rand.Text(),
		"iat": now.Unix(), "nbf": now.Add(-time.Minute).Unix(), "exp": now.Add(10 * time.Minute).Unix(),
	})
	payload, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
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
