package oidc_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/await"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/chain"
	"github.com/tidewaiter/tidewaiter/internal/identity/oidc"
	"github.com/tidewaiter/tidewaiter/internal/ratelimit"
)

// explanation returns the explanation for the owner of a token. If the error has no explanation,
// it returns "".
func explanation(err error) string {
	if explained, ok := errors.AsType[*identity.ExplainedError](err); ok {
		return explained.Error()
	}
	if incomplete, ok := errors.AsType[*identity.IncompleteError](err); ok {
		return incomplete.Error()
	}
	return ""
}

// If a refused token has a valid signature, the client gets the reason each time. For a forged
// token with the same claims, the client does not get the reason. The log and the journal have the
// reason in both cases.
func TestARefusedTokenWithAValidSignatureIsExplained(t *testing.T) {
	for _, tt := range []struct {
		what   string
		claims claims
		want   string
		untold string // the reason in the log for a forged token; "": the signature is wrong
	}{
		{"expired", claims{"exp": 1764500000}, "the ID token is refused: it has expired, at 2025-11-30T10:53:20Z", "it has expired, at 2025-11-30T10:53:20Z"},
		{"not yet valid", claims{"nbf": 1796000000, "exp": 1796000300}, "the ID token is refused: it is not valid before (nbf) 2026-11-30T00:53:20Z", "it is not valid before (nbf) 2026-11-30T00:53:20Z"},
		{"issued later", claims{"iat": 1796000000, "exp": 1796000300}, "the ID token is refused: it is issued in the future (iat), at 2026-11-30T00:53:20Z", "it is issued in the future (iat), at 2026-11-30T00:53:20Z"},
		{"too old", claims{"iat": 1764500000}, "the ID token is refused: it is older than max_age: it was issued at 2025-11-30T10:53:20Z", "it is older than max_age: it was issued at 2025-11-30T10:53:20Z"},
		{"without an expiry", claims{"exp": nil}, "the ID token is refused: it never expires: it has no exp", "it never expires: it has no exp"},
		{"for another", claims{"aud": "sts.example.com"}, "the ID token is refused: it is for another audience: sts.example.com", "it is for another audience: sts.example.com"},
		{"for others", claims{"aud": []string{"https://auth.example.com", "x"}}, "the ID token is refused: it is for other audiences as well: https://auth.example.com, x", "it is for other audiences as well: https://auth.example.com, x"},
		{"for nobody", claims{"aud": nil}, "the ID token is refused: it has no audience", "it has no audience"},
		{"of another owner", claims{"owner": "evil"}, `the ID token is refused: the claim owner does not meet the requirement: it is "evil"`, ""},
		{"without an owner", claims{"owner": nil}, "the ID token is refused: the claim owner does not meet the requirement: it is missing", ""},
		{"a name that is too long", claims{"sub": strings.Repeat("x", 300)}, "the ID token is refused: its name {sub} cannot be used: it has 300 bytes, and the limit is 256", ""},
		{"a name with a blank", claims{"sub": "x "}, "the ID token is refused: its name {sub} cannot be used: it begins or ends with white space", ""},
		{"a group that is too long", claims{"groups": []string{strings.Repeat("x", 300)}}, "not all groups are known: the group \"" + strings.Repeat("x", 197) + "…\" cannot be used: it has 300 bytes, and the limit is 256", ""},
		{"groups left out", claims{"hasgroups": true}, "not all groups are known: the token leaves out groups, because there are too many of them (hasgroups)", ""},
	} {
		t.Run(tt.what, func(t *testing.T) {
			i, log := newIssuer(t), new(await.Log)
			p := i.provider(func(o *oidc.Options) {
				o.Require, o.Groups = map[string][]string{"owner": {"acme"}}, []string{"{groups}"}
				o.Log = slog.New(slog.NewTextHandler(log, nil))
			})
			chain := chain.New(chain.Options{
				Sources: []identity.Source{{Name: "oidc:ci", Authenticator: p, Remote: true, Kinds: []identity.Kind{identity.IDToken}}},
				Limiter: ratelimit.New(ratelimit.Options{Now: i.Now}),
			})
			all := i.claims().extend(claims{"owner": "acme"}).extend(tt.claims)
			for n := range 3 { // from the second time on, the result is cached
				_, err := chain.Authenticate(t.Context(), identity.NewPresented("oidc", i.key.sign(t, all)))
				if !errors.Is(err, identity.ErrRejected) || explanation(err) != tt.want {
					t.Fatalf("time %d (-want +got):\n%s", n, cmp.Diff(tt.want, explanation(err)))
				}
			}
			if log.Count("ID token refused") == 0 {
				t.Error("nothing is logged")
			}

			forged := signing{i.key.kid, i.key.alg, newKey(t, "").key}.sign(t, all)
			for n := range 3 {
				_, err := chain.Authenticate(t.Context(), identity.NewPresented("oidc", forged))
				if !errors.Is(err, identity.ErrRejected) || explanation(err) != "" {
					t.Fatalf("the refusal of a forged token is explained: %v", err)
				}
				reason := tt.untold
				if reason == "" {
					reason = "its signature is wrong"
				}
				if n == 0 && !strings.Contains(identity.Reason(err), reason) {
					t.Errorf("the journal entry of a forged token: %s", identity.Reason(err))
				}
			}
		})
	}
}

