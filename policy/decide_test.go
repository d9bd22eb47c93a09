package policy_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/internal/policygen"
	"github.com/tidewaiter/tidewaiter/scope"
)

var roles = map[string]policy.Role{
	"reader":     {Actions: scope.Pull},
	"writer":     {Actions: scope.Pull | scope.Push},
	"maintainer": {Actions: scope.Repository},
}

// describeCauses returns the causes of a result in one line. "team" means that the rule team
// allows the action, "!freeze" that the rule freeze denies it, "?hours" that the condition of the
// rule hours is false or fails, and "-" that no rule matches.
func describeCauses(r policy.Result) string {
	var words []string
	for _, c := range r.Causes {
		switch c.Reason {
		case policy.Allowed:
			words = append(words, c.Rule.Name)
		case policy.Denied:
			words = append(words, "!"+c.Rule.Name)
		case policy.Narrowed:
			words = append(words, "<"+c.Rule.Name)
		case policy.ConditionFailed:
			words = append(words, "?"+c.Rule.Name)
		case policy.NoRule:
			words = append(words, "-")
		}
	}
	return strings.Join(words, " ")
}

func TestDecide(t *testing.T) {
	p := policygen.Compile(t, policy.Source{Roles: roles, Rules: []policy.Rule{
		{Name: "public", Subjects: []string{"anyone"}, Names: []string{"library/**"}, Role: "reader"},
		{Name: "own", Subjects: []string{"signed-in"}, Names: []string{"${user}/**"}, Role: "maintainer"},
		{Name: "team", Subjects: []string{"group:dev", "robot:ci"}, Names: []string{"team/**"}, Role: "writer"},
		{Name: "freeze", Deny: true, Subjects: []string{"anyone"}, Names: []string{"team/prod", "team/prod/**"}, Actions: scope.Push | scope.Delete},
		{Name: "apps", Subjects: []string{"user:bob"}, Names: []string{"*/app-*"}, Actions: scope.Pull},
		{Name: "base", Subjects: []string{"user:bob"}, Names: []string{"a/**/base"}, Actions: scope.Pull},
		{Name: "guests", Subjects: []string{"anonymous"}, Names: []string{"demo"}, Actions: scope.Pull},
		{Name: "catalog", Subjects: []string{"group:ops"}, Type: "registry", Names: []string{"catalog"}, Actions: scope.All},
		{Name: "mirror", Subjects: []string{"anyone"}, Registries: []string{"mirror.example.com"}, Names: []string{"**"}, Actions: scope.Pull},
		{Name: "hours", Subjects: []string{"group:dev"}, Names: []string{"night/*"}, Actions: scope.Push, When: policygen.Fixed(false, nil)},
		{Name: "address", Deny: true, Subjects: []string{"anyone"}, Names: []string{"night/vault"}, Actions: scope.Pull, When: policygen.Fixed(false, errors.New("no such key: ip"))},
		{Name: "night", Subjects: []string{"group:dev"}, Names: []string{"night/**"}, Actions: scope.Pull},
		{Name: "job", Subjects: []string{"workload:build"}, Names: []string{"${claims.project}/**"}, Actions: scope.Push | scope.Pull},
		{Name: "hosted", Subjects: []string{"group:dev"}, Names: []string{"host.example.com:5000/**"}, Actions: scope.Pull},
		{Name: "journal", Subjects: []string{"group:ops"}, Type: "tidewaiter", Names: []string{"journal", "namespace/*"}, Actions: scope.Read},
	}})
	claims := map[string]any{"project": "group/sub"}

	for _, tt := range []struct{ who, asks, gets, because string }{
		{"nobody", "repository:library/alpine:pull", "pull", "public"},
		{"nobody", "repository:library/alpine:pull,push", "pull", "public -"},
		{"nobody", "repository:library:pull", "", "-"}, // ** is at least one part at the end
		{"nobody", "repository:demo:pull", "pull", "guests"},
		{"ann", "repository:demo:pull", "", "-"}, // ann is not anonymous

		{"ann", "repository:ann/app:pull,push,delete", "pull,push,delete", "own"},
		{"ann", "repository:ann/a/b:*", "pull,push,delete", "own"},
		{"ann", "repository:ann:pull", "", "-"},
		{"ann", "repository:bob/app:pull", "", "-"},
		{"nobody", "repository:ann/app:pull", "", "-"},
		{"Ann", "repository:ann/app:pull", "", "-"},
		{"robot:ann", "repository:ann/app:pull", "", "-"},    // not the user of the same name
		{"workload:ann", "repository:ann/app:pull", "", "-"}, // not the user ann

		{"ann +dev", "repository:team/app:push", "push", "team"},
		{"ann +dev", "repository:team/a/b/c:push", "push", "team"},
		{"ann +dev", "repository:team:push", "", "-"},
		{"ann +dev", "repository:team/prod:push", "", "!freeze"}, // a deny beats any allow
		{"ann +dev", "repository:team/prod:pull,push,delete", "pull", "team !freeze"},
		{"ann +dev", "repository:team/prod/x:push", "", "!freeze"},
		{"ann +dev", "repository:team/product:push", "push", "team"}, // not the name prod
		{"ann +dev", "repository:myteam/app:push", "", "-"},
		{"ann +Dev", "repository:team/app:push", "", "-"}, // case is exact
		{"ann", "repository:team/app:push", "", "-"},
		{"robot:ci", "repository:team/app:push", "push", "team"},
		{"ci", "repository:team/app:push", "", "-"}, // a user called ci is not the robot

		{"bob", "repository:team/app-web:pull", "pull", "apps"},
		{"bob", "repository:team/app:pull", "", "-"},
		{"bob", "repository:team/app-web/x:pull", "", "-"}, // * does not match a slash
		{"bob", "repository:a/base:pull", "pull", "base"},  // ** in the middle: zero parts
		{"bob", "repository:a/x/y/base:pull", "pull", "base"},
		{"bob", "repository:a/x/base/y:pull", "", "-"},

		{"ann +ops", "registry:catalog:*", "*", "catalog"},
		{"ann", "registry:catalog:*", "", "-"},
		{"ann +ops", "registry:catalog:pull", "", "-"},

		{"ann +dev", "repository:night/x:pull,push", "pull", "night ?hours"},
		// If the condition of a deny rule fails, the rule denies.
		{"ann +dev", "repository:night/vault:pull", "", "!address"},

		{"workload:build", "repository:group/sub/app:push", "push", "job"},
		{"workload:build", "repository:group/app:push", "", "-"},
		{"ann +dev", "repository:host.example.com:5000/app:pull", "pull", "hosted"},
		{"ann +dev", "repository:host.example.com:5001/app:pull", "", "-"},
		// The host of a name is an ordinary part of it, so team/** does not match.
		{"ann +dev", "repository:host.example.com:5000/team/app:push", "", "-"},

		{"ann +ops", "tidewaiter:journal:read", "read", "journal"},
		{"ann +ops", "tidewaiter:namespace/team:read,write", "read", "journal -"},
		{"ann +ops", "repository:journal:pull", "", "-"},
		{"ann +ops", "artifact:journal:pull", "", "-"}, // no rule is for this type
	} {
		t.Run(tt.who+" asks "+tt.asks, func(t *testing.T) {
			who := policygen.Principal(tt.who)
			who.Claims = claims
			d := p.Decide(&policy.Request{Principal: who, Registry: "registry.example.com", Scopes: policygen.Scopes(t, tt.asks)})
			if got := d.Results[0].Granted.String(); got != tt.gets {
				t.Errorf("got %q, want %q", got, tt.gets)
			}
			if got := describeCauses(d.Results[0]); got != tt.because {
				t.Errorf("because %q, want %q", got, tt.because)
			}
		})
	}

	t.Run("a rule of one registry", func(t *testing.T) {
		for registry, want := range map[string]string{"mirror.example.com": "pull", "registry.example.com": "", "": "", "MIRROR.example.com": ""} {
			d := p.Decide(&policy.Request{Registry: registry, Scopes: policygen.Scopes(t, "repository:some/thing:pull")})
			if got := d.Results[0].Granted.String(); got != want {
				t.Errorf("at %q: got %q, want %q", registry, got, want)
			}
		}
	})
}

