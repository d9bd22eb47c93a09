package chain_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/anyone"
	"github.com/tidewaiter/tidewaiter/internal/identity/chain"
	"github.com/tidewaiter/tidewaiter/internal/identity/identitytest"
	"github.com/tidewaiter/tidewaiter/internal/identity/username"
	"github.com/tidewaiter/tidewaiter/internal/secret"
	"github.com/tidewaiter/tidewaiter/policy"
)

// newSecret returns a new secret of Tidewaiter, of the kind that has this letter (package secret).
func newSecret(letter byte) string {
	text, _ := secret.New(letter)
	return text
}

func ExampleChain() {
	staff := &identitytest.Fake{Name: "htpasswd", People: map[string]string{"ann": "wonderland"}, Groups: []string{"dev"}}
	chain := chain.New(chain.Options{Sources: []identity.Source{{Name: "htpasswd", Authenticator: staff}}})

	for _, c := range []identity.Presented{
		identity.NewPresented("ann", "wonderland"),
		identity.NewPresented("ann", "guess"),
		identity.NewPresented("nobody", "guess"),
		identity.NewPresented("", ""),
	} {
		v, err := chain.Authenticate(context.Background(), c)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Printf("%q %v\n", v.Principal.Name, v.Principal.Groups)
	}
	// Output:
	// "ann" [dev]
	// credential rejected
	// credential rejected
	// "" []
}

var errCut = errors.New("the wire is cut")

func TestAChainAsksInOrder(t *testing.T) {
	for _, tt := range []struct {
		name, password string
		down           string // the source that is down
		want           string // the source of the principal, or the error
		asked          string // the sources that were asked; d: a dummy
		because        string
	}{
		{"ann", "of first", "", "first", "first", ""},
		{"bob", "of second", "", "second", "first second", ""},
		{"carl", "of corp", "", "ldap:corp", "first second ldap:corp", "local sources are asked before remote ones"},
		{"ann", "of second", "", "rejected", "first", "a name belongs to the first source that knows it"},
		{"bob", "of corp", "", "rejected", "first second", "a wrong password never falls through"},
		{"carl", "wrong", "", "rejected", "first second ldap:corp", ""},
		{"dora", "of lab", "", "ldap:lab", "first second ldap:corp ldap:lab", ""},
		{"nobody", "wrong", "", "rejected", "first second ldap:corp ldap:lab d", "an unknown name costs as much, and gets the same answer"},
		{"ann", "of first", "ldap:corp", "first", "first", "an outage of a remote source does not affect local users"},
		{"ann", "wrong", "ldap:corp", "rejected", "first", ""},
		{"carl", "of corp", "ldap:corp", "ldap:corp unavailable", "first second ldap:corp", ""},
		{"nobody", "wrong", "ldap:corp", "ldap:corp unavailable", "first second ldap:corp", ""},
		{"dora", "of lab", "ldap:corp", "ldap:corp unavailable", "first second ldap:corp", "corp could know dora: after an outage, the next source is not asked"},
		{"bob", "of second", "first", "first unavailable", "first", "first could know bob: after an outage, the next source is not asked"},
	} {
		var asked []string
		fakes := map[string]*identitytest.Fake{}
		source := func(name string, remote bool, people map[string]string) identity.Source {
			fakes[name] = &identitytest.Fake{Name: name, People: people}
			return identity.Source{Name: name, Authenticator: spy{fakes[name], name, &asked}, Remote: remote}
		}
		chain := chain.New(chain.Options{Sources: []identity.Source{
			source("ldap:corp", true, map[string]string{"ann": "of corp", "bob": "of corp", "carl": "of corp"}),
			source("first", false, map[string]string{"ann": "of first"}),
			source("ldap:lab", true, map[string]string{"dora": "of lab"}),
			source("second", false, map[string]string{"ann": "of second", "bob": "of second"}),
		}})
		if tt.down != "" {
			fakes[tt.down].Fail(errCut)
		}
		v, err := chain.Authenticate(t.Context(), identity.NewPresented(tt.name, tt.password))
		var got string
		switch {
		case err == nil:
			got = v.Principal.Source
		case errors.Is(err, identity.ErrUnavailable) && errors.Is(err, errCut) && strings.Contains(err.Error(), tt.down):
			got = tt.down + " unavailable"
		case errors.Is(err, identity.ErrRejected) && err.Error() == identity.ErrRejected.Error():
			got = "rejected"
		default:
			got = err.Error()
		}
		if got != tt.want || strings.Join(asked, " ") != tt.asked {
			t.Errorf("%s %q, %q down: %s after asking %q, want %s after %q (%s)", tt.name, tt.password, tt.down, got, asked, tt.want, tt.asked, tt.because)
		}
	}
}

