// Package ask answers questions about a policy:
//
//   - [Explain]: why does a request get its decision, and which rules nearly changed the decision?
//   - [WhoCan]: who may perform an action?
//   - [WhatCan]: what may a principal do?
//   - [Test]: is a request decided as expected? [Depends]: which unknown inputs could change
//     the result of a test?
//   - [Shortest]: which rule limits the lifetime of a token?
//
// The answers agree with [policy.Policy.Decide]. The functions are meant for interactive use,
// because their running time grows with the policy. The text of answers is safe to print, even if
// the request has hostile names.
package ask

import (
	"slices"
	"time"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/internal/match"
	"github.com/tidewaiter/tidewaiter/scope"
)

// question is a request together with the data that a comparison with rules needs: the rules with
// their effective actions, the properties of the principal, and the current scope.
type question struct {
	rules     []rule
	request   *policy.Request
	principal *policy.Principal
	who       match.Who // properties of the principal

	asked *scope.Scope
	path  match.Path // of the requested scope
}

// rule is a rule of a policy with its effective actions and lifetime. Both result from the rule
// and its role (see [policy.Policy.Effective]).
type rule struct {
	*policy.Rule
	number   int // from 1, in the order of the policy
	actions  scope.Actions
	lifetime time.Duration // 0: no limit
}

func newQuestion(p *policy.Policy, r *policy.Request) *question {
	principal := match.OrZero(r.Principal)
	q := &question{request: r, principal: principal, who: whoIs(principal), rules: make([]rule, 0, p.Len())}
	for r, has := range p.Effective() {
		q.rules = append(q.rules, rule{r, len(q.rules) + 1, has.Actions, has.Lifetime})
	}
	return q
}

// whoIs returns the properties of the principal that are compared with subjects and patterns of
// rules: kind, name, groups and claims.
func whoIs(p *policy.Principal) match.Who {
	return match.Who{Kind: match.SubjectKind(p.Kind), Name: p.Name, Groups: p.Groups, Claims: p.Claims}
}

// ask sets the scope of the question. The other methods of q compare rules with this scope. ask
// returns false if no rule can match the scope's name, for example because the name has an empty
// part.
func (q *question) ask(asked *scope.Scope) bool {
	q.asked = asked
	return q.path.Cut(asked.Name)
}

func (q *question) typeMatches(r *rule) bool {
	return match.TypeOf(r.Type) == match.TypeOf(q.asked.Type)
}

func (q *question) subjectMatches(r *rule) bool {
	return slices.ContainsFunc(r.Subjects, func(s string) bool { return q.who.Has(match.CompiledSubject(s)) })
}

func (q *question) registryMatches(r *rule) bool { return appliesAt(r.Rule, q.request.Registry) }

func (q *question) nameMatches(r *rule) bool { return match.Any(r.Names, &q.path, &q.who) }

// appliesAt reports whether the rule applies at a registry. The empty registry means that the
// registry is unknown. In this case, all deny rules apply, even those for certain registries.
func appliesAt(r *policy.Rule, registry string) bool {
	return len(r.Registries) == 0 || slices.Contains(r.Registries, registry) || registry == "" && r.Deny
}

// conditionHolds reports whether the rule's condition lets the rule match. It returns true for a
// rule without a condition, and for a condition that is true. If the evaluation of the condition
// fails, it returns true for a deny rule and false for an allow rule.
func conditionHolds(r *policy.Rule, of *policy.Request) bool {
	if r.When == nil {
		return true
	}
	holds, err := r.When.Holds(of)
	return holds && err == nil || r.Deny && err != nil
}
