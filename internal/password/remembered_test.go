package password

import (
	"context"
	"encoding/binary"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/internal/cache"
)

func numbered(i int) (k cache.Key) {
	binary.BigEndian.PutUint64(k[:], uint64(i))
	return k
}

func TestPairIsForgottenAfterItsLastUse(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	r := newRemembered(10*time.Minute, 100, func() time.Time { return now })
	used, idle := numbered(1), numbered(2)
	r.add(used)
	r.add(idle)
	for minute := range 60 {
		now = now.Add(time.Minute)
		if !r.contains(used) {
			t.Fatalf("a pair that is used each minute was forgotten after %d minutes", minute+1)
		}
	}
	if r.contains(idle) {
		t.Error("a pair is remembered an hour after its last use")
	}
	now = now.Add(10 * time.Minute)
	if r.contains(used) {
		t.Error("a pair is remembered longer than Options.Remember after its last use")
	}
}

func TestNegativeRememberRemembersNothing(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	r := newRemembered(-1, 100, func() time.Time { return now })
	r.add(numbered(1))
	if r.contains(numbered(1)) {
		t.Error("a pair is remembered although Options.Remember is negative")
	}
}

// Model test: after its last use, a pair is remembered for at least half of Options.Remember,
// and never longer than Options.Remember.
func TestRememberedModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const d = 100 * time.Second
		now := time.Unix(1_800_000_000, 0)
		r := newRemembered(d, 1000, func() time.Time { return now })
		last := make(map[int]time.Time) // by key: the time of the last use
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
			switch has := r.contains(numbered(i)); {
			case has && (!ever || age >= d):
				t.Fatalf("a pair is remembered %v after its last use (ever used: %t)", age, ever)
			case !has && ever && age < d/2:
				t.Fatalf("a pair was forgotten %v after its last use", age)
			case has:
				last[i] = now
			default:
				delete(last, i)
			}
		}
	})
}

// Another call can end after Compare has looked up the pair, but before Compare starts to hash. In
// this case, the pair is not hashed again.
func TestPairThatWasJustRememberedIsNotHashedAgain(t *testing.T) {
	h := New(Options{})
	k := numbered(1)
	h.remembered.add(k)
	if err := h.share(t.Context(), k, func(context.Context) error { t.Error("it is"); return nil }); err != nil {
		t.Error(err)
	}
}