func TestDecideWhole(t *testing.T) {
	source := policy.Source{Rules: []policy.Rule{
		{Name: "late", Subjects: []string{"anyone"}, Names: []string{"**"}, Actions: scope.Push, Lifetime: time.Hour},
		{Name: "team", Subjects: []string{"group:dev"}, Names: []string{"team/**", "team/app"}, Actions: scope.Pull | scope.Push, Lifetime: 5 * time.Minute},
		{Name: "brief", Subjects: []string{"user:ann"}, Names: []string{"team/app"}, Actions: scope.Delete, Lifetime: time.Minute},
		{Name: "no delete", Deny: true, Subjects: []string{"group:dev"}, Names: []string{"**"}, Actions: scope.Delete},
	}}
	p := policygen.Compile(t, source)
	asked := policygen.Scopes(t, "repository:team/app:pull,push,delete repository:other:pull,push")
	got := p.Decide(&policy.Request{Principal: policygen.Principal("ann +dev"), Scopes: asked})
	rules := p.Rules()
	want := policy.Decision{
		Results: []policy.Result{
			{Asked: asked[0], Granted: scope.Pull | scope.Push, Causes: []policy.Cause{
				{Actions: scope.Pull, Reason: policy.Allowed, Rule: &rules[1]},
				// The cause is the first rule in the source, although the rule team allows push
				// too.
				{Actions: scope.Push, Reason: policy.Allowed, Rule: &rules[0]},
				{Actions: scope.Delete, Reason: policy.Denied, Rule: &rules[3]},
			}},
			{Asked: asked[1], Granted: scope.Push, Causes: []policy.Cause{
				{Actions: scope.Pull, Reason: policy.NoRule},
				{Actions: scope.Push, Reason: policy.Allowed, Rule: &rules[0]},
			}},
		},
		Lifetime: 5 * time.Minute, // the rule brief does not count, because its actions are denied
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("decision (-want +got):\n%s", diff)
	}
}

