package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/tidewaiter/tidewaiter/internal/app"
	"github.com/tidewaiter/tidewaiter/internal/clock/clocktest"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/text/texttest"
)

// signInService is a service whose users sign in through an issuer. The test sets the clock.
type signInService struct {
	*folder
	app    *app.App
	issuer *issuer

	*clocktest.Clock
}

func newPeople(t *testing.T, settings string) *signInService {
	t.Helper()
	p := &signInService{folder: newFolder(t), issuer: newIssuer(t), Clock: clocktest.Noon()}
	var err error
	if p.app, err = app.New(t.Context(), p.config(settings), app.Options{Now: p.Now, Hashing: cheapHashes}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closed(t, p.app) })
	return p
}

func (p *signInService) config(settings string) *config.Config {
	p.Helper()
	p.write("tidewaiter.yaml", `
database: sqlite:state.db
signing: { root: { folder: . } }
registries: [{ service: r.example.com }]
listen: [{ address: "127.0.0.1:0" }]
audit: strict
identity:
  - accounts: {}
  - oidc: { name: sso, issuer: "`+p.issuer.URL+`", audience: us, kind: user, groups: ["sso:{groups}"], claims: [team, level], require: { active: "true" }, `+settings+` }
policy:
  rules:
    - { name: developers, subjects: ["group:sso:dev"], repositories: ["${claims.team}/**"], actions: [pull], when: "claims.level == 7" }
`)
	cfg, err := config.Load(filepath.Join(p.dir, "tidewaiter.yaml"), config.Options{})
	if err != nil {
		p.Fatal(err)
	}
	return cfg
}

// newIDToken returns an ID token that is valid for five minutes.
func (p *signInService) newIDToken(changes map[string]any) string {
	p.Helper()
	claims := map[string]any{
		"iss": p.issuer.URL, "aud": "us", "sub": "ann", "groups": []string{"dev"}, "team": "acme", "level": 7, "active": true,
		"iat": p.Now().Unix(), "exp": p.Now().Add(5 * time.Minute).Unix(),
	}
	for name, v := range changes {
		claims[name] = v
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: p.issuer.key}, (&jose.SignerOptions{}).WithHeader("kid", "k"))
	if err != nil {
		p.Fatal(err)
	}
	payload, _ := json.Marshal(claims)
	signed, err := signer.Sign(payload)
	if err != nil {
		p.Fatal(err)
	}
	raw, err := signed.CompactSerialize()
	if err != nil {
		p.Fatal(err)
	}
	return raw
}

// requestPull sends a request for the action pull on acme/app. It returns the granted actions, or
// the status and the error that the client gets.
func (p *signInService) requestPull(secret string) string {
	p.Helper()
	r := httptest.NewRequest(http.MethodGet, "/token?service=r.example.com&scope=repository:acme/app:pull", nil)
	r.SetBasicAuth("", secret)
	return p.answer(r)
}

func (p *signInService) answer(r *http.Request) string {
	w := httptest.NewRecorder()
	p.app.Handler().ServeHTTP(w, r)
	var answer struct {
		Scope  string
		Errors []struct{ Message string }
	}
	_ = json.Unmarshal(w.Body.Bytes(), &answer)
	if len(answer.Errors) > 0 {
		return fmt.Sprintf("%d %s", w.Code, answer.Errors[0].Message)
	}
	return answer.Scope
}

