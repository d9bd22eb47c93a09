package password

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// flood is 512 connections from 512 addresses that show one wrong password after another.
type flood struct {
	names   func(connection, attempt int) string
	unknown bool          // nobody has these names
	known   bool          // the others are at known places
	after   time.Duration // the others come so long after it has begun, and the process with it
}

// beside says how many of 20 others sign in for the first time while the flood goes on, and what was computed.
// A hash takes 50 ms, and there is one thread; the time is that of the test's bubble.
func (f flood) beside(t *testing.T) (signedIn int, did Stats) {
	const hash, roundTrip = 50 * time.Millisecond, 20 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		h := New(Options{Parallel: 1})
		p := bcryptHash{"$2y$10$"}
		attempt := func(ctx context.Context, who Requester, unknown bool, answer error) error {
			work := h.work
			if unknown {
				work = h.workDummy
			}
			return work(ctx, who, p, func() error {
				time.Sleep(hash)
				return answer
			})
		}
		ctx, stop := context.WithCancel(t.Context())
		var connections sync.WaitGroup
		for c := range 512 {
			connections.Go(func() {
				who := Requester{Address: netip.AddrFrom4([4]byte{10, 1, byte(c >> 8), byte(c)})}
				time.Sleep(time.Duration(c) * 10 * time.Microsecond)
				for n := 0; ctx.Err() == nil; n++ {
					who.Name = f.names(c, n)
					_ = attempt(ctx, who, f.unknown, ErrMismatch)
					time.Sleep(roundTrip)
				}
			})
		}
		time.Sleep(f.after)
		before := h.Stats()
		for i := range 20 {
			who := Requester{Name: fmt.Sprint("person ", i), Address: netip.AddrFrom4([4]byte{10, 2, 0, byte(i)}), KnownPlace: f.known}
			switch err := attempt(ctx, who, false, nil); {
			case err == nil:
				signedIn++
			case !errors.Is(err, ErrBusy):
				t.Errorf("person %d: %v", i, err)
			}
		}
		after := h.Stats()
		did = Stats{Hashed: after.Hashed - before.Hashed, Skipped: after.Skipped - before.Skipped, Busy: after.Busy - before.Busy}
		stop()
		connections.Wait()
	})
	return signedIn, did
}

// A flood from many addresses used to keep everybody else out: with a name of its own for each attempt,
// a queue full of single places turned the newcomer away.
func TestOthersSignInBesideAFlood(t *testing.T) {
	for _, tt := range []struct {
		what  string
		flood flood
	}{
		{"two names that exist", flood{names: func(c, _ int) string { return fmt.Sprint("name ", c%2) }}},
		{"two names that nobody has", flood{names: func(c, _ int) string { return fmt.Sprint("name ", c%2) }, unknown: true}},
		{"512 names that exist, and the others are at known places", flood{names: func(c, _ int) string { return fmt.Sprint("name ", c) }, known: true}},
		{"a new name each time that nobody has", flood{names: func(c, n int) string { return fmt.Sprint("name ", c, " ", n) }, unknown: true}},
	} {
		for _, tt.flood.after = range []time.Duration{100 * time.Millisecond, 5 * time.Second} {
			signedIn, did := tt.flood.beside(t)
			if signedIn != 20 {
				t.Errorf("%s, for %s: %d of 20 others signed in; meanwhile %+v", tt.what, tt.flood.after, signedIn, did)
			}
			t.Logf("%s, for %s: meanwhile %+v", tt.what, tt.flood.after, did)
		}
	}
}

// crowd returns a limiter of one thread that is taken, and in which so many sources wait with so many places each.
func crowd(t *testing.T, sources, places int) *arrivals {
	a := &arrivals{t, newLimiter(need{threads: 1}, 256, 10*time.Second, first), make(chan string, 1000)}
	a.limiter.turn = 50 * time.Millisecond
	a.come("in the limiter", at("first", "192.0.2.255"))
	for i := range sources * places {
		label := fmt.Sprint("flood ", i)
		a.come(label, at(label, fmt.Sprintf("192.0.2.%d", i%sources)))
	}
	return a
}

func (a *arrivals) comeDummy(label string, who Requester) {
	go func() {
		compute, err := a.limiter.enterDummy(a.t.Context(), who, need{threads: 1})
		a.in <- fmt.Sprint(label, ": compute ", compute, ", error ", err)
	}()
	synctest.Wait()
}

