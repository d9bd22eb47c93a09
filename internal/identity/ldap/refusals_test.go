package ldap_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	client "github.com/go-ldap/ldap/v3"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/bcrypt"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/credentials"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/chain"
	"github.com/tidewaiter/tidewaiter/internal/identity/hook"
	"github.com/tidewaiter/tidewaiter/internal/identity/htpasswd"
	"github.com/tidewaiter/tidewaiter/internal/identity/ldap"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/password"
	"github.com/tidewaiter/tidewaiter/internal/ratelimit"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
)

// work is the cost of a refusal.
type work struct {
	Searches   int // for users
	Binds      int // including empty searches that replace a bind
	Delays     int // one for each empty search that replaces a bind
	Hashes     int // including dummies
	Lookups    int // in the database
	Questions  int // to the external service, including delays that replace a question
	Remembered int // refusals in the cache of the directory
}

// staff returns a directory of users who cannot sign in, each for a different reason.
func staff(t testing.TB) *fake {
	f := staffedDirectory(t)
	put := func(name, dn, attribute string) {
		f.Entries["dc=corp sub (sAMAccountName="+name+")"] = []*client.Entry{entry(dn, "sAMAccountName: "+name, attribute)}
		f.Entries[dn+" base (objectClass=*)"] = f.Entries["dc=corp sub (sAMAccountName="+name+")"]
		f.Binds[dn] = 0
	}
	put("disabled", "CN=disabled,DC=corp", "userAccountControl: 514")
	put("expired", "CN=expired,DC=corp", "accountExpires: 1")
	put("locked", "CN=locked,DC=corp", "description: none")
	f.Binds["CN=locked,DC=corp"] = client.LDAPResultConstraintViolation
	// This entry has two names, so its name is ambiguous.
	put("nameless", "CN=nameless,DC=corp", "sAMAccountName: second")
	f.Entries["dc=corp sub (sAMAccountName=twins)"] = []*client.Entry{entry("CN=a,DC=corp", "sAMAccountName: twins"), entry("CN=b,DC=corp", "sAMAccountName: twins")}
	return f
}

// counter counts account lookups.
type counter struct {
	*accounts.Accounts
	n atomic.Int64
}

func (c *counter) Authenticate(ctx context.Context, shown identity.Presented) (identity.Verified, error) {
	c.n.Add(1)
	return c.Accounts.Authenticate(ctx, shown)
}

func (c *counter) DummyLookup(ctx context.Context, shown identity.Presented) error {
	c.n.Add(1)
	return c.Accounts.DummyLookup(ctx, shown)
}

