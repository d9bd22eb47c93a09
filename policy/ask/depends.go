package ask

import (
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/internal/match"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Unknown lists the unknown parts of a request. The zero Unknown means that all parts are
// known.
type Unknown struct {
	Now      bool `json:"now,omitempty"`
	IP       bool `json:"ip,omitempty"`
	Client   bool `json:"client,omitempty"`
	Registry bool `json:"registry,omitempty"`

	// Claims means that the principal could have more claims than those in Principal.Claims. The
	// claims in Except are known to be absent.
	Claims bool     `json:"claims,omitempty"`
	Except []string `json:"except,omitempty"`
}

// Claim reports whether a claim is unknown: the principal could have it or not. Claims of an
// anonymous principal are never unknown, because such a principal has no claims.
func (u *Unknown) Claim(who *policy.Principal, name string) bool {
	if u == nil || !u.Claims || who == nil || who.Kind == policy.Anonymous || slices.Contains(u.Except, name) {
		return false
	}
	_, has := who.Claims[name]
	return !has
}

// Partial is a [policy.Condition] that can be evaluated for a partly unknown request.
type Partial interface {
	policy.Condition
	// DependsOn returns the unknown inputs that decide whether the condition holds. The inputs
	// are written as in conditions: "now", "request.ip", "client", "registry", "claims.ref", or
	// "claims" if the condition reads all claims. If the list is empty, Holds returns the same
	// result for any values of the unknown inputs.
	DependsOn(*policy.Request, *Unknown) []string
}

// Dependence is an unknown input of a request on which the decision depends.
type Dependence struct {
	Input string       `json:"input"` // written as in conditions
	Scope int          `json:"scope"` // the first of Request.Scopes whose decision depends on it
	Rule  *policy.Rule `json:"rule"`  // the first rule that reads the input for the scope
}

// Depends returns the unknown inputs on which the outcome of a test depends, without repeats. It
// checks every rule that could match and could change the outcome: a deny rule that could refuse
// what another rule allows, and an allow rule for an action that no other rule decides. Its
// running time grows with the policy.
func Depends(p *policy.Policy, e *Expectation, u *Unknown) []Dependence {
	e, u = match.OrZero(e), match.OrZero(u)
	r := match.OrZero(e.Request)
	q := newQuestion(p, r)
	var found []Dependence
	for i := range r.Scopes {
		s := r.Scopes[i]
		s.Actions = e.May | e.MayNot
		if !q.ask(&s) {
			continue
		}
		for _, d := range q.dependences(u, e.Because != "") {
			if !slices.ContainsFunc(found, func(other Dependence) bool { return other.Input == d.Input }) {
				d.Scope = i
				found = append(found, d)
			}
		}
	}
	return found
}

// undecidedRule is a rule whose effect on the decision depends on unknown inputs. The field
// inputs lists these inputs.
type undecidedRule struct {
	rule   *rule
	inputs []string
	fails  bool // its condition is always false, so the rule can only be named as a cause
}

// dependences returns the unknown inputs that could change the decision on the asked scope. If
// ruleMatters is true, the same decision by another rule counts as a change.
func (q *question) dependences(u *Unknown, ruleMatters bool) []Dependence {
	open := q.undecidedRules(u)
	if len(open) == 0 {
		return nil
	}
	// Both arrays are indexed by the bit number of an action. An element of denied is the number
	// of the first deny rule that matches for all values of the unknown inputs. An element of
	// allowed is the number of the first such allow rule. 0 means that there is no such rule.
	var denied, allowed [8]int
	var grantable scope.Actions // the actions that a rule could allow
	for i := range q.rules {
		r := &q.rules[i]
		if !q.couldMatch(r) || !q.matches(r, open) {
			continue
		}
		for a := range match.Bits(r.actions & q.asked.Actions) {
			first := &allowed[a]
			if r.Deny {
				first = &denied[a]
			} else {
				grantable |= 1 << a
			}
			if *first == 0 {
				*first = r.number
			}
		}
	}
	for _, o := range open {
		if !o.rule.Deny && !o.fails {
			grantable |= o.rule.actions
		}
	}
	var found []Dependence
	for _, o := range open {
		matters := false
		for a := range match.Bits(o.rule.actions & q.asked.Actions) {
			earlier := func(than int) bool { return than == 0 || ruleMatters && o.rule.number < than }
			switch {
			case o.fails:
				matters = matters || ruleMatters && denied[a] == 0 && allowed[a] == 0
			case o.rule.Deny:
				matters = matters || earlier(denied[a]) && (ruleMatters || grantable&(1<<a) != 0)
			case denied[a] == 0:
				matters = matters || earlier(allowed[a])
			}
		}
		for _, input := range o.inputs {
			if matters {
				found = append(found, Dependence{Input: input, Rule: o.rule.Rule})
			}
		}
	}
	return found
}

// couldMatch reports whether the rule applies to the principal, and to the type and at least
// one action of the asked scope. It does not compare the registry, the name and the condition.
func (q *question) couldMatch(r *rule) bool {
	return r.actions&q.asked.Actions != 0 && q.typeMatches(r) && q.subjectMatches(r)
}

// matches reports whether the rule matches for all values of the unknown inputs. The
// candidates are the result of undecidedRules.
func (q *question) matches(r *rule, candidates []undecidedRule) bool {
	undecided := slices.ContainsFunc(candidates, func(o undecidedRule) bool { return o.rule == r })
	return !undecided && q.registryMatches(r) && q.nameMatches(r) && conditionHolds(r.Rule, q.request)
}

// undecidedRules returns the rules that match the asked scope only for certain values of the
// unknown inputs. They are in the order of the source.
func (q *question) undecidedRules(u *Unknown) []undecidedRule {
	var open []undecidedRule
	for i := range q.rules {
		r := &q.rules[i]
		if !r.couldRead(u) || !q.couldMatch(r) {
			continue
		}
		var inputs []string
		switch {
		case u.Registry && len(r.Registries) > 0:
			inputs = append(inputs, "registry")
		case !q.registryMatches(r):
			continue
		}
		if !q.nameMatches(r) {
			claims := q.claimsToMatch(r, u)
			if len(claims) == 0 {
				continue
			}
			inputs = append(inputs, claims...)
		}
		var on []string
		if when, ok := r.When.(Partial); ok {
			on = when.DependsOn(q.request, u)
		}
		fails := len(on) == 0 && !conditionHolds(r.Rule, q.request)
		if inputs = append(inputs, on...); len(inputs) > 0 && !(fails && r.Deny) {
			open = append(open, undecidedRule{r, inputs, fails})
		}
	}
	return open
}

// couldRead reports whether the rule could read an unknown input. Most rules cannot, so
// undecidedRules skips them early.
func (r *rule) couldRead(u *Unknown) bool {
	return r.When != nil || u.Registry && len(r.Registries) > 0 ||
		u.Claims && slices.ContainsFunc(r.Names, func(name string) bool { return strings.Contains(name, "${claims.") })
}

// claimsToMatch returns the unknown claims that could make one of the rule's patterns match the
// asked name. It returns nil if no values of unknown claims could do so.
func (q *question) claimsToMatch(r *rule, u *Unknown) []string {
	var buf [match.MaxParts]match.Part
	var claims []string
	for _, text := range r.Names {
		parsed, bad := match.Parse(buf[:0], text)
		if bad != nil {
			continue
		}
		var wider match.Pattern
		var unknown []string
		for k, p := range parsed {
			if p.Kind != match.ClaimPlaceholder || !u.Claim(q.principal, p.Text) {
				wider = append(wider, p)
				continue
			}
			unknown = append(unknown, "claims."+p.Text)
			if k < len(parsed)-1 { // one or more parts: ** at the end, */** before other parts
				wider = append(wider, match.Part{Kind: match.Star})
			}
			wider = append(wider, match.Part{Kind: match.DoubleStar})
		}
		if len(unknown) > 0 && wider.Match(&q.path, &q.who) {
			claims = append(claims, unknown...)
		}
	}
	slices.Sort(claims)
	return slices.Compact(claims)
}
