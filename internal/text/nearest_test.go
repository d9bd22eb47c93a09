package text

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestDistanceCountsTypingErrors(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
		what string
	}{
		{"push", "push", 0, "none"},
		{"pus", "push", 1, "left out"},
		{"pussh", "push", 1, "typed twice"},
		{"pash", "push", 1, "another letter"},
		{"psuh", "push", 1, "two exchanged"},
		{"hsup", "push", 3, "a reversed word is several errors"},
		{"", "push", 4, "all letters were added"},
		{"push", "", 4, "all letters were left out"},
		{"ca", "abc", 3, "a letter between two swapped letters is another error"},
	} {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("the distance from %q to %q is %d, want %d: %s", tt.a, tt.b, got, tt.want, tt.what)
		}
		if got := distance(tt.b, tt.a); got != tt.want {
			t.Errorf("the distance from %q to %q is %d, want %d in both directions", tt.b, tt.a, got, tt.want)
		}
	}
}

func TestPropertyDistanceIsZeroOnlyForEqualWords(t *testing.T) {
	word := rapid.StringMatching(`[abc]{0,6}`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := word.Draw(t, "a"), word.Draw(t, "b")
		there, back := distance(a, b), distance(b, a)
		if there != back || (there == 0) != (a == b) || there > max(len(a), len(b)) {
			t.Errorf("the distance between %q and %q is %d in one direction and %d in the other", a, b, there, back)
		}
		i := rapid.IntRange(0, len(a)).Draw(t, "i")
		if d := distance(a, a[:i]+"x"+a[i:]); d != 1 {
			t.Errorf("the distance between %q and the word with one more letter is %d, want 1", a, d)
		}
	})
}

func TestNearest(t *testing.T) {
	keys := []string{"public_url", "listen", "roles", "rules", "registries", "repositories", "token"}
	for _, tt := range []struct {
		word  string
		known []string
		want  string
	}{
		{"ann", []string{"anna", "bob"}, "anna"},
		{"anna", []string{"ann", "bob"}, "ann"},
		{"an", []string{"bn", "ann", "a", "am"}, "a"}, // the first candidate in the alphabet
		{"ann", []string{"bob"}, ""},
		{"margaret", []string{"margrte", "margrit", "mary"}, "margrit"},
		{"x", []string{"yz"}, ""},
		{"Ann", []string{"ant", "ann"}, "ann"},
		{"ann", nil, ""},
		{"", []string{"a"}, ""},
		{"PublicURL", []string{"public", "public_url"}, "public_url"},
		{"repos", []string{"registries", "repositories"}, "repositories"},
		{"forbid", []string{"allow", "deny"}, "deny"},
		{"listn", keys, "listen"},
		{"PublicURL", keys, "public_url"},
		{"public-url", keys, "public_url"},
		{"regis", keys, "registries"},
		{"re", keys, ""},
		{"rulez", keys, "rules"},
		{"role", keys, "roles"},
		{"___", keys, ""},
		{"ports", keys, ""},
		{"tóken", keys, "token"},
		{"tokenization", keys, ""},
		{strings.Repeat("listen", 1000), keys, ""},
		{"forbid", []string{"allow"}, ""},
	} {
		if got := Nearest(tt.word, tt.known); got != tt.want {
			t.Errorf("nearest to %.40q of %q: %q, want %q", tt.word, tt.known, got, tt.want)
		}
	}
}

// Some callers pass the keys of a map, whose order is random.
func TestPropertyNearestDoesNotDependOnTheOrder(t *testing.T) {
	word := rapid.StringMatching(`[abc_]{0,5}`)
	rapid.Check(t, func(t *rapid.T) {
		known := rapid.SliceOfNDistinct(word, 0, 6, simplify).Draw(t, "known")
		other := slices.Sorted(slices.Values(known))
		wrong := word.Draw(t, "word")
		if a, b := Nearest(wrong, known), Nearest(wrong, other); a != b {
			t.Errorf("%q of %q: %q, of %q: %q", wrong, known, a, other, b)
		}
	})
}
