package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/api"
	"github.com/tidewaiter/tidewaiter/internal/await"
	"github.com/tidewaiter/tidewaiter/internal/catalog"
	"github.com/tidewaiter/tidewaiter/internal/clock/clocktest"
	"github.com/tidewaiter/tidewaiter/internal/credentials"
	"github.com/tidewaiter/tidewaiter/internal/delivery"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/chain"
	"github.com/tidewaiter/tidewaiter/internal/identity/identitytest"
	"github.com/tidewaiter/tidewaiter/internal/issuer"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/keyring"
	"github.com/tidewaiter/tidewaiter/internal/password"
	"github.com/tidewaiter/tidewaiter/internal/projection"
	"github.com/tidewaiter/tidewaiter/internal/ratelimit"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/server"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
	"github.com/tidewaiter/tidewaiter/token"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) { storetest.Stop(); os.Exit(code) }))
}

// harness is an API over HTTP, with the packages that it needs.
type harness struct {
	testing.TB
	url      string // http://127.0.0.1:…
	accounts *accounts.Accounts
	rulebook *rulebook.Rulebook
	journal  *journal.Journal
	db       *store.DB
	derived  *projection.Set // has the catalog; see catchUp
	issuer   *issuer.Issuer
	server   *server.Server
	api      *api.API
	clock    *clocktest.Clock
	log      *await.Log
	close    func()
	stop     func() // ends the feeds of the journal
	count    int

	verifyIDToken func(identity.Presented) (string, identity.Verified, error)
}

// accepting is a webhook that accepts everything.
type accepting struct{}

func (accepting) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusAccepted, Body: http.NoBody, Request: r}, nil
}

var operator = admin.Operator("root")

// onEachDatabase runs a test on each database.
func onEachDatabase(t *testing.T, f func(*testing.T, *harness)) {
	storetest.Each(t, func(t *testing.T, d storetest.Database) { f(t, newHarness(t, d.Ready(t))) })
}

