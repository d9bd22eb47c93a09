package server_test

import (
	"context"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/credentials"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/chain"
	"github.com/tidewaiter/tidewaiter/internal/issuer"
	"github.com/tidewaiter/tidewaiter/internal/password"
	"github.com/tidewaiter/tidewaiter/policy"
)

// withAccounts returns a harness whose first source is accounts, before the htpasswd file.
func withAccounts(t *testing.T) (*harness, *accounts.Accounts) {
	t.Helper()
	h := newHarness(t, nil)
	own, err := accounts.Open(accounts.Options{Options: credentials.Options{
		Writer: admin.NewWriter(h.state, h.journal, nil), Hashing: password.New(password.Options{HashMemory: 64}),
		Find: func(ctx context.Context, source, name, id string) (*policy.Principal, string, error) {
			return h.issuer.Live().Chain.FindGeneration(ctx, source, name, id)
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	old := h.issuer.Live().Chain
	h.issuer.Swap(func(live issuer.Live) issuer.Live {
		live.Chain = chain.New(chain.Options{Sources: []identity.Source{
			{Name: accounts.Source, Authenticator: own, Kinds: accounts.Kinds()},
			{Name: "htpasswd", Authenticator: findingChain{old}},
		}})
		live.Refresh = own.Credentials.IssueRefresh
		return live
	})
	return h, own
}

// findingChain makes a Chain usable as a source of another Chain.
type findingChain struct{ *chain.Chain }

// refreshToken returns the refresh token of a reply, or "".
func (h *harness) refreshToken(r reply) string {
	h.Helper()
	var answer struct {
		RefreshToken *string `json:"refresh_token"`
	}
	if err := json.Unmarshal([]byte(r.Body), &answer); err != nil || r.Status != 200 {
		h.Fatalf("status %d, body %s: %v", r.Status, r.Body, err)
	}
	if answer.RefreshToken == nil {
		return ""
	}
	return *answer.RefreshToken
}

// docker login uses GET, and containerd uses POST. Afterwards, both clients post the refresh token
// from the answer, and each later answer contains the same refresh token.
func TestRefreshTokenRoundTrip(t *testing.T) {
	h, own := withAccounts(t)
	operator := admin.Operator("root")
	if _, err := own.AddUser(t.Context(), operator, accounts.NewUser{Name: "ann", Password: identity.NewSecret("own ann's password")}); err != nil {
		t.Fatal(err)
	}
	robot, secret, err := own.AddRobot(t.Context(), operator, accounts.NewRobot{Name: "ci", Expires: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	form := "application/x-www-form-urlencoded"
	post := func(values ...string) reply {
		t.Helper()
		v := url.Values{"service": {"a.example.com"}, "client_id": {"crane"}, "scope": {"repository:team/app:pull"}}
		for i := 0; i < len(values); i += 2 {
			v.Set(values[i], values[i+1])
		}
		return h.ask("POST", "/token", v.Encode(), "Content-Type", form)
	}
	for who, tt := range map[string]struct{ name, secret, subject string }{
		"a user":               {"ann", "own ann's password", "ann"},
		"a robot":              {robot.Login(), secret.Reveal(), "robot+ci"},
		"a user of the others": {"bob", bobPassword, "bob"},
	} {
		got := h.refreshToken(h.ask("GET", "/token?service=a.example.com&client_id=docker&offline_token=true&account=x", "", "Authorization", basic(tt.name, tt.secret)))
		if got == "" {
			t.Fatalf("%s: no refresh token", who)
		}
		posted := h.refreshToken(post("grant_type", "password", "username", tt.name, "password", tt.secret, "access_type", "offline"))
		for _, token := range []string{got, posted, got} {
			r := post("grant_type", "refresh_token", "refresh_token", token)
			if h.claims(r).Subject != tt.subject || h.refreshToken(r) != token {
				t.Errorf("%s: %s", who, r.Body)
			}
		}
		if r := post("grant_type", "refresh_token", "refresh_token", got, "service", "b.example.com"); r.Status != 401 || !strings.Contains(r.Body, "invalid_grant") {
			t.Errorf("%s, at another registry: %s", who, r)
		}
		// A client gets a refresh token only on request. Otherwise go-containerregistry would use
		// only the refresh token from then on.
		for what, r := range map[string]reply{
			"GET":             h.ask("GET", "/token?service=a.example.com", "", "Authorization", basic(tt.name, tt.secret)),
			"GET, with false": h.ask("GET", "/token?service=a.example.com&offline_token=false", "", "Authorization", basic(tt.name, tt.secret)),
			"POST":            post("grant_type", "password", "username", tt.name, "password", tt.secret),
			"POST, online":    post("grant_type", "password", "username", tt.name, "password", tt.secret, "access_type", "online"),
		} {
			if h.refreshToken(r) != "" || strings.Contains(r.Body, "refresh_token") {
				t.Errorf("%s, %s: %s", who, what, r.Body)
			}
		}
	}
	if got := h.refreshToken(h.ask("GET", "/token?service=a.example.com&offline_token=true", "")); got != "" {
		t.Error("no client got a refresh token")
	}
	for what, r := range map[string]reply{
		"none":       post("grant_type", "refresh_token"),
		"in a query": h.ask("POST", "/token?service=a.example.com&refresh_token=twp_x", "grant_type=refresh_token", "Content-Type", form),
		"by GET":     h.ask("GET", "/token?service=a.example.com&refresh_token=twp_x", ""),
	} {
		if r.Status != 400 {
			t.Errorf("%s: %s", what, r)
		}
	}
	for what, token := range map[string]string{"a guess": "twp_x", "a password": "own ann's password", "an access token": secret.Reveal()} {
		if r := post("grant_type", "refresh_token", "refresh_token", token, "username", "ann"); r.Status != 401 {
			t.Errorf("%s: %s", what, r)
		}
	}
}
