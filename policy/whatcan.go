package policy

import (
	"slices"

	"github.com/tidewaiter/tidewaiter/scope"
)

// Rights is everything that a principal may do: what is in Allowed, not in Except, and within
// Limits.
type Rights struct {
	Principal *Principal `json:"principal"`
	Registry  string     `json:"registry,omitempty"` // "": all registries
	Allowed   []Right    `json:"allowed,omitempty"`  // by an allow rule, if its condition holds
	// Except is what deny rules remove from Allowed, unless their condition is false.
	Except []Right `json:"except,omitempty"`
	// Barred is what allow rules would allow if deny rules did not remove all of it.
	Barred []Bar `json:"barred,omitempty"`
	// Void lists the rules for the principal that match no name.
	Void []Void `json:"void,omitempty"`
	// Limits are the restrictions of the credential; empty: none.
	Limits []Limit `json:"limits,omitempty"`
}

// Right is what one rule allows or denies to a principal.
type Right struct {
	Rule *Rule  `json:"rule"`
	Type string `json:"type"` // of the resources
	// Names are patterns in which placeholders are replaced by the principal's values.
	Names   []string      `json:"names"`
	Actions scope.Actions `json:"actions"` // without those that other rules deny everywhere
}

// Bar is a right that has no effect because a rule denies all of it.
type Bar struct {
	Right
	By *Rule `json:"by"` // one of the rules that deny it
}

// Void is a rule whose patterns match no name, because their placeholders have no value for the
// principal.
type Void struct {
	Rule *Rule  `json:"rule"`
	Why  string `json:"why"` // "${user} is the name of a user, and this is robot:ci"
}

// maxFilled is the maximum number of patterns that placeholders with several values may produce
// from one pattern. A pattern that would produce more stays as it is written.
const maxFilled = 64

// WhatCan returns what a principal may do at a registry, or at all registries if it is "", and
// by which rules. It is meant for interactive use: its running time grows with the policy.
func (p *Policy) WhatCan(who *Principal, registry string) Rights {
	p, who = orZero(p), orZero(who)
	rights := Rights{Principal: who, Registry: registry, Limits: who.Limits}
	ev := evaluator{policy: p, who: who, request: &Request{Principal: who, Registry: registry}}
	var allowed, denied []Right
	for i := range p.compiled {
		r := &p.compiled[i]
		if r.actions == 0 || !ev.subjectHeld(r) || registry != "" && !ev.registryMatches(r) {
			continue
		}
		right := Right{Rule: r.source, Type: kindOf(r.source.Type), Names: ev.substituted(r), Actions: r.actions}
		switch {
		case len(right.Names) == 0:
			rights.Void = append(rights.Void, Void{r.source, ev.placeholders(r)})
		case r.deny:
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
			rights.Barred = append(rights.Barred, Bar{*right, by})
			continue
		}
		right.Actions = left
		rights.Allowed = append(rights.Allowed, *right)
	}
	ds.left = 400_000
	rights.Except = ds.overlapping(rights.Allowed)
	return rights
}

// substituted returns the rule's patterns with placeholders replaced by their values, without
// those that match no name. A value needs no quoting in a pattern: it has only letters, digits,
// separators and slashes.
func (e *evaluator) substituted(r *rule) []string {
	var names []string
	var buf [maxParts]part
	for i, text := range r.source.Names {
		parsed, bad := parsePattern(buf[:0], text)
		switch {
		case bad != nil:
		case !slices.ContainsFunc(parsed, part.isPlaceholder):
			if names == nil && i == len(r.source.Names)-1 {
				return r.source.Names[i:] // the usual case: one name without placeholders
			}
			names = append(names, text)
		default:
			for _, name := range e.substitute(text, parsed) {
				if !slices.Contains(names, name) {
					names = append(names, name)
				}
			}
		}
	}
	return names
}

// substitute returns the patterns that one pattern becomes.
func (e *evaluator) substitute(text string, parsed pattern) []string {
	filled := []string{""}
	for i, p := range parsed {
		values := e.values(p)
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
		_, bad := parsePattern(nil, name)
		return bad != nil
	})
}

// values returns the values of a part, each written as a pattern.
func (e *evaluator) values(p part) (values []string) {
	switch p.kind {
	case userPlaceholder:
		if user, ok := e.who.userValue(); ok {
			values = append(values, user)
		}
	case groupPlaceholder:
		for i := range e.who.count() { // not over Groups: anonymous principals have no groups
			if s := e.who.subject(i); s.kind == group && validPart(s.name) && !slices.Contains(values, s.name) {
				values = append(values, s.name)
			}
		}
	case claimPlaceholder:
		for value := range e.who.claim(p.text) {
			if validPath(value) && !slices.Contains(values, value) {
				values = append(values, value)
			}
		}
	default:
		values = append(values, p.String())
	}
	return values
}

// Allows returns the actions of a scope that these rights grant to their principal, with
// conditions evaluated for the request. It agrees with Decide.
func (w *Rights) Allows(r *Request, asked scope.Scope) scope.Actions {
	w, r = orZero(w), orZero(r)
	who := orZero(w.Principal)
	var path path
	if !path.cut(asked.Name) || w.Registry != "" && w.Registry != r.Registry {
		return 0
	}
	says := func(right *Right) bool {
		if right.Rule == nil || right.Type != kindOf(asked.Type) || right.Actions&asked.Actions == 0 {
			return false
		}
		if !right.Rule.at(r.Registry) {
			return false
		}
		if !matchesAny(right.Names, &path, who) {
			return false
		}
		if right.Rule.When == nil {
			return true
		}
		holds, err := right.Rule.When.Holds(r)
		return right.Rule.Deny && (holds || err != nil) || !right.Rule.Deny && holds && err == nil
	}
	var allowed scope.Actions
	for i := range w.Allowed {
		if says(&w.Allowed[i]) {
			allowed |= w.Allowed[i].Actions
		}
	}
	for i := range w.Except {
		if says(&w.Except[i]) {
			allowed &^= w.Except[i].Actions
		}
	}
	ev := evaluator{who: who, asked: &asked, path: path}
	return allowed & asked.Actions & ev.withinLimits()
}

func matchesAny(patterns []string, name *path, who *Principal) bool {
	var buf [maxParts]part
	for _, text := range patterns {
		if parsed, bad := parsePattern(buf[:0], text); bad == nil && parsed.match(name, who) {
			return true
		}
	}
	return false
}