// newAccounts returns accounts with three users: local, gone (disabled) and old (expired). All of
// them have the password "right".
func newAccounts(t *testing.T, hashing *password.Hashing, hash string) *accounts.Accounts {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	db, err := store.Open(t.Context(), storetest.SQLite().Ready(t))
	if err != nil {
		t.Fatal(err)
	}
	j, err := journal.New(db, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(j.Close(context.Background()), db.Close()); err != nil {
			t.Error(err)
		}
	})
	a, err := accounts.Open(accounts.Options{Options: credentials.Options{
		Writer: admin.NewWriter(db, j, func() time.Time { return now }), Hashing: hashing, OwnerFor: -1,
	}})
	if err != nil {
		t.Fatal(err)
	}
	operator := admin.Operator("root")
	for _, name := range []string{"local", "gone", "old"} {
		if _, err := a.AddUser(t.Context(), operator, accounts.NewUser{Name: name, Hash: identity.NewSecret(hash)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.Disable(t.Context(), operator, "gone", 0); err != nil {
		t.Fatal(err)
	}
	if _, err := a.SetExpiry(t.Context(), operator, "old", now.Add(time.Hour), 0); err != nil {
		t.Fatal(err)
	}
	now = now.Add(2 * time.Hour)
	return a
}

// User enumeration (Harbor CVE-2019-19030, Gitea CVE-2025-69413): the time of a refusal revealed
// which names exist. In Tidewaiter, all refusals cost the same work: for unknown names, wrong
// passwords, and disabled and expired accounts. This applies to local and remote accounts, and to
// first and repeated attempts.
func TestAllRefusalsCostTheSame(t *testing.T) {
	text, err := bcrypt.GenerateFromPassword([]byte("right"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	hash := string(text)
	hashing := password.New(password.Options{})
	var delays, questions, pauses atomic.Int64

	file, err := htpasswd.New(htpasswd.Options{Entries: []string{"inline:" + hash}, Hashing: hashing})
	if err != nil {
		t.Fatal(err)
	}
	local := &counter{Accounts: newAccounts(t, hashing, hash)}
	directory := staff(t)
	options := directory.options()
	options.Cache = time.Minute
	options.Sleep = func(context.Context, time.Duration) error { delays.Add(1); return nil }
	d := open(t, options)
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		questions.Add(1)
		var q hook.Question
		answer := hook.Answer{Answer: hook.Unknown}
		if err := json.NewDecoder(r.Body).Decode(&q); err == nil && q.Name == "remote" {
			answer.Answer = hook.Rejected
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(service.Close)
	asked, err := hook.New(hook.Options{
		Name: "shop", URL: service.URL,
		Sleep: func(context.Context, time.Duration) error { pauses.Add(1); return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(http.DefaultClient.CloseIdleConnections)

	chain := chain.New(chain.Options{Sources: []identity.Source{
		{Name: "htpasswd", Authenticator: file},
		{Name: accounts.Source, Authenticator: local, Kinds: accounts.Kinds()},
		{Name: "ldap:ad", Authenticator: d, Remote: true},
		{Name: "webhook:shop", Authenticator: asked, Remote: true},
	}})
	now := func() work {
		nothings := directory.count(" base ")
		return work{
			Searches: directory.count("dc=corp"), Binds: directory.count("bind ") + nothings,
			Delays: nothings - int(delays.Load()), Hashes: int(hashing.Stats().Hashed), Lookups: int(local.n.Load()),
			Questions: int(questions.Load() + pauses.Load()), Remembered: ldap.RefusalsHeld(d),
		}
	}
	for _, tt := range []struct {
		what, name, password string
		remembers            bool
	}{
		{"unknown", "nobody", "wrong", true},
		{"wrong, in the config", "inline", "wrong", false},
		{"wrong, in the database", "local", "wrong", false},
		{"disabled, in the database", "gone", "right", false},
		{"disabled, in the database, and wrong", "gone", "wrong", false},
		{"expired, in the database", "old", "right", false},
		{"expired, in the database, and wrong", "old", "wrong", false},
		{"wrong, in the directory", "ann", "wrong", true},
		{"disabled, in the directory", "disabled", "right", true},
		{"disabled, in the directory, and wrong", "disabled", "wrong", true},
		{"expired, in the directory", "expired", "right", true},
		{"expired, in the directory, and wrong", "expired", "wrong", true},
		{"locked, in the directory", "locked", "right", true},
		{"ambiguous, in the directory", "twins", "right", true},
		{"with two names, in the directory", "nameless", "right", true},
		{"wrong, at the service", "remote", "wrong", true},
	} {
		for try, first := range []bool{true, false, false} {
			before := now()
			if _, err := chain.Authenticate(t.Context(), identity.NewPresented(tt.name, tt.password)); !errors.Is(err, identity.ErrRejected) {
				t.Errorf("%s: %v", tt.what, err)
			}
			after := now()
			got := work{
				Searches: after.Searches - before.Searches, Binds: after.Binds - before.Binds, Delays: after.Delays - before.Delays,
				Hashes: after.Hashes - before.Hashes, Lookups: after.Lookups - before.Lookups,
				Questions: after.Questions - before.Questions, Remembered: after.Remembered - before.Remembered,
			}
			want := work{Searches: 1, Binds: 1, Hashes: 1, Lookups: 1, Questions: 1}
			if first && tt.remembers {
				want.Remembered = 1
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s, try %d (-want +got):\n%s", tt.what, try+1, diff)
			}
		}
	}
	for _, asked := range directory.Heard() {
		if asked == "bind CN=inline,DC=corp" {
			t.Errorf("the directory got a password of another source: %s", asked)
		}
	}
}

// Without a service account, there is no search before the bind. Every refusal costs a bind and a
// search.
func TestAllRefusalsOfATemplateCostTheSame(t *testing.T) {
	f := staff(t)
	options := f.options()
	options.Cache = time.Minute
	options.User = ldap.User{DN: "CN={name},DC=corp", NameAttribute: "sAMAccountName"}
	delays := 0
	options.Sleep = func(context.Context, time.Duration) error { delays++; return nil }
	d := open(t, options)
	for _, tt := range []struct{ what, name, password string }{
		{"unknown", "nobody", "wrong"}, {"wrong", "ann", "wrong"},
		{"disabled", "disabled", "right"}, {"expired", "expired", "right"}, {"locked", "locked", "right"},
	} {
		for try := range 2 {
			requests, before := len(f.Heard()), delays
			if _, err := d.Authenticate(t.Context(), identity.NewPresented(tt.name, tt.password)); !errors.Is(err, identity.ErrRejected) {
				t.Errorf("%s: %v", tt.what, err)
			}
			if n := len(f.Heard()) - requests; n != 2 || delays-before != try {
				t.Errorf("%s, try %d: %d requests and %d delays, want 2 and %d", tt.what, try+1, n, delays-before, try)
			}
		}
		if err := d.DummyLookup(t.Context(), identity.NewPresented(tt.name, "one more")); err != nil {
			t.Errorf("%s: a dummy: %v", tt.what, err)
		}
	}
	for _, name := range []string{"ann", "disabled", "expired", "locked", "nobody"} {
		if n := f.count("bind CN=" + name + ","); n != 1 {
			t.Errorf("%s was bound %d times, want once", name, n)
		}
	}
}

// If another source has refused the password, an outage of the directory does not change the
// result.
func TestARefusalStaysOneIfADummyLookupFails(t *testing.T) {
	hashing := password.New(password.Options{})
	text, err := bcrypt.GenerateFromPassword([]byte("right"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	file, err := htpasswd.New(htpasswd.Options{Entries: []string{"inline:" + string(text)}, Hashing: hashing})
	if err != nil {
		t.Fatal(err)
	}
	f := staff(t)
	options := f.options()
	f.Refuse()
	chain := chain.New(chain.Options{Sources: []identity.Source{
		{Name: "htpasswd", Authenticator: file}, {Name: "ldap:ad", Authenticator: open(t, options), Remote: true},
	}})
	if _, err := chain.Authenticate(t.Context(), identity.NewPresented("inline", "wrong")); !errors.Is(err, identity.ErrRejected) {
		t.Errorf("%v, want %v", err, identity.ErrRejected)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := chain.Authenticate(gone, identity.NewPresented("inline", "wrong")); !errors.Is(err, context.Canceled) {
		t.Errorf("for a client that has disconnected: %v, want %v", err, context.Canceled)
	}
}

// In an earlier version, the queue for a connection was first come, first served, and a flood
// of unknown names filled it.
func TestAFloodOfNamesDelaysOnlyItself(t *testing.T) {
	f := staffedDirectory(t)
	options := f.options()
	options.Pool, options.Timeout = 1, time.Minute
	d := open(t, options)
	release := f.Hold()
	var all sync.WaitGroup
	ask := func(name, from string, known bool) {
		c := identity.NewPresented(name, "wrong")
		c.Remote, c.KnownPlace = netip.MustParseAddr(from), known
		all.Go(func() { _, _ = d.Authenticate(t.Context(), c) })
	}
	ask("flood-0", "192.0.2.1", false)
	ldap.AwaitQueue(d, 0, 1)
	for i := range 5 {
		ask(fmt.Sprint("flood-", i+1), "192.0.2.1", false)
		ldap.AwaitQueue(d, i+1, 1)
	}
	ask("bob", "198.51.100.7", false)
	ldap.AwaitQueue(d, 6, 1)
	ask("ann", "198.51.100.8", true)
	ldap.AwaitQueue(d, 7, 1)
	release()
	all.Wait()
	var searched []string
	for _, asked := range f.Heard() {
		if name, ok := strings.CutPrefix(asked, "dc=corp sub (sAMAccountName="); ok {
			searched = append(searched, strings.TrimSuffix(name, ")"))
		}
	}
	if got, want := searched[:4], []string{"flood-0", "ann", "flood-1", "bob"}; !slices.Equal(got, want) {
		t.Errorf("looked up first: %q, want %q", got, want)
	}
}

// The cost of a refusal must not reveal which names exist, even when the limit of attempts for a
// name is reached.
func TestRefusalsPastTheBudgetCostTheSame(t *testing.T) {
	var delays, questions atomic.Int64
	directory := staff(t)
	options := directory.options()
	options.Sleep = func(context.Context, time.Duration) error { delays.Add(1); return nil }
	options.Budget = ratelimit.NewBudget(ratelimit.BudgetOptions{Source: "ldap:ad", Max: 4, Window: time.Hour})
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		questions.Add(1)
		_ = json.NewEncoder(w).Encode(hook.Answer{Answer: hook.Unknown})
	}))
	t.Cleanup(service.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	asked, err := hook.New(hook.Options{
		Name: "shop", URL: service.URL,
		Sleep: func(context.Context, time.Duration) error { questions.Add(1); return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	chain := chain.New(chain.Options{Sources: []identity.Source{
		{Name: "ldap:ad", Authenticator: open(t, options), Remote: true},
		{Name: "webhook:shop", Authenticator: asked, Remote: true},
	}})
	now := func() work {
		nothings := directory.count(" base ")
		return work{
			Searches: directory.count("dc=corp"), Binds: directory.count("bind ") + nothings,
			Delays: nothings - int(delays.Load()), Questions: int(questions.Load()),
		}
	}
	for _, name := range []string{"ann", "nobody"} {
		for n, want := range []error{identity.ErrRejected, identity.ErrRejected, identity.ErrRateLimited, identity.ErrRateLimited} {
			before := now()
			if _, err := chain.Authenticate(t.Context(), identity.NewPresented(name, fmt.Sprint("guess ", n))); !errors.Is(err, want) {
				t.Errorf("%s, guess %d: %v, want %v", name, n+1, err, want)
			}
			after := now()
			got := work{
				Searches: after.Searches - before.Searches, Binds: after.Binds - before.Binds,
				Delays: after.Delays - before.Delays, Questions: after.Questions - before.Questions,
			}
			if want := (work{Searches: 1, Binds: 1, Questions: 1}); got != want {
				t.Errorf("%s, guess %d costs %+v, want %+v", name, n+1, got, want)
			}
		}
	}
}
