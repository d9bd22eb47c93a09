package ask

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/internal/match"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Expectation is the expected outcome of a request: for each of its scopes, the actions in May
// are granted and the actions in MayNot are refused.
type Expectation struct {
	Request *policy.Request `json:"request"`
	May     scope.Actions   `json:"may,omitempty"`
	MayNot  scope.Actions   `json:"may_not,omitempty"`
	// Because is the name of the rule that must decide. If it is "", any rule may decide.
	Because string `json:"because,omitempty"`
}

// TestFailure is a difference between a decision and the Expectation of its request.
type TestFailure struct {
	Scope   int               `json:"scope"` // index into Request.Scopes
	Who     *policy.Principal `json:"who,omitempty"`
	Asked   scope.Scope       `json:"asked"` // has only the actions whose outcome differs
	Granted bool              `json:"granted"`
	Cause   policy.Cause      `json:"cause"`
	// Values are the parts of the condition of Cause.Rule with their values.
	Values []policy.Value `json:"values,omitempty"`
	// Near is the rule that nearly allowed the actions, or nil if there is no such rule.
	Near *Near `json:"near,omitempty"`
	// Expected is the name of the rule that was expected to decide. It is set only if the
	// actions have the expected outcome but another rule decided.
	Expected string `json:"expected,omitempty"`
}

// Test decides e.Request and returns the differences between the decision and the expectation.
// If they agree, it returns nil.
func Test(p *policy.Policy, e *Expectation) []TestFailure {
	e = match.OrZero(e)
	r := *match.OrZero(e.Request)
	r.Scopes = slices.Clone(r.Scopes)
	for i := range r.Scopes {
		r.Scopes[i].Actions = e.May | e.MayNot
	}
	var failures []TestFailure
	x := p.Decide(&r)
	for i, result := range x.Results {
		wrong := e.May&^result.Granted | e.MayNot&result.Granted
		for _, c := range result.Causes {
			s := TestFailure{Scope: i, Who: r.Principal, Asked: result.Asked, Granted: c.Reason == policy.Allowed, Cause: c}
			s.Asked.Actions = c.Actions & wrong
			if s.Asked.Actions == 0 && e.Because != "" && (c.Rule == nil || c.Rule.Name != e.Because) {
				s.Asked.Actions, s.Expected = c.Actions, e.Because
			}
			if s.Asked.Actions != 0 {
				failures = append(failures, addDetails(p, &r, s))
			}
		}
	}
	return failures
}

// addDetails returns s with more details. If the rule that decided has a condition, it adds the
// values of the condition's parts. If no rule matched, it adds the rule that nearly allowed the
// actions.
func addDetails(p *policy.Policy, r *policy.Request, s TestFailure) TestFailure {
	if s.Cause.Rule != nil && s.Cause.Rule.When != nil {
		s.Values = s.Cause.Rule.When.Explain(r)
	}
	if s.Cause.Reason == policy.NoRule {
		one := *r
		one.Scopes = []scope.Scope{s.Asked}
		for _, near := range Explain(p, &one).Near[0].Rules {
			if !near.Rule.Deny {
				s.Near = &near
				break
			}
		}
	}
	return s
}

// String returns the failure as a sentence: `user:ann may push prod/app, but was expected not
// to: "the team" (policy.yaml:7) allows it`.
func (s TestFailure) String() string {
	who, not, otherwise := match.OrZero(s.Who), " not", "to"
	if s.Granted {
		not, otherwise = "", "not to"
	}
	what := text.Name(s.Asked.Name)
	if s.Asked.Type != scope.TypeRepository {
		what = text.Name(s.Asked.Type) + ":" + what
	}
	expected := "but was expected " + otherwise
	if s.Expected != "" {
		expected = "as expected, but not by " + text.Name(fmt.Sprintf("%q", s.Expected))
	}
	sentence := fmt.Sprintf("%s may%s %s %s, %s: %s", who, not, strings.Join(s.Asked.Actions.Names(), ","), what, expected, causeClause(s.Cause))
	if len(s.Values) > 0 {
		sentence += ", " + whereClause(s.Values)
	}
	if s.Near != nil {
		sentence += "; " + s.Near.Why()
	}
	return sentence
}

// causeClause returns the cause as the end of a sentence, such as `"freeze" (policy.yaml:14)
// denies it`.
func causeClause(c policy.Cause) string {
	switch c.Reason { //exhaustive:enforce
	case policy.Allowed:
		return fmt.Sprintf("%s allows it", c.Rule)
	case policy.Denied:
		return fmt.Sprintf("%s denies it", c.Rule)
	case policy.Narrowed:
		return fmt.Sprintf("%s allows it, but the limits of the credential do not allow it", c.Rule)
	case policy.ConditionFailed:
		return fmt.Sprintf("%s would allow it, but its condition does not hold", c.Rule)
	case policy.NoRule:
	}
	return "no rule allows it"
}
