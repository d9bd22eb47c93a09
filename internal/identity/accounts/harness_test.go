package accounts_test

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/accounts"
	"github.com/tidewaiter/tidewaiter/internal/identity/identitytest"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/password"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

func TestMain(m *testing.M) {
	if killed() {
		return
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) { storetest.Stop(); os.Exit(code) }))
}

// each runs a test with each database.
func each(t *testing.T, f func(*testing.T, *house)) {
	all := t // its name is the name of the database, also where a test calls each more than once
	storetest.Each(t, func(t *testing.T, d storetest.Database) { f(t, newHouse(t, d.Ready(all))) })
}

// clock is a time that tests set.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// house is the fixture of these tests: accounts in a chain with a directory.
type house struct {
	*accounts.Accounts
	t         testing.TB
	url       string
	db        *store.DB
	journal   *journal.Journal
	hashing   *password.Hashing
	clock     *clock
	directory *identitytest.Fake
	chain     *identity.Chain
	policy    *policy.Policy
	options   accounts.Options
}

var operator = rulebook.Operator("root")

func newHouse(t testing.TB, url string) *house {
	h := &house{
		t: t, url: url, clock: &clock{now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)},
		directory: &identitytest.Fake{Name: "ldap:corp", People: map[string]string{"dora": "directory password"}, Groups: []string{"dev"}},
	}
	var err error
	if h.db, err = store.Open(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	if h.journal, err = journal.New(h.db, journal.Options{Now: h.clock.Now}); err != nil {
		t.Fatal(err)
	}
	h.hashing = password.New(password.Options{HashMemory: 64, Now: h.clock.Now})
	h.policy = compile(t,
		rule("helpdesk", "group:helpdesk", []string{"accounts"}, scope.Read|scope.Write),
		rule("second administrators", "group:ops", []string{"**"}, scope.Read|scope.Write),
	)
	h.options = accounts.Options{
		DB: h.db, Journal: h.journal, Hashing: h.hashing, Now: h.clock.Now, OwnerFor: -1,
		Find: func(ctx context.Context, source, name, id string) (*policy.Principal, error) {
			return h.chain.FindIn(ctx, source, name, id)
		},
		FindGeneration: func(ctx context.Context, source, name, id string) (*policy.Principal, string, error) {
			return h.chain.FindGeneration(ctx, source, name, id)
		},
		Judge: func(r *policy.Request) policy.Decision { return h.policy.Decide(r) },
	}
	if h.Accounts, err = accounts.Open(h.options); err != nil {
		t.Fatal(err)
	}
	h.chain = identity.NewChain(identity.Options{Sources: []identity.Source{
		{Name: accounts.Source, Authenticator: h.Accounts, Kinds: accounts.Kinds()},
		{Name: "ldap:corp", Authenticator: h.directory, Remote: true},
	}})
	t.Cleanup(func() {
		if err := errors.Join(h.journal.Close(context.Background()), h.db.Close()); err != nil {
			t.Error(err)
		}
	})
	return h
}

func rule(name, subject string, names []string, actions scope.Actions) policy.Rule {
	return policy.Rule{Name: name, Subjects: []string{subject}, Type: scope.TypeTidewaiter, Names: names, Actions: actions}
}

func compile(t testing.TB, rules ...policy.Rule) *policy.Policy {
	t.Helper()
	p, err := policy.Compile(policy.Source{Rules: rules})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// secretOf returns an acceptable password for a user.
func secretOf(name string) string { return "correct horse of " + name }

// user adds a user with a password to groups.
func (h *house) user(name string, groups ...string) accounts.Account {
	h.t.Helper()
	for _, g := range groups {
		if _, err := h.AddGroup(h.t.Context(), operator, g); err != nil && !errors.Is(err, accounts.ErrExists) {
			h.t.Fatal(err)
		}
	}
	a, err := h.AddUser(h.t.Context(), operator, accounts.NewUser{Name: name, Password: identity.NewSecret(secretOf(name)), Groups: groups})
	if err != nil {
		h.t.Fatal(err)
	}
	return a
}

// token creates an access token for a local user.
func (h *house) token(owner, name string, limits ...policy.Limit) (accounts.Token, string) {
	h.t.Helper()
	t, secret, err := h.AddToken(h.t.Context(), operator, accounts.NewToken{Owner: accounts.Owner{Name: owner}, Name: name, Limits: limits})
	if err != nil {
		h.t.Fatal(err)
	}
	return t, secret.Reveal()
}

// robot adds a robot.
func (h *house) robot(name string) (accounts.Account, string) {
	h.t.Helper()
	a, secret, err := h.AddRobot(h.t.Context(), operator, accounts.NewRobot{Name: name})
	if err != nil {
		h.t.Fatal(err)
	}
	return a, secret.Reveal()
}

const registry = "registry.example.com"

func shown(name, secret string) identity.Presented {
	c := identity.NewPresented(name, secret)
	c.Registry, c.Client, c.Remote = registry, "docker", netip.MustParseAddr("192.0.2.7")
	return c
}

func refreshing(secret string) identity.Presented {
	c := identity.NewRefresh(secret)
	c.Registry, c.Client, c.Remote = registry, "docker", netip.MustParseAddr("192.0.2.7")
	return c
}

// refresh exchanges a credential for a refresh token.
func (h *house) refresh(name, secret string) string {
	h.t.Helper()
	v, err := h.chain.Authenticate(h.t.Context(), shown(name, secret))
	if err != nil {
		h.t.Fatal(err)
	}
	token, err := h.IssueRefresh(h.t.Context(), shown(name, secret), v)
	if err != nil || token.Reveal() == "" {
		h.t.Fatalf("no refresh token for %s: %v", name, err)
	}
	return token.Reveal()
}

// as returns the actor that presents a credential.
func (h *house) as(c identity.Presented) accounts.Actor {
	h.t.Helper()
	v, err := h.chain.Authenticate(h.t.Context(), c)
	if err != nil {
		h.t.Fatal(err)
	}
	return accounts.Actor{Principal: v.Principal, Remote: c.Remote, Credential: v.Credential, Until: v.Until}
}

// enters returns how the chain answers a credential.
func (h *house) enters(c identity.Presented) string {
	h.t.Helper()
	v, err := h.chain.Authenticate(h.t.Context(), c)
	switch {
	case err == nil:
		return v.Principal.String()
	case errors.Is(err, identity.ErrRejected):
		return "rejected"
	}
	return err.Error()
}

// changes returns the actions in the journal, in order.
func (h *house) changes() (list []string) {
	h.t.Helper()
	for e, err := range h.journal.Read(h.t.Context(), 0) {
		if err != nil {
			h.t.Fatal(err)
		}
		if e.Change != nil {
			list = append(list, e.Change.Actor+" "+e.Change.Action+" "+e.Change.Target)
		}
	}
	return list
}

func is(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func invalid(t testing.TB, what string, err error, field string) {
	t.Helper()
	var e *accounts.InvalidError
	if !errors.As(err, &e) || e.Field != field {
		t.Errorf("%s: %v, want an InvalidError of %s", what, err, field)
	}
}

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}
