package policy

import (
	"math/bits"
	"time"

	"github.com/tidewaiter/tidewaiter/scope"
)

// Decide judges a request. It reads nothing but the policy and the request, and allocates the
// results and their causes, nothing else, unless the principal has more than some 40 groups and is
// not Indexed. A request without a principal is one of somebody anonymous. No request, and no
// policy, grant nothing.
//
// Where several rules decide an action alike, the first of them in the source is named.
func (p *Policy) Decide(r *Request) Decision {
	p, r = orZero(p), orZero(r)
	j := judge{policy: p, request: r, who: orZero(r.Principal)}
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

// orZero returns what a pointer is to, or a zero value in place of nil: there is no policy, no
// request or nobody, and that grants nothing.
func orZero[T any](p *T) *T {
	if p == nil {
		return new(T)
	}
	return p
}

// judge is the work on one request. It lives on the stack.
type judge struct {
	policy  *Policy
	request *Request
	who     *Principal

	asked *scope.Scope
	path  path
	found verdict // on asked

	denies bool // allows are passed over

	// The subjects that who has, known when the first rule needs them.
	known  *held // if they are indexed, or too many for what follows
	count  int
	hashes [48]uint32
	places [64]uint32
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
	if len(j.policy.registries) == 0 {
		return
	}
	if j.request.Registry == "" {
		j.lookEverywhere(kind)
		return
	}
	if root := j.policy.registries[j.request.Registry][kind]; root != nil {
		j.walk(root)
	}
}

// lookEverywhere weighs the denies of all registries: it is not known which one is meant, and that
// must not open what one of them closes.
func (j *judge) lookEverywhere(kind string) {
	j.denies = true
	for _, types := range j.policy.registries {
		if root := types[kind]; root != nil {
			j.walk(root)
		}
	}
	j.denies = false
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
		hash := hashOf(part)
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
				next = j.walkMore(next, n, at, part, hash)
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

func (j *judge) walkMore(next []state, n *node, at int, part string, hash uint64) []state {
	if n.more.person != nil {
		if name, ok := j.who.person(); ok && name == part {
			next = enter(next, n.more.person, at+1)
		}
	}
	if n.more.member != nil && j.memberOf(part, hash) {
		next = enter(next, n.more.member, at+1)
	}
	for _, c := range n.more.claims {
		for value := range j.who.claim(c.name) {
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
	held := j.held()
	if p.buckets == nil || len(p.mentions) <= len(held.hashes) {
		for i := range p.mentions {
			j.lookUp(&p.mentions[i], &held)
		}
		return
	}
	for i, hash := range held.hashes {
		for k, mentions := 0, p.bucket(hash); k < len(mentions); k++ {
			if mentions[k].hash == hash {
				j.compare(&mentions[k], i)
			}
		}
	}
}

// held returns the subjects that the principal has.
func (j *judge) held() held {
	if j.known == nil && j.count == 0 {
		j.count = j.who.count()
		switch {
		case j.who.index.fits(j.who):
			j.known = &j.who.index.held
		case j.count > len(j.hashes):
			j.known = newHeld(j.who)
		default:
			fill(j.who, j.hashes[:j.count], j.places[:])
		}
	}
	if j.known != nil {
		return *j.known
	}
	return held{j.hashes[:j.count], j.places[:]}
}

// memberOf is Principal.memberOf by one look into the table of subjects, however many groups there
// are. The hash is that of the part.
func (j *judge) memberOf(part string, hash uint64) bool {
	if !legalPart(part) {
		return false
	}
	held, of := j.held(), groupHash(hash)
	for at := of; ; at++ {
		place := held.places[at&uint32(len(held.places)-1)]
		switch {
		case place == 0:
			return false
		case held.hashes[place-1] == of && j.who.subject(int(place-1)) == (subject{group, part}):
			return true
		}
	}
}

// lookUp weighs the rule of a mention if the principal has the subject.
func (j *judge) lookUp(m *mention, held *held) {
	for at := m.hash; ; at++ {
		place := held.places[at&uint32(len(held.places)-1)]
		if place == 0 || held.hashes[place-1] == m.hash && j.compare(m, int(place-1)) {
			return
		}
	}
}

// compare weighs the rule of a mention if the subject is the i-th of the principal, which has the
// same hash.
func (j *judge) compare(m *mention, i int) bool {
	r := &j.policy.compiled[m.rule-1]
	if r.subjects[m.nth] != j.who.subject(i) {
		return false
	}
	j.weigh(r)
	return true
}

// weigh adds what a rule says to what was found. Rules come in any order, and some come twice.
func (j *judge) weigh(r *rule) {
	actions := j.asked.Actions & r.actions
	if j.denies && !r.deny || !j.found.open(r, actions) {
		return
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
		j.found.lifetime[a] = shorter(j.found.lifetime[a], r.lifetime)
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
		case v.allowed[a] == 0 && r.number != v.failed[a], v.allowed[a] > r.number, shorter(v.lifetime[a], r.lifetime) != v.lifetime[a]:
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
// with the principal as plain text, through databases and journals, and no form of them grants
// more than its text: so they are read here and not where they are made.
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
