package server_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/chain"
	"github.com/tidewaiter/tidewaiter/internal/identity/htpasswd"
	"github.com/tidewaiter/tidewaiter/internal/issuer"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/keyring"
	"github.com/tidewaiter/tidewaiter/internal/password"
	"github.com/tidewaiter/tidewaiter/internal/server"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/internal/text/texttest"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
	"github.com/tidewaiter/tidewaiter/token"
)

// The users of these tests: ann writes team/, bob reads it, and root may list the catalog.
const (
	annPassword  = "ann:has:colons"
	bobPassword  = "bob-needs-eight"
	rootPassword = "root-needs-eight"
	eventSecret  = "a-secret-of-registry-a"
)

// harness is a server with a real issuer and journal.
type harness struct {
	*testing.T
	server  *server.Server
	handler http.Handler
	issuer  *issuer.Issuer
	journal *journal.Journal
	state   *store.DB
	log     *strings.Builder
	asked   sync.Map // time of each request, by the body of its reply
}

// newHarness returns a harness. If the function change is not nil, it changes the options of
// the harness first.
func newHarness(t *testing.T, change func(*server.Options, *issuer.Live)) *harness {
	t.Helper()
	now := time.Now
	db, err := store.Open(t.Context(), storetest.SQLite().Ready(t))
	if err != nil {
		t.Fatal(err)
	}
	h := &harness{T: t, state: db, log: new(strings.Builder)}
	logger := slog.New(slog.NewTextHandler(h.log, nil))
	h.journal, err = journal.New(db, journal.Options{Now: now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.journal.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	root, err := token.NewRoot("Tidewaiter test root", token.ES256, now().Add(-time.Hour), now().AddDate(1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := keyring.New(keyring.Options{Root: root, Now: now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	rules, err := policy.Compile(policy.Source{Rules: []policy.Rule{
		{Name: "writers", Subjects: []string{"user:ann"}, Names: []string{"team/**"}, Actions: scope.Repository},
		{Name: "readers", Subjects: []string{"user:bob"}, Names: []string{"team/**"}, Actions: scope.Pull},
		{Name: "catalog", Subjects: []string{"user:root"}, Type: "registry", Names: []string{"catalog"}, Actions: scope.All},
		{Name: "public", Subjects: []string{"anyone"}, Names: []string{"public/**"}, Actions: scope.Pull},
		{Name: "office", Subjects: []string{"user:root"}, Type: "tidewaiter", Names: []string{"journal"}, Actions: scope.Read},
	}})
	if err != nil {
		t.Fatal(err)
	}
	hashing := password.New(password.Options{})
	users, err := htpasswd.New(htpasswd.Options{Hashing: hashing, Entries: []string{
		entry(t, "ann", annPassword), entry(t, "bob", bobPassword), entry(t, "root", rootPassword),
	}})
	if err != nil {
		t.Fatal(err)
	}
	live := issuer.Live{
		Registries: map[string]*issuer.Registry{
			"a.example.com": {Service: "a.example.com", KeyID: token.X5C, Algorithm: token.ES256, Lifetime: 5 * time.Minute},
			"b.example.com": {Service: "b.example.com", KeyID: token.X5C, Algorithm: token.ES256, Lifetime: 5 * time.Minute},
		},
		Chain:     chain.New(chain.Options{Sources: []identity.Source{{Name: "htpasswd", Authenticator: users}}}),
		Policy:    rules,
		Keys:      keys,
		Name:      "tidewaiter",
		Anonymous: true,
		Reuse:     true,
	}
	options := server.Options{
		Journal: h.journal, Log: logger, Now: now, Pause: -1,
		Senders: []server.Sender{
			{Service: "a.example.com", Secret: identity.NewSecret(eventSecret)},
			{Service: "b.example.com", Host: "b.example.com"},
		},
	}
	if change != nil {
		change(&options, &live)
	}
	h.issuer = issuer.New(live, issuer.Options{Journal: h.journal, Now: now})
	options.Issuer = h.issuer
	h.server = server.New(options)
	h.handler = h.server.Handler(server.Token, server.Notifications, server.Keys, server.Health)
	return h
}

func entry(t *testing.T, name, secret string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(secret), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return name + ":" + string(hash)
}

// reply is a response.
type reply struct {
	Status int
	Header http.Header
	Body   string
}

// String returns the reply for the message of a failed test.
func (r reply) String() string { return fmt.Sprintf("%d %s", r.Status, texttest.Readable(r.Body)) }

// ask sends a request. The header is a list of names and values in turn.
func (h *harness) ask(method, target, body string, header ...string) reply {
	h.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.RemoteAddr, r.Host = "192.0.2.7:4711", "localhost:8080"
	for i := 0; i+1 < len(header); i += 2 {
		switch header[i] {
		case "From":
			r.RemoteAddr = header[i+1]
		case "Host":
			r.Host = header[i+1]
		default:
			r.Header.Add(header[i], header[i+1])
		}
	}
	w, asked := httptest.NewRecorder(), time.Now()
	h.handler.ServeHTTP(w, r)
	text, err := io.ReadAll(w.Result().Body)
	if err != nil {
		h.Fatal(err)
	}
	h.asked.Store(string(text), asked)
	return reply{w.Code, w.Header(), string(text)}
}

func basic(name, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+secret))
}

// claims are the claims that these tests check.
type claims struct {
	Issuer   string          `json:"iss"`
	Subject  string          `json:"sub"`
	Audience json.RawMessage `json:"aud"`
	ID       string          `json:"jti"`
	Access   json.RawMessage `json:"access"`
	Expires  int64           `json:"exp"`
	IssuedAt int64           `json:"iat"`
}

// claims returns the claims of the token of a reply.
func (h *harness) claims(r reply) claims {
	h.Helper()
	var answer struct {
		Token       string `json:"token"`
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
	}
	if err := json.Unmarshal([]byte(r.Body), &answer); err != nil {
		h.Fatalf("%s: %v", r, err)
	}
	if answer.Token == "" || answer.Token != answer.AccessToken || answer.ExpiresIn < 60 {
		h.Fatalf("an answer must have token, an equal access_token, and a lifetime of at least a minute: %s", r.Body)
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(answer.Token, ".")[1])
	if err != nil {
		h.Fatal(err)
	}
	var c claims
	if err := json.Unmarshal(payload, &c); err != nil {
		h.Fatal(err)
	}
	asked, _ := h.asked.Load(r.Body) // the answer is from this time or later
	if c.Expires < asked.(time.Time).Unix()+int64(answer.ExpiresIn) {
		h.Errorf("expires_in %d promises more than exp %d", answer.ExpiresIn, c.Expires)
	}
	return c
}

// entries returns all entries of the journal, after the queue is written.
func (h *harness) entries() []journal.Entry {
	h.Helper()
	if err := h.journal.Append(context.Background(), journal.Entry{Text: []byte("flush")}); err != nil {
		h.Fatal(err)
	}
	var all []journal.Entry
	for e, err := range h.journal.Read(context.Background(), 0) {
		if err != nil {
			h.Fatal(err)
		}
		if string(e.Text) != "flush" {
			all = append(all, e)
		}
	}
	return all
}
