package main

import (
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/tidewaiter/tidewaiter/scope"
	"github.com/tidewaiter/tidewaiter/token"
	"github.com/tidewaiter/tidewaiter/tokenserver"
)

func TestAnSBOMIsForThoseWhoMayPull(t *testing.T) {
	noon := time.Date(2036, 11, 23, 12, 0, 0, 0, time.UTC)
	signer := func() (*token.Root, *token.Signer) {
		root, err := token.NewRoot("test", token.ES256, noon.Add(-time.Hour), noon.AddDate(1, 0, 0))
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := root.Leaf(token.ES256, noon.Add(-time.Hour), noon.Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		return root, leaf
	}
	root, good := signer()
	_, strange := signer()
	verifier, err := token.NewVerifier(token.VerifierOptions{Roots: root.Bundle(), Issuer: "shop", Audience: "registry.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	files := fstest.MapFS{"team/app.json": {Data: []byte(`{"sbom":1}`)}, "secret.json": {Data: []byte("x")}}
	handler := newHandler(verifier, tokenserver.Challenge{Realm: "https://auth.example.com/token", Service: "registry.example.com"}, files, func() time.Time { return noon })

	bearer := func(s *token.Signer, name string, expires time.Time) string {
		signed, err := s.Append(nil, &token.Claims{
			Issuer: "shop", Audience: "registry.example.com", Subject: "ann", Expires: expires,
			Access: []scope.Scope{{Type: "repository", Name: name, Actions: scope.Pull}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return "Bearer " + string(signed)
	}
	later := noon.Add(time.Minute)
	const challenge = `Bearer realm="https://auth.example.com/token",service="registry.example.com",scope="repository:team/app:pull"`
	for _, tt := range []struct {
		what, path, authorization string
		status                    int
		challenge                 string
	}{
		{"a token for the image", "/sbom/team/app", bearer(good, "team/app", later), 200, ""},
		{"no token", "/sbom/team/app", "", 401, challenge},
		{"a token for another image", "/sbom/team/app", bearer(good, "team/other", later), 401, challenge + `,error="insufficient_scope"`},
		{"an expired token", "/sbom/team/app", bearer(good, "team/app", noon.Add(-time.Second)), 401, challenge + `,error="invalid_token"`},
		{"a token of an unknown root", "/sbom/team/app", bearer(strange, "team/app", later), 401, challenge + `,error="invalid_token"`},
		{"an image without an SBOM", "/sbom/team/none", bearer(good, "team/none", later), 404, ""},
		{"a path outside the folder", "/sbom/team/%2e%2e/secret", bearer(good, "team/app", later), 404, ""},
	} {
		r := httptest.NewRequest("GET", tt.path, nil)
		if tt.authorization != "" {
			r.Header.Set("Authorization", tt.authorization)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != tt.status || w.Header().Get("WWW-Authenticate") != tt.challenge {
			t.Errorf("%s: status %d, %q", tt.what, w.Code, w.Header().Get("WWW-Authenticate"))
		}
		if got := strings.Contains(w.Body.String(), `{"sbom":1}`); got != (tt.status == 200) {
			t.Errorf("%s: %s", tt.what, w.Body)
		}
	}
}
