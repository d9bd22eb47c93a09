package oidc_test

import (
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/await"
	"github.com/tidewaiter/tidewaiter/internal/identity/oidc"
)

// Inherited keys must not replace keys that were just read from a file, because the keys in the
// file are newer.
func TestInheritedKeysDoNotReplaceNewerOnes(t *testing.T) {
	i, second := newIssuer(t), newKey(t, "two")
	path := filepath.Join(t.TempDir(), "keys.json")
	inFile := func(o *oidc.Options) { o.JWKSFile = path }
	publish := func(key signing) {
		text, _ := json.Marshal(claims{"keys": []any{key.public("sig")}})
		write(t, path, string(text))
	}
	publish(i.key)
	first := i.provider(inFile)
	publish(second)
	next := i.provider(inFile)
	next.Inherit(first)
	want(t, "a token of the new key", outcome(t, next, second.sign(t, i.claims())), "taken")
	want(t, "a token of the old key", outcome(t, next, i.token()), "refused")
}

// Anyone who can change a response over http could sign tokens, even if the discovery document
// came over https.
func TestAnIssuerByHTTPSNamesNoKeysByHTTP(t *testing.T) {
	i := newIssuer(t)
	var url string
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(claims{"issuer": url, "jwks_uri": i.url + "/keys"})
	}))
	defer server.Close()
	url = server.URL
	ca := filepath.Join(t.TempDir(), "ca.crt")
	write(t, ca, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	p := i.provider(func(o *oidc.Options) { o.Issuer, o.CA = url, ca })
	if _, err := show(t, p, i.token(claims{"iss": url})); err == nil || !strings.Contains(err.Error(), "jwks_uri") {
		t.Errorf("%v, want an error about jwks_uri", err)
	}
	if len(i.fetched) > 0 {
		t.Errorf("the keys were fetched: %v", i.fetched)
	}
}

// Issuers are compared exactly. With an additional slash or an escape, the issuer is another
// issuer.
func TestAnIssuerIsComparedExactly(t *testing.T) {
	for _, path := range []string{"", "/", "/realms/main", "/realms/main/", "/a%2Fb"} {
		i := newIssuer(t)
		i.answerWith(func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.EscapedPath() != strings.TrimSuffix(path, "/")+"/.well-known/openid-configuration" {
				return false
			}
			_ = json.NewEncoder(w).Encode(claims{"issuer": i.url + path, "jwks_uri": i.url + "/keys"})
			return true
		})
		p := i.provider(func(o *oidc.Options) { o.Issuer = i.url + path })
		want(t, "the issuer "+path, outcome(t, p, i.token(claims{"iss": i.url + path})), "taken")
		want(t, "the issuer "+path+" with more", outcome(t, p, i.token(claims{"iss": i.url + path + "/"})), "unknown")
	}
}

// The issuer of this test is like an API server of Kubernetes: it has its own CA, it requires a
// bearer token, and its discovery document has an internal address.
func TestAnAPIServerIsAskedWithACAAndABearerToken(t *testing.T) {
	i := newIssuer(t)
	const bearer = "canary-bearer-token"
	var inside []string
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+bearer {
			http.Error(w, `{"kind":"Status","code":401}`, http.StatusUnauthorized)
			return
		}
		inside = append(inside, r.URL.Path)
		w.Header().Set("Content-Type", "application/jwk-set+json")
		_ = json.NewEncoder(w).Encode(claims{"keys": []any{i.key.public("sig")}})
	}))
	defer server.Close()
	dir := t.TempDir()
	ca, token := filepath.Join(dir, "ca.crt"), filepath.Join(dir, "token")
	write(t, ca, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	write(t, token, bearer+"\n")
	log := new(await.Log)
	o := oidc.Options{
		Name: "cluster", Preset: oidc.Kubernetes, Issuer: "https://kubernetes.default.svc.cluster.local", Audience: []string{"https://auth.example.com"},
		JWKSURL: server.URL + "/openid/v1/jwks", CA: ca, TokenFile: token, Now: i.Now, Log: slog.New(slog.NewTextHandler(log, nil)),
	}
	pod := func(more claims) string {
		return i.key.sign(t, i.claims().extend(podClaims()).extend(claims{"iss": o.Issuer}).extend(more))
	}
	p := newProvider(t, o)
	want(t, "a pod's token", outcome(t, p, pod(nil)), "taken")
	if got := sprint(inside); got != "[/openid/v1/jwks]" {
		t.Errorf("asked for %s", got)
	}

	write(t, token, "other\n") // each fetch reads the file
	i.Pass(time.Minute)
	next := newKey(t, "two")
	unknown := next.sign(t, i.claims().extend(podClaims()).extend(claims{"iss": o.Issuer}))
	want(t, "with a bearer token that is not accepted", outcome(t, p, unknown), "down")
	write(t, token, bearer)
	i.Pass(time.Minute)
	want(t, "with a bearer token that is accepted again", outcome(t, p, unknown), "refused")

	o.CA = ""
	want(t, "without its CA", outcome(t, newProvider(t, o), pod(nil)), "down")
	if strings.Contains(log.String(), bearer) {
		t.Errorf("the bearer token is in the log:\n%s", log)
	}
}