// spy is a source that records that it was asked.
type spy struct {
	*identitytest.Fake
	name  string
	asked *[]string
}

func (s spy) Authenticate(ctx context.Context, c identity.Presented) (identity.Verified, error) {
	*s.asked = append(*s.asked, s.name)
	return s.Fake.Authenticate(ctx, c)
}

func (s spy) Dummy(ctx context.Context, c identity.Presented) error {
	*s.asked = append(*s.asked, "d")
	return s.Fake.Dummy(ctx, c)
}

func TestNothingShownIsAnonymous(t *testing.T) {
	fake := &identitytest.Fake{People: map[string]string{"": ""}}
	chain := chain.New(chain.Options{Sources: []identity.Source{{Name: "fake", Authenticator: fake}}})
	first, err := chain.Authenticate(t.Context(), identity.Presented{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&policy.Principal{Kind: policy.Anonymous}, first.Principal); diff != "" {
		t.Errorf("anonymous: %s", diff)
	}
	second, _ := chain.Authenticate(t.Context(), identity.NewPresented("", ""))
	if first.Principal != second.Principal {
		t.Error("the anonymous principal is not always the same value")
	}
	if asked := fake.Asked(); len(asked) != 0 {
		t.Errorf("a source was asked about an anonymous client: %v", asked)
	}
}

// go-ldap CVE-2017-14623: a directory accepts a bind with an empty password. So no source is asked
// about an empty password, or about an invalid password or name.
func TestAnEmptySecretIsNeverAskedOfASource(t *testing.T) {
	fake := &identitytest.Fake{People: map[string]string{"ann": ""}}
	chain := chain.New(chain.Options{
		Sources: []identity.Source{{Name: "fake", Authenticator: fake, Remote: true, Kinds: []identity.Kind{
			identity.Password, identity.IDToken, identity.AccessToken, identity.RefreshToken,
		}}},
	})
	jwt := "eyJhbGciOiJub25lIn0.e30."
	for _, c := range []identity.Presented{
		identity.NewPresented("ann", ""),
		identity.NewPresented("", "a password"),
		identity.NewPresented("ann", "\x00"),
		identity.NewPresented("ann", "pass\x00word"),
		identity.NewPresented("ann", strings.Repeat("x", identity.MaxSecret+1)),
		identity.NewPresented("ann", secret.Prefix+strings.Repeat("x", identity.MaxSecret)),
		identity.NewPresented("ann", jwt+strings.Repeat("x", identity.MaxToken)),
		identity.NewPresented(strings.Repeat("x", username.MaxLength+1), "a password"),
		identity.NewPresented("an\x00n", "a password"),
		identity.NewPresented("ann\n", "a password"),
		identity.NewPresented("ann\x1b[2J", "a password"),
		identity.NewPresented("ann\u0085", "a password"),
		identity.NewPresented("ann\xff", "a password"),
		identity.NewPresented("ann\n", jwt),
		identity.NewRefresh(""),
		{Kind: identity.Password, Name: "ann"},
		{Name: "ann"}, // no kind, but not anonymous
		{Secret: identity.NewSecret("a password")},
		{Kind: identity.IDToken, Name: "ann"},
		{Kind: 200, Name: "ann", Secret: identity.NewSecret("a kind that does not exist")},
	} {
		if _, err := chain.Authenticate(t.Context(), c); !errors.Is(err, identity.ErrRejected) {
			t.Errorf("%q with %d bytes: %v, want %v", c.Name, len(c.Secret.Reveal()), err, identity.ErrRejected)
		}
	}
	if asked := fake.Asked(); len(asked) != 0 {
		t.Errorf("the source was asked: %v", asked)
	}
	if _, err := chain.Authenticate(t.Context(), identity.NewPresented(strings.Repeat("x", username.MaxLength), strings.Repeat("x", identity.MaxSecret))); !errors.Is(err, identity.ErrRejected) {
		t.Error(err)
	}
	if asked := fake.Asked(); len(asked) != 1 {
		t.Errorf("the longest name and password were presented to %d sources, want 1", len(asked))
	}
	if n := len(fake.Dummies()); n != 1 {
		t.Errorf("%d dummies were called, want one, for the longest name", n)
	}
}

// A token can be valid for other services, so a directory must not receive it.
func TestATokenIsNeverOfferedToADirectory(t *testing.T) {
	directory := &identitytest.Fake{Name: "ldap:corp"}
	provider := &identitytest.Fake{Name: "oidc:github"}
	accounts := &identitytest.Fake{Name: "accounts"}
	chain := chain.New(chain.Options{Sources: []identity.Source{
		{Name: "ldap:corp", Authenticator: directory, Remote: true},
		{Name: "oidc:github", Authenticator: provider, Remote: true, Kinds: []identity.Kind{identity.IDToken}},
		{Name: "accounts", Authenticator: accounts, Kinds: []identity.Kind{identity.Password, identity.AccessToken, identity.RefreshToken}},
	}})
	for _, c := range []identity.Presented{
		identity.NewPresented("ann", "eyJhbGciOiJFUzI1NiJ9.e30.AAAA"),
		identity.NewPresented("", "eyJhbGciOiJFUzI1NiJ9.e30.AAAA\n"),
		identity.NewPresented("ann", newSecret('a')),
		identity.NewPresented("", " "+newSecret('b')),
		identity.NewRefresh("eyJhbGciOiJFUzI1NiJ9.e30.AAAA"), // it is treated as an ID token
		identity.NewPresented("<token>", newSecret('r')),
		identity.NewPresented("ann", newSecret('r')),
		identity.NewPresented("ann", "a password"),
		// A token inside other text is sent to no source.
		identity.NewPresented("ann", `"eyJhbGciOiJFUzI1NiJ9.e30.AAAA"`),
		identity.NewPresented("ann", "Bearer eyJhbGciOiJFUzI1NiJ9.e30.AAAA"),
		identity.NewPresented("ann", `{"value":"eyJhbGciOiJFUzI1NiJ9.e30.AAAA"}`),
		identity.NewPresented("ann", "eyJhbGciOiJFUzI1NiJ9.e30=.AAAA"),
		identity.NewPresented("ann", `"`+newSecret('a')+`"`),
		identity.NewPresented(newSecret('a'), "a password"),
	} {
		if _, err := chain.Authenticate(t.Context(), c); !errors.Is(err, identity.ErrRejected) {
			t.Errorf("%v, want %v", err, identity.ErrRejected)
		}
	}
	kinds := func(f *identitytest.Fake) (kinds []identity.Kind) {
		for _, c := range f.Asked() {
			kinds = append(kinds, c.Kind)
		}
		return kinds
	}
	got := [][]identity.Kind{kinds(directory), kinds(provider), kinds(accounts)}
	want := [][]identity.Kind{
		{identity.Password},
		{identity.IDToken, identity.IDToken, identity.IDToken},
		{identity.AccessToken, identity.AccessToken, identity.RefreshToken, identity.RefreshToken, identity.Password},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the credentials that each source got (-want +got):\n%s", diff)
	}
	// A token is random and contains no name to guess. So an invalid token costs no dummy
	// hash.
	if n := len(directory.Dummies()) + len(provider.Dummies()) + len(accounts.Dummies()); n != 1 {
		t.Errorf("%d dummies were called, want one, for the password", n)
	}
}

// If a password is refused because of its form, the client gets the reason. An unusual password
// is accepted.
func TestAMisplacedTokenIsNamed(t *testing.T) {
	directory := &identitytest.Fake{People: map[string]string{"ann": `"odd" {password}.with.dots`}}
	chain := chain.New(chain.Options{Sources: []identity.Source{{Name: "ldap:corp", Authenticator: directory, Remote: true}}})
	for _, tt := range []struct{ name, secret, want string }{
		{"ann", `"eyJhbGciOiJFUzI1NiJ9.e30.AAAA"`, "the password looks like an ID token in quotes: present the token alone"},
		{"ann", "bearer eyJhbGciOiJub25lIn0.e30.", "the password looks like a token without a signature after the word Bearer: present the token alone"},
		{"ann", `{"token":"` + newSecret('b') + `"}`, "the password looks like a robot's secret of Tidewaiter in JSON: present the token alone"},
		{newSecret('a'), "x-oauth-basic", "the name looks like an access token of Tidewaiter: it belongs in the password field"},
		{"ann", `"odd" {password}.with.dots`, ""},
	} {
		_, err := chain.Authenticate(t.Context(), identity.NewPresented(tt.name, tt.secret))
		got := ""
		if misplaced, ok := errors.AsType[*identity.MisplacedError](err); ok && errors.Is(err, identity.ErrRejected) {
			got = misplaced.Error()
		} else if err != nil {
			t.Errorf("%s: %v", tt.secret, err)
		}
		if got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.secret, got, tt.want)
		}
	}
	if n := len(directory.Asked()); n != 1 {
		t.Errorf("the directory was asked %d times, want once, about the password", n)
	}
}

