package policy

import (
	"math/bits"
	"time"

	"github.com/tidewaiter/tidewaiter/scope"
)

// Decide judges a request. It reads nothing but the policy and the request, and allocates the
// results and their causes, nothing else, unless the principal has more than some 60 groups. A request
// without a principal is one of somebody anonymous.
//
// Where several rules decide an action alike, the first of them in the source is named.
func (p *Policy) Decide(r *Request) Decision {
	j := judge{policy: p, request: r, who: r.Principal}
	if j.who == nil {
		j.who = &Principal{}
	}
	most := 0
	for i := range r.Scopes {
		most += bits.OnesCount8(uint8(r.Scopes[i].Actions))
	}
	d := Decision{Results: make([]Result, len(r.Scopes))}
	causes := make([]Cause, 0, most)
	for i := range r.Scopes {
		j.look(&r.Scopes[i])
		begin := len(causes)
		d.Results[i].Asked = r.Scopes[i]
		d.Results[i].Granted, causes = j.conclude(causes)
		d.Results[i].Causes = causes[begin:len(causes):len(causes)]
		d.Lifetime = shorter(d.Lifetime, j.lifetime(d.Results[i].Granted))
	}
	return d
}

// judge is the work on one request. It lives on the stack.
type judge struct {
	policy  *Policy
	request *Request
	who     *Principal

	asked *scope.Scope
	path  path
	found verdict // on asked

	// The hashes of the subjects that who has, made when the first rule needs them.
	few  [64]uint64
	many []uint64 // instead, if there are more
	held int
}

// actionBits is the number of actions that a scope.Actions has room for.
const actionBits = 8

// verdict is what the rules found so far say of each action: the numbers of the first rules that
// deny it, that allow it, and that would if their condition held; 0 for none.
type verdict struct {
	denied, allowed, failed [actionBits]int32
	lifetime                [actionBits]time.Duration // the shortest of those that allow it; 0: none sets one
}

// look weighs all rules that the asked scope may concern.
func (j *judge) look(asked *scope.Scope) {
	j.asked, j.found = asked, verdict{}
	if !j.path.cut(asked.Name) {
		return
	}
	kind := kindOf(asked.Type)
	if root := j.policy.everywhere[kind]; root != nil {
		j.walk(root)
	}
	if len(j.policy.registries) > 0 {
		if root := j.policy.registries[j.request.Registry][kind]; root != nil {
			j.walk(root)
		}
	}
}

// kindOf returns the resource type of a scope, a rule or a limit.
func kindOf(written string) string {
	if written == "" {
		return scope.TypeRepository
	}
	return written
}

// state is a node that the parts before place at lead to.
type state struct {
	node *node
	at   int
}

// walk goes through the name once, with all nodes that it leads to side by side.
func (j *judge) walk(root *node) {
	var room [2][24]state
	now, next := enter(room[0][:0], root, 0), room[1][:0]
	for at := range j.path.parts {
		part := j.path.part(at)
		hash := j.policy.tree.edges.hash(part)
		for _, s := range now {
			if s.at > at { // a claim with several parts led beyond
				next = add(next, s.node, s.at)
				continue
			}
			n := s.node
			if n.below != nil {
				j.weighAll(n.below)
			}
			if n.stays {
				next = add(next, n, at+1)
			}
			if to := j.policy.tree.edges.find(n, part, hash); to != nil {
				next = enter(next, to, at+1)
			}
			if n.star != nil {
				next = enter(next, n.star, at+1)
			}
			if n.more != nil {
				next = j.walkMore(next, n, at, part)
			}
		}
		now, next = next, now[:0]
	}
	for _, s := range now {
		if s.node.ends != nil {
			j.weighAll(s.node.ends)
		}
	}
}

func (j *judge) walkMore(next []state, n *node, at int, part string) []state {
	if n.more.person != nil {
		if name, ok := j.who.person(); ok && name == part {
			next = enter(next, n.more.person, at+1)
		}
	}
	for _, c := range n.more.claims {
		for k := 0; ; k++ {
			value, ok := j.who.claim(c.name, k)
			if !ok {
				break
			}
			if parts := j.path.follows(at, value); parts > 0 {
				next = enter(next, c.to, at+parts)
			}
		}
	}
	for _, is := range n.more.shapes {
		before, after := int(is.before), int(is.after)
		if len(part) < before+after {
			continue
		}
		key := affix{n, part[:before], part[len(part)-after:]}
		between := part[before : len(part)-after]
		for _, g := range j.policy.tree.globs[key] {
			if findAll(g.middle, between) {
				next = enter(next, g.to, at+1)
			}
		}
	}
	return next
}

// enter adds a node, and the one behind its **, which may stand for no part at all.
func enter(states []state, n *node, at int) []state {
	states = add(states, n, at)
	if n.more != nil && n.more.deep != nil {
		states = add(states, n.more.deep, at)
	}
	return states
}

// add adds a node once. All but those that join are reached in one way only.
func add(states []state, n *node, at int) []state {
	s := state{n, at}
	if n.joins {
		for _, other := range states {
			if other == s {
				return states
			}
		}
	}
	return append(states, s)
}

// weighAll weighs the rules at a place that speak of somebody whom the principal is.
func (j *judge) weighAll(p *posting) {
	held := j.hashes()
	if p.bySubject == nil {
		for _, r := range p.rules {
			if j.concerns(r, held) {
				j.weigh(r)
			}
		}
		return
	}
	for i, h := range held {
		for _, r := range p.bySubject[h] {
			if r.names(h, j.who, i) {
				j.weigh(r)
			}
		}
	}
}

