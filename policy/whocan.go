package policy

import (
	"slices"

	"github.com/tidewaiter/tidewaiter/scope"
)

// Answer lists who may perform an action: everybody in Through who is not in Except. It ignores
// the limits of credentials.
type Answer struct {
	Registry string      `json:"registry,omitempty"`
	Asked    scope.Scope `json:"asked"` // with one action
	// Through are the grantees of allow rules, as far as their conditions hold.
	Through []Grantee `json:"through,omitempty"`
	// Except are the grantees of deny rules that may be among them, unless the condition is false.
	Except []Grantee `json:"except,omitempty"`
	// Barred are the grantees of allow rules to which another rule denies it completely.
	Barred []Barred `json:"barred,omitempty"`
}

// Grantee is the set of principals that a rule applies to: everybody who meets all requirements
// here.
type Grantee struct {
	Rule *Rule `json:"rule"`
	// Who are subjects, all of which are required: "user:prod" and "group:dev".
	Who    []string     `json:"who"`
	Claims []ClaimValue `json:"claims,omitempty"` // all of which are required
	// Pattern is a pattern of the rule that must match with the principal's claims and groups.
	// It is set where there are too many ways to match to list them.
	Pattern string `json:"pattern,omitempty"`

	subjects []subject // Who, parsed
}

// Barred is a grantee of a rule that another rule denies the action.
type Barred struct {
	Grantee
	By *Rule `json:"by"`
}

// maxGrantees is the maximum number of grantees of one rule: its subjects times the ways to
// match a name. If there were more, they are listed by pattern.
const maxGrantees = 10_000

// WhoCan returns who may do what the scope asks for, and by which rule. There is one answer for
// each action. It is meant for interactive use: its running time grows with the policy.
func (p *Policy) WhoCan(registry string, asked scope.Scope) []Answer {
	p = orZero(p)
	var answers []Answer
	for a := range each(asked.Actions) {
		one := asked
		one.Actions = 1 << a
		answers = append(answers, p.whoCan(registry, one))
	}
	return answers
}

func (p *Policy) whoCan(registry string, asked scope.Scope) Answer {
	answer := Answer{Registry: registry, Asked: asked}
	ev := evaluator{policy: p, request: &Request{Registry: registry}, asked: &asked}
	if !ev.path.cut(asked.Name) {
		return answer
	}
	var allowed, denied []Grantee
	for i := range p.compiled {
		r := &p.compiled[i]
		switch {
		case r.actions&asked.Actions == 0 || kindOf(r.source.Type) != kindOf(asked.Type) || !ev.registryMatches(r):
		case r.deny:
			denied = ev.grantees(denied, r)
		default:
			allowed = ev.grantees(allowed, r)
		}
	}
	denies := newDenyIndex(denied)
	answer.Through = allowed[:0]
	for i := range allowed {
		if by := denies.covering(&allowed[i]); by != nil {
			answer.Barred = append(answer.Barred, Barred{allowed[i], by})
		} else {
			answer.Through = append(answer.Through, allowed[i])
		}
	}
	among := summarize(answer.Through)
	for _, g := range denied {
		if among.mayOverlap(&g) {
			answer.Except = append(answer.Except, g)
		}
	}
	return answer
}

// grantees appends the grantees of the rule for the asked name.
func (e *evaluator) grantees(to []Grantee, r *rule) []Grantee {
	var buf [maxParts]part
	var bindings []requirement
	listed := true
	for _, text := range r.source.Names {
		parsed, bad := parsePattern(buf[:0], text)
		if bad != nil {
			continue
		}
		found, ok := parsed.bindings(&e.path)
		listed = listed && ok
		for _, binding := range found {
			if binding.isEmpty() { // all of the rule's subjects, without further requirements
				for i := range r.subjects {
					to = append(to, r.grantee(i))
				}
				return to
			}
			if !slices.ContainsFunc(bindings, binding.equal) {
				bindings = append(bindings, binding)
			}
		}
	}
	if !listed || len(bindings)*len(r.subjects) > maxGrantees {
		return e.byPattern(to, r)
	}
	slices.SortFunc(bindings, requirement.compare)
	begin := len(to)
	for _, s := range r.subjects {
		for _, binding := range bindings {
			if g, possible := s.with(binding); possible {
				g.Rule = r.source
				to = append(to, g)
			}
		}
	}
	return to[:begin+len(pruneSubsumed(to[begin:]))]
}

