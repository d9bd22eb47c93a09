// Package accountstest is a harness for tests of accounts and credentials: a database with
// accounts, in a chain with a directory.
package accountstest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/clock/clocktest"
	"github.com/tidewaiter/tidewaiter/internal/credentials"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/chain"
	"github.com/tidewaiter/tidewaiter/internal/identity/identitytest"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/password"
	"github.com/tidewaiter/tidewaiter/internal/ratelimit"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/secret"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Process is one of the processes that share a database.
type Process struct {
	*accounts.Accounts
	*credentials.Credentials
	writer *admin.Writer
}

// Authenticate calls Accounts.Authenticate, which accepts passwords and all credentials that
// Tidewaiter issues.
func (p *Process) Authenticate(ctx context.Context, c identity.Presented) (identity.Verified, error) {
	return p.Accounts.Authenticate(ctx, c)
}

// Write is the type of the field admin.Writer.Write.
type Write = func(ctx context.Context, topic string, f func(*sql.Tx) error) error

// SetWrite replaces the function through which the process writes, usually by a function that
// injects faults.
func (p *Process) SetWrite(wrap func(real Write) Write) { p.writer.Write = wrap(p.writer.Write) }

// Harness is a process with a chain of sources: the accounts and a directory.
type Harness struct {
	*Process
	T         testing.TB
	URL       string
	DB        *store.DB
	Journal   *journal.Journal
	Hashing   *password.Hashing
	Clock     *clocktest.Clock
	Directory *identitytest.Fake
	Chain     *chain.Chain
	Policy    *policy.Policy
	Options   accounts.Options // without Writer
}

// Operator may do everything.
var Operator = admin.Operator("root")