func TestZeroPolicyGrantsNothing(t *testing.T) {
	d := new(policy.Policy).Decide(&policy.Request{Principal: policygen.Principal("ann"), Scopes: policygen.Scopes(t, "repository:a:pull")})
	if d.Results[0].Granted != 0 || describeCauses(d.Results[0]) != "-" {
		t.Error(d)
	}
}

// Limits can only take away rights that the owner of a credential has. They never add any.
func TestLimits(t *testing.T) {
	p := policygen.Compile(t, policy.Source{Rules: []policy.Rule{
		{Name: "all", Subjects: []string{"user:ann"}, Names: []string{"**"}, Actions: scope.Repository},
		{Name: "catalog", Subjects: []string{"user:ann"}, Type: "registry", Names: []string{"catalog"}, Actions: scope.All},
	}})
	for _, tt := range []struct {
		limits              []policy.Limit
		asks, gets, because string
	}{
		{nil, "repository:a/b:pull,push", "pull,push", "all"},
		{[]policy.Limit{{Names: []string{"a/*"}, Actions: scope.Pull}}, "repository:a/b:pull,push", "pull", "all <all"},
		{[]policy.Limit{{Names: []string{"a/*"}, Actions: scope.Pull}}, "repository:b/a:pull", "", "<all"},
		{[]policy.Limit{{Names: []string{"x", "a/*"}, Actions: scope.Pull}, {Names: []string{"**"}, Actions: scope.Push}}, "repository:a/b:*", "pull,push", "all <all"},
		{[]policy.Limit{{Names: []string{"${user}/**"}, Actions: scope.Pull}}, "repository:ann/b:pull", "pull", "all"},
		{[]policy.Limit{{Names: []string{"**"}, Actions: scope.Repository}}, "registry:catalog:*", "", "<catalog"},
		{[]policy.Limit{{Type: "registry", Names: []string{"catalog"}, Actions: scope.All}}, "registry:catalog:*", "*", "catalog"},
		// A limit with an error allows nothing.
		{[]policy.Limit{{}}, "repository:a/b:pull", "", "<all"},
		{[]policy.Limit{{Names: []string{"**"}}}, "repository:a/b:pull", "", "<all"},
		{[]policy.Limit{{Actions: scope.Repository}}, "repository:a/b:pull", "", "<all"},
		{[]policy.Limit{{Names: []string{"", "/**", "a/", "a**", "***", "${usr}/b", "a/${user"}, Actions: scope.Repository}}, "repository:a/b:pull", "", "<all"},
		// A limit grants nothing without a rule.
		{[]policy.Limit{{Type: "tidewaiter", Names: []string{"**"}, Actions: scope.Read}}, "tidewaiter:journal:read", "", "-"},
	} {
		t.Run(fmt.Sprint(tt.limits, tt.asks), func(t *testing.T) {
			who := policygen.Principal("ann")
			who.Limits = tt.limits
			d := p.Decide(&policy.Request{Principal: who, Scopes: policygen.Scopes(t, tt.asks)})
			if got := d.Results[0].Granted.String(); got != tt.gets {
				t.Errorf("got %q, want %q", got, tt.gets)
			}
			if got := describeCauses(d.Results[0]); got != tt.because {
				t.Errorf("because %q, want %q", got, tt.because)
			}
		})
	}
}

