package ask_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/ask"
	"github.com/tidewaiter/tidewaiter/policy/internal/policygen"
	"github.com/tidewaiter/tidewaiter/scope"
)

// WhoCan agrees with Decide for every principal.
func TestWhoCanAgreesWithDecide(t *testing.T) {
	agrees := func(t interface{ Errorf(string, ...any) }, p *policy.Policy, answer ask.Answer, who *policy.Principal, registry string) (granted bool) {
		r := &policy.Request{Principal: who, Registry: registry, Scopes: []scope.Scope{answer.Asked}}
		granted = p.Decide(r).Results[0].Granted != 0
		if got := answer.Covers(r); got != granted {
			t.Errorf("%v of %+v: the answer has %v, Decide has %v\n%v", answer.Asked, who, got, granted, sentences(answer))
		}
		return granted
	}
	rapid.Check(t, func(t *rapid.T) {
		p, err := policy.Compile(policygen.DrawSource(t))
		if err != nil {
			t.Fatal(err)
		}
		for range 4 {
			r := policygen.DrawRequest(t)
			for _, asked := range r.Scopes {
				for _, answer := range ask.WhoCan(p, r.Registry, asked) {
					for range 6 {
						agrees(t, p, answer, policygen.DrawPrincipal(t), r.Registry)
					}
				}
			}
		}
	})
	// Drawn policies may refuse everything. This one does not.
	p := policygen.Compile(t, policy.Source{Rules: []policy.Rule{{Name: "a", Subjects: []string{"group:g1"}, Names: []string{"a/**"}, Actions: scope.Pull}}})
	answers := ask.WhoCan(p, "r1", scope.Scope{Type: "repository", Name: "a/b", Actions: scope.Pull})
	for groups, want := range map[string]bool{"g1": true, "g2": false} {
		who := &policy.Principal{Kind: policy.User, Name: "ann", Groups: []string{groups}}
		if len(answers) != 1 || agrees(t, p, answers[0], who, "r1") != want {
			t.Errorf("groups %s: %d answers, want one, with the result %t", groups, len(answers), want)
		}
	}
}

// A principal that Decide allows is not in Denied, and each entry of Except overlaps with Allowed.
func TestBarredGranteesAreDenied(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, err := policy.Compile(policygen.DrawSource(t))
		if err != nil {
			t.Fatal(err)
		}
		asked := scope.Scope{Type: "repository", Name: policygen.DrawName(t), Actions: scope.Pull}
		for _, barred := range ask.WhoCan(p, "r1", asked)[0].Denied {
			for range 6 {
				r := &policy.Request{Principal: policygen.DrawPrincipal(t), Registry: "r1", Scopes: []scope.Scope{asked}}
				if barred.Is(r.Principal, asked.Name) && p.Decide(r).Results[0].Granted != 0 {
					t.Errorf("%+v has the right, but is in Denied as %v because of %v", r.Principal, barred, barred.By)
				}
			}
		}
	})
}

func sentences(a ask.Answer) string {
	var b strings.Builder
	for _, g := range a.Allowed {
		fmt.Fprintf(&b, "%s: %s\n", g, g.Rule.Name)
	}
	for _, g := range a.Except {
		fmt.Fprintf(&b, "but not %s: %s\n", g, g.Rule.Name)
	}
	for _, g := range a.Denied {
		fmt.Fprintf(&b, "barred %s: %s by %s\n", g.Grantee, g.Rule.Name, g.By.Name)
	}
	return b.String()
}

