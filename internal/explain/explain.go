// Package explain explains what the policy allows: who may do what, and why.
//
// The package looks up the principal that a query is about, evaluates recorded decisions again,
// and finds the members of the groups in an answer. It removes the parts of an answer that
// owners of a namespace may not read. The command line prints the results. The API and the
// commands' --output json return results as the JSON types of this package.
package explain

import (
	"slices"

	"github.com/tidewaiter/tidewaiter/internal/issuer"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/ask"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Evaluation is the result of a request, with its explanation.
type Evaluation struct {
	Subject  // Principal is nil if the entry's client did not authenticate
	Registry string
	Ignored  []scope.Ignored
	Results  []policy.Result
	Near     []ask.Nearby    // for each of Results
	Request  *policy.Request // the input of conditions; nil if the entry's policy is not stored

	Past Past // the policy for the evaluation, if the query is about a time in the past

	Lifetime *issuer.Lifetime // lifetime of the token that would be issued; nil: no token
	Entry    *journal.Entry   // the decision that was recorded; nil: a hypothetical request
	Today    *ask.Explanation // result of the current policy; nil if this policy made the decision
}

// Allowed reports whether the whole request was granted.
func (e *Evaluation) Allowed() bool {
	return e.Blocked == "" && len(e.Results) > 0 &&
		!slices.ContainsFunc(e.Results, func(r policy.Result) bool { return !r.Granted.Has(r.Asked.Actions) })
}

// ApplyBlock removes the grants and the lifetime if the subject is blocked.
func (e *Evaluation) ApplyBlock() {
	if e.Blocked == "" {
		return
	}
	e.Lifetime = nil
	e.Results = slices.Clone(e.Results)
	for i := range e.Results {
		e.Results[i].Granted = 0
	}
}

// HideRules removes everything about rules from the evaluation: the rules that decided, and the
// rules that nearly matched.
func (e *Evaluation) HideRules() {
	e.Near = nil
	e.Results = mapCauses(e.Results, func(c *policy.Cause) { c.Rule = nil })
	if e.Lifetime != nil {
		e.Lifetime.Rule = nil
	}
}

// RuleName identifies a rule in answers.
type RuleName struct {
	Rule      string `json:"rule,omitempty" doc:"The rule's name" example:"freeze"`
	File      string `json:"file,omitempty" doc:"The file that contains the rule; absent if the rule is in the database" example:"tidewaiter.yaml"`
	Line      int    `json:"line,omitempty" doc:"The line in the file"`
	Namespace string `json:"namespace,omitempty" doc:"The namespace whose members the rule is for" example:"team"`
	BuiltIn   bool   `json:"built_in,omitempty" doc:"Whether the rule is built in: it is neither in a file nor in the database"`
	When      string `json:"when,omitempty" doc:"The rule's condition"`
}

// NewRuleName returns the name of a rule. For a nil rule it returns the zero RuleName.
func NewRuleName(r *policy.Rule) RuleName {
	if r == nil {
		return RuleName{}
	}
	name := RuleName{Rule: r.Name, File: r.Origin.File, Line: r.Origin.Line, Namespace: r.Origin.Namespace, BuiltIn: r.Origin.BuiltIn}
	if r.When != nil {
		name.When = r.When.String()
	}
	return name
}

// Restriction is one of the restrictions of a credential. The credential is restricted to these
// actions on resources with these names.
type Restriction struct {
	Type    string   `json:"type" default:"repository" enum:"repository,registry,tidewaiter" required:"false" doc:"The resource type"`
	Names   []string `json:"names" nullable:"false" minItems:"1" maxItems:"200" maxLength:"500" doc:"Patterns, as in rules" example:"[\"team/**\"]"`
	Actions []string `json:"actions" nullable:"false" minItems:"1" maxItems:"6" enum:"pull,push,delete,*,read,write" doc:"The actions that remain allowed" example:"[\"pull\"]"`
}

// NewRestrictions returns the JSON form of restrictions, never nil.
func NewRestrictions(from []policy.Limit) []Restriction {
	return convert(from, func(l *policy.Limit) Restriction {
		r := Restriction{l.Type, l.Names, ActionNames(l.Actions)}
		if r.Type == "" {
			r.Type = scope.TypeRepository
		}
		return r
	})
}

// ActionNames returns the names of actions, never nil.
func ActionNames(a scope.Actions) []string { return append([]string{}, a.Names()...) }

// convert returns the JSON forms of a list, never nil.
func convert[S, T any](from []S, f func(*S) T) []T {
	list := make([]T, len(from))
	for i := range from {
		list[i] = f(&from[i])
	}
	return list
}
