package dockerauth

import (
	"fmt"
	"math/bits"
	"slices"

	"github.com/tidewaiter/tidewaiter/scope"
)

// entry is one entry of the list. An entry matches a request if the entry's conditions are true
// and the name is in one of the entry's areas.
type entry struct {
	line    int
	when    []literal
	areas   []area
	actions scope.Actions
	unclear string // why the entry has no exact translation; areas then include all matching names

	from  string  // the source outside the file whose labels are patterns in the entry's names
	every pattern // all names that could match because of the labels of that source
}

// region is a set of requests that an entry matches: the requests that meet the conditions and
// have a name of the pattern.
type region struct {
	entry   int
	pattern pattern
	when    []literal
	wide    bool // the region has more names than the entry matches; only for entries that refuse
	guessed bool // the matching names depend on patterns from outside the file
}

// rule is one rule that translates a part of an entry.
type rule struct {
	entry    int
	deny     bool
	patterns []pattern
	actions  scope.Actions
	when     condition
}

// A list in which the first matching entry decides becomes rules in which a deny overrides
// every allow. For one action, each entry either allows or refuses. So
//
//	a request is granted if some entry allows it and no earlier entry refuses it.
//
// So no allow may grant what an earlier entry refuses. There are these ways:
//
//   - The refusal becomes a deny in two cases. In the first case, no earlier allow grants a
//     request that the refusal refuses. In the second case, each earlier allow that grants such
//     requests covers the refusal's whole pattern. Then the deny can exclude the conditions of
//     these allows.
//   - If the refusal covers the allow's whole pattern, the allow's condition excludes the
//     refusal's conditions.
//   - If refusal and allow have only some names in common, a deny is written for the common
//     names, or the allow is written for the names that are not common.
//
// A deny refuses only requests that are refused by their first matching entry. The exceptions of
// an allow are only for such requests, too. So each rule is correct, whether the other rules exist
// or not.
type ordering struct {
	entries  []entry
	action   scope.Actions
	regions  []region // in the order of the list, without unreachable regions
	problems map[int]string

	allows []rule
	denies []rule
	denied map[int]bool // indexes of the regions for which a deny is written
}

// order translates the list into rules for the given actions. For each entry without a
// translation, the map problems has the reason, with the entry's index as the key. For each entry,
// order also reports whether some requests match no earlier entry and so reach this entry.
func order(entries []entry, actions scope.Actions) (rules []rule, problems map[int]string, reached []bool) {
	problems = make(map[int]string)
	regions, reached := reachableRegions(entries)
	for i, r := range reached {
		if r && entries[i].unclear != "" {
			problems[i] = entries[i].unclear
		}
	}
	if len(problems) > 0 {
		return nil, problems, reached
	}
	regions = widen(regions)
	var all []rule
	for rest := uint8(actions); rest != 0; rest &= rest - 1 {
		o := &ordering{
			entries: entries, action: scope.Actions(1) << bits.TrailingZeros8(rest), regions: regions,
			problems: problems, denied: make(map[int]bool),
		}
		o.order()
		all = append(all, o.denies...)
		all = append(all, o.allows...)
	}
	return merge(all), problems, reached
}

// reachableRegions returns the regions with requests that no earlier entry matches. For each
// entry, it also reports whether the entry has such a region.
func reachableRegions(entries []entry) (regions []region, reached []bool) {
	reached = make([]bool, len(entries))
	for i, e := range entries {
		areas := e.areas
		if e.from != "" {
			areas = append(slices.Clip(areas), area{pattern: e.every, when: []literal{is(signedIn)}})
		}
		for k, a := range areas {
			r := region{entry: i, pattern: a.pattern, when: removeRepeated(slices.Concat(e.when, a.when))}
			r.guessed = k == len(e.areas)
			r.wide = r.guessed
			w := condition{all: r.when}
			for _, before := range regions {
				if before.entry == i || before.wide || entries[before.entry].unclear != "" {
					continue
				}
				w.none = append(w.none, coverConditions(before, r)...)
			}
			if w.canHold() {
				regions = append(regions, r)
				reached[i] = true
			}
		}
	}
	return regions, reached
}

// withoutUserValue matches an account's name with a slash or a colon. For such an account, ${user}
// has no value in a rule, although the account's name could be a part of a repository's name.
var withoutUserValue = atom{kind: account, form: like, text: "[/:]"}

