package advice

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/ask"
	"github.com/tidewaiter/tidewaiter/scope"
)

// part is one subject or one pattern of a rule.
type part struct {
	rule    *policy.Rule
	actions scope.Actions // the actions of the rule, including those of its role
	subject string        // "": the part is a pattern
	pattern string
	used    scope.Actions // the actions for which the part matched
	tested  bool          // the pattern is compared with the catalog
}

// pair has the parts of a request that decide which parts of rules match.
type pair struct {
	principal *policy.Principal
	registry  string
	asked     scope.Scope
}

// maxKnown is the maximum number of pairs in memory.
const maxKnown = 1 << 15

// unknownInputs are the inputs that can differ between the requests of a pair.
var unknownInputs = &ask.Unknown{Now: true, IP: true, Client: true}

// marker is the condition of a rule in an exploded policy. If the rule matches a request, marker
// marks the rule's part as used. The condition is always false, so Decide continues with the other
// rules.
type marker struct {
	part *part
	when policy.Condition
}

// Holds implements policy.Condition.
func (m *marker) Holds(r *policy.Request) (bool, error) {
	if m.when != nil && !mayHold(m.when, r, m.part.rule.Deny) {
		return false, nil
	}
	m.part.used |= r.Scopes[0].Actions & m.part.actions
	return false, nil
}

// mayHold reports whether a condition holds, or could hold for some values of unknown inputs. If
// the evaluation of a condition fails, the condition of a deny rule counts as true.
func mayHold(c policy.Condition, r *policy.Request, deny bool) bool {
	if partial, ok := c.(ask.Partial); ok && len(partial.DependsOn(r, unknownInputs)) > 0 {
		return true
	}
	holds, err := c.Holds(r)
	return holds || deny && err != nil
}

// Explain implements policy.Condition.
func (m *marker) Explain(*policy.Request) []policy.Value { return nil }

// String implements policy.Condition.
func (m *marker) String() string { return "marker" }

// explode compiles the policies whose rules mark parts.
func (u *Usage) explode() error {
	var exploded, catalog []policy.Rule
	add := func(p *part, rule policy.Rule, to *[]policy.Rule, when policy.Condition) {
		rule.Name, rule.Role, rule.Lifetime, rule.Actions = fmt.Sprint(len(*to)), "", 0, p.actions
		rule.When = &marker{p, when}
		*to = append(*to, rule)
	}
	for r, has := range u.policy.Effective() {
		for _, subject := range r.Subjects {
			p := &part{rule: r, actions: has.Actions, subject: subject}
			u.parts = append(u.parts, p)
			one := *r
			one.Subjects = []string{subject}
			add(p, one, &exploded, r.When)
		}
		for _, pattern := range r.Names {
			p := &part{rule: r, actions: has.Actions, pattern: pattern}
			u.parts = append(u.parts, p)
			one := *r
			one.Subjects, one.Names = []string{"anyone"}, []string{withoutPlaceholders(pattern)}
			if r.Type != "" && r.Type != scope.TypeRepository || one.Names[0] == "" {
				continue
			}
			p.tested = true
			one.Deny = false
			add(p, one, &catalog, nil)
		}
	}
	var err error
	if u.exploded, err = compilePossible(exploded); err == nil {
		u.catalog, err = compilePossible(catalog)
	}
	if err != nil {
		return fmt.Errorf("compiling the policy for an advice: %w", err)
	}
	return nil
}

// compilePossible compiles rules, without the patterns that can never match. For example, a rule
// with several subjects can have the pattern ${user}/**. The exploded rule for the subject
// anonymous alone can never match with this pattern.
func compilePossible(rules []policy.Rule) (*policy.Policy, error) {
	p, err := policy.Compile(policy.Source{Rules: rules})
	problems, ok := errors.AsType[policy.Problems](err)
	if !ok {
		return p, err
	}
	never := make(map[[2]int]bool, len(problems)) // keys: the indexes of rule and pattern
	for _, problem := range problems {
		if problem.Field != "names" {
			return nil, err
		}
		never[[2]int{problem.Rule, problem.Item}] = true
	}
	possible := make([]policy.Rule, 0, len(rules))
	for i, r := range rules {
		names := make([]string, 0, len(r.Names))
		for k, name := range r.Names {
			if !never[[2]int{i, k}] {
				names = append(names, name)
			}
		}
		if r.Names = names; len(names) > 0 {
			possible = append(possible, r)
		}
	}
	return policy.Compile(policy.Source{Rules: possible})
}

// withoutPlaceholders returns a pattern that matches each name that the given pattern matches for
// any values of ${user} and ${group}. It returns "" for patterns with claims, because a claim can
// be several parts of a name.
func withoutPlaceholders(pattern string) string {
	if strings.Contains(pattern, "${claims.") {
		return ""
	}
	return strings.NewReplacer("${user}", "*", "${group}", "*").Replace(pattern)
}

// request marks the parts that match a recorded scope.
func (u *Usage) request(of pair) {
	if u.known[of] {
		return
	}
	if len(u.known) >= maxKnown {
		clear(u.known)
	}
	u.known[of] = true
	u.exploded.Decide(&policy.Request{Principal: of.principal, Registry: of.registry, Scopes: []scope.Scope{of.asked}})
}

// findings returns the findings about the parts of one rule.
func (u *Usage) findings(parts []*part, covered *Finding) (found []Finding) {
	if covered != nil {
		return []Finding{*covered}
	}
	rule := parts[0].rule
	var used scope.Actions
	var unused, unmatched []string
	patterns := 0
	for _, p := range parts {
		switch {
		case p.subject != "" && p.used == 0:
			unused = append(unused, p.subject)
		case p.subject != "":
			used |= p.used
		default:
			patterns++
			if p.tested && p.used == 0 {
				unmatched = append(unmatched, p.pattern)
			}
		}
	}
	switch rest := parts[0].actions &^ used; {
	case rule.Type == scope.TypeTidewaiter: // the journal has no decisions about such rights
	case used == 0:
		found = append(found, Finding{Kind: UnusedRule, Rule: rule})
	case rule.Deny: // the rule protects against requests that nobody made
	default:
		if len(unused) > 0 {
			found = append(found, Finding{Kind: UnusedSubjects, Rule: rule, Items: unused})
		}
		if rest != 0 {
			found = append(found, Finding{Kind: UnusedActions, Rule: rule, Actions: rest})
		}
	}
	if len(unmatched) > 0 && u.repositories > 0 && u.repositories <= maxRepositories {
		found = append(found, Finding{Kind: UnmatchedNames, Rule: rule, Items: slices.Clip(unmatched), Whole: len(unmatched) == patterns})
	}
	return found
}
