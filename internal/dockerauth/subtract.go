package dockerauth

import (
	"slices"
	"strings"
)

// Subtraction of patterns. A pattern has no exceptions, so the remaining names are written as
// other patterns, if necessary character by character. For example, everything except test-*
// becomes: names that begin with another letter than t, names that begin with t and another letter
// than e, and so on. Such a list is long but exact. It is used only if there is no other
// translation.

// letters are the characters of names. The first segment of a name can also have a colon:
// host:5000/app.
const letters = "abcdefghijklmnopqrstuvwxyz0123456789._-"

// subtract returns the names of p that are not in q. It fails if patterns cannot express those
// names.
func subtract(p, q pattern) ([]area, bool) {
	if p.isWithin(q) {
		return nil, true
	}
	if both, ok := intersect(p, q); ok && len(both) == 0 {
		return []area{{pattern: p}}, true
	}
	if p.has(claim) || q.has(claim) {
		return nil, false
	}
	head, open, ok := splitDeep(p)
	taken, takenOpen, ok2 := splitDeep(q)
	if !ok || !ok2 {
		return nil, false
	}
	if !open && !takenOpen && len(head) != len(taken) {
		return []area{{pattern: p}}, true
	}
	var areas []area
	// Keep the names of p with another number of segments than q.
	for n := len(head); n < len(taken) && (open || n == len(head)); n++ {
		areas = append(areas, area{pattern: lengthen(head, n)})
	}
	if !takenOpen && open {
		longer := append(lengthen(head, max(len(head), len(taken)+1)), part{kind: deep})
		areas = append(areas, area{pattern: longer})
	}
	if !open && len(head) < len(taken) || !takenOpen && len(head) > len(taken) {
		return tidy(areas), true
	}
	from := lengthen(head, max(len(head), len(taken)))
	var rest pattern
	if takenOpen && open {
		rest = pattern{{kind: deep}}
	}
	done := []area{{}} // the intersection of the previous segments
	for i := range taken {
		left, ok := from[i].subtract(taken[i], i == 0)
		if !ok {
			return nil, false
		}
		after := area{pattern: slices.Concat(from[i+1:], rest)}
		areas = append(areas, concatenate(concatenate(done, left), []area{after})...)
		common, ok := from[i].intersect(taken[i])
		if !ok || len(areas) > 4*maxPieces {
			return nil, false
		}
		done = concatenate(done, common)
	}
	for i := range areas {
		areas[i].pattern = areas[i].pattern.normalize()
	}
	areas = tidy(areas)
	return areas, len(areas) <= maxPieces
}

// splitDeep returns the pattern without a final **, and reports whether there was a final **. It
// fails if the pattern has another **.
func splitDeep(p pattern) (head pattern, open, ok bool) {
	at := slices.IndexFunc(p, func(x part) bool { return x.kind == deep })
	switch at {
	case -1:
		return p, false, true
	case len(p) - 1:
		return p[:at], true, true
	}
	return nil, false, false
}

// lengthen appends * segments to p until it has n segments.
func lengthen(p pattern, n int) pattern {
	return slices.Concat(p, slices.Repeat(pattern{{kind: star}}, max(0, n-len(p))))
}

// subtract returns areas for the texts that p matches and q does not match. Both parts must match
// one segment. For the first segment of a name, isFirst is true. If areas cannot express the
// texts, subtract fails.
func (p part) subtract(q part, isFirst bool) ([]area, bool) {
	if p.isWithin(q) {
		return nil, true
	}
	switch common, ok := p.intersect(q); {
	case !ok:
		return nil, false
	case len(common) == 0:
		return []area{{pattern: pattern{p}}}, true
	case p.kind == member:
		return nil, false // a rule cannot express "any group except this group"
	case q.kind == member && p.kind == word:
		return []area{{pattern{p}, []literal{not(labelEquals(q.text, p.text))}}}, true
	case q.kind == member:
		return nil, false
	case p.kind == user: // ${user} without ann: ${user}, if the account is not ann
		return []area{{pattern{p}, []literal{not(common[0].when[0].atom)}}}, true
	case q.kind == user && p.kind == word:
		return []area{{pattern{p}, []literal{not(accountsNamed(p.text))}}}, true
	case q.kind == user:
		return nil, false
	}
	others, ok := complement(q.text, isFirst)
	if !ok {
		return nil, false
	}
	var areas []area
	for _, text := range others {
		some, ok := p.intersect(textPart(text))
		if !ok {
			return nil, false
		}
		areas = append(areas, some...)
	}
	return areas, true
}

// complement returns globs for all segments that text does not match. The text is a word or a
// glob with one *.
func complement(text string, first bool) ([]string, bool) {
	head, tail, globbed := strings.Cut(text, "*")
	if strings.Contains(tail, "*") {
		return nil, false
	}
	alphabet := letters
	if first {
		alphabet += ":"
	}
	others := differingGlobs(head, alphabet)
	if !globbed {
		for _, c := range alphabet {
			others = append(others, head+string(c)+"*")
		}
		return others, true
	}
	for _, other := range differingGlobs(reversed(tail), alphabet) {
		others = append(others, reversed(other))
	}
	// The segment begins with head and ends with tail, but head and tail overlap in it. For
	// example, ab*bc does not match abc.
	for over := 1; over <= min(len(head), len(tail)); over++ {
		if strings.HasSuffix(head, tail[:over]) {
			others = append(others, head+tail[over:])
		}
	}
	return others, true
}

// differingGlobs returns globs for all texts that do not begin with the word: texts with another
// letter at some position, and texts that are only the beginning of the word.
func differingGlobs(word, alphabet string) (others []string) {
	for i := range len(word) {
		for _, c := range alphabet {
			if byte(c) != word[i] {
				others = append(others, word[:i]+string(c)+"*")
			}
		}
		if i > 0 {
			others = append(others, word[:i])
		}
	}
	return others
}

func reversed(s string) string {
	b := []byte(s)
	slices.Reverse(b)
	return string(b)
}
