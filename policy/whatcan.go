package policy

import (
	"slices"

	"github.com/tidewaiter/tidewaiter/scope"
)

// Rights is all that a principal may do: what is in Allowed and not in Except, as far as Limits
// go.
type Rights struct {
	Principal *Principal `json:"principal"`
	Registry  string     `json:"registry,omitempty"` // "": at all of them
	Allowed   []Right    `json:"allowed,omitempty"`  // by a rule, if its condition holds
	// Except is what another rule denies of that, unless its condition does not hold.
	Except []Right `json:"except,omitempty"`
	// Barred is what a rule would allow if others did not deny all of it.
	Barred []Bar `json:"barred,omitempty"`
	// Void are the rules for the principal that are about nothing.
	Void []Void `json:"void,omitempty"`
	// Limits are what the credential leaves of it; empty: all.
	Limits []Limit `json:"limits,omitempty"`
}

// Right is what a rule says of a principal.
type Right struct {
	Rule *Rule  `json:"rule"`
	Type string `json:"type"` // of the resources
	// Names are patterns, with the principal's values in place of placeholders.
	Names   []string      `json:"names"`
	Actions scope.Actions `json:"actions"` // without those that others deny everywhere
}

// Bar is a right that is none.
type Bar struct {
	Right
	By *Rule `json:"by"` // one of those that deny it
}

// Void is a rule for a principal whose patterns match nothing, since their placeholders stand for
// nothing.
type Void struct {
	Rule *Rule  `json:"rule"`
	Why  string `json:"why"` // "${user} is the name of a user, and this is robot:ci"
}

// maxFilled is how many patterns may come of one whose claims have several values, or for somebody
// in several groups. If there were more, it stays as it is written.
const maxFilled = 64

// WhatCan says what a principal may do at a registry, or at all of them if it is "", and through
// which rule. It is for people who wait for it: its time grows with the policy.
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

// filled returns the patterns of a rule, with what placeholders stand for in their place. It has
// only letters, digits, separators and slashes in it, so that it is the same in a pattern. Those
// that match nothing are left out.
func (e *evaluator) substituted(r *rule) []string {
	var names []string
	var buf [maxParts]part
	for i, text := range r.source.Names {
		parsed, bad := parsePattern(buf[:0], text)
		switch {
		case bad != nil:
		case !slices.ContainsFunc(parsed, part.isPlaceholder):
			if names == nil && i == len(r.source.Names)-1 {
				return r.source.Names[i:] // what most rules have
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

// fill returns what becomes of a pattern.
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
	return slices.DeleteFunc(filled, func(name string) bool { // what is too long matches no name either
		_, bad := parsePattern(nil, name)
		return bad != nil
	})
}

// values returns what a part may be, written as a pattern.
func (e *evaluator) values(p part) (values []string) {
	switch p.kind {
	case userPlaceholder:
		if user, ok := e.who.userValue(); ok {
			values = append(values, user)
		}
	case groupPlaceholder:
		for i := range e.who.count() { // so that nobody anonymous has any
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

// Allows returns what of a scope the principal of a request is said to may do, with the conditions
// as they are for that request. It agrees with Decide.
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
