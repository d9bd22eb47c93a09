package ask

import (
	"slices"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/internal/match"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Answer lists the principals that may perform an action: all in Allowed that are not in Except.
// It ignores the limits of credentials.
type Answer struct {
	Registry string      `json:"registry,omitempty"`
	Asked    scope.Scope `json:"asked"` // has one action
	// Allowed lists the grantees of allow rules. A grantee counts only if the condition of its
	// rule holds.
	Allowed []Grantee `json:"allowed,omitempty"`
	// Except lists the grantees of deny rules that overlap with Allowed or could overlap with it.
	// A grantee of a deny rule whose condition is false does not count.
	Except []Grantee `json:"except,omitempty"`
	// Denied lists grantees of allow rules. These grantees have no right, because another rule
	// denies the action to all of their principals.
	Denied []DeniedGrantee `json:"denied,omitempty"`
}

// Grantee is a set of principals to which a rule applies: all principals that meet the
// requirements in the fields.
type Grantee struct {
	Rule *policy.Rule `json:"rule"`
	// Who lists subjects, such as "user:prod" and "group:dev". A principal of the set has all of
	// these subjects.
	Who    []string     `json:"who"`
	Claims []ClaimValue `json:"claims,omitempty"` // the principal must have all of them
	// Pattern is a pattern with placeholders. After the principal's values replace its
	// placeholders, the pattern must match the asked name. Pattern is set instead of Claims if it
	// can match in too many ways to list.
	Pattern string `json:"pattern,omitempty"`

	subjects []match.Subject // Who, parsed
}

// DeniedGrantee is a grantee that has no right because another rule denies the action.
type DeniedGrantee struct {
	Grantee
	By *policy.Rule `json:"by"`
}

// maxGrantees is the maximum number of grantees that are listed for one rule: the number of its
// subjects times the number of ways to match a name. For a rule with more, byPattern lists
// fewer grantees.
const maxGrantees = 10_000

// WhoCan returns one answer for each action of the scope: who may perform the action, and by
// which rule. WhoCan is meant for interactive use, because its running time grows with the
// policy.
func WhoCan(p *policy.Policy, registry string, asked scope.Scope) []Answer {
	q := newQuestion(p, &policy.Request{Registry: registry})
	var answers []Answer
	for a := range match.Bits(asked.Actions) {
		one := asked
		one.Actions = 1 << a
		answers = append(answers, q.whoCan(one))
	}
	return answers
}

func (q *question) whoCan(asked scope.Scope) Answer {
	answer := Answer{Registry: q.request.Registry, Asked: asked}
	if !q.ask(&asked) {
		return answer
	}
	var allowed, denied []Grantee
	for i := range q.rules {
		r := &q.rules[i]
		switch {
		case r.actions&asked.Actions == 0 || !q.typeMatches(r) || !q.registryMatches(r):
		case r.Deny:
			denied = q.grantees(denied, r)
		default:
			allowed = q.grantees(allowed, r)
		}
	}
	denies := newDenyIndex(denied)
	answer.Allowed = allowed[:0]
	for i := range allowed {
		if by := denies.findCovering(&allowed[i]); by != nil {
			answer.Denied = append(answer.Denied, DeniedGrantee{allowed[i], by})
		} else {
			answer.Allowed = append(answer.Allowed, allowed[i])
		}
	}
	among := summarize(answer.Allowed)
	for _, g := range denied {
		if among.mayOverlap(&g) {
			answer.Except = append(answer.Except, g)
		}
	}
	return answer
}

// grantees appends the sets of principals to which the rule applies, for the name in the request.
// It appends nothing if no pattern of the rule can match the name.
func (q *question) grantees(to []Grantee, r *rule) []Grantee {
	var buf [match.MaxParts]match.Part
	var bindings []requirement
	listed := true
	for _, text := range r.Names {
		parsed, bad := match.Parse(buf[:0], text)
		if bad != nil {
			continue
		}
		found, ok := bindingsOf(parsed, &q.path)
		listed = listed && ok
		for _, binding := range found {
			if binding.isEmpty() { // all of the rule's subjects, without more requirements
				for i := range r.Subjects {
					to = append(to, r.grantee(i))
				}
				return to
			}
			if !slices.ContainsFunc(bindings, binding.equal) {
				bindings = append(bindings, binding)
			}
		}
	}
	if !listed || len(bindings)*len(r.Subjects) > maxGrantees {
		return q.byPattern(to, r)
	}
	slices.SortFunc(bindings, requirement.compare)
	begin := len(to)
	for _, s := range r.Subjects {
		for _, binding := range bindings {
			if g, possible := binding.granteeOf(match.CompiledSubject(s)); possible {
				g.Rule = r.Rule
				to = append(to, g)
			}
		}
	}
	return to[:begin+len(pruneSubsumed(to[begin:]))]
}

// pruneSubsumed removes grantees that are contained in other grantees. It returns long lists
// unchanged, because its time is quadratic.
func pruneSubsumed(all []Grantee) []Grantee {
	const many = 64
	if len(all) > many {
		return all
	}
	kept := all[:0]
	for i := range all {
		redundant := slices.ContainsFunc(kept, func(g Grantee) bool { return g.contains(&all[i]) })
		for k := i + 1; k < len(all) && !redundant; k++ {
			redundant = all[k].contains(&all[i]) && !all[i].contains(&all[k])
		}
		if !redundant {
			kept = append(kept, all[i])
		}
	}
	return kept
}

// byPattern appends one grantee for each pair of a subject of the rule and a pattern that can
// match the asked name. The grantee names the pattern instead of the groups and claims that a
// principal must have.
func (q *question) byPattern(to []Grantee, r *rule) []Grantee {
	for _, text := range r.Names {
		parsed, _ := match.Parse(nil, text)
		if bindings, ok := bindingsOf(parsed, &q.path); ok && len(bindings) == 0 {
			continue
		}
		for i := range r.Subjects {
			g := r.grantee(i)
			g.Pattern = text
			to = append(to, g)
		}
	}
	return to
}

// grantee returns the set of all principals that have the rule's i-th subject.
func (r *rule) grantee(i int) Grantee {
	return Grantee{Rule: r.Rule, Who: r.Subjects[i : i+1 : i+1], subjects: []match.Subject{match.CompiledSubject(r.Subjects[i])}}
}

// granteeOf returns the set of principals that have the subject s and meet the requirement n. If
// no principal can have s and meet n, possible is false.
func (n requirement) granteeOf(s match.Subject) (_ Grantee, possible bool) {
	all := []match.Subject{s}
	switch who := (match.Subject{Kind: match.User, Name: n.user}); {
	case n.user != "" && (s.Kind == match.Anyone || s.Kind == match.SignedIn || s == who):
		all[0] = who
	case n.user != "" && s.Kind == match.Group:
		all = []match.Subject{who, s}
	case n.user != "" || s.Kind == match.Anonymous:
		return Grantee{}, false
	case len(n.groups) > 0 && (s.Kind == match.Anyone || s.Kind == match.SignedIn):
		// Members of a group are signed in.
		all = all[:0]
	case s.Kind == match.Anyone: // only signed-in principals have claims
		all[0] = match.Subject{Kind: match.SignedIn}
	}
	for _, name := range n.groups {
		if in := (match.Subject{Kind: match.Group, Name: name}); !slices.Contains(all, in) {
			all = append(all, in)
		}
	}
	g := Grantee{Claims: n.claims, subjects: all}
	for _, s := range all {
		g.Who = append(g.Who, s.String())
	}
	return g, true
}

// Covers reports whether the principal of a request may perform the action, according to this
// answer. It evaluates conditions for the request. For principals without limits, the result
// agrees with Decide.
func (a *Answer) Covers(r *policy.Request) bool {
	a, r = match.OrZero(a), match.OrZero(r)
	who := match.OrZero(r.Principal)
	covers := func(g Grantee) bool { return g.Rule != nil && g.Is(who, a.Asked.Name) && conditionHolds(g.Rule, r) }
	return slices.ContainsFunc(a.Allowed, covers) && !slices.ContainsFunc(a.Except, covers)
}

// Is reports whether the given principal belongs to g. The parameter name is the name of the
// resource. A pattern of g is compared with this name. Is ignores the condition of the rule.
func (g *Grantee) Is(who *policy.Principal, name string) bool {
	g = match.OrZero(g)
	is := whoIs(match.OrZero(who))
	if len(g.subjects) == 0 {
		return false // a zero Grantee
	}
	for _, s := range g.subjects {
		if !is.Has(s) {
			return false
		}
	}
	for _, c := range g.Claims {
		if !slices.Contains(slices.Collect(is.Claim(c.Claim)), c.Value) {
			return false
		}
	}
	var path match.Path
	return g.Pattern == "" || path.Cut(name) && match.Any([]string{g.Pattern}, &path, &is)
}