// newHarness starts an API. Its rules allow the group helpdesk to manage accounts. The directory
// ldap:corp has the user dora, who is an auditor.
func newHarness(t testing.TB, database string) *harness {
	t.Helper()
	h := &harness{TB: t, clock: clocktest.Noon(), log: new(await.Log)}
	log := slog.New(slog.NewTextHandler(h.log, nil))
	var err error
	check := func(e error) {
		t.Helper()
		if e != nil {
			t.Fatal(e)
		}
	}
	h.db, err = store.Open(t.Context(), database)
	check(err)
	h.journal, err = journal.New(h.db, journal.Options{Now: h.clock.Now})
	check(err)
	h.rulebook, err = rulebook.New(rulebook.Options{
		DB: h.db, Journal: h.journal, Now: h.clock.Now, Log: log,
		Changed: func(p *policy.Policy) { h.issuer.Swap(func(l issuer.Live) issuer.Live { l.Policy = p; return l }) },
	}, rulebook.Files{Services: []string{"r.example.com"}, Source: policy.Source{Rules: []policy.Rule{
		{Name: "helpdesk", Subjects: []string{"group:helpdesk"}, Type: scope.TypeTidewaiter, Names: []string{"accounts"}, Actions: scope.Read | scope.Write},
		{Name: "team", Subjects: []string{"user:ann"}, Names: []string{"team/**"}, Actions: scope.Pull | scope.Push},
	}}})
	check(err)
	check(h.rulebook.Load(t.Context()))
	root, err := token.NewRoot("Tidewaiter test root", token.ES256, h.clock.Now().Add(-time.Hour), h.clock.Now().AddDate(1, 0, 0))
	check(err)
	keys, err := keyring.New(keyring.Options{Root: root, Now: h.clock.Now})
	check(err)
	limiter := ratelimit.New(ratelimit.Options{Now: h.clock.Now})
	h.accounts, err = accounts.Open(accounts.Options{
		Options: credentials.Options{
			Writer: admin.NewWriter(h.db, h.journal, h.clock.Now), Rights: h.rulebook.Rights(),
			Hashing: password.New(password.Options{HashMemory: 64, Now: h.clock.Now}), OwnerFor: -1, Log: log,
			Find: func(ctx context.Context, source, name, id string) (*policy.Principal, string, error) {
				return h.issuer.Live().Chain.FindGeneration(ctx, source, name, id)
			},
		},
		Limiter: func() *ratelimit.Limiter { return limiter },
	})
	check(err)
	directory := &identitytest.Fake{Name: "ldap:corp", People: map[string]string{"dora": "directory password"}, Groups: []string{admin.Auditors}}
	h.issuer = issuer.New(issuer.Live{
		Name:       "tidewaiter",
		Registries: map[string]*issuer.Registry{"r.example.com": {Service: "r.example.com", Lifetime: 5 * time.Minute}},
		Chain: chain.New(chain.Options{Limiter: limiter, Sources: []identity.Source{
			{Name: accounts.Source, Authenticator: h.accounts, Kinds: accounts.Kinds()},
			{Name: "ldap:corp", Authenticator: directory, Remote: true},
		}}),
		Policy: h.rulebook.Policy(), Keys: keys,
	}, issuer.Options{Journal: h.journal, Now: h.clock.Now})
	holdings := catalog.Projection()
	h.derived = projection.New(h.db, projection.Options{Now: h.clock.Now}, holdings)
	webhooks, err := delivery.New(h.db, h.journal, delivery.Options{
		Webhooks: []delivery.Webhook{{Name: "ci", URL: "https://ci.example.com/canary"}}, Now: h.clock.Now,
		Transport: func(*delivery.Webhook) http.RoundTripper { return accepting{} },
	})
	check(err)
	stopping, stop := context.WithCancel(context.Background())
	h.stop = stop
	h.api = api.New(api.Options{Stopping: stopping, Server: func() *server.Server { return h.server }, Accounts: h.accounts, Rulebook: h.rulebook, Journal: h.journal, Now: h.clock.Now,
		Catalog: catalog.New(h.derived, holdings), Delivery: func() *delivery.Delivery { return webhooks },
		Find: func(ctx context.Context, login string) (*policy.Principal, error) {
			return h.issuer.Live().Chain.Find(ctx, login, "")
		}, VerifyIDToken: func(_ context.Context, c identity.Presented) (string, identity.Verified, error) {
			return h.verifyIDToken(c)
		}})
	h.server = server.New(server.Options{Issuer: h.issuer, Journal: h.journal, API: h.api, Now: h.clock.Now, Log: log, Pause: -1})
	over := httptest.NewServer(h.server.Handler(server.API, server.Token))
	h.url = over.URL
	h.close = sync.OnceFunc(func() {
		over.Close()
		http.DefaultClient.CloseIdleConnections()
		if err := errors.Join(h.journal.Close(context.Background()), h.derived.Close(), h.db.Close()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(h.close)
	return h
}

// catchUp writes the journal's entries to the catalog.
func (h *harness) catchUp() {
	h.Helper()
	if err := h.derived.CatchUp(h.Context(), h.journal, nil); err != nil {
		h.Fatal(err)
	}
}

// secretOf returns the password of a test user. It complies with the rules for new passwords.
func secretOf(name string) string { return "correct horse of " + name }

// addUser adds a user with a password to the groups. It creates groups that do not exist.
func (h *harness) addUser(name string, groups ...string) accounts.Account {
	h.Helper()
	for _, g := range groups {
		if _, err := h.accounts.AddGroup(h.Context(), operator, g); err != nil && !errors.Is(err, admin.ErrExists) {
			h.Fatal(err)
		}
	}
	u, err := h.accounts.AddUser(h.Context(), operator, accounts.NewUser{Name: name, Password: identity.NewSecret(secretOf(name)), Groups: groups})
	if err != nil {
		h.Fatal(err)
	}
	return u
}

// addMember adds a user without a password, and its groups.
func (h *harness) addMember(name string, groups ...string) {
	h.Helper()
	for _, g := range groups {
		if _, err := h.accounts.AddGroup(h.Context(), operator, g); err != nil && !errors.Is(err, admin.ErrExists) {
			h.Fatal(err)
		}
	}
	if _, err := h.accounts.AddUser(h.Context(), operator, accounts.NewUser{Name: name, Groups: groups}); err != nil {
		h.Fatal(err)
	}
}

// nextNumber returns 1, 2, 3, …
func (h *harness) nextNumber() int {
	h.count++
	return h.count
}

// createToken creates an access token for a local user.
func (h *harness) createToken(owner, name string, limits ...policy.Limit) (credentials.Token, string) {
	h.Helper()
	t, secret, err := h.accounts.Credentials.AddToken(h.Context(), operator, credentials.NewToken{Owner: credentials.Owner{Name: owner}, Name: name, Limits: limits})
	if err != nil {
		h.Fatal(err)
	}
	return t, secret.Reveal()
}

// reply is a response.
type reply struct {
	Status int
	Header http.Header
	Body   string
}

// option changes a request: it adds a credential or another header.
type option func(*http.Request)

func nobody(*http.Request) {}

func bearer(secret string) option {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+secret) }
}

func with(name string) option { return func(r *http.Request) { r.SetBasicAuth(name, secretOf(name)) } }

func cookie(secret string) option {
	return func(r *http.Request) { r.AddCookie(&http.Cookie{Name: server.SessionCookie, Value: secret}) }
}

func header(name, value string) option { return func(r *http.Request) { r.Header.Set(name, value) } }

// get sends a request without a credential.
func (h *harness) get(path string) reply {
	h.Helper()
	r, err := http.NewRequestWithContext(h.Context(), http.MethodGet, h.url+path, nil)
	if err != nil {
		h.Fatal(err)
	}
	return h.send(r)
}

// request sends a request to a path below /api/v1. A body that is a string is sent unchanged,
// any other body is sent as JSON, and nil means no body.
func (h *harness) request(who option, method, path string, body any, more ...option) reply {
	h.Helper()
	var sent io.Reader
	switch body := body.(type) {
	case nil:
	case string:
		sent = strings.NewReader(body)
	default:
		text, err := json.Marshal(body)
		if err != nil {
			h.Fatal(err)
		}
		sent = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(h.Context(), method, h.url+api.Prefix+path, sent)
	if err != nil {
		h.Fatal(err)
	}
	if sent != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	who(r)
	for _, m := range more {
		m(r)
	}
	return h.send(r)
}

func (h *harness) send(r *http.Request) reply {
	h.Helper()
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		h.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		h.Fatal(err)
	}
	return reply{answer.StatusCode, answer.Header, string(text)}
}

// fields is a JSON object.
type fields = map[string]any

// read decodes the JSON of a reply.
func (h *harness) read(r reply) fields {
	h.Helper()
	var f fields
	if err := json.Unmarshal([]byte(r.Body), &f); err != nil {
		h.Fatalf("%d %s: %v", r.Status, r.Body, err)
	}
	return f
}

// requireStatus sends a request and fails the test if the response has another status.
func (h *harness) requireStatus(status int, who option, method, path string, body any, more ...option) reply {
	h.Helper()
	r := h.request(who, method, path, body, more...)
	if r.Status != status {
		h.Fatalf("%s %s: %d, want %d: %s", method, path, r.Status, status, r.Body)
	}
	return r
}

// description returns the description of the API.
func (h *harness) description() []byte {
	h.Helper()
	text, err := h.api.Description()
	if err != nil {
		h.Fatal(err)
	}
	return text
}
