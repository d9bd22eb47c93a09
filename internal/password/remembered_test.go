package password

import (
	"encoding/binary"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func numbered(i int) (k key) {
	binary.BigEndian.PutUint64(k[:], uint64(i))
	return k
}

func TestAPairIsForgottenAfterItsLastUse(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	r := newRemembered(10*time.Minute, 100, func() time.Time { return now })
	used, idle := numbered(1), numbered(2)
	r.add(used)
	r.add(idle)
	for minute := range 60 {
		now = now.Add(time.Minute)
		if !r.has(used) {
			t.Fatalf("the pair that is used each minute was forgotten after %d", minute+1)
		}
	}
	if r.has(idle) {
		t.Error("a pair is remembered an hour after its last use")
	}
	now = now.Add(10 * time.Minute)
	if r.has(used) {
		t.Error("a pair is remembered longer after its last use than was asked for")
	}
}

func TestNothingIsRememberedIfSoAsked(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	r := newRemembered(-1, 100, func() time.Time { return now })
	r.add(numbered(1))
	if r.has(numbered(1)) {
		t.Error("a pair is remembered")
	}
}

// Harbor: a map keyed by what attackers send never shrank.
func TestAMillionPairsMemoryStaysFlat(t *testing.T) {
	r := newRemembered(time.Hour, 1000, time.Now)
	steady := numbered(-1)
	r.add(steady)
	for i := range 1_000_000 {
		r.add(numbered(i))
		if n := len(r.young) + len(r.old); n > 1000 {
			t.Fatalf("%d pairs are held, the limit is 1000", n)
		}
		if i%400 == 0 && !r.has(steady) {
			t.Fatalf("the pair in use was pushed out after %d others", i)
		}
	}
}

// Held against the rule: remembered for at least half of the time since the last use, never for longer
// than all of it.
func TestRememberedKeepsItsTimes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const d = 100 * time.Second
		now := time.Unix(1_800_000_000, 0)
		r := newRemembered(d, 1000, func() time.Time { return now })
		last := make(map[int]time.Time) // key -> when it was last used
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 80).Draw(t, "seconds")) * time.Second)
			i := rapid.IntRange(0, 3).Draw(t, "key")
			if rapid.Bool().Draw(t, "add") {
				r.add(numbered(i))
				last[i] = now
				continue
			}
			used, ever := last[i]
			age := now.Sub(used)
			switch has := r.has(numbered(i)); {
			case has && (!ever || age >= d):
				t.Fatalf("remembered %v after its last use (ever: %t)", age, ever)
			case !has && ever && age < d/2:
				t.Fatalf("forgotten %v after its last use", age)
			case has:
				last[i] = now
			default:
				delete(last, i)
			}
		}
	})
}

// A length before each part: no shift of bytes from one part to the next gives the same key.
func TestPartsCannotBeSpliced(t *testing.T) {
	m, other := newMACs(), newMACs()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		i := rapid.IntRange(0, len(text)).Draw(t, "i")
		j := rapid.IntRange(0, len(text)).Draw(t, "j")
		one, two := m.key(compared, text[:i], text[i:]), m.key(compared, text[:j], text[j:])
		if (one == two) != (i == j) {
			t.Errorf("%q and %q, %q and %q: equal keys: %t", text[:i], text[i:], text[:j], text[j:], one == two)
		}
		if one == m.key(pretended, text[:i], text[i:]) || one == m.key(compared, text) {
			t.Error("a key of another use is the same")
		}
		if one == other.key(compared, text[:i], text[i:]) {
			t.Error("another process has the same key")
		}
	})
}