// hashes returns the hashes of the principal's subjects, in the order of Principal.subject.
func (j *judge) hashes() []uint64 {
	if j.held == 0 {
		j.held = j.who.count()
		if j.held > len(j.few) {
			j.many = make([]uint64, j.held)
		}
		to := j.many
		if to == nil {
			to = j.few[:j.held]
		}
		for i := range to {
			to[i] = hash(j.policy.seed, j.who.subject(i))
		}
	}
	if j.many != nil {
		return j.many
	}
	return j.few[:j.held]
}

// concerns reports whether the principal has a subject of the rule.
func (j *judge) concerns(r *rule, held []uint64) bool {
	for i, h := range held {
		if r.names(h, j.who, i) {
			return true
		}
	}
	return false
}

// names reports whether one of the rule's subjects is the i-th of the principal, which has the hash h.
func (r *rule) names(h uint64, who *Principal, i int) bool {
	for k := range r.subjects {
		if r.subjects[k].hash == h && r.subjects[k].subject == who.subject(i) {
			return true
		}
	}
	return false
}

// weigh adds what a rule says to what was found. Rules come in any order, and some come twice.
func (j *judge) weigh(r *rule) {
	actions := j.asked.Actions & r.actions
	if !j.found.open(r, actions) {
		return
	}
	var lifetime time.Duration
	if !r.plain {
		lifetime = r.source.Lifetime
	}
	if !r.plain && r.source.When != nil {
		holds, err := r.source.When.Holds(j.request)
		if r.deny && !holds && err == nil {
			return
		}
		if !r.deny && (!holds || err != nil) {
			for a := range each(actions) {
				first(&j.found.failed[a], r.number)
			}
			return
		}
	}
	for a := range each(actions) {
		if r.deny {
			first(&j.found.denied[a], r.number)
			continue
		}
		first(&j.found.allowed[a], r.number)
		j.found.lifetime[a] = shorter(j.found.lifetime[a], lifetime)
	}
}

// open reports whether the rule could still change what was found. It keeps conditions from being
// evaluated for nothing.
func (v *verdict) open(r *rule, actions scope.Actions) bool {
	for a := range each(actions) {
		switch {
		case r.deny:
			if v.denied[a] == 0 || r.number < v.denied[a] {
				return true
			}
		case v.denied[a] != 0:
		case v.allowed[a] == 0 && r.number != v.failed[a], v.allowed[a] > r.number, !r.plain && shorter(v.lifetime[a], r.source.Lifetime) != v.lifetime[a]:
			return true
		}
	}
	return false
}

// conclude turns what was found into a grant and its causes, which it appends.
func (j *judge) conclude(causes []Cause) (scope.Actions, []Cause) {
	var granted scope.Actions
	left, narrowed := scope.Actions(0), false // what the limits leave, once that is known
	begin := len(causes)
	for a := range each(j.asked.Actions) {
		action := scope.Actions(1) << a
		reason, number := NoRule, int32(0)
		switch {
		case j.found.denied[a] != 0:
			reason, number = Denied, j.found.denied[a]
		case j.found.allowed[a] != 0:
			if !narrowed {
				left, narrowed = j.within(), true
			}
			reason, number = Narrowed, j.found.allowed[a]
			if left&action != 0 {
				reason = Allowed
				granted |= action
			}
		case j.found.failed[a] != 0:
			reason, number = ConditionFailed, j.found.failed[a]
		}
		causes = j.because(causes, begin, Cause{action, reason, j.policy.numbered(number)})
	}
	return granted, causes
}

// because adds a cause to those from begin on, or its action to one that says the same.
func (j *judge) because(causes []Cause, begin int, c Cause) []Cause {
	for i := begin; i < len(causes); i++ {
		if causes[i].Reason == c.Reason && causes[i].Rule == c.Rule {
			causes[i].Actions |= c.Actions
			return causes
		}
	}
	return append(causes, c)
}

func (p *Policy) numbered(n int32) *Rule {
	if n == 0 {
		return nil
	}
	return &p.rules[n-1]
}

// within returns the actions on the asked scope that the credential's limits leave. Limits travel
// with the principal as plain text, through databases and journals, and no form of them grants more
// than its text: so they are read here and not where they are made.
func (j *judge) within() scope.Actions {
	if len(j.who.Limits) == 0 {
		return j.asked.Actions
	}
	var room [maxParts]part
	var left scope.Actions
	for _, l := range j.who.Limits {
		if kindOf(l.Type) != kindOf(j.asked.Type) || l.Actions&^left == 0 {
			continue
		}
		for _, text := range l.Names {
			if parsed, bad := parsePattern(room[:0], text); bad == nil && parsed.match(&j.path, j.who) {
				left |= l.Actions
				break
			}
		}
	}
	return left
}

// lifetime returns the shortest lifetime that the rules with a part in the grant set.
func (j *judge) lifetime(granted scope.Actions) time.Duration {
	var least time.Duration
	for a := range each(granted) {
		least = shorter(least, j.found.lifetime[a])
	}
	return least
}

// shorter returns the shorter of two lifetimes, of which 0 is none.
func shorter(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// first keeps the lower of two numbers, of which 0 is none.
func first(kept *int32, number int32) {
	if *kept == 0 || number < *kept {
		*kept = number
	}
}

// each yields the bit numbers of the actions.
func each(actions scope.Actions) func(func(int) bool) {
	return func(yield func(int) bool) {
		for rest := uint8(actions); rest != 0; rest &= rest - 1 {
			if !yield(bits.TrailingZeros8(rest)) {
				return
			}
		}
	}
}
