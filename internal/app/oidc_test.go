package app_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/tidewaiter/tidewaiter/internal/app"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// issuer is a CI system that issues ID tokens.
type issuer struct {
	*httptest.Server
	key  *ecdsa.PrivateKey
	down atomic.Bool
	now  func() time.Time
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{key: key, now: time.Now}
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case i.down.Load():
			http.Error(w, "down", http.StatusBadGateway)
		case r.URL.Path == "/keys":
			_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k", Use: "sig"}}})
		default:
			_ = json.NewEncoder(w).Encode(map[string]string{"issuer": i.URL, "jwks_uri": i.URL + "/keys"})
		}
	}))
	t.Cleanup(i.Close)
	return i
}

// issueToken issues an ID token for a repository, with a lifetime.
func (i *issuer) issueToken(t *testing.T, audience, repository string, life time.Duration) string {
	t.Helper()
	return i.issueTokenForRef(t, audience, repository, "refs/heads/main", life)
}

// issueTokenForRef issues an ID token for a job of a ref.
func (i *issuer) issueTokenForRef(t *testing.T, audience, repository, ref string, life time.Duration) string {
	t.Helper()
	o := (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", "k")
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: i.key}, o)
	if err != nil {
		t.Fatal(err)
	}
	now := i.now()
	payload, _ := json.Marshal(map[string]any{
		"iss": i.URL, "aud": audience, "sub": "repo:" + repository, "repository": repository, "repository_owner": "acme",
		"ref": ref, "iat": now.Add(-10 * time.Minute).Unix(), "exp": now.Add(life).Unix(),
	})
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

func (f *folder) trusting(i *issuer) *config.Config {
	f.Helper()
	f.write("tidewaiter.yaml", `
database: sqlite:state.db
signing: { root: { folder: . } }
registries: [{ service: r.example.com }]
listen: [{ address: "127.0.0.1:0" }]
identity:
  - oidc: { name: ci, preset: github-actions, issuer: "`+i.URL+`", audience: us, require: { repository_owner: acme } }
  - htpasswd: { file: users }
policy:
  rules:
    - { name: own images, subjects: ["group:github:acme"], repositories: ["${claims.repository}/**"], actions: [pull, push] }
`)
	cfg, err := config.Load(filepath.Join(f.dir, "tidewaiter.yaml"), config.Options{})
	if err != nil {
		f.Fatal(err)
	}
	return cfg
}