// betweenSlashes matches an account's name between slashes. If a pattern is only ${account},
// docker_auth parses such a name as a regular expression.
var betweenSlashes = atom{kind: account, form: like, text: "(?s)^/.+/$"}

// widen adds names to refusing entries whose pattern has ${account}. An account with a slash in
// its name has no ${user} in rules, so a deny with ${user} would not apply to it. For such
// accounts, the entry is extended to all names that could match. So the rules do not grant more
// than the list.
func widen(regions []region) []region {
	all := make([]region, 0, len(regions))
	for _, r := range regions {
		all = append(all, r)
		if i := slices.IndexFunc(r.when, func(l literal) bool { return l.form == accounts && !l.not }); i >= 0 {
			more := r
			more.wide = true
			more.when = append(slices.Delete(slices.Clone(r.when), i, i+1), is(betweenSlashes))
			if !isContradiction(more.when) {
				all = append(all, more)
			}
		}
		if !r.pattern.has(user) {
			continue
		}
		var p pattern
		for _, q := range r.pattern {
			if q.kind == user {
				p = append(p, everything...)
				continue
			}
			p = append(p, q)
		}
		if len(r.pattern) == 1 {
			p = everything
		}
		r.pattern, r.wide = p.normalize(), true
		r.when = append(slices.Clip(r.when), is(withoutUserValue))
		if !isContradiction(r.when) {
			all = append(all, r)
		}
	}
	return all
}

// coverConditions compares the given regions. The result has lists of conditions. If all
// conditions of one list are true for a request in r, the request is also in the outer region.
func coverConditions(outer, r region) (conditions [][]literal) {
	areas, ok := intersect(outer.pattern, r.pattern)
	if !ok {
		return nil
	}
	for _, a := range areas {
		if a.pattern.equal(r.pattern) {
			conditions = append(conditions, removeRepeated(slices.Concat(outer.when, a.when)))
		}
	}
	return conditions
}

func (o *ordering) allowing(r region) bool {
	return o.entries[r.entry].actions.Has(o.action) && !r.wide
}

func (o *ordering) refusing(r region) bool { return !o.entries[r.entry].actions.Has(o.action) }

func (o *ordering) problem(i int, format string, args ...any) {
	if _, known := o.problems[i]; !known {
		o.problems[i] = fmt.Sprintf(format, args...)
	}
}

func (o *ordering) order() {
	for j, r := range o.regions {
		switch {
		case !o.refusing(r):
		case r.guessed:
			o.reportGuessed(j)
		default:
			o.refuse(j)
		}
	}
	for i, r := range o.regions {
		if o.allowing(r) {
			o.allow(i)
		}
	}
}

// reportGuessed is for a refusing entry whose patterns come from outside the file. If a later
// entry could allow the same requests, reportGuessed reports an error. A rule cannot refuse
// exactly the requests of the entry, and a rule that refuses fewer requests would grant too much.
func (o *ordering) reportGuessed(j int) {
	r := o.regions[j]
	for _, after := range o.regions[j+1:] {
		if after.entry == r.entry || !o.allowing(after) || isContradiction(slices.Concat(after.when, r.when)) {
			continue
		}
		o.problem(r.entry, "the entry refuses %s for some requests that line %d allows, by labels that come from %s. docker_auth reads their values as patterns; a rule compares them as text and would refuse less. Write an entry for each value, such as {name: \"red/*\", labels: {team: red}}, or put this entry after line %d",
			o.action, o.entries[after.entry].line, o.entries[r.entry].from, o.entries[after.entry].line)
		return
	}
}

