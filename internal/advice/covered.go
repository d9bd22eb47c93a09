package advice

import (
	"slices"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// effective is a rule with the actions and the lifetime that result from the rule and its role.
type effective struct {
	*policy.Rule
	policy.Role
	number int
}

// covered returns the findings about rules that another rule covers. For each rule, there is an
// example of a request. A rule is compared only with those rules that match its example, so the
// running time is not quadratic.
func (u *Usage) covered() map[*policy.Rule]*Finding {
	found := make(map[*policy.Rule]*Finding)
	var all []*effective
	var rules []policy.Rule
	var matching []*effective // the rules that match the latest example
	for r, has := range u.policy.Effective() {
		e := &effective{r, has, len(all)}
		all = append(all, e)
		own := *r
		own.Role, own.Lifetime, own.Actions = "", 0, has.Actions
		own.When = matcher(func() { matching = append(matching, e) })
		rules = append(rules, own)
	}
	p, err := policy.Compile(policy.Source{Rules: rules})
	if err != nil {
		return nil // cannot happen: the same rules were compiled before
	}
	for _, e := range all {
		example := e.example()
		if example == nil || e.Origin.BuiltIn {
			continue
		}
		matching = matching[:0]
		p.Decide(example)
		slices.SortFunc(matching, func(a, b *effective) int { return a.number - b.number })
		for _, other := range slices.Compact(matching) {
			if kind := e.coveredBy(other); kind != "" {
				found[e.Rule] = &Finding{Kind: kind, Rule: e.Rule, By: other.Rule}
				break
			}
		}
	}
	return found
}

// matcher is a function that serves as a condition. To evaluate the condition, the function is
// called. The result is always false.
type matcher func()

func (m matcher) Holds(*policy.Request) (bool, error)    { m(); return false, nil }
func (m matcher) Explain(*policy.Request) []policy.Value { return nil }
func (m matcher) String() string                         { return "matcher" }

// example returns a request that the rule matches if the rule's condition holds. A rule that
// covers this rule matches the request, too. If there is no simple example, the result is nil.
func (e *effective) example() *policy.Request {
	kind, name, _ := strings.Cut(e.Subjects[0], ":")
	who := &policy.Principal{Kind: policy.Workload, Name: "-"}
	switch kind {
	case "anyone", "anonymous":
		who = &policy.Principal{}
	case "user":
		who = &policy.Principal{Kind: policy.User, Name: name}
	case "robot":
		who = &policy.Principal{Kind: policy.Robot, Name: name}
	case "workload":
		who.Name = name
	case "group":
		who.Groups = []string{name}
	}
	asked := scope.Scope{Type: e.Type, Name: e.Names[0], Actions: e.Role.Actions}
	if asked.Type == "" {
		asked.Type = scope.TypeRepository
	}
	if strings.Contains(asked.Name, "${") {
		return nil
	}
	if asked.Type == scope.TypeRepository || asked.Type == scope.TypeTidewaiter {
		asked.Name = strings.ReplaceAll(strings.ReplaceAll(asked.Name, "**", "x/x"), "*", "x")
	}
	r := &policy.Request{Principal: who, Scopes: []scope.Scope{asked}}
	if len(e.Registries) > 0 {
		r.Registry = e.Registries[0]
	} else {
		r.Registry = "-" // only rules for all registries cover this rule
	}
	return r
}

// coveredBy returns the kind of the finding if this rule is superfluous, because the other rule
// matches all requests that this rule matches. If it is not superfluous, the result is "". Of two
// equal rules, the earlier one covers the later one.
func (e *effective) coveredBy(other *effective) Kind {
	switch {
	case e == other, other.When != nil && (e.When == nil || e.When.String() != other.When.String()),
		e.Type != other.Type && (e.Type+other.Type != scope.TypeRepository), !other.Role.Actions.Has(e.Role.Actions),
		len(other.Registries) > 0 && (len(e.Registries) == 0 || !coversAll(e.Registries, other.Registries, sameText)),
		!coversAll(e.Subjects, other.Subjects, coversSubject), !coversAll(e.Names, other.Names, coversPattern):
		return ""
	case other.Deny && !e.Deny:
		return DeniedRule
	case other.Deny != e.Deny, !e.Deny && longer(other.Role.Lifetime, e.Role.Lifetime):
		return ""
	case e.number < other.number && other.coveredBy(e) != "":
		return ""
	}
	return CoveredRule
}

// longer reports whether the first lifetime of tokens is longer than the second. 0 is no limit.
func longer(a, b time.Duration) bool { return b != 0 && (a == 0 || a > b) }

// coversAll reports whether each of the texts is covered by one of the other texts.
func coversAll(texts, others []string, covers func(other, text string) bool) bool {
	return !slices.ContainsFunc(texts, func(text string) bool {
		return !slices.ContainsFunc(others, func(other string) bool { return covers(other, text) })
	})
}

func sameText(a, b string) bool { return a == b }

func coversSubject(other, subject string) bool {
	return other == subject || other == "anyone" || other == "signed-in" && subject != "anyone" && subject != "anonymous"
}

// coversPattern reports whether each name that matches the pattern also matches the other pattern.
// The result can be false for patterns that a more exact comparison would find covered. In a
// pattern, ** is always a whole part.
func coversPattern(other, pattern string) bool {
	begin, ends := strings.CutSuffix(other, "**")
	return other == pattern || ends && strings.HasPrefix(pattern, begin)
}
