package ask_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/internal/text/texttest"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/ask"
	"github.com/tidewaiter/tidewaiter/policy/internal/policygen"
	"github.com/tidewaiter/tidewaiter/scope"
)

func TestObstaclesOfRules(t *testing.T) {
	at := policy.Origin{File: "policy.yaml", Line: 3}
	for _, tt := range []struct {
		rule policy.Rule
		why  string
	}{
		{
			policy.Rule{Subjects: []string{"group:ops", "robot:ci"}, Names: []string{"team/**"}, Role: "writer"},
			`"it" (policy.yaml:3) allows pull,push, but it is for group:ops or robot:ci and not for user:ann`,
		},
		{
			policy.Rule{Subjects: []string{"anyone"}, Names: []string{"team/app/**"}, Actions: scope.Push},
			`"it" (policy.yaml:3) allows push, but it is about team/app/** and not about team/app`,
		},
		{
			policy.Rule{Subjects: []string{"anyone"}, Names: []string{"a", "b", "c", "d", "e", "f", "g"}, Actions: scope.Push},
			`"it" (policy.yaml:3) allows push, but it is about a, b, c, d, e or 2 more and not about team/app`,
		},
		{
			policy.Rule{Subjects: []string{"anyone"}, Names: []string{"team/*"}, Actions: scope.Pull},
			`"it" (policy.yaml:3) allows pull, but it does not allow push`,
		},
		{
			policy.Rule{Subjects: []string{"anyone"}, Names: []string{"team/*"}, Actions: scope.Push, Registries: []string{"a.example.com"}},
			`"it" (policy.yaml:3) allows push, but it is for the registry a.example.com and not for registry.example.com`,
		},
		{
			policy.Rule{Subjects: []string{"anyone"}, Names: []string{"team/*"}, Actions: scope.Push, When: policygen.Fixed(false, nil)},
			`"it" (policy.yaml:3) allows push, but its condition is false: fixed(false, <nil>) (where x is false)`,
		},
		{
			policy.Rule{Subjects: []string{"anyone"}, Names: []string{"team/*"}, Actions: scope.Push, When: policygen.Fixed(false, errors.New("no such key: ref"))},
			`"it" (policy.yaml:3) allows push, but its condition fails (no such key: ref): fixed(false, no such key: ref) (where x is false)`,
		},
		{
			policy.Rule{Subjects: []string{"group:ops"}, Names: []string{"team/*"}, Actions: scope.Pull, Registries: []string{"a.example.com"}, When: policygen.Fixed(false, nil)},
			`"it" (policy.yaml:3) allows pull, but it is for group:ops and not for user:ann, and it is for the registry a.example.com and not for registry.example.com, ` +
				`and it does not allow push, and its condition is false: fixed(false, <nil>) (where x is false)`,
		},
		// Too far away.
		{policy.Rule{Subjects: []string{"group:ops"}, Names: []string{"other/**"}, Actions: scope.Push}, ``},
		{policy.Rule{Subjects: []string{"anyone"}, Type: "registry", Names: []string{"catalog"}, Actions: scope.All}, ``},
		// The rule denies push, which was not granted.
		{policy.Rule{Subjects: []string{"group:ops"}, Names: []string{"team/**"}, Actions: scope.Push, Deny: true}, ``},
	} {
		tt.rule.Name, tt.rule.Origin = "it", at
		p := policygen.Compile(t, policy.Source{Roles: map[string]policy.Role{"writer": {Actions: scope.Pull | scope.Push}}, Rules: []policy.Rule{tt.rule}})
		e := ask.Explain(p, &policy.Request{Principal: policygen.Principal("ann +dev"), Registry: "registry.example.com", Scopes: policygen.Scopes(t, "repository:team/app:push")})
		var got []string
		for _, n := range e.Near[0].Rules {
			got = append(got, n.Why())
		}
		if diff := cmp.Diff(tt.why, strings.Join(got, "\n")); diff != "" {
			t.Errorf("why (-want +got):\n%s", diff)
		}
	}
}

