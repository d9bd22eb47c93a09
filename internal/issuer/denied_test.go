package issuer_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/issuer"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// deniedText requests a token for a client that shows its user the text of a refusal. It returns
// this text without the id of the decision, or "" if the client got a token.
func (b *fixture) deniedText(r *issuer.Request) string {
	b.Helper()
	r.ShowsText = true
	_, err := b.Issue(b.Context(), r)
	var denied *issuer.DeniedError
	if errors.As(err, &denied) {
		return strings.ReplaceAll(err.Error(), denied.ID.Short(), "ID")
	}
	if err != nil {
		b.Fatal(err)
	}
	return ""
}

func TestRefusalHasWhatThePrincipalMayKnow(t *testing.T) {
	b := newFixture(t, func(l *issuer.Live) {
		l.Registries["r"].Explained = true
		l.Policy = compile(t,
			policy.Rule{Name: "readers", Subjects: []string{"signed-in"}, Names: []string{"pub/**", "prod/**", "night/**"}, Actions: scope.Pull},
			policy.Rule{Name: "writers", Subjects: []string{"group:dev"}, Names: []string{"pub/**", "prod/**"}, Actions: scope.Push},
			policy.Rule{Name: "freeze", Deny: true, Subjects: []string{"anyone"}, Names: []string{"prod/**", "secret/frozen"}, Actions: scope.Push},
			policy.Rule{Name: "by day", Subjects: []string{"signed-in"}, Names: []string{"night/**", "secret/late"}, Actions: scope.Push, When: neverHolds{}},
			policy.Rule{Name: "list", Subjects: []string{"group:dev", "robot:ci"}, Type: scope.TypeRegistry, Names: []string{"catalog"}, Actions: scope.All},
			policy.Rule{Name: "list not", Deny: true, Subjects: []string{"robot:ci"}, Type: scope.TypeRegistry, Names: []string{"catalog"}, Actions: scope.All},
			policy.Rule{Name: "cleaners", Subjects: []string{"user:cleo"}, Names: []string{"pub/**"}, Actions: scope.Delete},
		)
	})
	narrow := []policy.Limit{{Names: []string{"**"}, Actions: scope.Pull}}
	b.source = func(c identity.Presented) (identity.Verified, error) {
		p := &policy.Principal{Kind: policy.User, Name: c.Name, ID: c.Name, Source: "test"}
		switch c.Name {
		case "dan":
			p.Groups = []string{"dev"}
		case "eve":
			p.Groups, p.Limits = []string{"dev"}, narrow
		case "robot+ci":
			p.Kind, p.Name = policy.Robot, "ci"
		}
		return identity.Verified{Principal: p}, nil
	}
	for _, tt := range []struct{ who, asks, text string }{
		{"bob", "repository:pub/app:pull,push", "bob may not push to pub/app: no rule allows it (decision ID)"},
		{"dan", "repository:prod/app:pull,push", "dan may not push to prod/app: a rule denies it (decision ID)"},
		{"dan", "repository:night/app:pull,push", "dan may not push to night/app: the condition of a rule does not hold (decision ID)"},
		{"eve", "repository:pub/app:pull,push", "eve may not push to pub/app: the restrictions of the credential do not allow it (decision ID)"},
		{"robot+ci", "repository:pub/app:pull,push", "robot+ci may not push to pub/app: no rule allows it (decision ID)"},

		// A principal who may not pull learns nothing about repositories or rules.
		{"bob", "repository:secret/app:pull", "bob may not pull secret/app, or there is no such repository (decision ID)"},
		{"bob", "repository:secret/app:pull,push", "bob may not pull from or push to secret/app, or there is no such repository (decision ID)"},
		{"bob", "repository:secret/frozen:pull,push", "bob may not pull from or push to secret/frozen, or there is no such repository (decision ID)"},
		{"bob", "repository:secret/late:pull,push", "bob may not pull from or push to secret/late, or there is no such repository (decision ID)"},

		// A deletion needs only the action delete, even if the client requests other actions.
		{"bob", "repository:pub/app:pull,push,delete", "bob may not delete in pub/app: no rule allows it (decision ID)"},
		{"bob", "repository:pub/app:delete", "bob may not delete in pub/app, or there is no such repository (decision ID)"},
		{"cleo", "repository:pub/app:pull,push,delete", ""},
		{"cleo", "repository:pub/app:delete", ""},

		// The granted actions are enough, so the client gets a token.
		{"bob", "repository:pub/app:pull", ""},
		{"dan", "repository:pub/app:pull,push", ""},
		// A mount works even if access to the source repository is denied.
		{"bob", "repository:pub/app:pull repository:secret/app:pull", ""},
		// Every registry has a catalog, so the answer reveals nothing.
		{"bob", "registry:catalog:*", "bob may not list the catalog: no rule allows it (decision ID)"},
		{"robot+ci", "registry:catalog:*", "robot+ci may not list the catalog: a rule denies it (decision ID)"},
		{"dan", "registry:catalog:*", ""},
		{"bob", "", ""},
	} {
		if got := b.deniedText(request(tt.who, strings.Fields(tt.asks)...)); got != tt.text {
			t.Errorf("%s asks for %q\n got %q\nwant %q", tt.who, tt.asks, got, tt.text)
		}
	}

	// The name of a rule is shown only if ShowRules is set and the principal may pull.
	b.Swap(func(l issuer.Live) issuer.Live { l.ShowRules, l.Hint = true, "ask in #registry"; return l })
	for _, tt := range []struct{ who, asks, text string }{
		{"dan", "repository:prod/app:pull,push", `dan may not push to prod/app: rule "freeze" denies it (decision ID); ask in #registry`},
		{"dan", "repository:night/app:pull,push", `dan may not push to night/app: the condition of rule "by day" does not hold (decision ID); ask in #registry`},
		{"bob", "repository:secret/frozen:pull,push", "bob may not pull from or push to secret/frozen, or there is no such repository (decision ID); ask in #registry"},
	} {
		if got := b.deniedText(request(tt.who, tt.asks)); got != tt.text {
			t.Errorf("%s asks for %q\n got %q\nwant %q", tt.who, tt.asks, got, tt.text)
		}
	}
}

