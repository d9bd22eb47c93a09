package ask

import (
	"math/bits"
	"slices"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/internal/match"
	"github.com/tidewaiter/tidewaiter/scope"
)

// maxNear is the maximum length of Nearby.Rules. A longer list would make an explanation hard
// to read.
const maxNear = 20

// Explanation is a [policy.Decision], its request, and the rules that nearly changed the
// decision.
type Explanation struct {
	policy.Decision
	Request *policy.Request `json:"request"`
	// Holds lists the principal's subjects, such as "anyone", "signed-in", "user:ann",
	// "group:dev".
	Holds []string `json:"holds"`
	Near  []Nearby `json:"near"` // one element for each element of Results
}

// Nearby lists the rules that nearly applied to one scope of the request. For actions that no
// rule allows, these are allow rules. For granted actions, these are deny rules.
type Nearby struct {
	Rules []Near `json:"rules,omitempty"` // the nearest first, at most maxNear
	More  int    `json:"more,omitempty"`  // number of further rules that nearly applied
}

// Near is a rule that nearly applied.
type Near struct {
	Rule      *policy.Rule  `json:"rule"`
	Actions   scope.Actions `json:"actions"`   // the rule's own actions and those of its role
	Obstacles []Obstacle    `json:"obstacles"` // why the rule did not match; never empty
}

// Obstacle is a reason why a rule did not match.
type Obstacle struct {
	// Field is a field of the Rule: "subjects", "registries", "names", "actions" or "when".
	Field string `json:"field"`
	// Text is the end of a sentence about the rule: "it is for group:ops and not for user:ann".
	Text   string         `json:"text"`
	Values []policy.Value `json:"values,omitempty"` // the parts of the condition, with values
}

// Explain decides a request like Decide, and searches all rules for those that nearly applied.
// Explain is meant for interactive use, because its running time grows with the policy.
func Explain(p *policy.Policy, r *policy.Request) Explanation {
	r = match.OrZero(r)
	e := Explanation{Decision: p.Decide(r), Request: r, Near: make([]Nearby, len(r.Scopes))}
	q := newQuestion(p, r)
	for i := range q.who.Count() {
		e.Holds = append(e.Holds, q.who.Subject(i).String())
	}
	for i := range e.Results {
		e.Near[i] = q.nearby(&e.Results[i])
	}
	return e
}

// Shortest returns the rule that limits the lifetime of a decision by its own lifetime or by
// the lifetime of its role. If several rules have this lifetime, it returns the first rule. It
// returns nil if no rule limits the lifetime.
func Shortest(p *policy.Policy, r *policy.Request, d *policy.Decision) *policy.Rule {
	if d == nil || d.Lifetime == 0 {
		return nil
	}
	q := newQuestion(p, match.OrZero(r))
	for i := range q.rules {
		rule := &q.rules[i]
		tookPart := func(result policy.Result) bool {
			return q.ask(&result.Asked) && rule.actions&result.Granted != 0 && q.typeMatches(rule) && q.subjectMatches(rule) &&
				q.registryMatches(rule) && q.nameMatches(rule) && conditionHolds(rule.Rule, q.request)
		}
		if rule.lifetime == d.Lifetime && !rule.Deny && slices.ContainsFunc(d.Results, tookPart) {
			return rule.Rule
		}
	}
	return nil
}

// candidate is a rule that nearly applied, with its distance.
type candidate struct {
	rule     *rule
	distance int
}

// The distance of a rule is the sum of the numbers of its obstacles. An obstacle that is easy to
// overlook or to change has a small number. If the name does not match, partBonus is subtracted
// for each matching part at the beginning of the name.
const (
	distanceWhen     = 1
	distanceActions  = 2
	distanceRegistry = 8
	distanceSubject  = 16
	distanceName     = 32
	partBonus        = 4
)

func (q *question) nearby(result *policy.Result) Nearby {
	if !q.ask(&result.Asked) {
		return Nearby{}
	}
	var open scope.Actions // the actions that another allow rule would grant
	for _, c := range result.Causes {
		if c.Reason == policy.NoRule || c.Reason == policy.ConditionFailed {
			open |= c.Actions
		}
	}
	var near []candidate
	for i := range q.rules {
		r := &q.rules[i]
		if distance := q.distance(r, open, result.Granted); distance > 0 {
			near = append(near, candidate{r, distance})
		}
	}
	slices.SortStableFunc(near, func(a, b candidate) int { return a.distance - b.distance })
	shown := near[:min(len(near), maxNear)]
	n := Nearby{More: len(near) - len(shown)}
	for _, c := range shown {
		n.Rules = append(n.Rules, q.describe(c.rule, open))
	}
	return n
}

// distance returns how far the rule is from changing the result, as a sum of the constants above.
// It returns 0 for a rule that cannot change the result or is too far away. An allow rule would
// change the result if it granted missing actions. A deny rule would change the result if it
// refused granted actions.
func (q *question) distance(r *rule, missing, granted scope.Actions) int {
	if !q.typeMatches(r) {
		return 0
	}
	if r.Deny {
		missing = granted
	}
	far := 0
	if r.actions&missing == 0 {
		if r.Deny || missing == 0 {
			return 0
		}
		far += distanceActions
	}
	subject, name := q.subjectMatches(r), q.nameMatches(r)
	switch {
	case !subject && !name:
		return 0
	case !subject:
		far += distanceSubject
	case !name:
		far += distanceName - min(partBonus*q.matchingParts(r), distanceName/2)
	}
	if !q.registryMatches(r) {
		far += distanceRegistry
	}
	if when := r.When; when != nil && (far == 0 || far == distanceActions) {
		if holds, err := when.Holds(q.request); !holds || err != nil {
			// The condition of a deny rule is false here. If the evaluation of the condition
			// failed, the deny rule would match.
			far += distanceWhen
		}
	}
	return far
}

// matchingParts returns how many parts at the beginning of the name match a pattern of the
// rule: 1 for the name team/app and the pattern team/web. If the rule has several patterns, the
// pattern that matches the most parts counts.
func (q *question) matchingParts(r *rule) int {
	var buf [match.MaxParts]match.Part
	best := 0
	for _, text := range r.Names {
		parsed, _ := match.Parse(buf[:0], text)
		right := 0
		for _, p := range parsed {
			if p.Kind == match.DoubleStar || right == q.path.Parts {
				break
			}
			to := p.MatchAt(&q.path, right, &q.who)
			if to == 0 {
				break
			}
			right = bits.TrailingZeros64(to)
		}
		best = max(best, right)
	}
	return best
}