func TestPlaceholdersWithoutValues(t *testing.T) {
	for _, tt := range []struct {
		who     *policy.Principal
		pattern string
		why     string
	}{
		{&policy.Principal{Kind: policy.User, Name: "ann@example.com"}, "${user}/**", `${user} matches nothing, because ann@example.com cannot be a path part of a repository`},
		{&policy.Principal{Kind: policy.User, Name: "Ann"}, "${user}/**", `${user} matches nothing, because Ann cannot be a path part of a repository`},
		{&policy.Principal{Kind: policy.User, Name: "bob"}, "${user}/**", ``},
		{&policy.Principal{Kind: policy.Robot, Name: "ann"}, "${user}/**", `${user} is the name of a user, but this is robot:ann`},
		{&policy.Principal{Kind: policy.User, Name: "ann"}, "${claims.team}/**", `${claims.team} matches nothing, because user:ann has no such claim`},
		{&policy.Principal{Kind: policy.User, Name: "ann", Claims: map[string]any{"team": nil}}, "${claims.team}/**", `${claims.team} matches nothing, because the claim is not a text, number, true or false`},
		{&policy.Principal{Kind: policy.User, Name: "ann", Claims: map[string]any{"team": "a/*"}}, "${claims.team}/**", `${claims.team} matches nothing, because a/* cannot be a path part of a repository`},
		{&policy.Principal{Kind: policy.User, Name: "ann", Claims: map[string]any{"team": []string{"A", "b"}}}, "${claims.team}/**", ``},
	} {
		p := policygen.Compile(t, policy.Source{Rules: []policy.Rule{{Name: "it", Subjects: []string{"anyone"}, Names: []string{tt.pattern}, Actions: scope.Pull}}})
		e := ask.Explain(p, &policy.Request{Principal: tt.who, Scopes: policygen.Scopes(t, "repository:ann/app:pull")})
		want := "it is about " + tt.pattern + " and not about ann/app"
		if tt.why != "" {
			want += "; " + tt.why
		}
		if len(e.Near[0].Rules) != 1 {
			t.Fatalf("%v: %v", tt.who, e.Near)
		}
		if diff := cmp.Diff([]ask.Obstacle{{Field: "names", Text: want}}, e.Near[0].Rules[0].Obstacles); diff != "" {
			t.Errorf("obstacles (-want +got):\n%s", diff)
		}
	}
}

func TestNearestRulesComeFirst(t *testing.T) {
	rules := []policy.Rule{
		{Name: "another name", Subjects: []string{"anyone"}, Names: []string{"x/y"}, Actions: scope.Push},
		{Name: "a name half right", Subjects: []string{"anyone"}, Names: []string{"x/y", "team/api"}, Actions: scope.Push},
		{Name: "another subject", Subjects: []string{"user:bob"}, Names: []string{"team/**"}, Actions: scope.Push},
		{Name: "another registry", Subjects: []string{"anyone"}, Names: []string{"team/**"}, Registries: []string{"a"}, Actions: scope.Push},
		{Name: "another action", Subjects: []string{"anyone"}, Names: []string{"team/**"}, Actions: scope.Delete},
		{Name: "a condition", Subjects: []string{"anyone"}, Names: []string{"team/**"}, Actions: scope.Push, When: policygen.Fixed(false, nil)},
		{Name: "the one for pull", Subjects: []string{"anyone"}, Names: []string{"team/**"}, Actions: scope.Pull},
		{Name: "a deny", Deny: true, Subjects: []string{"anyone"}, Names: []string{"team/**"}, Actions: scope.Pull, When: policygen.Fixed(false, nil)},
	}
	p := policygen.Compile(t, policy.Source{Rules: rules})
	e := ask.Explain(p, &policy.Request{Principal: policygen.Principal("ann"), Scopes: policygen.Scopes(t, "repository:team/app:pull,push")})
	var got []string
	for _, n := range e.Near[0].Rules {
		got = append(got, n.Rule.Name)
	}
	want := []string{
		"a condition", "a deny", "another action", "the one for pull", "another registry", "another subject", "a name half right", "another name",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("near (-want +got):\n%s", diff)
	}
}