// pruneSubsumed removes grantees that are contained in others. It returns long lists unchanged,
// because its time is quadratic.
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

// byPattern appends the grantees of the rule by pattern, without listing bindings.
func (e *evaluator) byPattern(to []Grantee, r *rule) []Grantee {
	for _, text := range r.source.Names {
		parsed, _ := parsePattern(nil, text)
		if bindings, ok := parsed.bindings(&e.path); ok && len(bindings) == 0 {
			continue
		}
		for i := range r.subjects {
			g := r.grantee(i)
			g.Pattern = text
			to = append(to, g)
		}
	}
	return to
}

// grantee returns everybody who has the rule's i-th subject.
func (r *rule) grantee(i int) Grantee {
	return Grantee{Rule: r.source, Who: r.source.Subjects[i : i+1 : i+1], subjects: []subject{r.subjects[i]}}
}

// with returns those who have the subject and meet the requirement. It is not possible if nobody
// can do both.
func (s subject) with(n requirement) (_ Grantee, possible bool) {
	all := []subject{s}
	switch who := (subject{user, n.user}); {
	case n.user != "" && (s.kind == anyone || s.kind == signedIn || s == who):
		all[0] = who
	case n.user != "" && s.kind == group:
		all = []subject{who, s}
	case n.user != "" || s.kind == anonymous:
		return Grantee{}, false
	case len(n.groups) > 0 && (s.kind == anyone || s.kind == signedIn):
		// Members of a group are signed in.
		all = all[:0]
	case s.kind == anyone: // only signed-in principals have claims
		all[0] = subject{kind: signedIn}
	}
	for _, name := range n.groups {
		if in := (subject{group, name}); !slices.Contains(all, in) {
			all = append(all, in)
		}
	}
	g := Grantee{Claims: n.claims, subjects: all}
	for _, s := range all {
		g.Who = append(g.Who, s.String())
	}
	return g, true
}

// Covers reports whether the principal of a request is among those who may perform the action,
// with conditions evaluated for the request. It agrees with Decide for principals without
// limits.
func (a *Answer) Covers(r *Request) bool {
	a, r = orZero(a), orZero(r)
	who := orZero(r.Principal)
	covers := func(g *Grantee) bool {
		if g.Rule == nil || !g.Is(who, a.Asked.Name) {
			return false
		}
		if g.Rule.When == nil {
			return true
		}
		holds, err := g.Rule.When.Holds(r)
		return g.Rule.Deny && (holds || err != nil) || !g.Rule.Deny && holds && err == nil
	}
	if !slices.ContainsFunc(a.Through, func(g Grantee) bool { return covers(&g) }) {
		return false
	}
	return !slices.ContainsFunc(a.Except, func(g Grantee) bool { return covers(&g) })
}

// Is reports whether a principal is in g for the name, whatever the rule's condition is.
func (g *Grantee) Is(who *Principal, name string) bool {
	g, who = orZero(g), orZero(who)
	if len(g.subjects) == 0 {
		return false // a zero Grantee
	}
	for _, s := range g.subjects {
		if !who.has(s) {
			return false
		}
	}
	for _, held := range g.Claims {
		if !who.holds(held) {
			return false
		}
	}
	if g.Pattern == "" {
		return true
	}
	var buf [maxParts]part
	var path path
	parsed, bad := parsePattern(buf[:0], g.Pattern)
	return bad == nil && path.cut(name) && parsed.match(&path, who)
}

func (who *Principal) holds(held ClaimValue) bool {
	for value := range who.claim(held.Claim) {
		if value == held.Value {
			return true
		}
	}
	return false
}