// If less is granted than requested, the specification prefers a token with less access. Such a
// token is the answer to anonymous requests, to clients that do not show the text of a refusal,
// and for registries without Explained.
func TestTokenWithLessAccessIsTheDefault(t *testing.T) {
	b := newFixture(t, func(l *issuer.Live) {
		l.Policy, l.Anonymous = compile(t), true
		l.Registries["r"].Explained = true
	})
	ask := func() *issuer.Request { r := request("bob", "repository:a/b:pull"); r.ShowsText = true; return r }
	nobody, silent := ask(), ask()
	nobody.Credentials, silent.ShowsText = identity.Presented{}, false
	for what, r := range map[string]*issuer.Request{"anonymous": nobody, "a client that shows no text": silent} {
		if a := b.issue(r); a.Decision.Results[0].Granted != 0 {
			t.Errorf("%s: %v is granted", what, a.Decision.Results)
		}
	}
	if b.deniedText(ask()) == "" {
		t.Error("a signed-in user got a token instead of an explanation")
	}
	b.Swap(func(l issuer.Live) issuer.Live {
		plain := *l.Registries["r"]
		plain.Explained = false
		l.Registries = map[string]*issuer.Registry{"r": &plain}
		return l
	})
	if text := b.deniedText(ask()); text != "" {
		t.Errorf("a registry without Explained got the refusal %q", text)
	}
}

// Gitea, Harbor and others had a weakness: their answers revealed which private repositories
// exist. Here, all refusals to a principal without access to a repository have the same text, no
// matter what the rules are.
func TestRefusalDoesNotRevealRepositories(t *testing.T) {
	b := newFixture(t, nil)
	rapid.Check(t, func(t *rapid.T) {
		var rules []policy.Rule
		for i := range rapid.IntRange(0, 6).Draw(t, "rules") {
			r := policy.Rule{
				Name:     fmt.Sprint("rule ", i),
				Deny:     rapid.Bool().Draw(t, "deny"),
				Subjects: []string{rapid.SampledFrom([]string{"anyone", "user:bob", "group:dev"}).Draw(t, "subject")},
				Names:    []string{rapid.SampledFrom([]string{"a/b", "a/*", "**", "c/d", "${user}/**"}).Draw(t, "name")},
				Actions:  rapid.SampledFrom([]scope.Actions{scope.Push, scope.Delete, scope.Push | scope.Delete, scope.Pull, scope.Repository}).Draw(t, "actions"),
			}
			if rapid.Bool().Draw(t, "conditional") {
				r.When = neverHolds{}
			}
			rules = append(rules, r)
		}
		b.Swap(func(l issuer.Live) issuer.Live {
			l.Policy = compile(b, rules...)
			l.ShowRules = rapid.Bool().Draw(t, "show rules")
			l.Registries = map[string]*issuer.Registry{"r": {Service: "r", Lifetime: l.Registries["r"].Lifetime, Explained: true}}
			return l
		})
		for _, actions := range []string{"pull", "push", "pull,push", "pull,push,delete"} {
			r := request("bob", "repository:a/b:"+actions)
			d := b.Live().Policy.Decide(&policy.Request{Principal: &policy.Principal{Kind: policy.User, Name: "bob"}, Registry: "r", Scopes: r.Scopes})
			text := b.deniedText(r)
			if d.Results[0].Granted != 0 {
				continue
			}
			b.Swap(func(l issuer.Live) issuer.Live { l.Policy = compile(b); return l })
			plain := b.deniedText(request("bob", "repository:a/b:"+actions))
			if text == "" || text != plain {
				t.Fatalf("the refusal of %s is %q, and without rules it is %q", actions, text, plain)
			}
			b.Swap(func(l issuer.Live) issuer.Live { l.Policy = compile(b, rules...); return l })
		}
	})
}

// neverHolds is a condition that never holds.
type neverHolds struct{}

func (neverHolds) Holds(*policy.Request) (bool, error)    { return false, nil }
func (neverHolds) Explain(*policy.Request) []policy.Value { return nil }
func (neverHolds) String() string                         { return "false" }
