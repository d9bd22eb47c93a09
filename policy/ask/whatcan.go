package ask

import (
	"slices"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/internal/match"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Rights has all rights of a principal. The principal has the rights in Allowed, without those in
// Except, as far as Limits permit them.
type Rights struct {
	Principal *policy.Principal `json:"principal"`
	Registry  string            `json:"registry,omitempty"` // "": all registries
	// Allowed lists the rights that allow rules grant. The right of a rule with a condition
	// applies only to requests for which the condition holds.
	Allowed []Right `json:"allowed,omitempty"`
	// Except lists the rights that deny rules take from Allowed. For a request, a deny rule whose
	// condition is false takes nothing.
	Except []Right `json:"except,omitempty"`
	// Denied lists rights of allow rules. These rights have no effect, because deny rules deny
	// all of them.
	Denied []DeniedRight `json:"denied,omitempty"`
	// Ineffective lists the rules that are for the principal, but have no pattern that can
	// match a name.
	Ineffective []IneffectiveRule `json:"ineffective,omitempty"`
	// Limits are the restrictions of the credential. If the list is empty, there are no
	// restrictions.
	Limits []policy.Limit `json:"limits,omitempty"`
}

// Right has the actions that one rule allows or denies to a principal, and the names to which the
// rule applies.
type Right struct {
	Rule *policy.Rule `json:"rule"`
	Type string       `json:"type"` // type of the resources
	// Names are patterns in which placeholders are replaced by the principal's values.
	Names   []string      `json:"names"`
	Actions scope.Actions `json:"actions"` // without the actions that other rules deny everywhere
}

// DeniedRight is a right that has no effect because a rule denies all of it.
type DeniedRight struct {
	Right
	By *policy.Rule `json:"by"` // one of the rules that deny the right
}

// IneffectiveRule is a rule whose patterns match no name, because their placeholders have no
// value for the principal.
type IneffectiveRule struct {
	Rule   *policy.Rule `json:"rule"`
	Reason string       `json:"reason"` // "${user} is the name of a user, but this is robot:ci"
}

// A pattern whose placeholders have several values is replaced by several patterns. maxFilled is
// their maximum number. If there would be more, the pattern is not replaced.
const maxFilled = 64

// WhatCan returns what a principal may do at a registry and by which rules. The registry "" means
// all registries. WhatCan is meant for interactive use, because its running time grows with the
// policy.
func WhatCan(p *policy.Policy, who *policy.Principal, registry string) Rights {
	q := newQuestion(p, &policy.Request{Principal: who, Registry: registry})
	rights := Rights{Principal: q.principal, Registry: registry, Limits: q.principal.Limits}
	var allowed, denied []Right
	for i := range q.rules {
		r := &q.rules[i]
		if r.actions == 0 || !q.subjectMatches(r) || registry != "" && !q.registryMatches(r) {
			continue
		}
		right := Right{Rule: r.Rule, Type: match.TypeOf(r.Type), Names: q.substitutedPatterns(r), Actions: r.actions}
		switch {
		case len(right.Names) == 0:
			rights.Ineffective = append(rights.Ineffective, IneffectiveRule{r.Rule, q.explainPlaceholder(r)})
		case r.Deny:
			denied = append(denied, right)
		default:
			allowed = append(allowed, right)
		}
	}
	ds := denyList{denied, registry, 400_000}
	for i := range allowed {
		right := &allowed[i]
		left, by := ds.subtract(right)
		if left == 0 {
			rights.Denied = append(rights.Denied, DeniedRight{*right, by})
			continue
		}
		right.Actions = left
		rights.Allowed = append(rights.Allowed, *right)
	}
	ds.remaining = 400_000
	rights.Except = ds.overlappingRights(rights.Allowed)
	return rights
}

// substitutedPatterns returns the rule's patterns with each placeholder replaced by the
// principal's value. A placeholder with several values gives several patterns, and a pattern whose
// placeholder has no value is left out. Values are not escaped, because they have only letters,
// digits, separators and slashes.
func (q *question) substitutedPatterns(r *rule) []string {
	var names []string
	var buf [match.MaxParts]match.Part
	for i, text := range r.Names {
		parsed, bad := match.Parse(buf[:0], text)
		switch {
		case bad != nil:
		case !slices.ContainsFunc(parsed, match.Part.IsPlaceholder):
			if names == nil && i == len(r.Names)-1 {
				return r.Names[i:] // the usual case: one name without placeholders
			}
			names = append(names, text)
		default:
			for _, name := range q.substitute(text, parsed) {
				if !slices.Contains(names, name) {
					names = append(names, name)
				}
			}
		}
	}
	return names
}

// substitute returns one pattern for each combination of values of the placeholders in a
// pattern. If there would be more than maxFilled patterns, it returns only the text of the
// pattern.
func (q *question) substitute(text string, parsed match.Pattern) []string {
	filled := []string{""}
	for i, p := range parsed {
		values := q.values(p)
		if len(values)*len(filled) > maxFilled {
			return []string{text}
		}
		var next []string
		for _, begin := range filled {
			for _, value := range values {
				if i > 0 {
					value = begin + "/" + value
				}
				next = append(next, value)
			}
		}
		filled = next
	}
	return slices.DeleteFunc(filled, func(name string) bool { // a pattern may have become too long
		_, bad := match.Parse(nil, name)
		return bad != nil
	})
}

// values returns the texts that can replace part p of a pattern. For a placeholder, these are the
// principal's values. Any other part is replaced by itself.
func (q *question) values(p match.Part) (values []string) {
	switch p.Kind {
	case match.UserPlaceholder:
		if user, ok := q.who.UserValue(); ok {
			values = append(values, user)
		}
	case match.GroupPlaceholder:
		// Subject returns no groups for an anonymous principal, even if the field Groups has some.
		for i := range q.who.Count() {
			if s := q.who.Subject(i); s.Kind == match.Group && match.ValidPart(s.Name) && !slices.Contains(values, s.Name) {
				values = append(values, s.Name)
			}
		}
	case match.ClaimPlaceholder:
		for value := range q.who.Claim(p.Text) {
			if match.ValidPath(value) && !slices.Contains(values, value) {
				values = append(values, value)
			}
		}
	default:
		values = append(values, p.String())
	}
	return values
}

// Allows returns the actions on a scope that the rights in w grant. It evaluates the conditions
// of rules for the request r. The result agrees with Decide.
func (w *Rights) Allows(r *policy.Request, asked scope.Scope) scope.Actions {
	w, r = match.OrZero(w), match.OrZero(r)
	principal := match.OrZero(w.Principal)
	who := whoIs(principal)
	var path match.Path
	if !path.Cut(asked.Name) || w.Registry != "" && w.Registry != r.Registry {
		return 0
	}
	actions := func(rights []Right) (of scope.Actions) {
		for _, right := range rights {
			if right.Rule != nil && right.Type == match.TypeOf(asked.Type) && right.Actions&asked.Actions != 0 &&
				appliesAt(right.Rule, r.Registry) && match.Any(right.Names, &path, &who) && conditionHolds(right.Rule, r) {
				of |= right.Actions
			}
		}
		return of
	}
	return actions(w.Allowed) &^ actions(w.Except) & principal.WithinLimits(asked)
}