// plainSource hides that a source is a Dummy or a Finder.
type plainSource struct{ identity.Authenticator }

// User enumeration: a wrong password costs a hash. An unknown name must also cost a hash, and a
// wrong password that a source without hashes has refused must also cost a hash.
func TestEachRefusalOfAPasswordCostsOneHash(t *testing.T) {
	local := &identitytest.Fake{Name: "htpasswd", People: map[string]string{"ann": "wonderland"}}
	remote := &identitytest.Fake{Name: "ldap:corp", People: map[string]string{"bob": "builder"}}
	chain := chain.New(chain.Options{
		Sources: []identity.Source{{Name: "htpasswd", Authenticator: local}, {Name: "ldap:corp", Authenticator: plainSource{remote}, Remote: true}},
		Dummy:   func(context.Context, identity.Presented) error { t.Error("the other dummy was asked"); return nil },
	})
	for _, tt := range []struct {
		name    string
		dummies int
	}{
		{"ann", 0},    // htpasswd has computed a hash itself
		{"bob", 1},    // the directory has computed no hash
		{"nobody", 2}, // no source has computed a hash
	} {
		if _, err := chain.Authenticate(t.Context(), identity.NewPresented(tt.name, "wrong")); !errors.Is(err, identity.ErrRejected) {
			t.Errorf("%s: %v, want %v", tt.name, err, identity.ErrRejected)
		}
		if n := len(local.Dummies()); n != tt.dummies {
			t.Errorf("after %s: %d dummies, want %d", tt.name, n, tt.dummies)
		}
	}
}

