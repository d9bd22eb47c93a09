package oidc_test

import (
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/await"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/chain"
	"github.com/tidewaiter/tidewaiter/internal/identity/identitytest"
	"github.com/tidewaiter/tidewaiter/internal/identity/oidc"
	"github.com/tidewaiter/tidewaiter/internal/identity/username"
	"github.com/tidewaiter/tidewaiter/policy"
)

func TestAProviderConforms(t *testing.T) {
	i := newIssuer(t)
	p := i.provider(func(o *oidc.Options) { o.MaxAge = 100 * time.Hour })
	long := i.token(claims{"exp": i.Now().Add(99 * time.Hour).Unix()})
	identitytest.Run(t, identitytest.Subject{
		Source: p, Kind: identity.IDToken, Name: "oidc", Secret: long,
		Break: func() {
			i.fail()
			i.Pass(25 * time.Hour) // longer than maxStale, so the old keys are no longer used
		},
	})
}

func TestAWrongTokenIsRejected(t *testing.T) {
	i := newIssuer(t)
	p, good := i.provider(), i.token()
	for name, raw := range map[string]string{
		"more at the end":   good + "x",
		"less at the front": good[1:],
		"upper case":        strings.ToUpper(good),
		"much more":         good + strings.Repeat("x", 100),
		"no signature":      good[:strings.LastIndexByte(good, '.')+1],
		"two parts":         good[:strings.LastIndexByte(good, '.')],
		"four parts":        good + ".e30",
		"a NUL":             good + "\x00",
		"a line end inside": good[:20] + "\n" + good[20:],
		"nothing":           "",
		"dots":              "..",
	} {
		if v, err := show(t, p, raw); !errors.Is(err, identity.ErrRejected) || v.Principal != nil {
			t.Errorf("%s: %v, %v, want %v", name, v, err, identity.ErrRejected)
		}
	}
}

