package spelling_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/internal/spelling"
)

func TestDistanceCountsSlips(t *testing.T) {
	for _, tt := range []struct {
		a, b  string
		slips int
		what  string
	}{
		{"push", "push", 0, "none"},
		{"pus", "push", 1, "left out"},
		{"pussh", "push", 1, "typed twice"},
		{"pash", "push", 1, "another letter"},
		{"psuh", "push", 1, "two that changed places"},
		{"hsup", "push", 3, "what was turned around is no single slip"},
		{"", "push", 4, "nothing was typed"},
		{"push", "", 4, "and the other way round"},
		{"ca", "abc", 3, "neighbours that changed places have nothing put between"},
	} {
		if got := spelling.Distance(tt.a, tt.b); got != tt.slips {
			t.Errorf("from %q to %q it is %d, want %d: %s", tt.a, tt.b, got, tt.slips, tt.what)
		}
		if got := spelling.Distance(tt.b, tt.a); got != tt.slips {
			t.Errorf("from %q to %q it is %d, want %d: there and back are as far", tt.b, tt.a, got, tt.slips)
		}
	}
}

func TestDistanceIsNoneForTheSameAlone(t *testing.T) {
	word := rapid.StringMatching(`[abc]{0,6}`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := word.Draw(t, "a"), word.Draw(t, "b")
		there, back := spelling.Distance(a, b), spelling.Distance(b, a)
		if there != back || (there == 0) != (a == b) || there > max(len(a), len(b)) {
			t.Errorf("%q %q: %d, and back %d", a, b, there, back)
		}
		i := rapid.IntRange(0, len(a)).Draw(t, "i")
		if d := spelling.Distance(a, a[:i]+"x"+a[i:]); d != 1 {
			t.Errorf("one more letter in %q: %d", a, d)
		}
	})
}