// If the queue of hashes is full, the result for a known name is an outage. So the result for an
// unknown name must also be an outage.
func TestABusyDummyIsAnOutage(t *testing.T) {
	for _, tt := range []struct{ dummy, want error }{
		{nil, identity.ErrRejected},
		{identity.ErrRejected, identity.ErrRejected},
		{errCut, identity.ErrUnavailable},
		{context.Canceled, context.Canceled},
	} {
		chain := chain.New(chain.Options{Dummy: func(context.Context, identity.Presented) error { return tt.dummy }})
		if _, err := chain.Authenticate(t.Context(), identity.NewPresented("nobody", "wrong")); !errors.Is(err, tt.want) {
			t.Errorf("a dummy that returns %v: %v, want %v", tt.dummy, err, tt.want)
		}
	}
}

// namelessSource is a source that returns no principal.
type namelessSource struct{}

func (namelessSource) Authenticate(context.Context, identity.Presented) (identity.Verified, error) {
	return identity.Verified{}, nil
}

func TestASourceThatNamesNobodyLetsNobodyIn(t *testing.T) {
	chain := chain.New(chain.Options{Sources: []identity.Source{{Name: "faulty", Authenticator: namelessSource{}}}})
	if v, err := chain.Authenticate(t.Context(), identity.NewPresented("ann", "x")); !errors.Is(err, identity.ErrUnavailable) || v.Principal != nil {
		t.Errorf("%v, %v, want %v", v, err, identity.ErrUnavailable)
	}
}

