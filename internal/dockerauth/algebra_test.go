package dockerauth

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// requester has the properties of a principal that patterns depend on.
type requester struct {
	user   string
	claims []string // of x
	groups []string // of g
}

func (a requester) holds(all []literal) bool {
	return !slices.ContainsFunc(all, func(l literal) bool {
		ok := false
		if l.kind == account {
			ok = l.matches(a.user)
		} else {
			ok = slices.ContainsFunc(map[string][]string{"x": a.claims, "g": a.groups}[l.key], l.matches)
		}
		return ok == l.not
	})
}

// hasName reports whether the pattern matches a name. It uses the simplest algorithm.
func (p pattern) hasName(name []string, who requester) bool {
	if len(p) == 0 {
		return len(name) == 0
	}
	switch p[0].kind {
	case deep:
		for n := range len(name) + 1 {
			if p[1:].hasName(name[n:], who) {
				return true
			}
		}
		return false
	case claim:
		return slices.ContainsFunc(who.claims, func(v string) bool {
			parts := strings.Split(v, "/")
			return len(parts) <= len(name) && slices.Equal(parts, name[:len(parts)]) && p[1:].hasName(name[len(parts):], who)
		})
	}
	if len(name) == 0 || !p[1:].hasName(name[1:], who) {
		return false
	}
	switch p[0].kind {
	case star:
		return true
	case user:
		return name[0] == who.user
	case member:
		return slices.Contains(who.groups, name[0])
	}
	return globMatches(p[0].text, name[0])
}

func drawPattern(t *rapid.T) pattern {
	one := rapid.SampledFrom([]part{
		{word, "a"}, {word, "ab"}, {word, "aba"}, {word, "b"}, {glob, "a*"}, {glob, "*a"}, {glob, "*b"}, {glob, "ab*"}, {glob, "ab*ba"}, {glob, "*b*"}, {glob, "a*b"},
		{kind: star}, {kind: star}, {kind: deep}, {kind: user}, {claim, "x"}, {member, "g"},
	})
	p := pattern(rapid.SliceOfN(one, 1, 4).Draw(t, "pattern")).normalize()
	return p
}

func drawName(t *rapid.T) []string {
	return rapid.SliceOfN(rapid.SampledFrom([]string{"a", "ab", "aba", "abba", "b", "ba", "abab", "aab", "bb", "a.b", "c"}), 1, 4).Draw(t, "name")
}

// Intersection and difference are exact for every name and principal, or they fail.
func TestPatternsAreSets(t *testing.T) {
	met, taken := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		p, q := drawPattern(t), drawPattern(t)
		both, ok := intersect(p, q)
		left, ok2 := subtract(p, q)
		inside := p.isWithin(q)
		for range 30 {
			name := drawName(t)
			who := requester{
				rapid.SampledFrom([]string{"a", "ab", "c"}).Draw(t, "user"),
				rapid.SampledFrom([][]string{nil, {"a"}, {"b", "ab"}, {"a/b"}, {"c"}}).Draw(t, "claims"),
				rapid.SampledFrom([][]string{nil, {"a"}, {"b", "ab"}, {"a/b", "aba"}, {"c"}}).Draw(t, "groups"),
			}
			some := func(areas []area) bool {
				return slices.ContainsFunc(areas, func(a area) bool { return a.pattern.hasName(name, who) && who.holds(a.when) })
			}
			inP, inQ := p.hasName(name, who), q.hasName(name, who)
			if ok && some(both) != (inP && inQ) {
				t.Fatalf("%v and %v: %v for %v: %v", p.texts(), q.texts(), name, who, both)
			}
			if ok2 && some(left) != (inP && !inQ) {
				t.Fatalf("%v without %v: %v for %v: %v", p.texts(), q.texts(), name, who, left)
			}
			if inside && inP && !inQ {
				t.Fatalf("%v is within %v, except for the name %v of %v", p.texts(), q.texts(), name, who)
			}
		}
		if ok && len(both) > 0 {
			met++
		}
		if ok2 && len(left) > 0 {
			taken++
		}
	})
	t.Logf("%d pairs of patterns have common names, %d differences are not empty", met, taken)
}