// The issuer is down. If Tidewaiter can find a reason for a refusal without the issuer's keys, it
// refuses the token at once.
func TestAnExpiredTokenIsRefusedWhileItsIssuerIsDown(t *testing.T) {
	i := newIssuer(t)
	i.fail()
	_, err := show(t, i.provider(), i.token(claims{"exp": 1764500000}))
	if !errors.Is(err, identity.ErrRejected) || explanation(err) != "" {
		t.Errorf("%v", err)
	}
}

// If several entries have the same issuer, a token still costs only one signature check. A
// refusal is explained only if the token is not for any audience of these entries.
func TestATokenForAnotherEntryIsNotExplained(t *testing.T) {
	i, log := newIssuer(t), new(await.Log)
	var sources []identity.Source
	for _, audience := range []string{"one", "two", "three"} {
		sources = append(sources, identity.Source{Name: "oidc:" + audience, Remote: true, Kinds: []identity.Kind{identity.IDToken}, Authenticator: i.provider(func(o *oidc.Options) {
			o.Name, o.Audience = audience, []string{audience}
			o.Log = slog.New(slog.NewTextHandler(log, nil))
		})})
	}
	chain := chain.New(chain.Options{Sources: sources})
	sign := func(audience string) error {
		_, err := chain.Authenticate(t.Context(), identity.NewPresented("oidc", i.token(claims{"aud": audience})))
		return err
	}
	for _, audience := range []string{"three", "two", "one"} {
		if err := sign(audience); err != nil {
			t.Error(err)
		}
	}
	if log.String() != "" {
		t.Errorf("an accepted token is logged as refused:\n%s", log)
	}
	if got := explanation(sign("four")); got != "the ID token is refused: it is for another audience: four" || log.Count("another audience") != 1 {
		t.Errorf("%s\n%s", got, log)
	}
}

// A token of an unknown issuer is not explained, and the journal names the issuer.
func TestATokenOfAnotherIssuerIsNamedInTheJournal(t *testing.T) {
	i, other := newIssuer(t), newIssuer(t)
	source := func(name string, p *oidc.Provider) identity.Source {
		return identity.Source{Name: name, Authenticator: p, Remote: true, Kinds: []identity.Kind{identity.IDToken}}
	}
	chain := chain.New(chain.Options{Sources: []identity.Source{source("oidc:a", i.provider()), source("oidc:b", other.provider())}})
	for _, tt := range []struct {
		issuer any
		want   string
	}{
		{"https://evil.example.com", `no source is for its issuer, "https://evil.example.com"`},
		{i.url + "/", `no source is for its issuer, "` + i.url + `/"`},
		{"line\nend", `no source is for its issuer, "line\nend"`},
		{nil, `no source is for its issuer, ""`},
		{7, `no source is for its issuer, ""`},
	} {
		_, err := chain.Authenticate(t.Context(), identity.NewPresented("oidc", i.token(claims{"iss": tt.issuer})))
		if !errors.Is(err, identity.ErrRejected) || explanation(err) != "" || identity.Reason(err) != tt.want {
			t.Errorf("%v: %v: %s, want %s", tt.issuer, err, identity.Reason(err), tt.want)
		}
	}
	// The reason comes from the source that has the issuer of the token. The order of the
	// sources does not matter.
	_, err := chain.Authenticate(t.Context(), identity.NewPresented("oidc", other.token(claims{"aud": "x"})))
	if got := explanation(err); got != "the ID token is refused: it is for another audience: x" {
		t.Errorf("%v: %s", err, got)
	}
}

// After a token has become valid, its cached refusal lasts for at most two minutes.
func TestARefusalIsCachedForAShortTime(t *testing.T) {
	i := newIssuer(t)
	p := i.provider()
	early := i.token(claims{"nbf": i.Now().Add(5 * time.Minute).Unix(), "exp": i.Now().Add(time.Hour).Unix()})
	want(t, "a token that begins later", outcome(t, p, early), "refused")
	i.Pass(5 * time.Minute)
	want(t, "the same token, when it has become valid", outcome(t, p, early), "taken")
}

// Only a refusal for an unmet requirement names the user. If a token has expired, the user's next
// token can still be valid.
func TestAnUnmetRequirementNamesTheUser(t *testing.T) {
	i := newIssuer(t)
	p := i.provider(func(o *oidc.Options) { o.Require = map[string][]string{"active": {"true"}} })
	for _, tt := range []struct {
		claims claims
		person string
	}{
		{claims{"active": false}, i.url + "#job:1"},
		{claims{"active": false, "sub": nil}, ""},
		{claims{"active": true, "exp": 1764500000}, ""},
		{claims{"active": false, "exp": 1764500000}, ""},
	} {
		_, err := show(t, p, i.token(tt.claims))
		explained, ok := errors.AsType[*identity.ExplainedError](err)
		if !ok || explained.Person != tt.person {
			t.Errorf("%v: %v: %+v", tt.claims, err, explained)
		}
	}
}