// Whoever can fill the queue must not learn by the wait which names exist.
func TestADummyWaitsWhereAHashWould(t *testing.T) {
	for _, tt := range []struct{ probe, answer string }{
		{"hash", "probe"},
		{"dummy", "probe: compute false, error <nil>"},
	} {
		synctest.Test(t, func(t *testing.T) {
			a := crowd(t, 30, 2)
			a.come("before", at("before", "198.51.100.1"))
			if tt.probe == "hash" {
				a.come("probe", at("nobody", "198.51.100.2"))
			} else {
				a.comeDummy("probe", at("nobody", "198.51.100.2"))
			}
			a.come("behind", at("behind", "198.51.100.3"))
			drain(a.in)
			a.serve(32)
			got := drain(a.in)
			for i := range 30 {
				if want := fmt.Sprint("flood ", i); got[i] != want {
					t.Errorf("%s: at turn %d: %q, want %q", tt.probe, i, got[i], want)
				}
			}
			// "behind" may go on at the same moment as a dummy, which takes no turn.
			if got[30] != "before" || !slices.Contains(got[31:], tt.answer) {
				t.Errorf("%s: after one turn of the flood come %q, want before, then %q", tt.probe, got[30:], tt.answer)
			}
			a.serve(40)
		})
	}
}

// One source that floods alone delays a newcomer by one turn: there is no need to skip anything, and
// nothing for it to learn.
func TestDummiesAreSkippedOnlyBesideManySources(t *testing.T) {
	for _, tt := range []struct {
		sources, places int
		known           bool
		turn            time.Duration
		want            bool // crowded
	}{
		{sources: 1, places: 255, turn: 50 * time.Millisecond},
		{sources: 19, places: 1, turn: 50 * time.Millisecond},
		{sources: 20, places: 1, turn: 50 * time.Millisecond, want: true}, // a second, of ten
		{sources: 5, places: 1, turn: 50 * time.Millisecond, known: true, want: true},
		{sources: 127, places: 1, turn: time.Millisecond},
		{sources: 128, places: 1, turn: time.Millisecond, want: true}, // half of the queue
		{sources: 4, places: 1, turn: 250 * time.Millisecond, want: true},
	} {
		synctest.Test(t, func(t *testing.T) {
			a := crowd(t, tt.sources, tt.places)
			a.limiter.turn = tt.turn
			if tt.known {
				who := at("known", "198.51.100.9")
				who.KnownPlace = true
				a.come("known", who)
			}
			a.limiter.mu.Lock()
			got := a.limiter.crowdedLocked(otherPlaces)
			a.limiter.mu.Unlock()
			if got != tt.want {
				t.Errorf("%+v: crowded: %t", tt, got)
			}
			for a.limiter.waiting() > 0 {
				a.serve(1)
			}
		})
	}
}

// Else to be told that the server is busy would tell that a name exists.
func TestDummiesAreDroppedAsOftenAsHashes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := crowd(t, 256, 1)
		for i := range 512 { // two for each place
			label := fmt.Sprint("dummy ", i)
			a.comeDummy(label, Requester{Name: label, Address: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})})
		}
		drain(a.in)
		for i := range 10 {
			label := fmt.Sprint("newcomer ", i)
			a.come(label, at(label, fmt.Sprintf("198.51.100.%d", i)))
		}
		lost := map[bool]int{}
		for _, label := range drain(a.in) {
			lost[strings.HasPrefix(label, "dummy")]++
		}
		if want := (map[bool]int{false: 10, true: 20}); !maps.Equal(lost, want) {
			t.Errorf("dropped, dummies or not: %v, want %v", lost, want)
		}
		for a.limiter.waiting() > 0 {
			a.serve(1)
		}
	})
}

func TestTheDurationsOfAFewCostsAreKept(t *testing.T) {
	r := newRecent()
	r.note(cost{}, time.Hour) // a hash that is yet to be made: its cost is not known
	for i := range 2 * measuredCosts {
		for n := range 2 * measuredHashes {
			r.note(cost{memory: uint32(i + 1)}, time.Duration(n))
		}
	}
	for _, c := range []cost{{}, {memory: measuredCosts + 1}} {
		if _, ok := r.draw(c, first); ok || len(r.took) != measuredCosts {
			t.Errorf("%d costs are measured, want %d; %+v: %t", len(r.took), measuredCosts, c, ok)
		}
	}
	least := time.Hour
	for i := range measuredHashes {
		took, _ := r.draw(cost{memory: 1}, func(int) int { return i })
		least = min(least, took)
	}
	if least != measuredHashes {
		t.Errorf("the least of the last durations is that of hash %d, want %d", least, measuredHashes)
	}
}
