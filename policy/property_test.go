package policy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/internal/policygen"
	"github.com/tidewaiter/tidewaiter/scope"
)

// These are properties of every policy and every request. The command "make test" tries each
// property a few times, and "make fuzz" tries it for a long time.

func TestPropertyDecideAgreesWithANaiveEvaluator(t *testing.T) { rapid.Check(t, agrees) }

func FuzzDecideAgreesWithANaiveEvaluator(f *testing.F) { f.Fuzz(rapid.MakeFuzz(agrees)) }

func agrees(t *rapid.T) {
	source := policygen.DrawSource(t)
	p := policygen.Compile(t, source)
	for range 8 {
		r := policygen.DrawRequest(t)
		mustAgree(t, source, r, p.Decide(r))
	}
}

func TestPropertyEveryWayOfMatchingAgrees(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		for range 20 {
			everyWay(t, policygen.DrawPattern(t), policygen.DrawName(t), policygen.DrawPrincipal(t))
		}
	})
}

func TestPropertyAddingADenyNeverAllows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		source, r := policygen.DrawSource(t), policygen.DrawRequest(t)
		deny := policygen.DrawRule(t, policygen.DrawPattern)
		deny.Deny = true
		mustBeWithin(t, grants(t, policygen.With(source, deny), r), grants(t, source, r))
	})
}

func TestPropertyAddingAnAllowNeverRefuses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		source, r := policygen.DrawSource(t), policygen.DrawRequest(t)
		allow := policygen.DrawRule(t, policygen.DrawPattern)
		allow.Deny = false
		mustBeWithin(t, grants(t, source, r), grants(t, policygen.With(source, allow), r))
	})
}

func TestPropertyTheOrderOfRulesDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		source, r := policygen.DrawSource(t), policygen.DrawRequest(t)
		shuffled := policy.Source{Roles: source.Roles, Rules: slices.Clone(source.Rules)}
		policygen.Shuffle(t, shuffled.Rules)
		before, after := policygen.Compile(t, source).Decide(r), policygen.Compile(t, shuffled).Decide(r)
		if diff := cmp.Diff(withoutRules(before), withoutRules(after)); diff != "" {
			t.Errorf("after a shuffle (-before +after):\n%s", diff)
		}
	})
}

// A rule with several subjects and names has the same effect as a list of rules with one rule for
// each pair of a subject and a name.
func TestPropertyARuleEqualsItsParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		source, r := policygen.DrawSource(t), policygen.DrawRequest(t)
		apart := policy.Source{Roles: source.Roles}
		for _, whole := range source.Rules {
			for _, subject := range whole.Subjects {
				for _, name := range whole.Names {
					part := whole
					part.Subjects, part.Names = []string{subject}, []string{name}
					apart = policygen.With(apart, part)
				}
			}
		}
		before, after := policygen.Compile(t, source).Decide(r), policygen.Compile(t, apart).Decide(r)
		if diff := cmp.Diff(withoutRules(before), withoutRules(after)); diff != "" {
			t.Errorf("apart (-before +after):\n%s", diff)
		}
	})
}

// Names have no meaning by themselves. If names are changed in the same way in the policy and in
// the request, decisions stay the same.
func TestPropertyRenamingConsistentlyChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		source, r := policygen.DrawSource(t), policygen.DrawRequest(t)
		rename := drawRenaming(t)
		renamed := policy.Source{Roles: source.Roles}
		for _, rule := range source.Rules {
			rule.Registries = rename.texts(rule.Registries)
			if rule.Type != scope.TypeRegistry {
				rule.Names = rename.patterns(rule.Names)
			}
			rule.Subjects = rename.subjects(rule.Subjects)
			renamed.Rules = append(renamed.Rules, rule)
		}
		before, after := policygen.Compile(t, source).Decide(r), policygen.Compile(t, renamed).Decide(rename.request(r))
		for i := range after.Results {
			after.Results[i].Asked = before.Results[i].Asked
		}
		if diff := cmp.Diff(withoutRules(before), withoutRules(after)); diff != "" {
			t.Errorf("renamed (-before +after):\n%s", diff)
		}
		for i := range before.Results {
			for k, c := range before.Results[i].Causes {
				if other := after.Results[i].Causes[k]; c.Rule != nil && c.Rule.Name != other.Rule.Name {
					t.Errorf("%v: decided by %s, but after the renaming by %s", before.Results[i].Asked, c.Rule, other.Rule)
				}
			}
		}
	})
}