// refuse writes a deny rule for the whole region j. If the rule would be wrong, or less simple
// than conditions in later allow rules, refuse writes nothing.
func (o *ordering) refuse(j int) {
	r := o.regions[j]
	later, covered := false, true
	for _, after := range o.regions[j+1:] {
		if after.entry == r.entry || !o.allowing(after) {
			continue
		}
		areas, ok := intersect(after.pattern, r.pattern)
		if !ok {
			later, covered = true, false
			continue
		}
		for _, a := range areas {
			if !isContradiction(slices.Concat(after.when, r.when, a.when)) {
				later = true
				covered = covered && a.pattern.equal(after.pattern)
			}
		}
	}
	if !later {
		return // no later entry allows a request of this region
	}
	w := condition{all: r.when}
	for _, before := range o.regions[:j] {
		if before.entry == r.entry || !o.allowing(before) {
			continue
		}
		areas, ok := intersect(before.pattern, r.pattern)
		if !ok {
			if isContradiction(slices.Concat(before.when, r.when)) {
				continue
			}
			return
		}
		for _, a := range areas {
			both := slices.Concat(before.when, a.when)
			switch {
			case isContradiction(slices.Concat(r.when, both)):
			case a.pattern.equal(r.pattern):
				w.none = append(w.none, removeRepeated(both))
			default:
				return
			}
		}
	}
	simple, possible := w.simplify()
	switch {
	case !possible:
		o.denied[j] = true // no deny is needed, because earlier entries allow all requests in r
	case covered && len(w.none) > 0 && (len(simple.none) > 0 || len(simple.all) > len(w.all)):
		// The deny would need exceptions. Conditions in the later allow rules are simpler.
	default:
		o.deny(j, r.pattern, simple)
		o.denied[j] = true
	}
}

func (o *ordering) deny(j int, p pattern, w condition) {
	o.denies = append(o.denies, rule{o.regions[j].entry, true, []pattern{p}, o.action, w})
}

// portion is a part of the requests that an entry allows or refuses.
type portion struct {
	pattern pattern
	when    condition
}

// split subtracts a region from the portion p. It needs the areas of p outside the region, the
// areas of p inside the region, and the region's conditions. The result has the areas outside,
// and the areas inside with the requirement that the conditions do not hold.
func (p portion) split(outside, inside []area, conditions []literal) (parts []portion) {
	for _, l := range outside {
		parts = append(parts, portion{l.pattern, condition{slices.Concat(p.when.all, l.when), p.when.none}})
	}
	for _, c := range inside {
		parts = append(parts, portion{c.pattern, condition{slices.Concat(p.when.all, c.when), append(slices.Clip(p.when.none), conditions)}})
	}
	return parts
}

// allowPortion is a portion of an allow. The earlier refusals are excluded from the portion one by
// one.
type allowPortion struct {
	portion
	next int // the next region to exclude
}

// allow writes the allow rules for region i.
func (o *ordering) allow(i int) {
	r := o.regions[i]
	work := []allowPortion{{portion{r.pattern, condition{all: r.when}}, 0}}
	for len(work) > 0 {
		a := work[len(work)-1]
		work = work[:len(work)-1]
		if len(work) > maxPieces {
			o.problem(r.entry, "without what the earlier entries match, this entry has more than %d parts: put this entry before them, or list the names that are needed", maxPieces)
			return
		}
		if a.next == i || o.regions[a.next].entry == r.entry {
			if simple, possible := a.when.simplify(); possible {
				o.allows = append(o.allows, rule{r.entry, false, []pattern{a.pattern}, o.action, simple})
			}
			continue
		}
		j := a.next
		a.next++
		refusal := o.regions[j]
		if !o.refusing(refusal) || o.denied[j] || refusal.guessed {
			work = append(work, a)
			continue
		}
		for _, left := range o.excludeRefusal(i, j, a.portion) {
			work = append(work, allowPortion{left, a.next})
		}
	}
}

// excludeRefusal excludes the refusal in region j from the portion a of region i, and returns the
// rest of the portion.
func (o *ordering) excludeRefusal(i, j int, a portion) []portion {
	refusal := o.regions[j]
	if !(condition{all: slices.Concat(a.when.all, refusal.when), none: a.when.none}).canHold() {
		return []portion{a}
	}
	areas, ok := intersect(a.pattern, refusal.pattern)
	if !ok {
		o.problem(o.regions[i].entry, "line %d also matches some names of this entry: which names depends on labels, accounts or groups in a way that rules cannot express: write an entry for each value, or put this entry before line %[1]d", o.entries[refusal.entry].line)
		return nil
	}
	var common []area
	for _, c := range areas {
		both := slices.Concat(refusal.when, c.when)
		switch {
		case isContradiction(slices.Concat(a.when.all, both)):
		case c.pattern.equal(a.pattern):
			a.when.none = append(slices.Clip(a.when.none), removeRepeated(both))
		default:
			common = append(common, c)
		}
	}
	if len(common) == 0 {
		return []portion{a}
	}
	// A few patterns for the remaining names are easier to read than a deny with exceptions.
	if left, ok := subtract(a.pattern, refusal.pattern); ok && len(left) <= 3 {
		return a.split(left, areas, refusal.when)
	}
	for _, c := range common {
		o.refuseWithin(i, j, c)
	}
	return []portion{a}
}

