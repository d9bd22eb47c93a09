package policy

import (
	"math/bits"
	"time"

	"github.com/tidewaiter/tidewaiter/policy/internal/match"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Decide decides a request. It reads only the policy and the request. It allocates only the
// results and their causes. If the principal has more than about 40 groups and is not Indexed,
// Decide also allocates a table of the groups. A request without a principal is anonymous. A nil
// policy and a nil request grant nothing.
//
// If several rules decide an action in the same way, the result names the first of these rules
// in the source.
func (p *Policy) Decide(r *Request) Decision {
	p, r = match.OrZero(p), match.OrZero(r)
	principal := match.OrZero(r.Principal)
	ev := evaluator{policy: p, request: r, principal: principal, who: principal.properties()}
	most := 0
	for i := range r.Scopes {
		most += bits.OnesCount8(uint8(r.Scopes[i].Actions))
	}
	d := Decision{Results: make([]Result, len(r.Scopes))}
	causes := make([]Cause, 0, most)
	for i := range r.Scopes {
		ev.matchScope(&r.Scopes[i])
		begin := len(causes)
		d.Results[i].Asked = r.Scopes[i]
		d.Results[i].Granted, causes = ev.computeResult(causes)
		d.Results[i].Causes = causes[begin:len(causes):len(causes)]
		d.Lifetime = minLifetime(d.Lifetime, ev.lifetime(d.Results[i].Granted))
	}
	return d
}

// evaluator evaluates one request. It lives on the stack.
type evaluator struct {
	policy    *Policy
	request   *Request
	principal *Principal
	who       match.Who // of the principal

	asked *scope.Scope
	path  match.Path
	found findings // for the requested scope

	denies bool // if true, only deny rules are applied

	// The fields below hold the principal's subjects. They are set when the first rule needs the
	// subjects. If the principal is indexed, or has more subjects than the array hashes can hold,
	// the subjects are in the field known. Otherwise they are in the fields hashes and slots.
	known  *subjectSet
	count  int
	hashes [48]uint32
	slots  [64]uint32
}

// actionBits is the number of bits of a scope.Actions.
const actionBits = 8

// findings holds the effect of the applied rules on each action. For each action, it has the
// numbers of three rules: the first rule that denies the action, the first rule that allows the
// action, and the first rule that would allow the action if the rule's condition held. The number
// 0 means that there is no such rule.
type findings struct {
	denied, allowed, failed [actionBits]int32
	// lifetime is the shortest lifetime of the rules that allow the action. 0 means that no rule
	// limits the lifetime.
	lifetime [actionBits]time.Duration
}

// matchScope applies all rules that match the scope.
func (e *evaluator) matchScope(asked *scope.Scope) {
	e.asked, e.found = asked, findings{}
	if !e.path.Cut(asked.Name) {
		return
	}
	kind := match.TypeOf(asked.Type)
	if root := e.policy.everywhere[kind]; root != nil {
		e.walk(root)
	}
	if len(e.policy.registries) == 0 {
		return
	}
	if e.request.Registry == "" {
		e.matchUnknownRegistry(kind)
		return
	}
	if root := e.policy.registries[e.request.Registry][kind]; root != nil {
		e.walk(root)
	}
}

// matchUnknownRegistry applies the deny rules of all registries. Otherwise a request that does
// not name its registry could bypass a deny rule for one registry.
func (e *evaluator) matchUnknownRegistry(kind string) {
	e.denies = true
	for _, types := range e.policy.registries {
		if root := types[kind]; root != nil {
			e.walk(root)
		}
	}
	e.denies = false
}

// state has a node that matches the beginning of the name, and the number of parts in this
// beginning.
type state struct {
	node *node
	at   int
}

// walk reads the name part by part. After each part, it has a list of all nodes that match the
// name up to this part.
func (e *evaluator) walk(root *node) {
	var buf [2][24]state
	now, next := addWithDoubleStar(buf[0][:0], root, 0), buf[1][:0]
	for at := range e.path.Parts {
		part := e.path.Part(at)
		hash := hashOf(part)
		for _, s := range now {
			if s.at > at { // a claim has matched this part together with later parts
				next = add(next, s.node, s.at)
				continue
			}
			n := s.node
			if n.below != nil {
				e.applyPostings(n.below)
			}
			if n.repeats {
				next = add(next, n, at+1)
			}
			if to := e.policy.tree.literals.find(n, part, hash); to != nil {
				next = addWithDoubleStar(next, to, at+1)
			}
			if n.star != nil {
				next = addWithDoubleStar(next, n.star, at+1)
			}
			if n.rare != nil {
				next = e.walkRare(next, n, at, part, hash)
			}
		}
		now, next = next, now[:0]
	}
	for _, s := range now {
		if s.node.ends != nil {
			e.applyPostings(s.node.ends)
		}
	}
}

func (e *evaluator) walkRare(next []state, n *node, at int, part string, hash uint64) []state {
	if n.rare.user != nil {
		if name, ok := e.who.UserValue(); ok && name == part {
			next = addWithDoubleStar(next, n.rare.user, at+1)
		}
	}
	if n.rare.group != nil && e.memberOf(part, hash) {
		next = addWithDoubleStar(next, n.rare.group, at+1)
	}
	for _, c := range n.rare.claims {
		for value := range e.who.Claim(c.name) {
			if parts := e.path.Follows(at, value); parts > 0 {
				next = addWithDoubleStar(next, c.to, at+parts)
			}
		}
	}
	for _, is := range n.rare.shapes {
		before, after := int(is.before), int(is.after)
		if len(part) < before+after {
			continue
		}
		key := affix{n, part[:before], part[len(part)-after:]}
		between := part[before : len(part)-after]
		for _, g := range e.policy.tree.globs[key] {
			if match.FindAll(g.middle, between) {
				next = addWithDoubleStar(next, g.to, at+1)
			}
		}
	}
	return next
}

// addWithDoubleStar appends the node n to the list states. If n has an edge for **, it also
// appends the node at the end of this edge, because ** can match zero parts.
func addWithDoubleStar(states []state, n *node, at int) []state {
	states = add(states, n, at)
	if n.rare != nil && n.rare.deep != nil {
		states = add(states, n.rare.deep, at)
	}
	return states
}

// add appends the node n to the list states if the list does not have it yet. A node that is not
// shared can be reached in only one way, so add searches the list only for shared nodes.
func add(states []state, n *node, at int) []state {
	s := state{n, at}
	if n.shared {
		for _, other := range states {
			if other == s {
				return states
			}
		}
	}
	return append(states, s)
}

// applyPostings applies the rules of the list that are for a subject of the principal.
func (e *evaluator) applyPostings(p *postingList) {
	held := e.subjects()
	if p.buckets == nil || len(p.entries) <= len(held.hashes) {
		for i := range p.entries {
			e.applyIfHeld(&p.entries[i], &held)
		}
		return
	}
	for i, hash := range held.hashes {
		for k, entries := 0, p.bucket(hash); k < len(entries); k++ {
			if entries[k].hash == hash {
				e.applyIfSubject(&entries[k], i)
			}
		}
	}
}

// subjects returns the subjects of the principal.
func (e *evaluator) subjects() subjectSet {
	if e.known == nil && e.count == 0 {
		e.count = e.who.Count()
		switch {
		case e.principal.index.fits(&e.who):
			e.known = &e.principal.index.subjectSet
		case e.count > len(e.hashes):
			e.known = newSubjectSet(&e.who)
		default:
			hashSubjects(&e.who, e.hashes[:e.count], e.slots[:])
		}
	}
	if e.known != nil {
		return *e.known
	}
	return subjectSet{e.hashes[:e.count], e.slots[:]}
}

// memberOf reports whether ${group} matches the part. It returns the same result as
// match.Who.MemberOf. But memberOf needs only one lookup in the table of subjects, for any number
// of groups. The parameter hash is the hash of the part.
func (e *evaluator) memberOf(part string, hash uint64) bool {
	if !match.ValidPart(part) {
		return false
	}
	held, of := e.subjects(), groupHash(hash)
	for at := of; ; at++ {
		slot := held.slots[at&uint32(len(held.slots)-1)]
		switch {
		case slot == 0:
			return false
		case held.hashes[slot-1] == of && e.who.Subject(int(slot-1)) == (match.Subject{Kind: match.Group, Name: part}):
			return true
		}
	}
}

// applyIfHeld applies the rule of the posting m if the principal has the posting's subject.
func (e *evaluator) applyIfHeld(m *posting, held *subjectSet) {
	for at := m.hash; ; at++ {
		slot := held.slots[at&uint32(len(held.slots)-1)]
		if slot == 0 || held.hashes[slot-1] == m.hash && e.applyIfSubject(m, int(slot-1)) {
			return
		}
	}
}

// applyIfSubject compares the posting's subject with the principal's i-th subject. If they are
// equal, it applies the posting's rule and returns true. The caller has already compared the
// hashes of both subjects.
func (e *evaluator) applyIfSubject(m *posting, i int) bool {
	r := &e.policy.compiled[m.rule-1]
	if r.subjects[m.nth] != e.who.Subject(i) {
		return false
	}
	e.applyRule(r)
	return true
}

// applyRule adds the effect of a rule to the findings. Rules are applied in any order, and a
// rule may be applied twice.
func (e *evaluator) applyRule(r *rule) {
	actions := e.asked.Actions & r.actions
	if e.denies && !r.deny || !e.found.canChange(r, actions) {
		return
	}
	if !r.plain && r.source.When != nil {
		holds, err := r.source.When.Holds(e.request)
		if r.deny && !holds && err == nil {
			return
		}
		if !r.deny && (!holds || err != nil) {
			for a := range match.Bits(actions) {
				keepLowest(&e.found.failed[a], r.number)
			}
			return
		}
	}
	for a := range match.Bits(actions) {
		if r.deny {
			keepLowest(&e.found.denied[a], r.number)
			continue
		}
		keepLowest(&e.found.allowed[a], r.number)
		e.found.lifetime[a] = minLifetime(e.found.lifetime[a], r.lifetime)
	}
}

// canChange reports whether the rule could still change the findings. If not, the condition of the
// rule is not evaluated.
func (v *findings) canChange(r *rule, actions scope.Actions) bool {
	for a := range match.Bits(actions) {
		switch {
		case r.deny:
			if v.denied[a] == 0 || r.number < v.denied[a] {
				return true
			}
		case v.denied[a] != 0:
		case v.allowed[a] == 0 && r.number != v.failed[a], v.allowed[a] > r.number, minLifetime(v.lifetime[a], r.lifetime) != v.lifetime[a]:
			return true
		}
	}
	return false
}

// computeResult computes the granted actions from the findings. It appends the cause of each
// action to the list causes.
func (e *evaluator) computeResult(causes []Cause) (scope.Actions, []Cause) {
	var granted scope.Actions
	// left: the actions within the limits, computed at the first allow
	left, narrowed := scope.Actions(0), false
	begin := len(causes)
	for a := range match.Bits(e.asked.Actions) {
		action := scope.Actions(1) << a
		reason, number := NoRule, int32(0)
		switch {
		case e.found.denied[a] != 0:
			reason, number = Denied, e.found.denied[a]
		case e.found.allowed[a] != 0:
			if !narrowed {
				left, narrowed = e.withinLimits(), true
			}
			reason, number = Narrowed, e.found.allowed[a]
			if left&action != 0 {
				reason = Allowed
				granted |= action
			}
		case e.found.failed[a] != 0:
			reason, number = ConditionFailed, e.found.failed[a]
		}
		causes = e.addCause(causes, begin, Cause{action, reason, e.policy.numbered(number)})
	}
	return granted, causes
}

// addCause appends a cause. If causes[begin:] has a cause with the same reason and rule,
// addCause adds the actions to that cause instead.
func (e *evaluator) addCause(causes []Cause, begin int, c Cause) []Cause {
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

// withinLimits returns the actions on the asked scope that the credential's limits permit.
func (e *evaluator) withinLimits() scope.Actions {
	return e.principal.permittedByLimits(&e.who, e.asked, &e.path)
}

// WithinLimits returns the actions of a scope that the credential's limits permit. It does not
// read any rules.
func (who *Principal) WithinLimits(asked scope.Scope) scope.Actions {
	var path match.Path
	who = match.OrZero(who)
	if facts := who.properties(); path.Cut(asked.Name) {
		return who.permittedByLimits(&facts, &asked, &path)
	}
	return 0
}

// permittedByLimits returns the actions on the asked scope that the limits permit. It parses the
// limits for each decision, because databases and journals store limits only as plain text. If
// they stored a parsed form, too, this form could differ from the text and grant more.
func (who *Principal) permittedByLimits(facts *match.Who, asked *scope.Scope, path *match.Path) (left scope.Actions) {
	if len(who.Limits) == 0 {
		return asked.Actions
	}
	for _, l := range who.Limits {
		if match.TypeOf(l.Type) == match.TypeOf(asked.Type) && l.Actions&^left != 0 && match.Any(l.Names, path, facts) {
			left |= l.Actions
		}
	}
	return left & asked.Actions
}

// lifetime returns the shortest lifetime of the rules that allow the granted actions. 0 means
// no limit.
func (e *evaluator) lifetime(granted scope.Actions) time.Duration {
	var least time.Duration
	for a := range match.Bits(granted) {
		least = minLifetime(least, e.found.lifetime[a])
	}
	return least
}

// minLifetime returns the shorter of two lifetimes; 0 means unlimited.
func minLifetime(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// keepLowest sets *kept to the given number if this number is lower than *kept, or if *kept is 0.
// The value 0 means that *kept is not set yet.
func keepLowest(kept *int32, number int32) {
	if *kept == 0 || number < *kept {
		*kept = number
	}
}