func TestWhoCan(t *testing.T) {
	const a, d = false, true
	rule := func(deny bool, subjects string, names ...string) policy.Rule {
		return policy.Rule{Deny: deny, Subjects: strings.Fields(subjects), Names: names, Actions: scope.Push}
	}
	for _, tt := range []struct {
		name  string
		rules []policy.Rule
		want  string
	}{
		{"prod/app", []policy.Rule{rule(a, "group:ops robot:ci", "prod/**")}, `
group:ops: 0
robot:ci: 0
`},
		{"prod/app", []policy.Rule{rule(a, "group:ops", "dev/**")}, "\n"},

		// The part of the name that ${user} matches is the required user name.
		{"prod/app", []policy.Rule{rule(a, "signed-in", "${user}/**")}, `
user:prod: 0
`},
		{"prod/app", []policy.Rule{rule(a, "group:ops", "${user}/**")}, `
user:prod in group:ops: 0
`},
		{"prod/app", []policy.Rule{rule(a, "signed-in group:ops", "${user}/**", "**/${user}")}, `
user:app: 0
user:prod: 0
`},
		{"a/b", []policy.Rule{rule(a, "signed-in", "${user}/${user}")}, "\n"},
		{"a/a", []policy.Rule{rule(a, "signed-in", "${user}/${user}")}, "\nuser:a: 0\n"},
		// No user has such a name.
		{"localhost:5000/a", []policy.Rule{rule(a, "signed-in", "${user}/a", "${claims.x}/a")}, "\n"},

		// The part of the name that a claim's placeholder matches is the required value of the
		// claim.
		{"acme/app/web", []policy.Rule{rule(a, "group:github", "${claims.project}/**")}, `
group:github with the claim project = acme: 0
group:github with the claim project = acme/app: 0
`},
		{"a/b", []policy.Rule{rule(a, "anyone", "${claims.x}/${claims.y}")}, `
signed-in with the claims x = a and y = b: 0
`},
		{"a/b", []policy.Rule{rule(a, "signed-in", "${user}/${claims.x}")}, `
user:a with the claim x = b: 0
`},

		// A deny rule excludes some grantees partly and others completely.
		{"prod/app", []policy.Rule{rule(a, "group:ops", "prod/**"), rule(d, "group:guests user:eve", "prod/**")}, `
group:ops: 0
but not group:guests: 1
but not user:eve: 1
`},
		{"prod/app", []policy.Rule{rule(a, "group:ops", "prod/**"), rule(d, "anyone", "**")}, `
barred group:ops: 0 by 1
`},
		{"prod/app", []policy.Rule{rule(a, "user:ann robot:ci", "prod/**"), rule(d, "user:ann user:bob anonymous", "**")}, `
robot:ci: 0
barred user:ann: 0 by 1
`},
		{"prod/app", []policy.Rule{rule(a, "user:prod group:x", "prod/**"), rule(d, "signed-in", "${user}/**")}, `
group:x: 0
but not user:prod: 1
barred user:prod: 0 by 1
`},
		{"prod/app", []policy.Rule{rule(a, "anonymous", "prod/**"), rule(d, "signed-in", "**")}, "\nanonymous: 0\n"},
	} {
		source := policy.Source{Rules: tt.rules}
		for i := range source.Rules {
			source.Rules[i].Name = fmt.Sprint(i)
		}
		p, err := policy.Compile(source)
		if err != nil {
			t.Fatal(err)
		}
		answers := ask.WhoCan(p, "r", scope.Scope{Type: "repository", Name: tt.name, Actions: scope.Push})
		if len(answers) != 1 {
			t.Fatalf("%d answers", len(answers))
		}
		if diff := cmp.Diff(tt.want, "\n"+sentences(answers[0])); diff != "" {
			t.Errorf("%s, by %+v (-want +got):\n%s", tt.name, tt.rules, diff)
		}
	}
}

