package dockerauth

import (
	"path"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// A pattern is a set of repository names, segment by segment, in the form of Tidewaiter's
// rules. This file intersects, compares and subtracts such sets. That is enough to translate
// docker_auth's list into rules: in the list, the first matching entry decides, and rules have
// no order.
//
// Some results depend on the account: ${user}/app and ann/app have a common name only for the
// account ann. So operations return areas: patterns with conditions.
type pattern []part

type part struct {
	kind partKind
	text string // for a word or a glob: the text itself; for a claim: its name
}

type partKind uint8

const (
	word   partKind = iota // team
	glob                   // app-*: at least one * with other text
	star                   // *: any single segment
	deep                   // any number of segments, including none
	user                   // ${user}
	claim                  // ${claims.x}: one or more segments
	member                 // ${group}: one segment; text is the label with the groups
)

// everything matches every name: one segment, followed by any number of segments.
var everything = pattern{{kind: star}, {kind: deep}}

// area is a pattern with conditions. All conditions must be true.
type area struct {
	pattern pattern
	when    []literal
}

// maxPieces limits how many patterns one operation may produce.
const maxPieces = 400

// textPart parses a segment that may have *.
func textPart(text string) part {
	for strings.Contains(text, "**") {
		text = strings.ReplaceAll(text, "**", "*")
	}
	switch {
	case text == "*":
		return part{kind: star}
	case strings.Contains(text, "*"):
		return part{glob, text}
	}
	return part{word, text}
}

// normalize merges adjacent ** and moves a * before an adjacent **, so that there is only one way
// to write "at least n segments".
func (p pattern) normalize() pattern {
	n := make(pattern, 0, len(p))
	open := false // append ** after the next *
	for _, q := range p {
		if open && q.kind != star && q.kind != deep {
			n, open = append(n, part{kind: deep}), false
		}
		if q.kind == deep {
			open = true
		} else {
			n = append(n, q)
		}
	}
	if open {
		n = append(n, part{kind: deep})
	}
	return n
}

func (p pattern) equal(q pattern) bool { return slices.Equal(p, q) }

func (p pattern) has(kind partKind) bool {
	return slices.ContainsFunc(p, func(q part) bool { return q.kind == kind })
}

// texts returns the pattern in the form of rules. A pattern that ends with deep needs two
// texts, such as team and team/**, because a ** at the end of a rule's pattern matches at least
// one segment.
func (p pattern) texts() []string {
	words := make([]string, len(p))
	for i, q := range p {
		words[i] = q.String()
	}
	last := len(p) - 1
	switch {
	case last < 0 || p[last].kind != deep:
		return []string{strings.Join(words, "/")}
	case last > 0 && p[last-1].kind == star: // */** is ** at the end
		return []string{strings.Join(append(words[:last-1], "**"), "/")}
	}
	return []string{strings.Join(words[:last], "/"), strings.Join(words, "/")}
}

// String returns the part in the form of rules.
func (p part) String() string {
	switch p.kind {
	case word, glob:
		return p.text
	case claim:
		return "${claims." + p.text + "}"
	}
	return [...]string{star: "*", deep: "**", user: "${user}", member: "${group}"}[p.kind]
}

// canMatch reports whether a repository's name can match the pattern.
func (p pattern) canMatch() bool {
	for _, text := range p.texts() {
		if text != "" && (policy.Limit{Names: []string{text}, Actions: scope.Pull}).Check() == nil {
			return true
		}
	}
	return false
}

// isWithin reports whether every name of p is a name of q. isWithin sometimes returns false
// although every name of p is a name of q. In this case the import writes more patterns than
// necessary, but the patterns are correct. isWithin compares each part of p with each part of q
// once.
func (p pattern) isWithin(q pattern) bool {
	// here[j] is true if p[i:] is within q[j:], and after[j] is true if p[i+1:] is within
	// q[j:].
	here, after := make([]bool, len(q)+1), make([]bool, len(q)+1)
	for i := len(p); i >= 0; i-- {
		here, after = after, here
		here[len(q)] = i == len(p)
		for j := len(q) - 1; j >= 0; j-- {
			switch {
			case q[j].kind == deep:
				here[j] = here[j+1] || i < len(p) && after[j]
			case i == len(p):
				here[j] = false
			case p[i].kind == claim && q[j].kind == star && j+1 < len(q) && q[j+1].kind == deep:
				here[j] = after[j+1]
			default:
				here[j] = p[i].isWithin(q[j]) && after[j+1]
			}
		}
	}
	return here[0]
}

// isWithin reports whether q matches every text that p matches. Both parts must match one segment.
// isWithin sometimes returns false although q matches every such text.
func (p part) isWithin(q part) bool {
	switch {
	case p == q:
		return true
	case p.kind == deep || p.kind == claim:
		return false
	case q.kind == star:
		return true
	case q.kind == glob && (p.kind == word || p.kind == glob):
		return globMatches(q.text, p.text)
	}
	return false
}

// globMatches reports whether a glob matches a text. The text can also be a glob. Then globMatches
// reports whether the first glob includes the second glob. This is correct, because only a * of
// the first glob matches a * of the second glob. Names have no other special characters.
func globMatches(glob, text string) bool {
	matches, err := path.Match(glob, text)
	return matches && err == nil
}

// intersect returns the intersection of p and q. It fails if areas cannot express the
// intersection, or if it takes too many steps.
func intersect(p, q pattern) ([]area, bool) {
	switch {
	case p.isWithin(q):
		return []area{{pattern: p}}, true
	case q.isWithin(p):
		return []area{{pattern: q}}, true
	}
	if p.has(claim) || q.has(claim) {
		return intersectClaims(p, q)
	}
	left := intersector(maxSteps)
	areas, ok := left.parts(p, q)
	if !ok {
		return nil, false
	}
	for i := range areas {
		areas[i].pattern = areas[i].pattern.normalize()
	}
	return tidy(areas), len(areas) <= maxPieces
}

// maxSteps limits the number of ways to match the ** of two patterns against each other. A few **
// in each pattern take thousands of steps. Twenty ** would take years.
const maxSteps = 20_000

// intersector intersects patterns part by part. Its value is the number of remaining steps.
type intersector int

func (m *intersector) parts(p, q pattern) ([]area, bool) {
	if *m--; *m < 0 {
		return nil, false
	}
	switch {
	case len(p) == 0 && len(q) == 0:
		return []area{{}}, true
	case len(p) > 0 && len(q) > 0 && p[0].kind == deep && q[0].kind == deep:
		// At first, both ** match the same segments. When one ** has ended, the other ** can match
		// more segments.
		one, ok1 := m.parts(p[1:], q)
		if !ok1 {
			return nil, false
		}
		two, ok2 := m.parts(p, q[1:])
		all := concatenate([]area{{pattern: pattern{p[0]}}}, append(one, two...))
		return all, ok2 && len(all) <= maxPieces
	case len(p) > 0 && p[0].kind == deep:
		return m.intersectDeep(p, q)
	case len(q) > 0 && q[0].kind == deep:
		return m.intersectDeep(q, p)
	case len(p) == 0 || len(q) == 0:
		return nil, true
	}
	heads, ok := p[0].intersect(q[0])
	if !ok || len(heads) == 0 {
		return nil, ok
	}
	rests, ok := m.parts(p[1:], q[1:])
	if !ok {
		return nil, false
	}
	all := concatenate(heads, rests)
	return all, len(all) <= maxPieces
}

// intersectDeep intersects a pattern that begins with ** with a pattern that does not.
func (m *intersector) intersectDeep(p, q pattern) ([]area, bool) {
	none, ok := m.parts(p[1:], q)
	if !ok || len(q) == 0 {
		return none, ok
	}
	more, ok := m.parts(p, q[1:])
	all := append(none, concatenate([]area{{pattern: pattern{q[0]}}}, more)...)
	return all, ok && len(all) <= maxPieces
}

// concatenate returns all concatenations of a first part and a second part.
func concatenate(heads, rests []area) []area {
	var all []area
	for _, h := range heads {
		for _, r := range rests {
			all = append(all, area{slices.Concat(h.pattern, r.pattern), slices.Concat(h.when, r.when)})
		}
	}
	return all
}

// intersect returns areas for the texts that both p and q match. The parts must not be ** or a
// claim.
func (p part) intersect(q part) ([]area, bool) {
	switch {
	case p.isWithin(q):
		return []area{{pattern: pattern{p}}}, true
	case q.isWithin(p):
		return []area{{pattern: pattern{q}}}, true
	case p.kind == member || q.kind == member:
		if q.kind == member {
			p, q = q, p
		}
		if q.kind == word { // ${group} and dev: dev, for members of dev
			return []area{{pattern{q}, []literal{is(labelEquals(p.text, q.text))}}}, true
		}
		return nil, false // it is unknown which of the groups matches
	case q.kind == user:
		p, q = q, p
		fallthrough
	case p.kind == user:
		switch q.kind {
		case word: // ${user} and ann: ann, if the account is ann
			return []area{{pattern{q}, []literal{is(accountsNamed(q.text))}}}, true
		case glob:
			return []area{{pattern{p}, []literal{is(accountsLike(q.text))}}}, true
		}
		return nil, false
	case p.kind == glob && q.kind == glob:
		var areas []area
		texts, ok := intersectGlobs(p.text, q.text)
		for _, text := range texts {
			areas = append(areas, area{pattern: pattern{textPart(text)}})
		}
		return areas, ok
	}
	return nil, true
}

// intersectGlobs returns globs that together match the texts that both p and q match. It fails
// if this takes too many steps or globs.
func intersectGlobs(p, q string) ([]string, bool) {
	steps := 0
	var intersect func(p, q string) []string
	intersect = func(p, q string) []string {
		if steps++; steps > maxSteps {
			return nil
		}
		switch {
		case p == "" && q == "":
			return []string{""}
		case p != "" && q != "" && p[0] == '*' && q[0] == '*':
			return prefixed("*", append(intersect(p[1:], q), intersect(p, q[1:])...))
		case q != "" && q[0] == '*':
			p, q = q, p
			fallthrough
		case p != "" && p[0] == '*':
			texts := intersect(p[1:], q)
			if q != "" {
				texts = append(texts, prefixed(q[:1], intersect(p, q[1:]))...)
			}
			return texts
		case p == "" || q == "" || p[0] != q[0]:
			return nil
		}
		return prefixed(p[:1], intersect(p[1:], q[1:]))
	}
	var kept []string
	for _, text := range intersect(p, q) {
		if !slices.ContainsFunc(kept, func(k string) bool { return globMatches(k, text) }) {
			kept = append(slices.DeleteFunc(kept, func(k string) bool { return globMatches(text, k) }), text)
		}
	}
	return kept, steps <= maxSteps && len(kept) <= maxPieces
}

func prefixed(head string, texts []string) []string {
	all := make([]string, len(texts))
	for i, text := range texts {
		if all[i] = head + text; head == "*" && strings.HasPrefix(text, "*") {
			all[i] = text
		}
	}
	return all
}

// intersectClaims intersects patterns with claims. It fails if a pattern has ** or if both
// patterns have a claim, because the number of the claim's segments must be known. If the other
// pattern has literal text in the claim's segments, the text is the claim's value.
func intersectClaims(p, q pattern) ([]area, bool) {
	if q.has(claim) {
		p, q = q, p
	}
	if q.has(claim) {
		return nil, false
	}
	at := slices.IndexFunc(p, func(x part) bool { return x.kind == claim })
	head, tail := p[:at], p[at+1:]
	if tail.has(claim) {
		return nil, false
	}
	// If segments before the claim differ, the intersection is empty.
	for i := range min(len(head), len(q)) {
		if head[i].kind == deep || q[i].kind == deep {
			break
		}
		if heads, ok := head[i].intersect(q[i]); ok && len(heads) == 0 {
			return nil, true
		}
	}
	if p.has(deep) || q.has(deep) {
		return nil, false
	}
	width := len(q) - len(head) - len(tail)
	if width < 1 {
		return nil, true
	}
	var words []string
	for _, x := range q[at : at+width] {
		if x.kind != word {
			return nil, false
		}
		words = append(words, x.text)
	}
	left := intersector(maxSteps)
	one, ok1 := left.parts(head, q[:at])
	two, ok2 := left.parts(tail, q[at+width:])
	middle := area{q[at : at+width], []literal{is(labelEquals(p[at].text, strings.Join(words, "/")))}}
	return tidy(concatenate(concatenate(one, []area{middle}), two)), ok1 && ok2
}

// isWithin reports whether every request in a is in b.
func (a area) isWithin(b area) bool { return a.pattern.isWithin(b.pattern) && includes(a.when, b.when) }

// tidy removes empty areas, and areas that other areas include.
func tidy(areas []area) []area {
	var kept []area
	for _, a := range areas {
		a.when = removeRepeated(a.when)
		if isContradiction(a.when) || slices.ContainsFunc(kept, a.isWithin) || !a.pattern.canMatch() {
			continue
		}
		kept = append(slices.DeleteFunc(kept, func(b area) bool { return b.isWithin(a) }), a)
	}
	return kept
}

// removeRepeated removes repeated values.
func removeRepeated[T comparable](values []T) []T {
	var kept []T
	for _, v := range values {
		if !slices.Contains(kept, v) {
			kept = append(kept, v)
		}
	}
	return kept
}

// includes reports whether the first list contains every value of the second list.
func includes[T comparable](all, some []T) bool {
	return !slices.ContainsFunc(some, func(v T) bool { return !slices.Contains(all, v) })
}