// countingCondition is a condition that counts its evaluations.
type countingCondition struct {
	policy.Condition
	asked *int
}

func (c countingCondition) Holds(r *policy.Request) (bool, error) {
	*c.asked++
	return c.Condition.Holds(r)
}

func TestConditionsAreEvaluatedOnlyIfNeeded(t *testing.T) {
	asked := 0
	when := countingCondition{policygen.Fixed(true, nil), &asked}
	p := policygen.Compile(t, policy.Source{Rules: []policy.Rule{
		{Name: "always", Subjects: []string{"anyone"}, Names: []string{"**"}, Actions: scope.Pull},
		{Name: "other subject", Subjects: []string{"user:bob"}, Names: []string{"**"}, Actions: scope.Pull, When: when},
		{Name: "other name", Subjects: []string{"anyone"}, Names: []string{"x/**"}, Actions: scope.Pull, When: when},
		{Name: "other action", Subjects: []string{"anyone"}, Names: []string{"**"}, Actions: scope.Push, When: when},
		{Name: "nothing new", Subjects: []string{"anyone"}, Names: []string{"**"}, Actions: scope.Pull, When: when},
	}})
	p.Decide(&policy.Request{Principal: policygen.Principal("ann"), Scopes: policygen.Scopes(t, "repository:a/b:pull")})
	if asked != 0 {
		t.Errorf("asked %d times", asked)
	}
}

// For each kind of policy in the variable shapes, every rule is found and applies only to its own
// subjects.
func TestEachOfManyRulesIsFound(t *testing.T) {
	const n = 300
	for _, shape := range shapes {
		source := sourceOf(n, shape.rule)
		p := policygen.Compile(t, source)
		for i := range n {
			r := &policy.Request{Principal: ann(i), Registry: fmt.Sprintf("r%d", i), Scopes: []scope.Scope{
				{Type: "repository", Name: shape.hit(i), Actions: scope.Pull},
			}}
			d := p.Decide(r)
			mustAgree(t, source, r, d)
			if cause := d.Results[0].Causes[0]; cause.Rule == nil || cause.Rule.Name != source.Rules[i].Name {
				t.Errorf("%s %d: %v", shape.name, i, cause)
			}
			r.Scopes[0].Name = shape.miss
			if d := p.Decide(r); d.Results[0].Granted != 0 {
				t.Errorf("%s %d: %v", shape.name, i, d.Results[0].Causes)
			}
		}
	}
}