func TestATokenBecomesAPrincipal(t *testing.T) {
	i := newIssuer(t)
	p := i.provider(func(o *oidc.Options) {
		o.Principal = "ci:{project}"
		o.Groups = []string{"{groups}", "env:{environment}", "ci", "{project}@{ref}"}
		o.Claims = []string{"project", "runner", "protected", "/deep/er/name", "renamed=/deep/number", "missing", "object=deep"}
	})
	v, err := show(t, p, i.token(claims{
		"project": "acme/app", "ref": "refs/heads/main", "groups": []string{"b", "a", "b"}, "runner": 7, "protected": true,
		"deep":   claims{"er": claims{"name": "x"}, "number": 1.5},
		"secret": "not kept",
	}))
	if err != nil {
		t.Fatal(err)
	}
	want := identity.Verified{
		Principal: &policy.Principal{
			Kind: policy.Workload, Name: "ci:acme/app", Source: "oidc:ci", ID: i.url + "#job:1",
			Groups: []string{"a", "acme/app@refs/heads/main", "b", "ci"},
			Claims: map[string]any{"project": "acme/app", "runner": json.Number("7"), "protected": true, "name": "x", "renamed": json.Number("1.5"), "object": map[string]any{"er": map[string]any{"name": "x"}, "number": json.Number("1.5")}},
		},
		Credential: "ID token",
		Until:      i.Now().Add(5 * time.Minute),
	}
	want.Until = time.Unix(want.Until.Unix(), 0)
	if diff := cmp.Diff(want, v); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// zot CVE-2025-23208: users kept a group that was removed at the identity provider.
func TestARemovedGroupIsGoneFromTheNextToken(t *testing.T) {
	i := newIssuer(t)
	p := i.provider(func(o *oidc.Options) { o.Groups = []string{"{groups}"} })
	for _, groups := range [][]string{{"admins", "dev"}, {"dev"}, nil, {"other"}} {
		v, err := show(t, p, i.token(claims{"groups": groups}))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(groups, v.Principal.Groups); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

// In docker_auth, the account "*@x" became a pattern. In Tidewaiter, a claim is always literal
// text.
func TestAClaimNeverBecomesAPatternOrATemplate(t *testing.T) {
	i := newIssuer(t)
	p := i.provider(func(o *oidc.Options) {
		o.Principal, o.Groups, o.Claims = "{who}", []string{"g:{who}"}, []string{"who"}
	})
	for _, who := range []string{"*", "**", "${user}", "{sub}", "{who}", "a/../b", "${claims.who}", "user:ann", ".*", "%s"} {
		v, err := show(t, p, i.token(claims{"who": who}))
		if err != nil {
			t.Errorf("%q: %v", who, err)
			continue
		}
		if v.Principal.Name != who || v.Principal.Groups[0] != "g:"+who || v.Principal.Claims["who"] != who {
			t.Errorf("%q became %+v", who, v.Principal)
		}
	}
}

// In docker_auth, ALICE and "alice " are alice in one place and another user in another place.
// Names that look like other names, or break a line of the log, are refused.
func TestAnInvalidNameIsRefused(t *testing.T) {
	i := newIssuer(t)
	p := i.provider(func(o *oidc.Options) { o.Principal = "{who}" })
	for _, who := range []any{"", " ann", "ann ", "a\nb", "a\x00b", "ann\u200b", "\u202eann", "a\ufffdb", strings.Repeat("x", username.MaxLength+1),
		[]string{"a", "b"}, []string{}, claims{"a": "b"}, nil} {
		if v, err := show(t, p, i.token(claims{"who": who})); !errors.Is(err, identity.ErrRejected) {
			t.Errorf("%q: %v %v, want %v", who, v.Principal, err, identity.ErrRejected)
		}
	}
	lone := append([]byte(`{"who":"\ud800","iss":"`+i.url+`",`), `"aud":"https://auth.example.com","sub":"s","exp":`+sprint(i.Now().Unix()+60)+`}`...)
	if v, err := show(t, p, i.key.sign(t, lone)); !errors.Is(err, identity.ErrRejected) {
		t.Errorf("an incomplete UTF-8 character: %v %v, want %v", v.Principal, err, identity.ErrRejected)
	}
}

// If values could contain the separator, {a}/{b} would yield the same name for "x/y" and "z" as
// for "x" and "y/z".
func TestClaimsCannotShiftTheSeparator(t *testing.T) {
	i := newIssuer(t)
	p := i.provider(func(o *oidc.Options) { o.Principal = "{org}/{pipeline}" })
	for _, tt := range []struct{ org, pipeline, name string }{
		{"x", "y", "x/y"}, {"x", "y/z", "x/y/z"}, {"x/y", "z", ""}, {"x/", "z", ""}, {"", "z", ""}, {"x", "", ""},
	} {
		v, err := show(t, p, i.token(claims{"org": tt.org, "pipeline": tt.pipeline}))
		name := ""
		if err == nil {
			name = v.Principal.Name
		}
		if name != tt.name {
			t.Errorf("%q and %q yield %q, want %q (%v)", tt.org, tt.pipeline, name, tt.name, err)
		}
	}
}

func TestAllThatIsRequiredMustHold(t *testing.T) {
	i := newIssuer(t)
	p := i.provider(func(o *oidc.Options) {
		o.Require = map[string][]string{
			"owner": {"acme"}, "ref": {"refs/heads/main", "refs/heads/release/*", "refs/tags/**"}, "protected": {"true"}, "/deep/part": {"*"},
		}
	})
	good := claims{"owner": "acme", "ref": "refs/heads/main", "protected": true, "deep": claims{"part": "x"}}
	for _, tt := range []struct {
		what    string
		changed claims
		ok      bool
	}{
		{"all requirements are met", claims{}, true},
		{"a text instead of true", claims{"protected": "true"}, true},
		{"another value of the list", claims{"ref": "refs/heads/release/1"}, true},
		{"** crosses slashes", claims{"ref": "refs/tags/a/b"}, true},
		{"one element of the token's list", claims{"owner": []string{"other", "acme"}}, true},
		{"another owner", claims{"owner": "acme2"}, false},
		{"other letters", claims{"owner": "ACME"}, false},
		{"more behind", claims{"owner": "acme\n"}, false},
		{"more before", claims{"owner": "xacme"}, false},
		{"a pattern in the token", claims{"owner": "*"}, false},
		{"no owner", claims{"owner": nil}, false},
		{"an empty owner", claims{"owner": ""}, false},
		{"an empty list", claims{"owner": []string{}}, false},
		{"an object", claims{"owner": claims{"acme": "acme"}}, false},
		{"a list with an object", claims{"owner": []any{"acme", claims{}}}, false},
		{"* stays between slashes", claims{"ref": "refs/heads/release/1/2"}, false},
		{"a branch whose name only begins with main", claims{"ref": "refs/heads/main2"}, false},
		{"not protected", claims{"protected": false}, false},
		{"* does not match a missing claim", claims{"deep": claims{}}, false},
		{"an outer claim of the same path", claims{"deep": nil, "/deep/part": "x"}, false},
	} {
		_, err := show(t, p, i.token(good, tt.changed))
		if tt.ok && err != nil || !tt.ok && !errors.Is(err, identity.ErrRejected) {
			t.Errorf("%s: %v, want valid: %t", tt.what, err, tt.ok)
		}
	}
}

// At some issuers, users can set any email address. If unverified addresses were accepted, these
// users could choose any name.
func TestAnEmailIsANameOnlyIfItIsVerified(t *testing.T) {
	i := newIssuer(t)
	p := i.provider(func(o *oidc.Options) { o.Principal, o.Kind = "{email}", policy.User })
	for _, tt := range []struct {
		verified any
		ok       bool
	}{{true, true}, {"true", true}, {false, false}, {nil, false}, {1, false}, {"yes", false}} {
		v, err := show(t, p, i.token(claims{"email": "ann@example.com", "email_verified": tt.verified}))
		if ok := err == nil && v.Principal.Kind == policy.User; ok != tt.ok {
			t.Errorf("email_verified: %v: %v, want valid: %t", tt.verified, err, tt.ok)
		}
	}
}

func TestTheTypedNameIsIgnored(t *testing.T) {
	i := newIssuer(t)
	p, raw := i.provider(), i.token()
	for _, name := range []string{"", "oidc", "admin", "job:1", "*"} {
		for _, secret := range []string{raw, " " + raw + "\n"} {
			v, err := p.Authenticate(t.Context(), identity.NewPresented(name, secret))
			if err != nil || v.Principal.Name != "job:1" {
				t.Errorf("with the name %q: %v, %v", name, v.Principal, err)
			}
		}
	}
}

// If there are several issuers, only the issuer named in the token verifies the token. An
// invalid token of one issuer is not tried with another issuer.
func TestTheIssuerOfATokenVerifiesIt(t *testing.T) {
	a, b := newIssuer(t), newIssuer(t)
	b.Clock = a.Clock
	named := func(name string, audience ...string) func(*oidc.Options) {
		return func(o *oidc.Options) { o.Name, o.Audience = name, audience }
	}
	var sources []identity.Source
	for name, p := range map[string]*oidc.Provider{
		"oidc:a1": a.provider(named("a1", "one")), "oidc:a2": a.provider(named("a2", "two", "three")), "oidc:b": b.provider(named("b", "one")),
	} {
		sources = append(sources, identity.Source{Name: name, Authenticator: p, Remote: true, Kinds: []identity.Kind{identity.IDToken}})
	}
	chain := chain.New(chain.Options{Sources: sources})
	for _, tt := range []struct {
		what, raw, source string
	}{
		{"of a for one", a.token(claims{"aud": "one"}), "oidc:a1"},
		{"of a for two", a.token(claims{"aud": "two"}), "oidc:a2"},
		{"of a for two and three", a.token(claims{"aud": []string{"three", "two"}}), "oidc:a2"},
		{"of a for one and two, which are two providers'", a.token(claims{"aud": []string{"one", "two"}}), ""},
		{"of b for one", b.token(claims{"aud": "one"}), "oidc:b"},
		{"of b for two", b.token(claims{"aud": "two"}), ""},
		{"of b, with the issuer a", b.token(claims{"aud": "one", "iss": a.url}), ""},
		{"of an unknown issuer", b.token(claims{"aud": "one", "iss": "https://evil.example.com"}), ""},
		{"of a with an additional slash", a.token(claims{"aud": "one", "iss": a.url + "/"}), ""},
		{"of a list of issuers", a.token(claims{"aud": "one", "iss": []string{a.url}}), ""},
		{"without an issuer", a.token(claims{"aud": "one", "iss": nil}), ""},
	} {
		v, err := chain.Authenticate(t.Context(), identity.NewPresented("oidc", tt.raw))
		source := ""
		if err == nil {
			source = v.Principal.Source
		} else if !errors.Is(err, identity.ErrRejected) {
			t.Errorf("%s: %v", tt.what, err)
		}
		if source != tt.source {
			t.Errorf("a token %s: verified by %q, want %q (%v)", tt.what, source, tt.source, err)
		}
	}
}

// If an issuer is down, tokens of other issuers are not affected. For tokens of this issuer, the
// result is an outage and not a refusal.
func TestAnIssuerThatIsDownStopsOnlyItsOwnTokens(t *testing.T) {
	up, down := newIssuer(t), newIssuer(t)
	down.Clock = up.Clock
	down.fail()
	chain := chain.New(chain.Options{Sources: []identity.Source{
		{Name: "oidc:down", Authenticator: down.provider(), Remote: true, Kinds: []identity.Kind{identity.IDToken}},
		{Name: "oidc:up", Authenticator: up.provider(), Remote: true, Kinds: []identity.Kind{identity.IDToken}},
	}})
	if v, err := chain.Authenticate(t.Context(), identity.NewPresented("oidc", up.token())); err != nil {
		t.Errorf("a token of the other issuer: %v, %v", v.Principal, err)
	}
	if _, err := chain.Authenticate(t.Context(), identity.NewPresented("oidc", down.token())); !errors.Is(err, identity.ErrUnavailable) {
		t.Errorf("a token of the issuer: %v, want %v", err, identity.ErrUnavailable)
	}
	if _, err := chain.Authenticate(t.Context(), identity.NewPresented("oidc", down.token(claims{"aud": "another"}))); !errors.Is(err, identity.ErrRejected) {
		t.Errorf("its own token for somebody else: %v, want %v, with any source down", err, identity.ErrRejected)
	}
}

// Harbor GHSA-prh4-vhfh-24mj, zot CVE-2025-48374: secrets appeared in logs.
func TestARefusalIsExplainedInTheLogWithoutTheToken(t *testing.T) {
	i, log := newIssuer(t), new(await.Log)
	p := i.provider(func(o *oidc.Options) {
		o.Log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		o.Require = map[string][]string{"owner": {"acme"}}
	})
	var shown []string
	for _, c := range []claims{{}, {"owner": "other"}, {"aud": "x"}, {"exp": 1}, {"iat": nil, "exp": i.Now().Add(1000 * time.Hour).Unix()}, {"owner": "acme"}, {"sub": "line\nend"}} {
		raw := i.token(c)
		shown = append(shown, raw, newKey(t, "one").sign(t, i.claims().extend(c)), newKey(t, "other").sign(t, i.claims().extend(c)))
	}
	for _, raw := range shown {
		_, _ = show(t, p, raw)
		_ = p.Explain(t.Context(), identity.NewPresented("oidc", raw))
		for part := range strings.SplitSeq(raw, ".") {
			if strings.Contains(log.String(), part) {
				t.Errorf("the log has a part of the token %s", part)
			}
		}
	}
	for _, reason := range []string{"claim owner does not meet the requirement: it is missing", `it is \"other\"`, "another audience: x", "it has expired, at 1970", "signature is wrong", "no key", `subject=job:1`} {
		if log.Count(reason) == 0 {
			t.Errorf("the log has no %q:\n%s", reason, log)
		}
	}
}

// Anyone can send tokens, so the log must not grow with each token.
func TestRefusalsThatAreLoggedAreBounded(t *testing.T) {
	i, log := newIssuer(t), new(await.Log)
	p := i.provider(func(o *oidc.Options) { o.Log = slog.New(slog.NewTextHandler(log, nil)) })
	for range 500 {
		_ = p.Explain(t.Context(), identity.NewPresented("oidc", i.token(claims{"aud": strings.Repeat("x", 5000)})))
	}
	if n := log.Count("\n"); n != 20 || len(log.String()) > 20_000 {
		t.Errorf("%d lines in %d bytes are logged, want 20", n, len(log.String()))
	}
	i.Pass(10 * time.Second)
	_ = p.Explain(t.Context(), identity.NewPresented("oidc", i.token(claims{"aud": "y"})))
	if log.Count("lines_not_logged=480") != 1 {
		t.Errorf("the log has no number of dropped lines:\n%s", log)
	}
}
