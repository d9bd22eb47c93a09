package policy

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/tidewaiter/tidewaiter/scope"
)

// maxNear is the maximum number of rules that Explain lists for one scope.
const maxNear = 20

// Explanation is a Decision with its request and the rules that nearly changed it.
type Explanation struct {
	Decision
	Request *Request `json:"request"`
	// Holds are the principal's subjects: "anyone", "signed-in", "user:ann", "group:dev".
	Holds []string `json:"holds"`
	Near  []Nearby `json:"near"` // for each of Results
}

// Nearby lists the rules that nearly applied to a scope: allow rules for what no rule allows,
// and deny rules for what was granted.
type Nearby struct {
	Rules []Near `json:"rules,omitempty"` // the nearest first, at most 20
	More  int    `json:"more,omitempty"`  // how many more rules there are
}

// Near is a rule that nearly applied.
type Near struct {
	Rule      *Rule         `json:"rule"`
	Actions   scope.Actions `json:"actions"`   // of its role and its own
	Obstacles []Obstacle    `json:"obstacles"` // why it did not match; never empty
}

// Obstacle is a reason why a rule did not match.
type Obstacle struct {
	// Field is a field of the Rule: "subjects", "registries", "names", "actions" or "when".
	Field string `json:"field"`
	// Text is the end of a sentence about the rule: "it is for group:ops and not for user:ann".
	Text   string  `json:"text"`
	Values []Value `json:"values,omitempty"` // values of the parts of its condition
}

// Explain decides a request like Decide, and searches all rules for those that nearly applied.
// It is meant for interactive use: its running time grows with the policy.
func (p *Policy) Explain(r *Request) Explanation {
	p, r = orZero(p), orZero(r)
	e := Explanation{Decision: p.Decide(r), Request: r, Near: make([]Nearby, len(r.Scopes))}
	ev := evaluator{policy: p, request: r, who: orZero(r.Principal)}
	for i := range ev.who.count() {
		e.Holds = append(e.Holds, ev.who.subject(i).String())
	}
	for i := range e.Results {
		e.Near[i] = ev.nearby(&e.Results[i])
	}
	return e
}

// Shortest returns the rule that limits the lifetime of a decision, by itself or by its role. It
// returns the first of several rules, or nil. Like Explain, it is meant
// for interactive use.
func (p *Policy) Shortest(r *Request, d *Decision) *Rule {
	if d == nil || d.Lifetime == 0 {
		return nil
	}
	p, r = orZero(p), orZero(r)
	ev := evaluator{policy: p, request: r, who: orZero(r.Principal)}
	for i := range p.compiled {
		if rule := &p.compiled[i]; rule.lifetime == d.Lifetime && !rule.deny && slices.ContainsFunc(d.Results, func(result Result) bool { return ev.grants(rule, &result) }) {
			return rule.source
		}
	}
	return nil
}

// grants reports whether the rule took part in what was granted.
func (e *evaluator) grants(r *rule, result *Result) bool {
	e.asked = &result.Asked
	if r.actions&result.Granted == 0 || kindOf(r.source.Type) != kindOf(e.asked.Type) || !e.path.cut(e.asked.Name) ||
		!e.subjectHeld(r) || !e.registryMatches(r) || !e.nameMatches(r) {
		return false
	}
	if r.source.When == nil {
		return true
	}
	holds, err := r.source.When.Holds(e.request)
	return holds && err == nil
}

// candidate is a rule that nearly applied.
type candidate struct {
	rule     *rule
	distance int
}

// The distance of a rule is the sum of its obstacles. An obstacle counts little if it is a likely
// oversight or easy to change. A name counts less the more of its first parts match.
const (
	distanceWhen     = 1
	distanceActions  = 2
	distanceRegistry = 8
	distanceSubject  = 16
	distanceName     = 32
	partBonus        = 4
)

func (e *evaluator) nearby(result *Result) Nearby {
	e.asked = &result.Asked
	if !e.path.cut(e.asked.Name) {
		return Nearby{}
	}
	var open scope.Actions // what one more allow rule would grant
	for _, c := range result.Causes {
		if c.Reason == NoRule || c.Reason == ConditionFailed {
			open |= c.Actions
		}
	}
	var near []candidate
	for i := range e.policy.compiled {
		r := &e.policy.compiled[i]
		if distance := e.distance(r, open, result.Granted); distance > 0 {
			near = append(near, candidate{r, distance})
		}
	}
	slices.SortFunc(near, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(a.rule.number, b.rule.number))
	})
	shown := near[:min(len(near), maxNear)]
	n := Nearby{More: len(near) - len(shown)}
	for _, c := range shown {
		n.Rules = append(n.Rules, e.describe(c.rule, open))
	}
	return n
}

// distance returns how far the rule is from changing the result; 0 if it cannot, or is too far.
func (e *evaluator) distance(r *rule, open, granted scope.Actions) int {
	if kindOf(r.source.Type) != kindOf(e.asked.Type) {
		return 0
	}
	if r.deny {
		open = granted
	}
	far := 0
	if r.actions&open == 0 {
		if r.deny || open == 0 {
			return 0
		}
		far += distanceActions
	}
	subject, name := e.subjectHeld(r), e.nameMatches(r)
	switch {
	case !subject && !name:
		return 0
	case !subject:
		far += distanceSubject
	case !name:
		far += distanceName - min(partBonus*e.matchingParts(r), distanceName/2)
	}
	if !e.registryMatches(r) {
		far += distanceRegistry
	}
	if when := r.source.When; when != nil && (far == 0 || far == distanceActions) {
		if holds, err := when.Holds(e.request); !holds || err != nil {
			// For a deny, the condition is false: if it had failed, the deny would have matched.
			far += distanceWhen
		}
	}
	return far
}

func (e *evaluator) subjectHeld(r *rule) bool {
	for _, s := range r.subjects {
		if e.who.has(s) {
			return true
		}
	}
	return false
}

func (e *evaluator) registryMatches(r *rule) bool { return r.source.at(e.request.Registry) }

// at reports whether the rule is for a registry. If the registry is unknown (""), deny rules for
// some registries apply.
func (r *Rule) at(registry string) bool {
	return len(r.Registries) == 0 || slices.Contains(r.Registries, registry) || registry == "" && r.Deny
}

func (e *evaluator) nameMatches(r *rule) bool {
	var buf [maxParts]part
	for _, text := range r.source.Names {
		if parsed, bad := parsePattern(buf[:0], text); bad == nil && parsed.match(&e.path, e.who) {
			return true
		}
	}
	return false
}

// matchingParts returns how many of the name's first parts match the best of the rule's
// patterns.
func (e *evaluator) matchingParts(r *rule) int {
	var buf [maxParts]part
	best := 0
	for _, text := range r.source.Names {
		parsed, _ := parsePattern(buf[:0], text)
		right := 0
		for _, p := range parsed {
			if p.kind == doubleStar || right == e.path.parts {
				break
			}
			to := p.matchAt(&e.path, right, e.who)
			if to == 0 {
				break
			}
			right = bits.TrailingZeros64(to)
		}
		best = max(best, right)
	}
	return best
}
