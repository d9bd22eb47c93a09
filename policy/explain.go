package policy

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/tidewaiter/tidewaiter/scope"
)

// maxNear is how many rules Explain names for one scope.
const maxNear = 20

// Explanation is a Decision with what it was made from, and what came near.
type Explanation struct {
	Decision
	Request *Request `json:"request"`
	// Holds are the subjects that the principal has: "anyone", "signed-in", "user:ann", "group:dev".
	Holds []string `json:"holds"`
	Near  []Nearby `json:"near"` // for each of Results
}

// Nearby is the rules that would have had a say on a scope if little had been different: those
// that would allow what no rule allows, and those that would deny what was granted.
type Nearby struct {
	Rules []Near `json:"rules,omitempty"` // the nearest first, at most 20
	More  int    `json:"more,omitempty"`  // how many others came near
}

// Near is a rule that came near.
type Near struct {
	Rule      *Rule         `json:"rule"`
	Actions   scope.Actions `json:"actions"`   // what it is about: of its role and its own
	Obstacles []Obstacle    `json:"obstacles"` // why it did not match; there is always one
}

// Obstacle is one reason for which a rule did not match.
type Obstacle struct {
	// Field is that of the Rule: "subjects", "registries", "names", "actions" or "when".
	Field string `json:"field"`
	// Text is the end of a sentence about the rule: "it is for group:ops and not for user:ann".
	Text   string  `json:"text"`
	Values []Value `json:"values,omitempty"` // what the parts of its condition came to
}

// Explain decides as Decide does, and looks at every rule for those that came near. It is for
// people who wait for it: its time grows with the policy.
func (p *Policy) Explain(r *Request) Explanation {
	p, r = orZero(p), orZero(r)
	e := Explanation{Decision: p.Decide(r), Request: r, Near: make([]Nearby, len(r.Scopes))}
	j := judge{policy: p, request: r, who: orZero(r.Principal)}
	for i := range j.who.count() {
		e.Holds = append(e.Holds, j.who.subject(i).String())
	}
	for i := range e.Results {
		e.Near[i] = j.nearby(&e.Results[i])
	}
	return e
}

// Shortest returns the rule that sets the lifetime of what was decided on a request, by itself or
// by its role; the first, if several do, and nil if none does. It is for people who wait for it,
// as Explain is.
func (p *Policy) Shortest(r *Request, d *Decision) *Rule {
	if d == nil || d.Lifetime == 0 {
		return nil
	}
	p, r = orZero(p), orZero(r)
	j := judge{policy: p, request: r, who: orZero(r.Principal)}
	for i := range p.compiled {
		if rule := &p.compiled[i]; rule.lifetime == d.Lifetime && !rule.deny && slices.ContainsFunc(d.Results, func(result Result) bool { return j.grants(rule, &result) }) {
			return rule.source
		}
	}
	return nil
}

// grants reports whether the rule has a part in what was granted.
func (j *judge) grants(r *rule, result *Result) bool {
	j.asked = &result.Asked
	if r.actions&result.Granted == 0 || kindOf(r.source.Type) != kindOf(j.asked.Type) || !j.path.cut(j.asked.Name) ||
		!j.subjectHeld(r) || !j.registryMatches(r) || !j.nameMatches(r) {
		return false
	}
	if r.source.When == nil {
		return true
	}
	holds, err := r.source.When.Holds(j.request)
	return holds && err == nil
}

// candidate is a rule that came near, before anything is put into words.
type candidate struct {
	rule     *rule
	distance int
}

// The distance of a rule is the sum over what is in its way: it is small for what a person may
// soon have meant or changed. A name is the less far the more of its first parts are right.
const (
	farWhen     = 1
	farActions  = 2
	farRegistry = 8
	farSubject  = 16
	farName     = 32
	rightPart   = 4
)

func (j *judge) nearby(result *Result) Nearby {
	j.asked = &result.Asked
	if !j.path.cut(j.asked.Name) {
		return Nearby{}
	}
	var open scope.Actions // what one more allow would grant
	for _, c := range result.Causes {
		if c.Reason == NoRule || c.Reason == ConditionFailed {
			open |= c.Actions
		}
	}
	var near []candidate
	for i := range j.policy.compiled {
		r := &j.policy.compiled[i]
		if distance := j.distance(r, open, result.Granted); distance > 0 {
			near = append(near, candidate{r, distance})
		}
	}
	slices.SortFunc(near, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(a.rule.number, b.rule.number))
	})
	shown := near[:min(len(near), maxNear)]
	n := Nearby{More: len(near) - len(shown)}
	for _, c := range shown {
		n.Rules = append(n.Rules, j.describe(c.rule, open))
	}
	return n
}

// distance returns how far the rule is from changing the result; 0 if it cannot, or is too far
// away.
func (j *judge) distance(r *rule, open, granted scope.Actions) int {
	if kindOf(r.source.Type) != kindOf(j.asked.Type) {
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
		far += farActions
	}
	subject, name := j.subjectHeld(r), j.nameMatches(r)
	switch {
	case !subject && !name:
		return 0
	case !subject:
		far += farSubject
	case !name:
		far += farName - min(rightPart*j.rightParts(r), farName/2)
	}
	if !j.registryMatches(r) {
		far += farRegistry
	}
	if when := r.source.When; when != nil && (far == 0 || far == farActions) {
		if holds, err := when.Holds(j.request); !holds || err != nil {
			far += farWhen // a deny that fails has matched, and nothing it denies was granted
		}
	}
	return far
}

func (j *judge) subjectHeld(r *rule) bool {
	for _, s := range r.subjects {
		if j.who.has(s) {
			return true
		}
	}
	return false
}

func (j *judge) registryMatches(r *rule) bool { return r.source.at(j.request.Registry) }

// at reports whether the rule is for a registry. If it is not known which one is meant (""), a
// deny is for it.
func (r *Rule) at(registry string) bool {
	return len(r.Registries) == 0 || slices.Contains(r.Registries, registry) || registry == "" && r.Deny
}

func (j *judge) nameMatches(r *rule) bool {
	var room [maxParts]part
	for _, text := range r.source.Names {
		if parsed, bad := parsePattern(room[:0], text); bad == nil && parsed.match(&j.path, j.who) {
			return true
		}
	}
	return false
}

// rightParts returns how many of the name's first parts fit the best of the rule's patterns.
func (j *judge) rightParts(r *rule) int {
	var room [maxParts]part
	best := 0
	for _, text := range r.source.Names {
		parsed, _ := parsePattern(room[:0], text)
		right := 0
		for _, p := range parsed {
			if p.kind == deep || right == j.path.parts {
				break
			}
			to := p.from(&j.path, right, j.who)
			if to == 0 {
				break
			}
			right = bits.TrailingZeros64(to)
		}
		best = max(best, right)
	}
	return best
}
