package rulebook_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/ruleset"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/ask"
	"github.com/tidewaiter/tidewaiter/scope"
)

// allRights are the names of all rights.
var allRights = append(slices.Clone(ruleset.Rights), "namespace/team", "namespace/shop/web")

// Package ruleset has the rights that rules can name, and package admin has the rights that are
// checked. The lists must be equal. Otherwise a right could not be granted, or would not be
// checked.
func TestRulesNameTheRightsThatAreChecked(t *testing.T) {
	checked := []string{admin.RightAccounts, admin.RightAdministrators, admin.RightJournal, admin.RightPolicy, admin.RightNamespaces}
	if diff := cmp.Diff(checked, ruleset.Rights); diff != "" {
		t.Errorf("ruleset.Rights (-want +got)\n%s", diff)
	}
}

// nightCondition is a condition that never holds, or that fails.
type nightCondition struct{ err error }

func (n nightCondition) Holds(*policy.Request) (bool, error)  { return false, n.err }
func (nightCondition) Explain(*policy.Request) []policy.Value { return nil }
func (nightCondition) String() string                         { return "false" }

// The answers of who-can, what-can and explain about rights must agree with May. The policy has
// rules of all kinds in addition to the built-in rules.
func TestAnswersAgreeWithMay(t *testing.T) {
	rule := func(name string, deny bool, actions scope.Actions, names []string, when policy.Condition, subjects ...string) policy.Rule {
		return policy.Rule{Name: name, Deny: deny, Subjects: subjects, Type: scope.TypeTidewaiter, Names: names, Actions: actions, When: when, Origin: policy.Origin{File: "f", Line: 1}}
	}
	everything := scope.Read | scope.Write
	for name, rules := range map[string][]policy.Rule{
		"no rules": nil,
		"a rule with the name of a built-in rule": {
			rule(admin.Administrators, false, scope.Read, []string{"journal"}, nil, "user:bob"),
		},
		"a deny for some": {
			rule("not bob", true, scope.Write, []string{"accounts", "namespace/**"}, nil, "user:bob"),
			rule("no auditing", true, scope.Read, []string{"journal"}, nil, "group:"+admin.Auditors),
		},
		"a deny for all": {rule("nobody", true, everything, []string{"**"}, nil, "anyone")},
		"under conditions": {
			rule("never", true, everything, []string{"policy"}, nightCondition{}, "anyone"),
			rule("unclear", true, everything, []string{"namespaces"}, nightCondition{policy.Problems{}}, "anyone"),
			rule("not yet", false, everything, []string{"**"}, nightCondition{}, "user:ann"),
		},
		"an allow for others": {rule("owners", false, everything, []string{"namespace/*"}, nil, "group:shop")},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := rulebook.New(rulebook.Options{}, rulebook.Files{Source: policy.Source{Rules: rules}})
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
			narrowed := user("eve", admin.Administrators)
			narrowed.Limits = []policy.Limit{{Names: []string{"**"}, Actions: scope.Pull}}
			for _, who := range []*policy.Principal{
				user("ann"), user("ann", admin.Administrators), user("ann", admin.Auditors), user("ann", admin.Auditors, admin.Administrators),
				user("bob"), user("bob", admin.Administrators), user("bob", "shop", admin.Auditors), narrowed,
				{Kind: policy.Robot, Name: "ci", Groups: []string{admin.Administrators}},
			} {
				for _, right := range allRights {
					for _, action := range []scope.Actions{scope.Read, scope.Write} {
						compareWithMay(t, b, who, scope.Scope{Type: scope.TypeTidewaiter, Name: right, Actions: action})
					}
				}
			}
		})
	}
}

// compareWithMay compares the answers about a right with May.
func compareWithMay(t *testing.T, b *rulebook.Rulebook, who *policy.Principal, asked scope.Scope) {
	t.Helper()
	may := b.May(admin.Actor{Principal: who}, asked.Name, asked.Actions)
	r := &policy.Request{Principal: who, Registry: "registry.example.com", Scopes: []scope.Scope{asked}, Now: time.Unix(0, 0)}
	p := b.Policy()
	explained := ask.Explain(p, r).Results[0].Granted == asked.Actions
	rights := ask.WhatCan(p, who, "")
	whatCan := rights.Allows(r, asked) == asked.Actions
	whoCan := ask.WhoCan(p, r.Registry, asked)[0].Covers(r)
	if len(who.Limits) > 0 {
		whoCan = may // who-can ignores restrictions of credentials
	}
	if explained != may || whatCan != may || whoCan != may {
		t.Errorf("%s with the groups %v: %s: May says %t, explain %t, what-can %t, who-can %t", who, who.Groups, asked, may, explained, whatCan, whoCan)
	}
}

// Answers name built-in rules like all other rules, but Policy.Len does not count built-in
// rules.
func TestBuiltInRules(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, d *harness) {
		written := freeze()
		written.Name = admin.Auditors // the name of a built-in rule may be used
		must[rulebook.Rule](t)(d.AddRule(t.Context(), operator, written))
		var told []string
		for _, action := range []scope.Actions{scope.Read, scope.Write} {
			answer := ask.WhoCan(d.Policy(), "registry.example.com", scope.Scope{Type: scope.TypeTidewaiter, Name: "journal", Actions: action})[0]
			for _, g := range answer.Allowed {
				told = append(told, action.String()+" "+g.String()+" by "+g.Rule.String())
			}
		}
		if diff := cmp.Diff([]string{
			`read group:tidewaiter-admins by "tidewaiter-admins" (built in)`,
			`read group:tidewaiter-auditors by "tidewaiter-auditors (2)" (built in)`,
			`write group:tidewaiter-admins by "tidewaiter-admins" (built in)`,
		}, told); diff != "" {
			t.Error(diff)
		}
		if d.Policy().Len() != 3 || len(d.Policy().Rules()) != 3+len(admin.BuiltIn()) {
			t.Errorf("Len counts %d rules, and %d are written", d.Policy().Len(), len(d.Policy().Rules()))
		}
		for _, r := range admin.BuiltIn() {
			if !r.Origin.BuiltIn || r.Deny || r.Type != scope.TypeTidewaiter || !strings.HasPrefix(r.Subjects[0], "group:tidewaiter-") {
				t.Errorf("%v", r)
			}
		}
	})
}