// The bearer token is sent only to the host in the config, and not to hosts in a document.
func TestABearerTokenGoesToNoOtherHost(t *testing.T) {
	i, keys := newIssuer(t), newIssuer(t)
	keys.publish(i.key.public("sig"))
	token := filepath.Join(t.TempDir(), "token")
	write(t, token, "canary-bearer-token")
	i.answerWith(func(w http.ResponseWriter, r *http.Request) bool {
		_ = json.NewEncoder(w).Encode(claims{"issuer": i.url, "jwks_uri": keys.url + "/keys"})
		return true
	})
	want(t, "a good token", outcome(t, i.provider(func(o *oidc.Options) { o.TokenFile = token }), i.token()), "taken")
	if got := sprint(i.bearers); got != "[Bearer canary-bearer-token]" {
		t.Errorf("the issuer received %s", got)
	}
	if got := sprint(keys.bearers); got != "[]" {
		t.Errorf("another host received %s", got)
	}
}

// Without a network, the keys come from a file.
func TestKeysInAFileAreReadAgain(t *testing.T) {
	i := newIssuer(t)
	path := filepath.Join(t.TempDir(), "keys.json")
	publish := func(keys ...any) {
		text, err := json.Marshal(claims{"keys": keys})
		if err != nil {
			t.Fatal(err)
		}
		write(t, path, string(text))
	}
	inFile := func(o *oidc.Options) { o.Issuer, o.JWKSFile = "https://air.gap.example.com", path }
	token := func(key signing) string {
		return key.sign(t, i.claims().extend(claims{"iss": "https://air.gap.example.com"}))
	}
	o := i.options()
	inFile(&o)
	for _, text := range []string{"", "{", `{"keys":[]}`, strings.Repeat(" ", 600<<10)} {
		write(t, path, text)
		if problemOf(o, "jwks_file") == "" {
			t.Errorf("a file with %.10q is accepted", text)
		}
	}
	publish(i.key.public("sig"))
	p := i.provider(inFile)
	want(t, "a good token", outcome(t, p, token(i.key)), "taken")
	second := newKey(t, "two")
	publish(second.public("sig"))
	i.Pass(10 * time.Second)
	want(t, "a token of the new key", outcome(t, p, token(second)), "taken")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	i.Pass(time.Hour)
	want(t, "a token while the file is missing", outcome(t, p, token(second)), "taken")
	if n := len(i.fetched); n != 0 {
		t.Errorf("something was fetched: %v", i.fetched)
	}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func podClaims() claims {
	return claims{
		"iss": "https://kubernetes.default.svc.cluster.local",
		"sub": "system:serviceaccount:ci:builder",
		"jti": "ea28ed49-2e11-4280-9ec5-bc3d1d84661a",
		"kubernetes.io": claims{
			"namespace":      "ci",
			"node":           claims{"name": "node-1", "uid": "58456cb0-dd00-45ed-b797-5578fdceaced"},
			"pod":            claims{"name": "build-1", "uid": "778a530c-b3f4-47c0-9cd5-ab018fb64f33"},
			"serviceaccount": claims{"name": "builder", "uid": "a087d5a0-e1dd-43ec-93ac-f13d89cd13af"},
			"warnafter":      1700081020,
		},
	}
}
