package issuer_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/internal/clock/clocktest"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/chain"
	"github.com/tidewaiter/tidewaiter/internal/issuer"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/keyring"
	"github.com/tidewaiter/tidewaiter/internal/ratelimit"
	"github.com/tidewaiter/tidewaiter/internal/secret"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
	"github.com/tidewaiter/tidewaiter/token"
)

// fixture is an issuer with a clock, a journal, and an identity source whose answers a test sets.
type fixture struct {
	testing.TB
	*issuer.Issuer
	clock   *clocktest.Clock
	journal *journal.Journal
	source  func(identity.Presented) (identity.Verified, error)
}

func (b *fixture) Authenticate(_ context.Context, c identity.Presented) (identity.Verified, error) {
	return b.source(c)
}

func newFixture(t testing.TB, change func(*issuer.Live)) *fixture {
	t.Helper()
	b := &fixture{TB: t, clock: clocktest.New(time.Date(2026, 11, 1, 12, 0, 0, 400e6, time.UTC))}
	b.source = func(c identity.Presented) (identity.Verified, error) {
		return identity.Verified{Principal: &policy.Principal{Kind: policy.User, Name: c.Name, ID: c.Name, Source: "test"}, Credential: "password"}, nil
	}
	db, err := store.Open(t.Context(), storetest.SQLite().Ready(t))
	if err != nil {
		t.Fatal(err)
	}
	if b.journal, err = journal.New(db, journal.Options{Now: b.clock.Now}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = b.journal.Close(context.Background())
		_ = db.Close()
	})
	root, err := token.NewRoot("test", token.ES256, b.clock.Now().AddDate(-1, 0, 0), b.clock.Now().AddDate(1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := keyring.New(keyring.Options{
		Root: root, Now: b.clock.Now, Log: slog.New(slog.DiscardHandler),
		Uses: []keyring.Use{{KeyID: token.X5C, Algorithm: token.ES256}, {KeyID: token.Thumbprint, Algorithm: token.ES256}},
	})
	if err != nil {
		t.Fatal(err)
	}
	live := issuer.Live{
		Registries: map[string]*issuer.Registry{
			"r": {Service: "r", KeyID: token.X5C, Algorithm: token.ES256, Lifetime: 5 * time.Minute},
		},
		Chain: chain.New(chain.Options{Sources: []identity.Source{{Name: "test", Authenticator: b}}}),
		Policy: compile(t,
			policy.Rule{Name: "all", Subjects: []string{"signed-in"}, Names: []string{"**"}, Actions: scope.Repository},
			policy.Rule{Name: "brief", Subjects: []string{"signed-in"}, Names: []string{"brief"}, Actions: scope.Pull, Lifetime: time.Minute},
		),
		Keys: keys, Name: "tidewaiter", Anonymous: true, Reuse: true,
	}
	if change != nil {
		change(&live)
	}
	b.Issuer = issuer.New(live, issuer.Options{Journal: b.journal, Now: b.clock.Now})
	return b
}

func compile(t testing.TB, rules ...policy.Rule) *policy.Policy {
	t.Helper()
	p, err := policy.Compile(policy.Source{Rules: rules})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func request(name string, scopes ...string) *issuer.Request {
	asked, ignored, err := scope.Parse(scopes)
	if err != nil {
		panic(err)
	}
	c := identity.Presented{}
	if name != "" {
		c = identity.NewPresented(name, "secret")
	}
	return &issuer.Request{Service: "r", Scopes: asked, Ignored: ignored, Credentials: c}
}

func (b *fixture) issue(r *issuer.Request) issuer.Answer {
	b.Helper()
	a, err := b.Issue(context.Background(), r)
	if err != nil {
		b.Fatal(err)
	}
	return a
}

// timeClaims returns the claims nbf, iat and exp of a token, in seconds relative to the clock's
// current whole second.
func (b *fixture) timeClaims(a issuer.Answer) [3]int64 {
	b.Helper()
	text, err := base64.RawURLEncoding.DecodeString(strings.Split(string(a.Token), ".")[1])
	if err != nil {
		b.Fatal(err)
	}
	var c struct{ Nbf, Iat, Exp int64 }
	if err := json.Unmarshal(text, &c); err != nil {
		b.Fatal(err)
	}
	now := b.clock.Now().Unix()
	return [3]int64{c.Nbf - now, c.Iat - now, c.Exp - now}
}

// entries returns the entries of the journal.
func (b *fixture) entries() []journal.Entry {
	b.Helper()
	if err := b.journal.Append(context.Background(), journal.Entry{Text: []byte("-")}); err != nil {
		b.Fatal(err)
	}
	var all []journal.Entry
	for e, err := range b.journal.Read(context.Background(), 0) {
		if err != nil {
			b.Fatal(err)
		}
		if e.Decision != nil {
			all = append(all, e)
		}
	}
	return all
}

func TestTokenLivesAsLongAsItSays(t *testing.T) {
	for _, tt := range []struct {
		what      string
		scope     string
		want      [3]int64 // nbf, iat, exp
		expiresIn int
	}{
		{"the registry's lifetime", "repository:a:pull", [3]int64{-10, -10, 301}, 300},
		{"the shorter lifetime of a rule", "repository:brief:pull", [3]int64{-10, -10, 61}, 60},
	} {
		t.Run(tt.what, func(t *testing.T) {
			b := newFixture(t, nil)
			if tt.scope == "repository:brief:pull" {
				b.Swap(func(l issuer.Live) issuer.Live {
					l.Policy = compile(t, policy.Rule{Name: "brief", Subjects: []string{"signed-in"}, Names: []string{"brief"}, Actions: scope.Pull, Lifetime: time.Minute})
					return l
				})
			}
			a := b.issue(request("ann", tt.scope))
			if diff := cmp.Diff(tt.want, b.timeClaims(a)); diff != "" || a.ExpiresIn != tt.expiresIn {
				t.Errorf("expires_in %d, want %d; times (-want +got)\n%s", a.ExpiresIn, tt.expiresIn, diff)
			}
		})
	}
}

func TestReusedTokenIsStillFresh(t *testing.T) {
	b := newFixture(t, nil)
	first := b.issue(request("ann", "repository:a:pull"))
	b.clock.Pass(29 * time.Second) // a token of five minutes is reused for 30 s
	second := b.issue(request("ann", "repository:a:pull"))
	if !second.Reused || string(second.Token) != string(first.Token) || second.ExpiresIn != 271 {
		t.Errorf("after 29 s: reused %t, expires_in %d", second.Reused, second.ExpiresIn)
	}
	if second.ID == first.ID {
		t.Error("two decisions have the same id")
	}
	b.clock.Pass(time.Second)
	if third := b.issue(request("ann", "repository:a:pull")); third.Reused || third.ExpiresIn != 300 {
		t.Errorf("after 30 s: reused %t, expires_in %d", third.Reused, third.ExpiresIn)
	}
	entries := b.entries()
	if len(entries) != 3 {
		t.Fatalf("the journal has %d entries, want 3", len(entries))
	}
	if id, token := entries[1].ID, entries[1].Decision.Token; id != second.ID || token != first.ID {
		t.Errorf("entry %s has the token %s, want entry %s and token %s", id, token, second.ID, first.ID)
	}
}

// After a leak, administrators need to know when a token expired. The journal has this time even
// if the token was signed for an earlier answer and then reused.
func TestJournalHasTheExpiryOfATokenIssued(t *testing.T) {
	b := newFixture(t, nil)
	end := b.clock.Now().Unix() + b.timeClaims(b.issue(request("ann", "repository:a:pull")))[2]
	b.clock.Pass(300 * time.Millisecond)
	b.issue(request("ann", "repository:a:pull"))
	b.source = func(identity.Presented) (identity.Verified, error) {
		return identity.Verified{}, identity.ErrRejected
	}
	if _, err := b.Issue(context.Background(), request("ann", "repository:a:pull")); err == nil {
		t.Fatal("a request with a wrong password was not refused")
	}
	var ends []int64
	for _, e := range b.entries() {
		if e.Decision.Expires.IsZero() {
			ends = append(ends, 0)
			continue
		}
		ends = append(ends, e.Decision.Expires.Unix())
	}
	if diff := cmp.Diff([]int64{end, end, 0}, ends); diff != "" {
		t.Errorf("the expiry times in the journal (-want +got)\n%s", diff)
	}
}

func TestTokenOfAMinuteIsNotReused(t *testing.T) {
	b := newFixture(t, func(l *issuer.Live) { l.Registries["r"].Lifetime = time.Minute })
	b.issue(request("ann", "repository:a:pull"))
	if a := b.issue(request("ann", "repository:a:pull")); a.Reused || a.ExpiresIn < 60 {
		t.Errorf("reused %t, expires_in %d: clients assume at least a minute", a.Reused, a.ExpiresIn)
	}
}

// A new token has the lifetime that explain reports. A reused token has at most this lifetime.
// No token expires before its client expects it to.
func TestExpiresInIsWhatExplainSays(t *testing.T) {
	b := newFixture(t, nil)
	rapid.Check(t, func(t *rapid.T) {
		registry := &issuer.Registry{
			Service: "r", KeyID: token.X5C, Algorithm: token.ES256,
			Lifetime: time.Duration(rapid.Int64Range(60_000, 900_000).Draw(t, "lifetime")) * time.Millisecond,
		}
		b.Swap(func(l issuer.Live) issuer.Live {
			l.Registries = map[string]*issuer.Registry{"r": registry}
			return l
		})
		live := b.Live()
		for range 5 {
			b.clock.Pass(time.Duration(rapid.Int64Range(0, 1_200).Draw(t, "passes")) * time.Millisecond)
			r := request("ann", "repository:a:pull")
			says, ok := registry.PredictLifetime(live.Policy, &policy.Request{
				Principal: &policy.Principal{Kind: policy.User, Name: "ann"}, Registry: "r", Scopes: r.Scopes, Now: b.clock.Now(),
			}, time.Time{}, &live.MaxLifetime)
			a := b.issue(r)
			if want := int(says.Lasts / time.Second); !ok || a.ExpiresIn > want || !a.Reused && a.ExpiresIn != want {
				t.Fatalf("the predicted lifetime is %s, but expires_in is %d (reused: %t)", says.Lasts, a.ExpiresIn, a.Reused)
			}
			if left := b.timeClaims(a)[2]; left < int64(a.ExpiresIn) {
				t.Fatalf("the token expires in %d s, but expires_in is %d", left, a.ExpiresIn)
			}
		}
	})
}

// timed is a condition that stores the time it reads.
type timed struct{ now *time.Time }

func (c timed) Holds(r *policy.Request) (bool, error)  { *c.now = r.Now; return true, nil }
func (c timed) Explain(*policy.Request) []policy.Value { return nil }
func (c timed) String() string                         { return "timed" }

// A decision can be evaluated again with the recorded time, because conditions read this time.
func TestConditionsReadTheRecordedTime(t *testing.T) {
	var now time.Time
	b := newFixture(t, func(l *issuer.Live) {
		l.Policy = compile(t, policy.Rule{Name: "timed", Subjects: []string{"anyone"}, Names: []string{"**"}, Actions: scope.Pull, When: timed{&now}})
	})
	b.clock.Pass(1234567 * time.Nanosecond)
	b.issue(request("ann", "repository:team/app:pull"))
	if all := b.entries(); len(all) != 1 || !all[0].Time.Equal(now) {
		t.Errorf("the condition read %s, and the entry has %v", now, all[0].Time)
	}
}

// A flood of requests without credentials must not fill the disk.
func TestRequestsWithoutCredentialsAreFolded(t *testing.T) {
	for _, strict := range []bool{false, true} {
		b := newFixture(t, nil)
		b.Swap(func(l issuer.Live) issuer.Live {
			l.Anonymous, l.Strict = false, strict
			l.Chain = chain.New(chain.Options{
				Sources: []identity.Source{{Name: "test", Authenticator: b}}, Limiter: ratelimit.New(ratelimit.Options{Now: b.clock.Now}),
			})
			return l
		})
		ask := func(times int, from string) {
			for range times {
				r := request("", "repository:a:pull")
				r.Credentials.Remote = netip.MustParseAddr(from)
				if _, err := b.Issue(t.Context(), r); !errors.Is(err, issuer.ErrSignIn) {
					t.Fatal(err)
				}
			}
		}
		ask(20, "192.0.2.1")
		ask(20, "192.0.2.2")
		b.clock.Pass(time.Minute)
		ask(20, "192.0.2.1")
		b.clock.Pass(time.Minute)
		ask(1, "192.0.2.1") // this request ends the last window
		want, refusals := 7, int64(0)
		if strict {
			want = 61
		}
		entries := b.entries()
		for _, e := range entries {
			if r := e.Decision.Repeats; r != nil {
				refusals += r.Count
			} else {
				refusals++
			}
		}
		if len(entries) != want || refusals != 61 {
			t.Errorf("strict %t: %d entries for %d refusals, want %d for 61", strict, len(entries), refusals, want)
		}
	}
}

func TestCraftedNamesNeverShareAToken(t *testing.T) {
	b := newFixture(t, nil)
	seen := make(map[string]string)
	for i, p := range []policy.Principal{
		{Kind: policy.User, Source: "a", ID: "bc", Name: "n"}, {Kind: policy.User, Source: "ab", ID: "c", Name: "n"},
		{Kind: policy.Robot, Source: "a", ID: "bc", Name: "n"}, {Kind: policy.User, Source: "a", ID: "bc", Name: "m"},
		{Kind: policy.User, Source: "a", ID: "bcn", Name: ""}, {Kind: policy.User, Source: "", ID: "abc", Name: "n"},
		{Kind: policy.User, Source: "z", ID: "bc", Name: "n"}, // each source has its own ids
		{Kind: policy.User, Source: "a", ID: "z", Name: "n"}, {Kind: policy.Workload, Source: "a", ID: "bc", Name: "n"},
	} {
		b.source = func(identity.Presented) (identity.Verified, error) { return identity.Verified{Principal: &p}, nil }
		a := b.issue(request("x", "repository:a:pull"))
		if a.Reused {
			t.Errorf("principal %d got the token of %s", i, seen[string(a.Token)])
		}
		seen[string(a.Token)] = fmt.Sprint(i)
	}
}

// A token is reused only if every part of the answer is equal: principal, registry, lifetime,
// grants.
func TestTokenIsReusedOnlyForTheSameAnswer(t *testing.T) {
	type answer struct {
		who      policy.Principal
		registry string
		scopes   []string
		atMost   time.Duration
	}
	base := answer{policy.Principal{Kind: policy.User, Source: "a", ID: "1", Name: "ann"}, "r", []string{"repository:a:pull"}, 0}
	for what, change := range map[string]func(*answer){
		"kind":              func(a *answer) { a.who.Kind = policy.Robot },
		"source":            func(a *answer) { a.who.Source = "b" },
		"id":                func(a *answer) { a.who.ID = "2" },
		"name":              func(a *answer) { a.who.Name = "bob" },
		"registry":          func(a *answer) { a.registry = "q" },
		"repository":        func(a *answer) { a.scopes = []string{"repository:b:pull"} },
		"class":             func(a *answer) { a.scopes = []string{"repository(plugin):a:pull"} },
		"more actions":      func(a *answer) { a.scopes = []string{"repository:a:pull,push"} },
		"other actions":     func(a *answer) { a.scopes = []string{"repository:a:push"} },
		"more repositories": func(a *answer) { a.scopes = []string{"repository:a:pull", "repository:b:pull"} },
		"no scope":          func(a *answer) { a.scopes = nil },
		"lifetime":          func(a *answer) { a.atMost = 2 * time.Minute },
	} {
		t.Run(what, func(t *testing.T) {
			b := newFixture(t, func(l *issuer.Live) {
				q := *l.Registries["r"]
				q.Service = "q"
				l.Registries = map[string]*issuer.Registry{"r": l.Registries["r"], "q": &q}
			})
			ask := func(a answer) issuer.Answer {
				b.source = func(identity.Presented) (identity.Verified, error) {
					return identity.Verified{Principal: &a.who, Credential: "password"}, nil
				}
				b.Swap(func(l issuer.Live) issuer.Live { l.MaxLifetime.Kinds[policy.User] = a.atMost; return l })
				r := request("x", a.scopes...)
				r.Service = a.registry
				return b.issue(r)
			}
			first := ask(base)
			if again := ask(base); !again.Reused {
				t.Fatal("the same answer is signed twice, so this test proves nothing")
			}
			other := base
			change(&other)
			if got := ask(other); got.Reused || string(got.Token) == string(first.Token) {
				t.Errorf("an answer with a different %s got the same token", what)
			}
		})
	}
}

// A refresh token is issued only on request and only to a signed-in principal.
func TestRefreshTokenIsIssuedOnRequestToSignedIn(t *testing.T) {
	for _, tt := range []struct {
		name    string
		offline bool
		want    string
	}{
		{"ann", true, "refresh of ann"},
		{"ann", false, ""},
		{"", true, ""},
		{"", false, ""},
	} {
		b := newFixture(t, func(l *issuer.Live) {
			l.Refresh = func(_ context.Context, _ identity.Presented, who identity.Verified) (identity.Secret, error) {
				return identity.NewSecret("refresh of " + who.Principal.Name), nil
			}
		})
		r := request(tt.name, "repository:a:pull")
		r.Offline = tt.offline
		if got := b.issue(r).Refresh.Reveal(); got != tt.want {
			t.Errorf("%q, requested: %t: %q, want %q", tt.name, tt.offline, got, tt.want)
		}
	}
}

func TestRefusalsAreRecorded(t *testing.T) {
	b := newFixture(t, nil)
	down := errors.New("connection refused")
	for _, tt := range []struct {
		source error
		want   error
		kept   string
	}{
		{identity.ErrRejected, identity.ErrRejected, "invalid credentials: test: the password is wrong"},
		{identity.Rejected("it is locked"), identity.ErrRejected, "invalid credentials: test: it is locked"},
		{&identity.DisabledError{Why: "it is disabled"}, identity.ErrRejected, "invalid credentials: test: it is disabled"},
		{identity.ErrUnknown, identity.ErrRejected, "invalid credentials: no source knows it"},
		{down, identity.ErrUnavailable, "unavailable"},
	} {
		b.source = func(identity.Presented) (identity.Verified, error) { return identity.Verified{}, tt.source }
		if _, err := b.Issue(context.Background(), request("ann", "repository:a:pull")); !errors.Is(err, tt.want) {
			t.Errorf("%v gave %v", tt.source, err)
		}
		entries := b.entries()
		last := entries[len(entries)-1].Decision
		if last.Principal != nil || last.Name != "ann" || !strings.HasPrefix(last.Refused, tt.kept) {
			t.Errorf("%v: the journal has principal %v, name %q and %q, want %q", tt.source, last.Principal, last.Name, last.Refused, tt.kept)
		}
	}
	if _, err := b.Issue(context.Background(), &issuer.Request{Service: "other"}); !errors.Is(err, issuer.ErrUnknownRegistry) {
		t.Errorf("an unknown registry gave %v", err)
	}
}

// A client can cause a refusal with a single request, so the journal entry of a refusal must be
// small.
func TestRefusalRecordsLittleOfALongName(t *testing.T) {
	b := newFixture(t, nil)
	long := strings.Repeat("é", 30_000)
	if _, err := b.Issue(context.Background(), request(long, "repository:a:pull")); !errors.Is(err, identity.ErrRejected) {
		t.Fatalf("got %v", err)
	}
	kept := b.entries()[0].Decision.Name
	if len(kept) > 300 || !strings.HasPrefix(kept, "éé") || !strings.HasSuffix(kept, "é…") {
		t.Errorf("the entry has %d bytes of the name: %.40q", len(kept), kept)
	}
}

// Some other services require docker login --username TOKEN, so a name can be a token.
func TestTokenInPlaceOfANameIsNotRecorded(t *testing.T) {
	const signed = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl"
	for what, name := range map[string]string{
		"an access token":                  secret.Prefix + "abcdefghijklmnopqrstuvwxyz",
		"an access token with white space": " " + secret.Prefix + "abcdefghijklmnopqrstuvwxyz\n",
		"an ID token":                      signed,
		"a long ID token":                  signed + strings.Repeat("x", 8_000),
	} {
		b := newFixture(t, nil)
		b.source = func(identity.Presented) (identity.Verified, error) {
			return identity.Verified{}, identity.ErrRejected
		}
		if _, err := b.Issue(context.Background(), request(name, "repository:a:pull")); !errors.Is(err, identity.ErrRejected) {
			t.Fatalf("%s: got %v", what, err)
		}
		if kept := b.entries()[0].Decision.Name; kept != "[secret]" {
			t.Errorf("%s is in the journal: %q", what, kept)
		}
	}
}

func TestStrictAuditWithholdsUnrecordedAnswers(t *testing.T) {
	b := newFixture(t, func(l *issuer.Live) { l.Strict = true })
	b.issue(request("ann", "repository:a:pull"))
	if n := len(b.entries()); n != 1 {
		t.Fatalf("%d decisions were on disk when the answer was sent, want 1", n)
	}
	if err := b.journal.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Issue(context.Background(), request("ann", "repository:a:pull")); !errors.Is(err, issuer.ErrNotRecorded) {
		t.Errorf("got %v", err)
	}
	b.Swap(func(l issuer.Live) issuer.Live { l.Strict = false; return l })
	if _, err := b.Issue(context.Background(), request("ann", "repository:a:pull")); err != nil {
		t.Errorf("best effort: %v", err)
	}
}

// With strict audit, every token and every refusal has an entry in the journal. So nobody can
// guess passwords without a trace while the disk is full.
func TestStrictAuditWithholdsUnrecordedRefusals(t *testing.T) {
	down := errors.New("connection refused")
	fails := func(err error) func(identity.Presented) (identity.Verified, error) {
		return func(identity.Presented) (identity.Verified, error) { return identity.Verified{}, err }
	}
	for _, tt := range []struct {
		what   string
		change func(*issuer.Live)
		source func(identity.Presented) (identity.Verified, error)
		name   string
		want   error // while the journal works
	}{
		{"a wrong password", nil, fails(identity.ErrRejected), "ann", identity.ErrRejected},
		{"an unknown name", nil, fails(identity.ErrUnknown), "ann", identity.ErrRejected},
		{"a source that is down", nil, fails(down), "ann", identity.ErrUnavailable},
		{"a name that has to wait", nil, fails(&ratelimit.Error{After: time.Second}), "ann", identity.ErrRateLimited},
		{"no credentials", func(l *issuer.Live) { l.Anonymous = false }, nil, "", issuer.ErrSignIn},
		{"an authorizer that is down", func(l *issuer.Live) {
			l.Authorizer = authorizer(func(*policy.Request, policy.Decision) (policy.Decision, error) { return policy.Decision{}, down })
		}, nil, "ann", issuer.ErrUndecided},
		{"not enough is granted", func(l *issuer.Live) {
			r := *l.Registries["r"]
			r.Explained = true
			l.Registries, l.Policy = map[string]*issuer.Registry{"r": &r}, compile(t)
		}, nil, "ann", issuer.ErrDenied},
	} {
		t.Run(tt.what, func(t *testing.T) {
			b := newFixture(t, func(l *issuer.Live) {
				l.Strict = true
				if tt.change != nil {
					tt.change(l)
				}
			})
			if tt.source != nil {
				b.source = tt.source
			}
			r := request(tt.name, "repository:a:pull")
			r.ShowsText = true
			if _, err := b.Issue(t.Context(), r); !errors.Is(err, tt.want) || errors.Is(err, issuer.ErrNotRecorded) {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
			if n := len(b.entries()); n != 1 {
				t.Errorf("%d entries were on disk when the refusal was sent, want 1", n)
			}
			// A closed journal refuses entries, like a journal on a full disk.
			if err := b.journal.Close(context.Background()); err != nil {
				t.Fatal(err)
			}
			if _, err := b.Issue(t.Context(), r); !errors.Is(err, issuer.ErrNotRecorded) || errors.Is(err, tt.want) {
				t.Errorf("a refusal that cannot be recorded returned %v, want only %v", err, issuer.ErrNotRecorded)
			}
		})
	}
}

// A swap that changes only the policy does not empty the cache of tokens. Otherwise each later
// request would need a new signature.
func TestTokenIsReusedAfterASwapThatDoesNotAffectIt(t *testing.T) {
	for _, tt := range []struct {
		what   string
		swap   func(*issuer.Live)
		reused bool
	}{
		{"of nothing", func(*issuer.Live) {}, true},
		{"of the policy, which grants the same", func(l *issuer.Live) {
			l.Policy = compile(t, policy.Rule{Name: "other", Subjects: []string{"user:ann"}, Names: []string{"a"}, Actions: scope.Pull})
		}, true},
		{"of the policy, which grants less", func(l *issuer.Live) {
			l.Policy = compile(t, policy.Rule{Name: "other", Subjects: []string{"user:bob"}, Names: []string{"a"}, Actions: scope.Pull})
		}, false},
		{"of the name", func(l *issuer.Live) { l.Name = "another" }, false},
		{"of the keys", func(l *issuer.Live) { l.Keys = newFixture(t, nil).Live().Keys }, false},
		{"of the registries", func(l *issuer.Live) {
			l.Registries = map[string]*issuer.Registry{"r": {Service: "r", KeyID: token.X5C, Algorithm: token.ES256, Lifetime: 5 * time.Minute}}
		}, false},
	} {
		t.Run(tt.what, func(t *testing.T) {
			b := newFixture(t, nil)
			first := b.issue(request("ann", "repository:a:pull"))
			b.Swap(func(l issuer.Live) issuer.Live { tt.swap(&l); return l })
			second := b.issue(request("ann", "repository:a:pull"))
			if second.Reused != tt.reused || tt.reused != (string(first.Token) == string(second.Token)) {
				t.Errorf("reused %t", second.Reused)
			}
		})
	}
}

// A request uses the settings of only one generation. So a token never contains the grants of one
// generation's policy and the issuer name of another generation.
func TestSwapIsAtomic(t *testing.T) {
	b := newFixture(t, nil)
	generation := func(n int) func(issuer.Live) issuer.Live {
		return func(l issuer.Live) issuer.Live {
			l.Name = fmt.Sprint("name-", n)
			l.Policy = compile(t, policy.Rule{Name: fmt.Sprint("rule-", n), Subjects: []string{"anyone"}, Names: []string{fmt.Sprint("repo-", n)}, Actions: scope.Pull})
			return l
		}
	}
	b.Swap(generation(0))
	done := make(chan struct{})
	var swapping sync.WaitGroup
	swapping.Go(func() {
		for n := 1; ; n = 1 - n {
			select {
			case <-done:
				return
			default:
				b.Swap(generation(n))
			}
		}
	})
	for range 200 {
		a := b.issue(request("", "repository:repo-0:pull", "repository:repo-1:pull"))
		text, err := base64.RawURLEncoding.DecodeString(strings.Split(string(a.Token), ".")[1])
		if err != nil {
			t.Fatal(err)
		}
		if zero, one := strings.Contains(string(text), "name-0"), strings.Contains(string(text), "repo-1"); zero == one {
			t.Fatalf("two generations in one token: %s", text)
		}
	}
	close(done)
	swapping.Wait()
}

// A shadow policy gets the results of the policy and the id of the entry. It does not change the
// answer.
func TestAShadowPolicyHasNoEffect(t *testing.T) {
	type call struct {
		shadow  *policy.Policy
		id      journal.ID
		granted scope.Actions
	}
	nothing := new(policy.Policy)
	var calls []call
	b := newFixture(t, func(l *issuer.Live) { l.Shadow = nothing })
	b.Issuer = issuer.New(b.Live(), issuer.Options{Journal: b.journal, Now: b.clock.Now, Shadow: func(shadow *policy.Policy, id journal.ID, r *policy.Request, results []policy.Result) {
		calls = append(calls, call{shadow, id, results[0].Granted})
		if shadow.Decide(r).Results[0].Granted != 0 {
			t.Error("the shadow policy grants something")
		}
	}})
	a := b.issue(request("ann", "repository:team/app:pull"))
	if len(calls) != 1 || calls[0] != (call{nothing, a.ID, scope.Pull}) || a.Decision.Results[0].Granted != scope.Pull {
		t.Errorf("%+v, %+v", calls, a.Decision)
	}
	if all := b.entries(); len(all) != 1 || all[0].ID != a.ID {
		t.Errorf("%+v", all)
	}
}

func BenchmarkIssue(b *testing.B) {
	for _, shadow := range []bool{false, true} {
		for _, reuse := range []bool{false, true} {
			b.Run(fmt.Sprintf("shadow=%t/reuse=%t", shadow, reuse), func(b *testing.B) {
				x := newFixture(b, func(l *issuer.Live) { l.Reuse = reuse })
				live := x.Live()
				if shadow {
					live.Shadow = live.Policy
				}
				// This function does the same work as replay.Shadow does for equal results.
				x.Issuer = issuer.New(live, issuer.Options{Journal: x.journal, Now: x.clock.Now, Shadow: func(p *policy.Policy, _ journal.ID, r *policy.Request, results []policy.Result) {
					if p.Decide(r).Results[0].Granted != results[0].Granted {
						b.Error("the results differ")
					}
				}})
				r := request("ann", "repository:team/app:pull,push")
				b.ReportAllocs()
				for b.Loop() {
					if _, err := x.Issue(context.Background(), r); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