// grantedActions returns the granted actions on acme/app/web, or the status of the response.
func grantedActions(t *testing.T, h http.Handler, r *http.Request) string {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		return http.StatusText(w.Code)
	}
	var answer struct{ Token string }
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatal(err)
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(answer.Token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims struct {
		Sub    string
		Access []struct{ Actions []string }
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	text := claims.Sub
	for _, a := range claims.Access {
		text += " " + strings.Join(a.Actions, ",")
	}
	return text
}

const pushWeb = "repository:acme/app/web:pull,push"

// newBasicRequest returns a request with an ID token as docker login and an imagePullSecret send
// it. newFormRequest returns a request with an ID token as containerd sends it.
func newBasicRequest(name, password string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/token?service=r.example.com&scope="+pushWeb, nil)
	r.SetBasicAuth(name, password)
	return r
}

func newFormRequest(name, password string) *http.Request {
	return newPost(url.Values{"grant_type": {"password"}, "service": {"r.example.com"}, "client_id": {"x"}, "scope": {pushWeb}, "username": {name}, "password": {password}})
}

func TestAJobSignsInWithItsIDToken(t *testing.T) {
	i, f := newIssuer(t), newFolder(t)
	a, err := app.New(t.Context(), f.trusting(i), app.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close(t.Context())
	h := a.Handler()
	good := i.issueToken(t, "us", "acme/app", 5*time.Minute)
	for _, tt := range []struct {
		what string
		r    *http.Request
		want string
	}{
		{"with the name that the docs use", newBasicRequest("oidc", good), "github:acme/app pull,push"},
		{"with another name", newBasicRequest("octocat", good), "github:acme/app pull,push"},
		{"in a form", newFormRequest("oidc", good), "github:acme/app pull,push"},
		{"in a form without a name", newFormRequest("", good), "github:acme/app pull,push"},
		{"with the name of a user", newBasicRequest("ann", good), "github:acme/app pull,push"},
		{"of another repository", newBasicRequest("oidc", i.issueToken(t, "us", "acme/other", 5*time.Minute)), "github:acme/other"},
		{"that is expired", newBasicRequest("oidc", i.issueToken(t, "us", "acme/app", -2*time.Minute)), "Unauthorized"},
		{"for another audience", newBasicRequest("oidc", i.issueToken(t, "them", "acme/app", 5*time.Minute)), "Unauthorized"},
		{"that was changed", newBasicRequest("oidc", good+"x"), "Unauthorized"},
		{"that was changed, in a form", newFormRequest("oidc", good+"x"), "Unauthorized"},
		{"replaced by a password", newBasicRequest("ann", "ann-password"), "ann"},
	} {
		if got := grantedActions(t, h, tt.r); got != tt.want {
			t.Errorf("a token %s: %q, want %q", tt.what, got, tt.want)
		}
	}
	// The expiry of the ID token does not limit the lifetime of a registry token.
	if got := grantedActions(t, h, newBasicRequest("oidc", i.issueToken(t, "us", "acme/app", -30*time.Second))); got != "github:acme/app pull,push" {
		t.Errorf("a token within the leeway: %q", got)
	}
}

// Jobs of main may push. Jobs of other branches, and tokens without a ref, may only pull.
func TestOnlyMainPushes(t *testing.T) {
	i, f := newIssuer(t), newFolder(t)
	f.trusting(i)
	f.write("tidewaiter.yaml", `
database: sqlite:state.db
signing: { root: { folder: . } }
registries: [{ service: r.example.com }]
identity:
  - oidc: { name: ci, preset: github-actions, issuer: "`+i.URL+`", audience: us, require: { repository_owner: acme } }
  - htpasswd: { file: users }
policy:
  rules:
    - { name: pulls, subjects: [signed-in], repositories: ["acme/**"], actions: [pull] }
    - { name: main pushes, subjects: [signed-in], repositories: ["acme/**"], actions: [push],
        when: 'claims.ref == "refs/heads/main"' }
`)
	cfg, err := config.Load(filepath.Join(f.dir, "tidewaiter.yaml"), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	a, err := app.New(t.Context(), cfg, app.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close(t.Context())
	for _, tt := range []struct {
		who  string
		r    *http.Request
		want string
	}{
		{"main", newBasicRequest("oidc", i.issueTokenForRef(t, "us", "acme/app", "refs/heads/main", time.Minute)), "github:acme/app pull,push"},
		{"a branch", newBasicRequest("oidc", i.issueTokenForRef(t, "us", "acme/app", "refs/heads/dev", time.Minute)), "github:acme/app pull"},
		{"a branch called refs/heads/main", newBasicRequest("oidc", i.issueTokenForRef(t, "us", "acme/app", "refs/heads/refs/heads/main", time.Minute)), "github:acme/app pull"},
		{"a tag called main", newBasicRequest("oidc", i.issueTokenForRef(t, "us", "acme/app", "refs/tags/main", time.Minute)), "github:acme/app pull"},
		{"a person, who has no ref", newBasicRequest("ann", "ann-password"), "ann pull"},
	} {
		if got := grantedActions(t, a.Handler(), tt.r); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.who, got, tt.want)
		}
	}
}

func TestKeysOutliveAReloadWhileTheIssuerIsDown(t *testing.T) {
	i, f := newIssuer(t), newFolder(t)
	a, err := app.New(t.Context(), f.trusting(i), app.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close(t.Context())
	if got := grantedActions(t, a.Handler(), newBasicRequest("oidc", i.issueToken(t, "us", "acme/app", time.Minute))); got != "github:acme/app pull,push" {
		t.Fatal(got)
	}
	i.down.Store(true)
	for range 2 {
		if err := a.Reload(t.Context(), f.trusting(i)); err != nil {
			t.Fatal(err)
		}
		if got := grantedActions(t, a.Handler(), newBasicRequest("oidc", i.issueToken(t, "us", "acme/app", 2*time.Minute))); got != "github:acme/app pull,push" {
			t.Errorf("after a reload: %q", got)
		}
	}

	again := newFolder(t)
	b, err := app.New(t.Context(), again.trusting(i), app.Options{})
	if err != nil {
		t.Fatalf("New fails while an issuer is down: %v", err)
	}
	defer b.Close(t.Context())
	if got := grantedActions(t, b.Handler(), newBasicRequest("oidc", i.issueToken(t, "us", "acme/app", time.Minute))); got != "Service Unavailable" {
		t.Errorf("a token of an issuer that was never asked: %q", got)
	}
	if got := grantedActions(t, b.Handler(), newBasicRequest("ann", "ann-password")); got != "ann" {
		t.Errorf("a password in the meantime: %q", got)
	}
}

func TestErrorsInAnIssuerHaveAPosition(t *testing.T) {
	f := newFolder(t)
	f.write("tidewaiter.yaml", `signing: { root: { folder: . } }
registries: [{ service: r.example.com }]
identity:
  - oidc:
      name: ci
      preset: github-actions
      audience: us
      groups: ["g:{repository}", "g:{"]
  - oidc: { name: other, issuer: "http://issuer.example.com", audience: us }
`)
	cfg, err := config.Load(filepath.Join(f.dir, "tidewaiter.yaml"), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	wrong := check(t, cfg)
	for _, want := range []string{
		`tidewaiter.yaml:8:34: groups: { without }`,
		`tidewaiter.yaml:5:7: require: https://token.actions.githubusercontent.com issues tokens to anyone`,
		`tidewaiter.yaml:9:34: issuer: use https`,
	} {
		if !strings.Contains(wrong.Error(), want) {
			t.Errorf("%q is missing:\n%v", want, wrong)
		}
	}
	if _, err := app.New(t.Context(), cfg, app.Options{}); err == nil {
		t.Error("New accepted the config")
	}
}

// Every config on the pages below docs/ci must load, and every explain command on these pages must
// print that the request is granted.
func TestPagesAboutOIDC(t *testing.T) {
	pages, err := filepath.Glob("../../docs/ci/*.md")
	if err != nil || len(pages) < 6 {
		t.Fatalf("%v %v", pages, err)
	}
	const pod = "/var/run/secrets/kubernetes.io/serviceaccount/"
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		f := newFolder(t)
		i := newIssuer(t)
		keys, _ := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: i.key.Public(), KeyID: "k", Use: "jwt-svid"}}})
		for _, name := range []string{"lab-keys.json", "bundle.json"} {
			f.write(name, string(keys))
		}
		certificate, _ := os.ReadFile(filepath.Join(f.dir, "cert.pem"))
		f.write("ca.crt", string(certificate))
		f.write("token", "a-token")
		var first *config.Config
		for block := range strings.SplitSeq(string(text), "\n```yaml\n") {
			block, _, _ = strings.Cut(block, "\n```")
			if !strings.HasPrefix(block, "identity:") {
				continue
			}
			f.write("tidewaiter.yaml", "registries: [{ service: registry.example.com }]\nsigning: { root: { folder: . } }\n"+strings.ReplaceAll(block, pod, f.dir+"/"))
			cfg, err := config.Load(filepath.Join(f.dir, "tidewaiter.yaml"), config.Options{})
			if err != nil {
				t.Errorf("%s:\n%s\n%v", page, block, err)
				continue
			}
			wrong := check(t, cfg)
			for _, p := range wrong {
				if !strings.Contains(p.Text, pod) { // those files exist only in a pod
					t.Errorf("%s:\n%s\n%v", page, block, p)
				}
			}
			if first == nil {
				first = cfg
			}
		}
		if first == nil {
			t.Errorf("%s has no config", page)
			continue
		}
		for line := range strings.Lines(string(text)) {
			if rest, ok := strings.CutPrefix(line, "tidewaiter explain --as workload:"); ok && !strings.HasSuffix(page, "README.md") {
				explain(t, page, first, strings.Fields("--as workload:"+rest))
			}
		}
	}
}

func explain(t *testing.T, page string, cfg *config.Config, args []string) {
	t.Helper()
	who := &policy.Principal{Kind: policy.Workload, Claims: map[string]any{}}
	var asked []string
	for len(args) > 0 {
		switch args[0] {
		case "--as":
			who.Name = strings.TrimPrefix(args[1], "workload:")
			args = args[2:]
		case "--group":
			who.Groups = append(who.Groups, args[1])
			args = args[2:]
		case "--claim":
			name, v, _ := strings.Cut(args[1], "=")
			who.Claims[name] = v
			args = args[2:]
		default: // push NAME
			asked = append(asked, "repository:"+args[1]+":"+args[0])
			args = args[2:]
		}
	}
	scopes, _, err := scope.Parse(asked)
	if err != nil || len(scopes) == 0 {
		t.Fatalf("%s: %q: %v", page, asked, err)
	}
	d := cfg.Policy.Decide(&policy.Request{Principal: who, Registry: "registry.example.com", Scopes: scopes, IP: netip.MustParseAddr("192.0.2.1"),
		Now: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)})
	for k, r := range d.Results {
		if r.Granted != scopes[k].Actions {
			t.Errorf("%s: %q grants %v", page, asked, r)
		}
	}
}