func TestGroupsInAnswers(t *testing.T) {
	p := policygen.Compile(t, policy.Source{Rules: []policy.Rule{
		{Name: "own", Subjects: []string{"signed-in"}, Names: []string{"${group}/**"}, Actions: scope.Pull},
		{Name: "listed", Subjects: []string{"group:ops", "robot:ci", "anonymous"}, Names: []string{"x/${group}", "${group}/${user}/x"}, Actions: scope.Pull},
		{Name: "secret", Deny: true, Subjects: []string{"anyone"}, Names: []string{"${group}/${group}/secret"}, Actions: scope.Pull},
	}})
	for name, want := range map[string]string{
		"dev/app":        "group:dev: own\n",
		"x/dev":          "group:x: own\ngroup:ops and group:dev: listed\nrobot:ci in group:dev: listed\n",
		"x/ops":          "group:x: own\ngroup:ops: listed\n", // any member
		"dev/ben/x":      "group:dev: own\nuser:ben in group:ops and group:dev: listed\n",
		"dev/hr/secret":  "group:dev: own\nbut not group:dev and group:hr: secret\n",
		"dev/dev/secret": "barred group:dev: own by secret\n",
		"Dev/app":        "",
	} {
		answer := ask.WhoCan(p, "r", scope.Scope{Type: "repository", Name: name, Actions: scope.Pull})[0]
		if diff := cmp.Diff(want, sentences(answer)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	rights := ask.WhatCan(p, policygen.Principal("ann +dev +Hr +ops"), "r")
	if got, want := fmt.Sprint(rights.Allowed[0].Names, rights.Except[0].Names), "[dev/** ops/**] [dev/dev/secret dev/ops/secret ops/dev/secret ops/ops/secret]"; got != want {
		t.Errorf("what ann can: %s, want %s", got, want)
	}
	for who, why := range map[*policy.Principal]string{
		policygen.Principal("ann"):     "${group} matches nothing, because user:ann is in no group",
		policygen.Principal("ann +Hr"): "${group} matches nothing, because no group of user:ann can be a path part of a repository",
	} {
		if void := ask.WhatCan(p, who, "r").Ineffective; len(void) == 0 || void[0].Reason != why {
			t.Errorf("%q: %+v, want %s", who.Groups, void, why)
		}
	}
}

// A rule with a condition counts, because the condition may be true.
func TestWhoCanListsConditionalRules(t *testing.T) {
	p, err := policy.Compile(policy.Source{Rules: []policy.Rule{
		{Name: "team", Subjects: []string{"group:dev"}, Names: []string{"a"}, Actions: scope.Push, When: policygen.Fixed(false, nil)},
		{Name: "freeze", Deny: true, Subjects: []string{"anyone"}, Names: []string{"**"}, Actions: scope.Push, When: policygen.Fixed(false, nil)},
	}})
	if err != nil {
		t.Fatal(err)
	}
	got := ask.WhoCan(p, "r", scope.Scope{Type: "repository", Name: "a", Actions: scope.Push})[0]
	if want := "group:dev: team\nbut not anyone: freeze\n"; sentences(got) != want {
		t.Errorf("%s", sentences(got))
	}
}

// A pattern that has placeholders of claims with ** between them can match a long name in very
// many ways. The answer has the pattern instead of a list of these ways.
func TestWhoCanIsBounded(t *testing.T) {
	p, err := policy.Compile(policy.Source{Rules: []policy.Rule{{
		Name: "wild", Subjects: []string{"signed-in"}, Names: []string{"**/${claims.a}/**/${claims.b}/**/${claims.c}/**"}, Actions: scope.Push,
	}}})
	if err != nil {
		t.Fatal(err)
	}
	asked := scope.Scope{Type: "repository", Name: strings.Repeat("a/", 60) + "b", Actions: scope.Push}
	answer := ask.WhoCan(p, "r", asked)[0]
	if want := "signed-in whose claims make **/${claims.a}/**/${claims.b}/**/${claims.c}/** match: wild\n"; sentences(answer) != want {
		t.Errorf("%.1000s", sentences(answer))
	}
	for claim, want := range map[string]bool{"a": true, "c": false} {
		who := &policy.Principal{Kind: policy.Workload, Name: "w", Claims: map[string]any{"a": "a/a", "b": "a", "c": claim}}
		if answer.Covers(&policy.Request{Principal: who}) != want {
			t.Errorf("the claim %s: covered: %v", claim, !want)
		}
	}
}

func BenchmarkWhoCan(b *testing.B) {
	for _, shape := range []string{"all", "own", "apart"} {
		b.Run(shape, func(b *testing.B) {
			source := policy.Source{}
			for i := range 100_000 {
				names := map[string]string{"all": "**", "own": "${user}/**", "apart": fmt.Sprintf("team-%d/**", i)}
				source.Rules = append(source.Rules, policy.Rule{
					Name: fmt.Sprint(i), Deny: i%10 == 0, Subjects: []string{fmt.Sprintf("group:g%d", i)}, Names: []string{names[shape]}, Actions: scope.Push,
				})
			}
			p, err := policy.Compile(source)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				ask.WhoCan(p, "r", scope.Scope{Type: "repository", Name: "team-7/app/web", Actions: scope.Push})
			}
		})
	}
}