// A name, group or claim with pattern characters gives no special rights, because pattern
// characters in these values match only themselves.
func TestPropertyPatternCharactersInNamesAreText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		source, r := policygen.DrawSource(t), policygen.DrawRequest(t)
		odd := rapid.StringMatching(`[ab]{0,2}(\*|\*\*|\?|\$\{user\}|\$\{group\}|\$\{claims\.team\}|\[a-z\]|\{a,b\}|\.\*|/\*|\\|\|)[ab/*]{0,3}`).Draw(t, "odd")
		p := policygen.Compile(t, source)
		for what, change := range map[string]func(who *policy.Principal, name string){
			"name":  func(who *policy.Principal, name string) { who.Name = name },
			"group": func(who *policy.Principal, name string) { who.Groups = append(slices.Clip(who.Groups), name) },
			"claim": func(who *policy.Principal, name string) {
				who.Claims = map[string]any{"team": name, "teams": []string{name, "a"}}
			},
		} {
			plain, strange := *r, *r
			nobody, somebody := *r.Principal, *r.Principal
			change(&nobody, "A name that is in no rule")
			change(&somebody, odd)
			plain.Principal, strange.Principal = &nobody, &somebody
			if diff := cmp.Diff(withoutRules(p.Decide(&plain)), withoutRules(p.Decide(&strange))); diff != "" {
				t.Errorf("a %s %q (-with a name that is in no rule +with this name):\n%s", what, odd, diff)
			}
		}
	})
}

func TestPropertyLimitsOnlyNarrow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		source, r := policygen.DrawSource(t), policygen.DrawRequest(t)
		free, less := *r, *r
		owner, narrower := *r.Principal, *r.Principal
		owner.Limits = nil
		if len(narrower.Limits) > 1 {
			narrower.Limits = narrower.Limits[1:]
		}
		free.Principal, less.Principal = &owner, &narrower
		mustBeWithin(t, grants(t, source, r), grants(t, source, &free))
		mustBeWithin(t, grants(t, source, &less), grants(t, source, r))
	})
}

// A condition that fails counts as false for an allow rule and as true for a deny rule.
func TestPropertyFailingConditionsGrantNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		source, r := policygen.DrawSource(t), policygen.DrawRequest(t)
		sure := policy.Source{Roles: source.Roles, Rules: slices.Clone(source.Rules)}
		for i := range sure.Rules {
			rule := &sure.Rules[i]
			if rule.When == nil {
				continue
			}
			if _, err := rule.When.Holds(r); err != nil {
				rule.When = policygen.Fixed(rule.Deny, nil)
			}
		}
		before, after := policygen.Compile(t, source).Decide(r), policygen.Compile(t, sure).Decide(r)
		if diff := cmp.Diff(withoutRules(before), withoutRules(after)); diff != "" {
			t.Errorf("(-failing +sure):\n%s", diff)
		}
	})
}

// A decision does not depend on the order of groups, or on repeated groups, or on whether the
// principal is Indexed.
func TestPropertyGroupsAreASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		source, r := policygen.DrawSource(t), policygen.DrawRequest(t)
		other, who := *r, *r.Principal
		who.Groups = append(slices.Clone(who.Groups), who.Groups...)
		policygen.Shuffle(t, who.Groups)
		other.Principal = &who
		p := policygen.Compile(t, source)
		if diff := cmp.Diff(p.Decide(r), p.Decide(&other), sameRule); diff != "" {
			t.Errorf("(-before +shuffled):\n%s", diff)
		}
		other.Principal = who.Indexed()
		if diff := cmp.Diff(p.Decide(r), p.Decide(&other), sameRule); diff != "" {
			t.Errorf("(-before +indexed):\n%s", diff)
		}
	})
}

func TestPropertyScopesAreDecidedSeparately(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		source, r := policygen.DrawSource(t), policygen.DrawRequest(t)
		p := policygen.Compile(t, source)
		for i, result := range p.Decide(r).Results {
			alone := *r
			alone.Scopes = r.Scopes[i : i+1]
			if diff := cmp.Diff(p.Decide(&alone).Results[0], result, sameRule); diff != "" {
				t.Errorf("(-alone +among others):\n%s", diff)
			}
		}
	})
}

// sameRule compares pointers to rules of the same policy.
var sameRule = cmp.Comparer(func(a, b *policy.Rule) bool { return a == b })

func grants(t *rapid.T, source policy.Source, r *policy.Request) []scope.Actions {
	var all []scope.Actions
	for _, result := range policygen.Compile(t, source).Decide(r).Results {
		all = append(all, result.Granted)
	}
	return all
}

func mustBeWithin(t *rapid.T, less, more []scope.Actions) {
	for i := range less {
		if less[i]&^more[i] != 0 {
			t.Errorf("scope %d: %v is granted, want at most %v", i, less[i], more[i])
		}
	}
}

// withoutRules returns the granted actions and the reasons of a decision. It leaves out the rules,
// because the rules that a decision names depend on the order of the rules in the policy.
func withoutRules(d policy.Decision) string {
	var text strings.Builder
	fmt.Fprintf(&text, "lifetime %s\n", d.Lifetime)
	for _, result := range d.Results {
		fmt.Fprintf(&text, "%s: %s is granted\n", result.Asked, result.Granted)
		for bit := scope.Actions(1); bit != 0; bit <<= 1 {
			for _, c := range result.Causes {
				if c.Actions&bit != 0 {
					fmt.Fprintf(&text, "  %s: %s\n", bit, c.Reason)
				}
			}
		}
	}
	return text.String()
}
