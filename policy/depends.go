package policy

import (
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/scope"
)

// Unknown lists the unknown parts of a request. The zero Unknown means that all are known.
type Unknown struct {
	Now      bool `json:"now,omitempty"`
	IP       bool `json:"ip,omitempty"`
	Client   bool `json:"client,omitempty"`
	Registry bool `json:"registry,omitempty"`

	// Claims means that the principal may have more claims than Principal.Claims, except those
	// in Except.
	Claims bool     `json:"claims,omitempty"`
	Except []string `json:"except,omitempty"`
}

// Claim reports whether it is unknown if the principal has the claim. It is false for anonymous
// principals, which have no claims.
func (u *Unknown) Claim(who *Principal, name string) bool {
	if u == nil || !u.Claims || who == nil || who.Kind == Anonymous || slices.Contains(u.Except, name) {
		return false
	}
	_, has := who.Claims[name]
	return !has
}

// Partial is a Condition that can be evaluated for a partly unknown request.
type Partial interface {
	Condition
	// DependsOn returns the unknown inputs that decide whether the condition holds, as
	// conditions write them: "now", "request.ip", "client", "registry", "claims.ref"; "claims"
	// if it reads all claims. If the list is empty, Holds returns the same result for any values
	// of the unknown inputs.
	DependsOn(*Request, *Unknown) []string
}

// Dependence is an unknown input of a request that its decision depends on.
type Dependence struct {
	Input string `json:"input"` // as conditions write it
	Scope int    `json:"scope"` // the first of Request.Scopes whose decision depends on it
	Rule  *Rule  `json:"rule"`  // the first rule that reads it for that scope
}

// Depends returns the unknown inputs that the outcome of a test depends on, each once. It checks
// every rule that could match: denies that could refuse what is allowed, and allows where no
// other rule decides. Its running time grows with the policy.
func (p *Policy) Depends(e *Expectation, u *Unknown) []Dependence {
	p, e, u = orZero(p), orZero(e), orZero(u)
	r := orZero(e.Request)
	ev := evaluator{policy: p, request: r, who: orZero(r.Principal)}
	var found []Dependence
	for i := range r.Scopes {
		s := r.Scopes[i]
		s.Actions = e.May | e.MayNot
		ev.asked = &s
		if !ev.path.cut(s.Name) {
			continue
		}
		for _, d := range ev.depends(u, e.Because != "") {
			if !slices.ContainsFunc(found, func(other Dependence) bool { return other.Input == d.Input }) {
				d.Scope = i
				found = append(found, d)
			}
		}
	}
	return found
}

// undecidedRule is a rule that matches or not, depending on unknown inputs.
type undecidedRule struct {
	rule   *rule
	inputs []string
	fails  bool // its condition is false in any case, so it can only be named as the cause
}

// depends returns what the decision on the asked scope depends on. If named is set, the rule
// that decides is part of the outcome.
func (e *evaluator) depends(u *Unknown, named bool) []Dependence {
	open := e.undecided(u)
	if len(open) == 0 {
		return nil
	}
	// The numbers of the first rules that match in any case; 0: there is no such rule.
	var denied, allowed [actionBits]int32
	for i := range e.policy.compiled {
		if r := &e.policy.compiled[i]; e.couldMatch(r) && e.matches(r, open) {
			for a := range each(r.actions & e.asked.Actions) {
				if r.deny {
					keepLowest(&denied[a], r.number)
				} else {
					keepLowest(&allowed[a], r.number)
				}
			}
		}
	}
	var grantable scope.Actions // what some rule could allow
	for a := range each(e.asked.Actions) {
		if allowed[a] != 0 {
			grantable |= 1 << a
		}
	}
	for _, o := range open {
		if !o.rule.deny && !o.fails {
			grantable |= o.rule.actions
		}
	}
	var found []Dependence
	for _, o := range open {
		matters := false
		for a := range each(o.rule.actions & e.asked.Actions) {
			earlier := func(than int32) bool { return than == 0 || named && o.rule.number < than }
			switch {
			case o.fails:
				matters = matters || named && denied[a] == 0 && allowed[a] == 0
			case o.rule.deny:
				matters = matters || earlier(denied[a]) && (named || grantable&(1<<a) != 0)
			case denied[a] == 0:
				matters = matters || earlier(allowed[a])
			}
		}
		for _, input := range o.inputs {
			if matters {
				found = append(found, Dependence{Input: input, Rule: e.policy.numbered(o.rule.number)})
			}
		}
	}
	return found
}

