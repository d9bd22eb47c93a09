package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/tidewaiter/tidewaiter/e2e/client"
	"github.com/tidewaiter/tidewaiter/e2e/engine"
	"github.com/tidewaiter/tidewaiter/e2e/image"
	"github.com/tidewaiter/tidewaiter/e2e/process"
	"github.com/tidewaiter/tidewaiter/e2e/registry"
	"github.com/tidewaiter/tidewaiter/e2e/tidewaiter"
)

// provider is zitadel's OpenID provider with keys that the test rotates.
type provider struct {
	*storage.Storage
	URL string

	mu   sync.Mutex
	keys []*providerKey // the last key signs
}

type providerKey struct {
	id      string
	private *ecdsa.PrivateKey
}

// These types implement two interfaces of zitadel's provider. The type signs implements the
// interface for a private key. The type verifies implements the interface for a public key.
type (
	signs    struct{ *providerKey }
	verifies struct{ *providerKey }
)

func (k *providerKey) ID() string                           { return k.id }
func (k signs) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.ES256 }
func (k signs) Key() any                                    { return k.private }
func (k verifies) Algorithm() jose.SignatureAlgorithm       { return jose.ES256 }
func (k verifies) Use() string                              { return "sig" }
func (k verifies) Key() any                                 { return k.private.Public() }

func (p *provider) SigningKey(context.Context) (op.SigningKey, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return signs{p.keys[len(p.keys)-1]}, nil
}

func (p *provider) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{jose.ES256}, nil
}

func (p *provider) KeySet(context.Context) ([]op.Key, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	keys := make([]op.Key, len(p.keys))
	for i, k := range p.keys {
		keys[i] = verifies{k}
	}
	return keys, nil
}

// rotate replaces all keys with a new one.
func (p *provider) rotate(t *testing.T) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = []*providerKey{{fmt.Sprintf("key-%d", time.Now().UnixNano()), private}}
}

// The redirect URI of the provider's client.
const callback = "http://localhost:9999/auth/callback"

func startProvider(t *testing.T) *provider {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	at := "http://" + server.Listener.Addr().String()
	clients := map[string]*storage.Client{
		"registry": storage.WebClient("registry", "secret", callback),
		"wiki":     storage.WebClient("wiki", "secret", callback),
	}
	p := &provider{Storage: storage.NewStorageWithClients(storage.NewUserStore(at), clients), URL: at}
	p.rotate(t)
	server.Config.Handler = exampleop.SetupServer(at, p, slog.New(slog.DiscardHandler), false)
	server.Start()
	t.Cleanup(server.Close)
	return p
}

// idToken signs in like a browser, for a client of the provider, and returns the ID token.
func (p *provider) idToken(t *testing.T, audience string) string {
	t.Helper()
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	follow := func(res *http.Response, err error) *url.URL {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		to, err := res.Location()
		if err != nil {
			t.Fatalf("%s answers %s: %v", res.Request.URL, res.Status, err)
		}
		return to
	}
	login := follow(browser.Get(p.URL + "/auth?" + url.Values{
		"client_id": {audience}, "redirect_uri": {callback}, "response_type": {"code"}, "scope": {"openid"}, "state": {"s"},
	}.Encode()))
	back := follow(browser.PostForm(p.URL+"/login/username", url.Values{
		"username": {"test-user2"}, "password": {"verysecure"}, "id": {login.Query().Get("authRequestID")},
	}))
	code := follow(browser.Get(back.String())).Query().Get("code")

	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.URL+"/oauth/token", strings.NewReader(url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback},
	}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(audience, "secret")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var answer struct {
		IDToken string `json:"id_token"`
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || answer.IDToken == "" {
		t.Fatalf("no ID token: %s %v", res.Status, err)
	}
	return answer.IDToken
}

// startWithIDTokens starts a Tidewaiter that trusts the provider.
func startWithIDTokens(t *testing.T, p *provider, service string) *tidewaiter.Tidewaiter {
	t.Helper()
	return tidewaiter.StartWith(t, fmt.Sprintf(`identity:
  - oidc: { name: sso, issuer: %q, audience: registry, principal: "sso:{sub}" }
policy:
  rules:
    - { name: the team writes, subjects: ["workload:sso:id2"], repositories: ["team/**"], actions: [pull, push] }
`, p.URL), service)
}

// TestIDTokens makes every client push and pull with an ID token of a real OpenID provider as
// its password. Then the provider's keys change.
func TestIDTokens(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	tw := startWithIDTokens(t, p, "idtoken")
	r := registry.Start(t, registry.V31, trust(tw, "idtoken"))
	idToken, foreign := p.idToken(t, "registry"), p.idToken(t, "wiki")
	ctx := t.Context()
	for _, kind := range []client.Kind{
		client.Docker(engine.Shared(t)),
		client.Podman, client.Skopeo, client.Crane, client.Oras, client.Regctl, client.Helm, client.Containerd,
	} {
		t.Run(kind.Name, func(t *testing.T) {
			job, other := kind.New(t), kind.New(t)
			if err := job.Login(ctx, r.Host, "oidc", idToken); err != nil {
				t.Fatal(err)
			}
			app := client.Ref{Host: r.Host, Repository: "team/" + kind.Name, Tag: image.Tag}
			digest, err := job.Push(ctx, app, image.New(t, image.OCI))
			if err != nil || r.Tag(app.Repository, app.Tag) != digest {
				t.Fatalf("pushing %s: %v", digest, err)
			}
			if got, err := job.Pull(ctx, app); err != nil || got != digest {
				t.Errorf("pulling: %s, %v, want %s", got, err, digest)
			}
			denied := client.Ref{Host: r.Host, Repository: "other/" + kind.Name, Tag: image.Tag}
			if _, err := job.Push(ctx, denied, image.New(t, image.OCI)); err == nil || r.Tag(denied.Repository, denied.Tag) != "" {
				t.Errorf("a push that no rule allows: %v", err)
			}
			err = other.Login(ctx, r.Host, "oidc", foreign)
			if err == nil { // this client's login stores credentials without checking them
				_, err = other.Pull(ctx, app)
			}
			if err == nil {
				t.Error("a token for another client of the provider was accepted")
			}
		})
	}

	p.rotate(t)
	fresh := p.idToken(t, "registry")
	process.Await(t, "the new key", func(ctx context.Context) error { return signIn(ctx, tw, fresh) })
	if err := signIn(ctx, tw, strings.Replace(fresh, ".", ".e", 1)); err == nil {
		t.Error("a modified token was accepted")
	}
}

func signIn(ctx context.Context, tw *tidewaiter.Tidewaiter, password string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, tw.URL+"/token?service=idtoken", nil)
	if err != nil {
		return err
	}
	r.SetBasicAuth("oidc", password)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the answer is %s", res.Status)
	}
	return nil
}