func TestFindKeepsToTheSourceThatItIsAskedFor(t *testing.T) {
	here := &identitytest.Fake{Name: "htpasswd", People: map[string]string{"ann": "x", "": "y", "ann\n": "z"}}
	there := &identitytest.Fake{Name: "ldap:corp", People: map[string]string{"ann": "y", "bob": "z"}}
	chain := chain.New(chain.Options{Sources: []identity.Source{
		{Name: "ldap:corp", Authenticator: there, Remote: true},
		{Name: "htpasswd", Authenticator: here},
		{Name: "blind", Authenticator: plainSource{there}},
	}})
	for _, tt := range []struct{ source, name, id, want string }{
		{"", "ann", "", "htpasswd"},
		{"", "bob", "", "ldap:corp"},
		{"", "bob", "id of bob", "ldap:corp"},
		{"", "bob", "id of ann", "unknown name"},
		{"", "nobody", "", "unknown name"},
		{"", "", "", "unknown name"}, // although a source has the name ""
		{"", "ann\n", "", "unknown name"},
		{"ldap:corp", "ann", "", "ldap:corp"},
		{"htpasswd", "bob", "", "unknown name"}, // the same name in another source is another user
		{"blind", "ann", "", "unknown name"},
		{"gone", "ann", "", "unknown name"},
	} {
		find := chain.Find
		if tt.source != "" {
			find = func(ctx context.Context, name, id string) (*policy.Principal, error) {
				return chain.FindIn(ctx, tt.source, name, id)
			}
		}
		got := ""
		if p, err := find(t.Context(), tt.name, tt.id); err != nil {
			got = err.Error()
		} else {
			got = p.Source
		}
		if got != tt.want {
			t.Errorf("finding %q with the id %q in %q: %s, want %s", tt.name, tt.id, tt.source, got, tt.want)
		}
	}
	there.Fail(errCut)
	if _, err := chain.Find(t.Context(), "ann", ""); err != nil {
		t.Errorf("finding a local name while the directory is down: %v", err)
	}
	if _, err := chain.Find(t.Context(), "bob", ""); !errors.Is(err, identity.ErrUnavailable) || !errors.Is(err, errCut) {
		t.Errorf("finding a remote name while the directory is down: %v, want %v", err, identity.ErrUnavailable)
	}
}

// disabledSource is a source that knows ann, who is disabled.
type disabledSource struct{ identity.Authenticator }

func (disabledSource) Find(_ context.Context, name, _ string) (*policy.Principal, error) {
	if name == "ann" {
		return nil, identity.ErrRejected
	}
	return nil, identity.ErrUnknown
}

// A disabled principal keeps its name: Find does not return a principal of the same name in a
// later source.
func TestWhoIsDisabledIsNotFoundElsewhere(t *testing.T) {
	later := &identitytest.Fake{Name: "later", People: map[string]string{"ann": "x", "bob": "y"}}
	chain := chain.New(chain.Options{Sources: []identity.Source{
		{Name: "first", Authenticator: disabledSource{&identitytest.Fake{}}}, {Name: "later", Authenticator: later},
	}})
	if p, err := chain.Find(t.Context(), "ann", ""); !errors.Is(err, identity.ErrUnknown) {
		t.Errorf("ann: %v, %v, want %v", p, err, identity.ErrUnknown)
	}
	if _, err := chain.FindIn(t.Context(), "first", "ann", "1"); !errors.Is(err, identity.ErrUnknown) {
		t.Errorf("ann by id: %v, want %v", err, identity.ErrUnknown)
	}
	if p, err := chain.Find(t.Context(), "bob", ""); err != nil || p.Source != "later" {
		t.Errorf("bob: %v, %v", p, err)
	}
}

func BenchmarkChainFourSources(b *testing.B) {
	var sources []identity.Source
	for range 3 {
		sources = append(sources, identity.Source{Name: "empty", Authenticator: nobody{}})
	}
	sources = append(sources, identity.Source{Name: "anyone", Authenticator: anyone.Source{}})
	chain := chain.New(chain.Options{Sources: sources})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := chain.Authenticate(b.Context(), identity.NewPresented("ann", "wonderland")); err != nil {
			b.Fatal(err)
		}
	}
}

type nobody struct{}

func (nobody) Authenticate(context.Context, identity.Presented) (identity.Verified, error) {
	return identity.Verified{}, identity.ErrUnknown
}
