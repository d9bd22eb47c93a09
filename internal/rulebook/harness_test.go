package rulebook_test

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/await"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/ruleset"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

func TestMain(m *testing.M) {
	if runIfKilled() {
		return
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) { storetest.Stop(); os.Exit(code) }))
}

// onEachDatabase runs a test on each database.
func onEachDatabase(t *testing.T, f func(*testing.T, *harness)) {
	storetest.Each(t, func(t *testing.T, d storetest.Database) { f(t, newHarness(t, d.Ready(t))) })
}

// harness is a rulebook with a database and a file.
type harness struct {
	*rulebook.Rulebook
	t       testing.TB
	url     string
	db      *store.DB
	journal *journal.Journal

	mu      sync.Mutex
	changed int // policies that took effect because the database changed
}

var operator = admin.Operator("root")

// file is the content of the file unless a test uses other content.
func file() rulebook.Files {
	return rulebook.Files{
		Services: []string{"registry.example.com"},
		Source: policy.Source{
			Roles: map[string]policy.Role{"publisher": {Actions: scope.Pull | scope.Push}},
			Rules: []policy.Rule{
				{Name: "public images", Subjects: []string{"anyone"}, Names: []string{"library/**"}, Actions: scope.Pull, Origin: policy.Origin{File: "tidewaiter.yaml", Line: 7}},
				{Name: "policy makers", Subjects: []string{"group:policy"}, Type: scope.TypeTidewaiter, Names: []string{"policy", "namespaces"}, Actions: scope.Read | scope.Write, Origin: policy.Origin{File: "tidewaiter.yaml", Line: 8}},
			},
		},
	}
}

func newHarness(t testing.TB, url string) *harness {
	t.Helper()
	d := openHarness(t, url, file())
	if err := d.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d
}

func openHarness(t testing.TB, url string, files rulebook.Files) *harness {
	t.Helper()
	d := &harness{t: t, url: url}
	var err error
	if d.db, err = store.Open(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	if d.journal, err = journal.New(d.db, journal.Options{}); err != nil {
		t.Fatal(err)
	}
	d.Rulebook, err = rulebook.New(rulebook.Options{DB: d.db, Journal: d.journal, Changed: func(*policy.Policy) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.changed++
	}}, files)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(d.journal.Close(context.Background()), d.db.Close()); err != nil {
			t.Error(err)
		}
	})
	return d
}

// run applies changes that other processes make, until the test ends.
func (d *harness) run() {
	ctx, stop := context.WithCancel(d.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = d.Run(ctx)
	}()
	d.t.Cleanup(func() { stop(); <-done })
}

// waitFor waits until the function condition returns true.
func waitFor(t testing.TB, what string, condition func() bool) {
	t.Helper()
	await.Until(t, what, func(context.Context) error {
		if !condition() {
			return errors.New("the condition never became true")
		}
		return nil
	})
}

func user(name string, groups ...string) *policy.Principal {
	return &policy.Principal{Kind: policy.User, Name: name, Source: "accounts", ID: "id-of-" + name, Groups: groups}
}

func actor(name string, groups ...string) admin.Actor {
	return admin.Actor{Principal: user(name, groups...)}
}

// grantedActions returns the granted actions of a scope, and the rule that decides.
func (d *harness) grantedActions(who *policy.Principal, asks string) (granted, rule string) {
	d.t.Helper()
	asked, _, err := scope.Parse([]string{asks})
	if err != nil || len(asked) != 1 {
		d.t.Fatalf("%q is not a scope: %v", asks, err)
	}
	result := d.Policy().Decide(&policy.Request{Principal: who, Registry: "registry.example.com", Scopes: asked, Now: time.Unix(0, 0)}).Results[0]
	for _, c := range result.Causes {
		if c.Rule != nil {
			rule = c.Rule.String()
		}
	}
	return result.Granted.String(), rule
}

// requireGrant fails the test if the principal does not get exactly the wanted actions.
func (d *harness) requireGrant(who *policy.Principal, asks, want string) {
	d.t.Helper()
	if got, rule := d.grantedActions(who, asks); got != want {
		d.t.Errorf("%s requested %s and was granted %q by %s, want %q", who, asks, got, rule, want)
	}
}

// must returns a value, and fails the test on an error.
func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func wants(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got %v, wanted %v", err, want)
	}
}

// requireInvalid checks that an error is an InvalidError of a field.
func requireInvalid(t testing.TB, err error, field string) {
	t.Helper()
	if problems, ok := errors.AsType[ruleset.Problems](err); ok && problems[0].Field == field {
		return
	}
	if bad, ok := errors.AsType[*admin.InvalidError](err); !ok || bad.Field != field {
		t.Errorf("got %v, want an InvalidError of %q", err, field)
	}
}