// For each kind of policy in the variable shapes, a decision stays the same if the principal gets
// additional groups that no rule uses.
func TestManyGroups(t *testing.T) {
	for _, source := range []policy.Source{sourceOf(300, shapes[0].rule), sourceOf(300, shapes[3].rule)} {
		p := policygen.Compile(t, source)
		for _, n := range []int{0, 1, 4, 5, 44, 45, 46, 60, 61, 200} {
			who := &policy.Principal{Kind: policy.User, Name: "ann"}
			for i := range n {
				who.Groups = append(who.Groups, fmt.Sprintf("team%d", 299-i))
			}
			for _, name := range []string{"team299/a/b", "team298/a/b", "team240/a/b", "team237/a/b", "team100/a/b", "team99/a/b"} {
				r := &policy.Request{Principal: who, Scopes: []scope.Scope{{Type: "repository", Name: name, Actions: scope.Pull}}}
				mustAgree(t, source, r, p.Decide(r))
				r.Principal = who.Indexed()
				mustAgree(t, source, r, p.Decide(r))
			}
		}
	}
}

// A decision makes two small allocations with every policy: the results and their causes.
func TestDecideAllocatesItsAnswerOnly(t *testing.T) {
	for _, shape := range shapes {
		p := policygen.Compile(t, sourceOf(5_000, shape.rule))
		r := &policy.Request{Principal: ann(4_000), Registry: "r4000", Scopes: []scope.Scope{
			{Type: "repository", Name: shape.hit(4_000), Actions: scope.Repository},
		}}
		if p.Decide(r).Results[0].Granted == 0 {
			t.Errorf("%s: no action is granted", shape.name)
		}
		for _, who := range []*policy.Principal{r.Principal, member(200, 4_000)} {
			r.Principal = who
			if n := testing.AllocsPerRun(50, func() { p.Decide(r) }); n > 2 {
				t.Errorf("%s: %v allocations for a user in %d groups", shape.name, n, len(who.Groups))
			}
		}
	}
}

// The result does not depend on the place of a rule in the index. The result names the first of
// several deny rules. The lifetime is the shortest lifetime of all rules that allow the action, in
// any order of the rules.
func TestFirstDenyAndShortestLifetimeInAnyOrder(t *testing.T) {
	patterns := []string{"**", "a/**", "a/b", "*/b", "a/*", "**/b", "a*/b", "${user}/b"}
	for i, first := range patterns {
		for k, second := range patterns {
			if i == k {
				continue
			}
			who := &policy.Principal{Kind: policy.User, Name: "a"}
			decide := func(rules ...policy.Rule) policy.Decision {
				p := policygen.Compile(t, policy.Source{Rules: rules})
				return p.Decide(&policy.Request{Principal: who, Scopes: policygen.Scopes(t, "repository:a/b:pull")})
			}
			rule := func(name, pattern string, deny bool, lifetime time.Duration) policy.Rule {
				return policy.Rule{Name: name, Deny: deny, Subjects: []string{"signed-in"}, Names: []string{pattern}, Actions: scope.Pull, Lifetime: lifetime}
			}
			d := decide(rule("first", first, true, 0), rule("second", second, true, 0))
			if got := d.Results[0].Causes[0].Rule.Name; got != "first" {
				t.Errorf("with denies on %s and %s, the cause is the %s", first, second, got)
			}
			for _, lives := range [][2]time.Duration{{time.Minute, time.Hour}, {time.Hour, time.Minute}, {0, time.Minute}, {time.Minute, 0}} {
				d = decide(rule("first", first, false, lives[0]), rule("second", second, false, lives[1]))
				if d.Lifetime != time.Minute || d.Results[0].Causes[0].Rule.Name != "first" {
					t.Errorf("with allows on %s for %s and on %s for %s, the lifetime is %s and the cause is the %s", first, lives[0], second, lives[1], d.Lifetime, d.Results[0].Causes[0].Rule.Name)
				}
			}
		}
	}
}