// postAccess sends a request for an access token, authenticated by an ID token, and returns the
// response.
func (p *signInService) postAccess(idToken, name string) (code int, body string) {
	r := httptest.NewRequest(http.MethodPost, "/api/v1/tokens", strings.NewReader(`{"name": "`+name+`"}`))
	r.Header.Set("Authorization", "Bearer "+idToken)
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	p.app.Handler().ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// createAccess creates an access token, authenticated by an ID token, and returns the token.
func (p *signInService) createAccess(idToken, name string) string {
	p.Helper()
	code, body := p.postAccess(idToken, name)
	var made struct{ Secret string }
	if err := json.Unmarshal([]byte(body), &made); err != nil || made.Secret == "" {
		p.Fatalf("creating an access token: %d %s", code, body)
	}
	return made.Secret
}

// A user who signs in with an ID token can create an access token for docker. The access token is
// valid for a configured time after the newest sign-in, and has the groups and claims of that
// sign-in.
func TestAnAccessTokenIsValidAfterASignIn(t *testing.T) {
	p := newPeople(t, "access_tokens_after_sign_in: 48h")
	const granted = "repository:acme/app:pull"
	expect := func(what, secret, want string) {
		t.Helper()
		if got := p.requestPull(secret); got != want {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	access := p.createAccess(p.newIDToken(nil), "laptop")
	expect("the access token, at once", access, granted)
	p.Pass(47 * time.Hour)
	expect("the access token, after two days", access, granted)
	expect("a sign-in with other groups", p.newIDToken(map[string]any{"groups": []string{"other"}}), "")
	p.Pass(time.Minute)
	expect("the access token, after a sign-in with other groups", access, "")
	expect("a sign-in with the first groups again", p.newIDToken(nil), granted)
	p.Pass(47 * time.Hour)
	expect("the access token, two days after that sign-in", access, granted)
	last := p.Now().Add(-47 * time.Hour).UTC().Format(time.DateOnly)
	p.Pass(time.Hour + time.Second)
	expect("the access token, when the newest sign-in is too old", access,
		"401 the access token is refused: the last sign-in through oidc:sso was on "+last+", and a sign-in is valid for 48h0m0s: sign in again")
	expect("a sign-in", p.newIDToken(nil), granted)
	p.Pass(time.Minute)
	expect("the same access token", access, granted)

	expect("a sign-in that is refused", p.newIDToken(map[string]any{"active": false}), `401 the ID token is refused: the claim active does not meet the requirement: it is "false"`)
	p.Pass(time.Minute)
	expect("the access token, after a refused sign-in", access, "401 the access token is refused: the last sign-in through oidc:sso was refused: sign in again")
	expect("a refused sign-in of another user", p.newIDToken(map[string]any{"active": false, "sub": "bob"}), `401 the ID token is refused: the claim active does not meet the requirement: it is "false"`)
	expect("an accepted sign-in", p.newIDToken(nil), granted)
	p.Pass(time.Minute)
	expect("the access token, after an accepted sign-in", access, granted)
	expect("a sign-in with an expired ID token", p.newIDToken(map[string]any{"exp": p.Now().Add(-time.Hour).Unix()}),
		"401 the ID token is refused: it has expired, at "+p.Now().Add(-time.Hour).UTC().Format(time.RFC3339))
	p.Pass(time.Minute)
	expect("the access token, after a sign-in with an expired ID token", access, granted)

	if err := p.app.Reload(t.Context(), p.config("access_tokens_after_sign_in: 0s")); err != nil {
		t.Fatal(err)
	}
	p.Pass(time.Minute)
	if got := p.requestPull(access); !strings.HasPrefix(got, "401 ") {
		t.Errorf("after the setting was removed: %q", got)
	}
	if code, body := p.postAccess(p.newIDToken(nil), "another"); code != http.StatusForbidden || !strings.Contains(body, "access_tokens_after_sign_in") {
		t.Errorf("creating an access token without the setting: %d %s", code, body)
	}
}

// A stored sign-in survives a restart, and its claims keep their types.
func TestASignInSurvivesARestart(t *testing.T) {
	p := newPeople(t, "")
	access := p.createAccess(p.newIDToken(nil), "laptop")
	closed(t, p.app)
	var err error
	if p.app, err = app.New(t.Context(), p.config(""), app.Options{Now: p.Now, Hashing: cheapHashes}); err != nil {
		t.Fatal(err)
	}
	if got := p.requestPull(access); got != "repository:acme/app:pull" {
		t.Errorf("after a restart: %q", got)
	}
	p.Pass(29 * 24 * time.Hour)
	if got := p.requestPull(access); got != "repository:acme/app:pull" {
		t.Errorf("within the default of 30 days: %q", got)
	}
	p.Pass(24*time.Hour + time.Second)
	if got := p.requestPull(access); !strings.Contains(got, "sign in again") {
		t.Errorf("after 30 days: %q", got)
	}
}

// The journal has the reason why a token was refused. So explain can print the reason for the
// decision's id.
func TestTheJournalHasTheReasonWhyAnIDTokenIsRefused(t *testing.T) {
	p := newPeople(t, "")
	refresh := func(secret string) string {
		return p.answer(newPost(url.Values{"grant_type": {"refresh_token"}, "service": {"r.example.com"}, "client_id": {"docker"}, "scope": {"repository:acme/app:pull"}, "refresh_token": {secret}}))
	}
	genuine, header := p.newIDToken(nil), "eyJhbGciOiJFUzI1NiIsImtpZCI6ImsifQ."
	long := header + strings.Repeat("x", 20_000) + ".AAAA"
	const wrong = "401 the name or the password is wrong"
	for _, tt := range []struct {
		what, client, journal string
		ask                   func() string
	}{
		{"for another audience", "401 the ID token is refused: it is for another audience: them", "the ID token is refused: it is for another audience: them",
			func() string { return p.requestPull(p.newIDToken(map[string]any{"aud": "them"})) }},
		{"with a changed signature", wrong, "invalid credentials: its signature is wrong", func() string { return p.requestPull(texttest.Altered(genuine)) }},
		{"too long", wrong, fmt.Sprintf("invalid credentials: not looked at: what looks like an ID token has %d bytes; the limit is 16384", len(long)), func() string { return p.requestPull(long) }},
		{"too long, as a refresh token", wrong, fmt.Sprintf("invalid credentials: not looked at: what looks like an ID token has %d bytes; the limit is 16384", len(long)), func() string { return refresh(long) }},
		{"as a refresh token, and expired", "401 the ID token is refused: it has expired, at 2025-11-30T10:53:20Z", "the ID token is refused: it has expired, at 2025-11-30T10:53:20Z",
			func() string { return refresh(p.newIDToken(map[string]any{"exp": 1764500000})) }},
	} {
		if got := tt.ask(); got != tt.client {
			t.Errorf("%s: the client gets %q, want %q", tt.what, got, tt.client)
		}
		var e journal.Entry
		for next, err := range p.app.Journal().Read(t.Context(), 0) {
			if e = next; err != nil {
				t.Fatal(err)
			}
		}
		if e.Decision == nil || e.Decision.Refused != tt.journal {
			t.Errorf("%s: the journal has %+v, want %q", tt.what, e.Decision, tt.journal)
		}
	}
	if got := refresh(genuine); got != "repository:acme/app:pull" {
		t.Errorf("an ID token as a refresh token: %q", got)
	}
}
