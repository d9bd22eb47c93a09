package htpasswd

import (
	"testing"

	"pgregory.net/rapid"
)

func TestTheNearestNameIsSuggested(t *testing.T) {
	for _, tt := range []struct {
		name string
		of   []string
		want string
	}{
		{"ann", []string{"anna", "bob"}, "anna"},
		{"anna", []string{"ann", "bob"}, "ann"},
		{"an", []string{"bn", "ann", "a", "am"}, "a"}, // of several, the first in the alphabet
		{"ann", []string{"bob"}, ""},
		{"margaret", []string{"margrte", "margrit", "mary"}, "margrit"},
		{"x", []string{"yz"}, ""},
		{"Ann", []string{"ann", "ant"}, "ann"},
		{"ann", nil, ""},
	} {
		named := make(map[string]place)
		for _, name := range tt.of {
			named[name] = place{}
		}
		for range 10 { // whatever the order of the map
			if got := nearest(tt.name, named); got != tt.want {
				t.Errorf("nearest to %q of %q: %q, want %q", tt.name, tt.of, got, tt.want)
			}
		}
	}
}

// Distance is a metric, and one edit is one.
func TestDistanceIsAMetric(t *testing.T) {
	word := rapid.StringMatching(`[abc]{0,6}`)
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := word.Draw(t, "a"), word.Draw(t, "b"), word.Draw(t, "c")
		ab, ba, bc, ac := distance(a, b), distance(b, a), distance(b, c), distance(a, c)
		if ab != ba || (ab == 0) != (a == b) || ac > ab+bc {
			t.Errorf("%q %q %q: %d %d %d %d", a, b, c, ab, ba, bc, ac)
		}
		i := rapid.IntRange(0, len(a)).Draw(t, "i")
		if d := distance(a, a[:i]+"x"+a[i:]); d != 1 {
			t.Errorf("one more letter in %q: %d", a, d)
		}
	})
}
