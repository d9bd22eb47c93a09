package dockerauth

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// A * of the glob matches anything, including a * of the text. A letter of the glob matches
// only itself.
func TestGlobsOfGlobs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		glob := rapid.StringOfN(rapid.RuneFrom([]rune("ab*")), 0, 12, -1).Draw(t, "glob")
		text := rapid.StringOfN(rapid.RuneFrom([]rune("ab*")), 0, 12, -1).Draw(t, "text")
		want := regexp.MustCompile("^" + strings.ReplaceAll(glob, "*", ".*") + "$").MatchString(text)
		if got := globMatches(glob, text); got != want {
			t.Fatalf("%q matches %q: %v, want %v", glob, text, got, want)
		}
	})
}

// Comparing two patterns takes a bounded number of steps: the method isWithin fills a table of the
// segments of both patterns, and the function intersect gives up after maxSteps.
func TestPatternsWithManyDeepPartsAreComparedInFewSteps(t *testing.T) {
	many := func(n int, last string) pattern {
		var p pattern
		for range n {
			p = append(p, part{kind: deep}, part{word, "a"})
		}
		return append(p, part{word, last})
	}
	long := make(pattern, 60)
	for i := range long {
		long[i] = part{word, "a"}
	}
	if long.isWithin(many(25, "b")) || !append(long, part{word, "b"}).isWithin(many(25, "b")) {
		t.Error("the comparison of 60 parts with 25 times ** has a wrong result")
	}
	if _, ok := intersect(many(25, "b"), many(25, "c")); ok {
		t.Error("the intersection of patterns with 25 ** did not give up")
	}
	if _, ok := intersect(many(2, "b"), many(1, "b")); !ok {
		t.Error("the intersection of patterns with a few ** gave up")
	}
}

// The method isWithin uses a table. Its result must equal that of the recursive definition.
func TestWithinFollowsItsDefinition(t *testing.T) {
	var within func(p, q pattern) bool
	within = func(p, q pattern) bool {
		switch {
		case len(q) == 0:
			return len(p) == 0
		case q[0].kind == deep:
			return within(p, q[1:]) || len(p) > 0 && within(p[1:], q)
		case len(p) == 0:
			return false
		case p[0].kind == claim && q[0].kind == star && len(q) > 1 && q[1].kind == deep:
			return within(p[1:], q[1:])
		}
		return p[0].isWithin(q[0]) && within(p[1:], q[1:])
	}
	rapid.Check(t, func(t *rapid.T) {
		if p, q := drawPattern(t), drawPattern(t); p.isWithin(q) != within(p, q) {
			t.Fatalf("%v within %v: %v", p.texts(), q.texts(), p.isWithin(q))
		}
	})
}