// couldMatch reports whether the rule is for the asked type, for one of the asked actions and
// for the principal.
func (e *evaluator) couldMatch(r *rule) bool {
	return r.actions&e.asked.Actions != 0 && kindOf(r.source.Type) == kindOf(e.asked.Type) && e.subjectHeld(r)
}

// matches reports whether the rule matches for any values of the unknown inputs.
func (e *evaluator) matches(r *rule, open []undecidedRule) bool {
	if slices.ContainsFunc(open, func(o undecidedRule) bool { return o.rule == r }) || !e.registryMatches(r) || !e.nameMatches(r) {
		return false
	}
	return e.holds(r)
}

// holds reports whether the rule's condition lets the rule match.
func (e *evaluator) holds(r *rule) bool {
	if r.source.When == nil {
		return true
	}
	holds, err := r.source.When.Holds(e.request)
	return holds && err == nil || r.deny && err != nil
}

// undecided returns the rules for which it is unknown whether they match the asked scope, in the
// order of the source.
func (e *evaluator) undecided(u *Unknown) []undecidedRule {
	var open []undecidedRule
	for i := range e.policy.compiled {
		r := &e.policy.compiled[i]
		if !r.reads(u) || !e.couldMatch(r) {
			continue
		}
		var inputs []string
		switch {
		case u.Registry && len(r.source.Registries) > 0:
			inputs = append(inputs, "registry")
		case !e.registryMatches(r):
			continue
		}
		if !e.nameMatches(r) {
			claims := e.claimsToMatch(r, u)
			if len(claims) == 0 {
				continue
			}
			inputs = append(inputs, claims...)
		}
		var on []string
		if when, ok := r.source.When.(Partial); ok {
			on = when.DependsOn(e.request, u)
		}
		fails := len(on) == 0 && !e.holds(r)
		if inputs = append(inputs, on...); len(inputs) > 0 && !(fails && r.deny) {
			open = append(open, undecidedRule{r, inputs, fails})
		}
	}
	return open
}

// reads reports whether the rule reads an unknown input. Most rules do not and need no further
// checks.
func (r *rule) reads(u *Unknown) bool {
	return r.source.When != nil || u.Registry && len(r.source.Registries) > 0 ||
		u.Claims && slices.ContainsFunc(r.source.Names, func(name string) bool { return strings.Contains(name, "${claims.") })
}

// claimsToMatch returns the unknown claims that could make one of the rule's names match the
// asked name.
func (e *evaluator) claimsToMatch(r *rule, u *Unknown) []string {
	var buf [maxParts]part
	var claims []string
	for _, text := range r.source.Names {
		parsed, bad := parsePattern(buf[:0], text)
		if bad != nil {
			continue
		}
		var wider pattern
		var unknown []string
		for k, p := range parsed {
			if p.kind != claimPlaceholder || !u.Claim(e.who, p.text) {
				wider = append(wider, p)
				continue
			}
			unknown = append(unknown, "claims."+p.text)
			if k < len(parsed)-1 { // one or more parts: ** at the end, */** before other parts
				wider = append(wider, part{kind: star})
			}
			wider = append(wider, part{kind: doubleStar})
		}
		if len(unknown) > 0 && wider.match(&e.path, e.who) {
			claims = append(claims, unknown...)
		}
	}
	slices.Sort(claims)
	return slices.Compact(claims)
}