func TestExplainListsTwentyRules(t *testing.T) {
	var source policy.Source
	for i := range 1_000 {
		source.Rules = append(source.Rules, policy.Rule{
			Name: fmt.Sprint(i), Subjects: []string{"group:dev"}, Names: []string{fmt.Sprintf("apps/app%d", i)}, Actions: scope.Pull,
		})
	}
	p := policygen.Compile(t, source)
	e := ask.Explain(p, &policy.Request{Principal: policygen.Principal("ann +dev"), Scopes: policygen.Scopes(t, "repository:apps/none:pull")})
	if n := e.Near[0]; len(n.Rules) != 20 || n.More != 980 {
		t.Errorf("%d and %d more", len(n.Rules), n.More)
	}
	if !strings.HasSuffix(e.String(), "    … and 980 more\n") {
		t.Error(e)
	}
}

// Explain agrees with Decide.
func TestExplainAgreesWithDecide(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		source, r := policygen.DrawSource(t), policygen.DrawRequest(t)
		p, err := policy.Compile(source)
		if err != nil {
			t.Fatal(err)
		}
		e := ask.Explain(p, r)
		if diff := cmp.Diff(fmt.Sprint(p.Decide(r)), fmt.Sprint(e.Decision)); diff != "" {
			t.Errorf("decision (-want +got):\n%s", diff)
		}
		if e.String() == "" {
			t.Error("no text")
		}
		for i, result := range e.Results {
			for _, n := range e.Near[i].Rules {
				if len(n.Obstacles) == 0 || n.Why() == "" {
					t.Errorf("%v: the nearby rule %v has no obstacle", result.Asked, n.Rule)
				}
				for _, c := range result.Causes {
					if c.Rule == n.Rule && c.Reason == policy.Denied {
						t.Errorf("%v: the rule %v is listed as nearly applied, although it denied the action", result.Asked, n.Rule)
					}
				}
			}
		}
	})
}

// Shortest returns a rule that took part in the decision. If that rule is removed, the decision
// has another lifetime, or another rule with the same lifetime limits it.
func TestPropertyTheShortestLifetimeIsOfARuleThatGrants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		source, r := policygen.DrawSource(t), policygen.DrawRequest(t)
		p := policygen.Compile(t, source)
		d := p.Decide(r)
		rule := ask.Shortest(p, r, &d)
		if (rule == nil) != (d.Lifetime == 0) {
			t.Fatalf("the lifetime is %s, but Shortest returned %v", d.Lifetime, rule)
		}
		if rule == nil {
			return
		}
		own := []time.Duration{rule.Lifetime, source.Roles[rule.Role].Lifetime}
		if !slices.Contains(own, d.Lifetime) {
			t.Fatalf("%s sets %v, but the lifetime is %s", rule, own, d.Lifetime)
		}
		source.Rules = slices.DeleteFunc(slices.Clone(source.Rules), func(other policy.Rule) bool { return other.Name == rule.Name })
		without := policygen.Compile(t, source)
		left := without.Decide(r)
		if left.Lifetime != 0 && left.Lifetime < d.Lifetime {
			t.Fatalf("without %s, the lifetime is %s; with the rule, it is %s", rule, left.Lifetime, d.Lifetime)
		}
	})
}

// Untrusted text cannot add lines to printed explanations.
func TestThreatUntrustedTextAddsNoLines(t *testing.T) {
	p := policygen.Compile(t, policy.Source{Rules: []policy.Rule{
		{Name: "own", Subjects: []string{"signed-in"}, Names: []string{"${user}/**"}, Actions: scope.Pull},
		{Name: "b", Subjects: []string{"user:b"}, Names: []string{"**"}, Actions: scope.Pull, When: policygen.Fixed(false, errors.New("x\ny"))}}})
	for _, h := range texttest.All {
		evil := h.Text
		page := ask.Explain(p, &policy.Request{
			Principal: &policy.Principal{Kind: policy.User, Name: evil, Groups: []string{evil}, Claims: map[string]any{"team": evil}},
			Registry:  evil,
			Scopes:    []scope.Scope{{Type: "repository", Name: "x", Actions: scope.Pull}},
		}).String()
		for _, line := range strings.Split(page, "\n") {
			if !text.Printable(line) || strings.HasPrefix(line, "level=ERROR") {
				t.Errorf("%s: %q", h.Harm, line)
			}
		}
	}
}