// refuseWithin writes deny rules for the common names of the refusal in region j and the later
// allow in region i. The deny rules do not apply to requests that an entry before the refusal
// allows.
func (o *ordering) refuseWithin(i, j int, common area) {
	refusal, later := o.regions[j], o.regions[i]
	pieces := []portion{{common.pattern, condition{all: slices.Concat(refusal.when, common.when)}}}
	for _, k := range o.regions[:j] {
		if k.entry == refusal.entry || !o.allowing(k) {
			continue
		}
		var next []portion
		for _, piece := range pieces {
			split, ok := piece.excludeAllow(k, later.when)
			if !ok || len(next) > maxPieces {
				o.problem(refusal.entry, "the entry refuses a part of what line %d allows, and the earlier line %d allows some of that part: the rest cannot be written as patterns; list the names to refuse",
					o.entries[later.entry].line, o.entries[k.entry].line)
				return
			}
			next = append(next, split...)
		}
		pieces = next
	}
	for _, piece := range pieces {
		if simple, possible := piece.when.simplify(); possible {
			o.deny(j, piece.pattern, simple)
		}
	}
}

// excludeAllow excludes the region of an earlier allow from the deny p, and returns the rest of
// the deny. The deny restricts a later allow with the given conditions. If these conditions are
// false for a request, the deny is not necessary for the request.
func (p portion) excludeAllow(earlier region, laterConditions []literal) ([]portion, bool) {
	areas, ok := intersect(earlier.pattern, p.pattern)
	if !ok {
		switch {
		case isContradiction(slices.Concat(p.when.all, earlier.when)):
			return []portion{p}, true
		case isContradiction(slices.Concat(p.when.all, earlier.when, laterConditions)):
			p.when.all = slices.Concat(p.when.all, laterConditions)
			return []portion{p}, true
		}
		return nil, false
	}
	partly, narrowed := false, false
	for _, c := range areas {
		both := slices.Concat(earlier.when, c.when)
		switch {
		case !(condition{slices.Concat(p.when.all, both), p.when.none}).canHold():
		case c.pattern.equal(p.pattern):
			p.when.none = append(slices.Clip(p.when.none), removeRepeated(both))
		case !(condition{slices.Concat(p.when.all, both, laterConditions), p.when.none}).canHold():
			narrowed = true
		default:
			partly = true
		}
	}
	if narrowed {
		p.when.all = slices.Concat(p.when.all, laterConditions)
	}
	if !partly {
		return []portion{p}, true
	}
	left, ok := subtract(p.pattern, earlier.pattern)
	if !ok {
		return nil, false
	}
	return p.split(left, areas, earlier.when), true
}

// merge merges rules of the same entry that differ only in their actions, or only in their
// patterns.
func merge(rules []rule) []rule {
	rules = combine(rules, func(a, b rule) bool { return a.patterns[0].equal(b.patterns[0]) }, func(into *rule, r rule) {
		into.actions |= r.actions
	})
	rules = combine(rules, func(a, b rule) bool { return a.actions == b.actions }, func(into *rule, r rule) {
		p := r.patterns[0]
		if !slices.ContainsFunc(into.patterns, func(q pattern) bool { return p.isWithin(q) }) {
			into.patterns = append(slices.DeleteFunc(slices.Clone(into.patterns), func(q pattern) bool { return q.isWithin(p) }), p)
		}
	})
	slices.SortStableFunc(rules, func(a, b rule) int { return a.entry - b.entry })
	return rules
}

// combine adds each rule to an earlier rule of the same entry, if both rules have the same effect
// and condition, and the function canCombine returns true for both rules.
func combine(rules []rule, canCombine func(a, b rule) bool, add func(into *rule, r rule)) (combined []rule) {
	for _, r := range rules {
		same := func(c rule) bool {
			return c.entry == r.entry && c.deny == r.deny && canCombine(c, r) && c.when.key() == r.when.key()
		}
		if i := slices.IndexFunc(combined, same); i >= 0 {
			add(&combined[i], r)
		} else {
			combined = append(combined, r)
		}
	}
	return combined
}