// New returns a harness with a database.
func New(t testing.TB, url string) *Harness {
	h := &Harness{
		T: t, URL: url, Clock: clocktest.Noon(),
		Directory: &identitytest.Fake{Name: "ldap:corp", People: map[string]string{"dora": "directory password"}, Groups: []string{"dev"}},
	}
	var err error
	if h.DB, err = store.Open(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	if h.Journal, err = journal.New(h.DB, journal.Options{Now: h.Clock.Now}); err != nil {
		t.Fatal(err)
	}
	h.Hashing = password.New(password.Options{HashMemory: 64, Now: h.Clock.Now})
	h.Policy = Compile(t,
		Rule("helpdesk", "group:helpdesk", []string{"accounts"}, scope.Read|scope.Write),
		Rule("second administrators", "group:ops", []string{"**"}, scope.Read|scope.Write),
	)
	rights, err := admin.NewRights(func(r *policy.Request) policy.Decision { return h.Policy.Decide(r) }, h.Clock.Now)
	if err != nil {
		t.Fatal(err)
	}
	h.Options.Options = credentials.Options{
		Rights: rights, Hashing: h.Hashing, OwnerFor: -1,
		Find: func(ctx context.Context, source, name, id string) (*policy.Principal, string, error) {
			return h.Chain.FindGeneration(ctx, source, name, id)
		},
	}
	h.Reopen(identity.Source{Name: "ldap:corp", Authenticator: h.Directory, Remote: true})
	t.Cleanup(func() {
		if err := errors.Join(h.Journal.Close(context.Background()), h.DB.Close()); err != nil {
			t.Error(err)
		}
	})
	return h
}

// Open returns another process that shares the harness's database. It is opened with h.Options.
func (h *Harness) Open() *Process {
	h.T.Helper()
	o := h.Options
	o.Writer = admin.NewWriter(h.DB, h.Journal, h.Clock.Now)
	a, err := accounts.Open(o)
	if err != nil {
		h.T.Fatal(err)
	}
	return &Process{a, a.Credentials, o.Writer}
}

// Reopen replaces the process, so that changed h.Options take effect. If others is not empty, the
// chain contains only the accounts and these sources.
func (h *Harness) Reopen(others ...identity.Source) {
	h.T.Helper()
	h.Process = h.Open()
	if len(others) > 0 {
		own := identity.Source{Name: accounts.Source, Authenticator: currentProcess{h}, Kinds: accounts.Kinds()}
		h.Chain = chain.New(chain.Options{Sources: append([]identity.Source{own}, others...)})
	}
}

// currentProcess is an identity source that calls the current process of the harness. So a chain
// still works after Reopen.
type currentProcess struct{ *Harness }

// Rule returns a rule that allows the subject the given actions on Tidewaiter's own objects, such
// as accounts or the journal.
func Rule(name, subject string, names []string, actions scope.Actions) policy.Rule {
	return policy.Rule{Name: name, Subjects: []string{subject}, Type: scope.TypeTidewaiter, Names: names, Actions: actions}
}

// Compile compiles rules to a policy.
func Compile(t testing.TB, rules ...policy.Rule) *policy.Policy {
	t.Helper()
	p, err := policy.Compile(policy.Source{Rules: rules})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// PasswordOf returns the password of a test user. It complies with the rules for new passwords.
func PasswordOf(name string) string { return "correct horse of " + name }

// AddTestUser adds a user with a password to groups.
func (h *Harness) AddTestUser(name string, groups ...string) accounts.Account {
	h.T.Helper()
	for _, g := range groups {
		if _, err := h.AddGroup(h.T.Context(), Operator, g); err != nil && !errors.Is(err, admin.ErrExists) {
			h.T.Fatal(err)
		}
	}
	a, err := h.AddUser(h.T.Context(), Operator, accounts.NewUser{Name: name, Password: identity.NewSecret(PasswordOf(name)), Groups: groups})
	if err != nil {
		h.T.Fatal(err)
	}
	return a
}

// AddTestToken creates an access token for a local user.
func (h *Harness) AddTestToken(owner, name string, limits ...policy.Limit) (credentials.Token, string) {
	h.T.Helper()
	t, secret, err := h.AddToken(h.T.Context(), Operator, credentials.NewToken{Owner: credentials.Owner{Name: owner}, Name: name, Limits: limits})
	if err != nil {
		h.T.Fatal(err)
	}
	return t, secret.Reveal()
}

// AddTestRobot adds a robot.
func (h *Harness) AddTestRobot(name string) (accounts.Account, string) {
	h.T.Helper()
	a, secret, err := h.AddRobot(h.T.Context(), Operator, accounts.NewRobot{Name: name})
	if err != nil {
		h.T.Fatal(err)
	}
	return a, secret.Reveal()
}

// Registry is the service name of the registry to which clients present credentials.
const Registry = "registry.example.com"

// NewSecret returns a new secret. The letter selects the kind of the secret (package secret).
func NewSecret(letter byte) identity.Secret {
	text, _ := secret.New(letter)
	return identity.NewSecret(text)
}

// Presented returns a name and a secret in the form in which docker presents them.
func Presented(name, secret string) identity.Presented {
	return fromDocker(identity.NewPresented(name, secret))
}

// PresentedRefresh returns a refresh token in the form in which docker presents it.
func PresentedRefresh(secret string) identity.Presented {
	return fromDocker(identity.NewRefresh(secret))
}

func fromDocker(p identity.Presented) identity.Presented {
	p.Registry, p.Client, p.Remote = Registry, "docker", netip.MustParseAddr("192.0.2.7")
	return p
}

// RefreshToken exchanges a credential for a refresh token.
func (h *Harness) RefreshToken(name, secret string) string {
	h.T.Helper()
	v, err := h.Chain.Authenticate(h.T.Context(), Presented(name, secret))
	if err != nil {
		h.T.Fatal(err)
	}
	token, err := h.IssueRefresh(h.T.Context(), Presented(name, secret), v)
	if err != nil || token.Reveal() == "" {
		h.T.Fatalf("no refresh token for %s: %v", name, err)
	}
	return token.Reveal()
}

// ActorOf returns the actor that presents a credential.
func (h *Harness) ActorOf(p identity.Presented) admin.Actor {
	h.T.Helper()
	v, err := h.Chain.Authenticate(h.T.Context(), p)
	if err != nil {
		h.T.Fatal(err)
	}
	return admin.Actor{Principal: v.Principal, Remote: p.Remote, Credential: v.Credential, Until: v.Until}
}

// SignIn returns the chain's result for a credential: the principal, "rejected", or an error.
func (h *Harness) SignIn(p identity.Presented) string {
	h.T.Helper()
	v, err := h.Chain.Authenticate(h.T.Context(), p)
	switch {
	case err == nil:
		return v.Principal.String()
	case errors.Is(err, identity.ErrRejected):
		return "rejected"
	}
	return err.Error()
}

// Is fails the test unless errors.Is(err, want).
func Is(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// IsInvalid fails the test if err is not an InvalidError for the field.
func IsInvalid(t testing.TB, what string, err error, field string) {
	t.Helper()
	var e *admin.InvalidError
	if !errors.As(err, &e) || e.Field != field {
		t.Errorf("%s: %v, want an InvalidError for %s", what, err, field)
	}
}

// Changes returns the actors, actions and targets in the journal, in order.
func (h *Harness) Changes() (list []string) {
	h.T.Helper()
	for e, err := range h.Journal.Read(h.T.Context(), 0) {
		if err != nil {
			h.T.Fatal(err)
		}
		if e.Change != nil {
			list = append(list, e.Change.Actor+" "+e.Change.Action+" "+e.Change.Target)
		}
	}
	return list
}

// Rows returns the contents of all tables of accounts as text.
func (h *Harness) Rows() []string {
	h.T.Helper()
	var all []string
	for _, query := range []string{
		"SELECT 'account', id, name, version, expires, disabled, hash FROM accounts ORDER BY id",
		"SELECT 'group', id, name, version, 0, 0, '' FROM account_groups ORDER BY id",
		"SELECT 'member', group_id, account_id, 0, 0, 0, '' FROM account_members ORDER BY group_id, account_id",
		"SELECT 'token', id, owner_id, expires, 0, 0, purpose FROM account_tokens ORDER BY id",
		"SELECT 'setup', '', '', expires, 0, 0, '' FROM account_setup ORDER BY hash",
	} {
		rows, err := h.DB.Read().Query(query)
		if err != nil {
			h.T.Fatal(err)
		}
		for rows.Next() {
			var kind, id, name, hash string
			var a, b, c int64
			if err := rows.Scan(&kind, &id, &name, &a, &b, &c, &hash); err != nil {
				h.T.Fatal(err)
			}
			all = append(all, fmt.Sprint(kind, " ", id, " ", name, " ", a, b, c, hash))
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			h.T.Fatal(err)
		}
	}
	return all
}

// WithNamespaces makes the harness use the policy of a new rulebook. The rulebook has two
// namespaces: team is owned by olga, and other is owned by otto.
func (h *Harness) WithNamespaces() *rulebook.Rulebook {
	h.T.Helper()
	book, err := rulebook.New(rulebook.Options{DB: h.DB, Journal: h.Journal, Now: h.Clock.Now, DeleteOwned: accounts.DeleteOwned, OnNamespaceDeleted: func() { h.Forget() }}, rulebook.Files{})
	if err == nil {
		err = book.Load(h.T.Context())
	}
	if err != nil {
		h.T.Fatal(err)
	}
	for name, owner := range map[string]string{"team": "olga", "other": "otto"} {
		if _, err := book.AddNamespace(h.T.Context(), Operator, rulebook.NewNamespace{Name: name, Owners: []string{"user:" + owner}}); err != nil {
			h.T.Fatal(err)
		}
	}
	h.Options.Rights = book.Rights()
	h.Reopen()
	return book
}

// NamespaceOwner returns the owner of a namespace, such as olga.
func NamespaceOwner(name string) admin.Actor {
	return admin.Actor{Principal: &policy.Principal{Kind: policy.User, Name: name, Source: accounts.Source, ID: "id-of-" + name}}
}

// WithLimiter reopens the process with a limiter that the chain shares.
func (h *Harness) WithLimiter(o ratelimit.Options) *ratelimit.Limiter {
	h.T.Helper()
	o.Now = h.Clock.Now
	limiter := ratelimit.New(o)
	h.Options.Limiter = func() *ratelimit.Limiter { return limiter }
	h.Reopen()
	h.Chain = chain.New(chain.Options{Limiter: limiter, Sources: []identity.Source{
		{Name: accounts.Source, Authenticator: currentProcess{h}, Kinds: accounts.Kinds()},
	}})
	return limiter
}
