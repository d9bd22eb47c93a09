package password

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
)

// flood is 512 connections from 512 addresses that present one wrong password after another.
type flood struct {
	names   func(connection, attempt int) string
	unknown bool          // no account has a name that the flood uses
	known   bool          // the 20 other users are at known places
	hash    time.Duration // how long one hash takes
	pause   time.Duration // a connection waits this long between an answer and its next password
	after   time.Duration // the sign-ins begin this long after the process and the flood
}

// signInDuring lets 20 other users sign in for the first time during the flood. It returns the
// number of users who succeed, and the statistics of the Hashing, which has one thread. The clock
// is the clock of the synctest bubble.
func (f flood) signInDuring(t *testing.T) (signedIn int, did Stats) {
	synctest.Test(t, func(t *testing.T) {
		h := New(Options{Parallel: 1})
		p := bcryptHash{"$2y$10$"}
		attempt := func(ctx context.Context, who Requester, unknown bool, answer error) error {
			work := h.work
			if unknown {
				work = h.workDummy
			}
			return work(ctx, who, p, func() error {
				time.Sleep(f.hash)
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
					time.Sleep(f.pause)
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

// In an earlier version, a flood from many addresses blocked all other users. Each attempt of the
// flood had a new name. So each name had one place in the full queue, and the queue rejected
// further names.
func TestOthersSignInDuringAFlood(t *testing.T) {
	for _, tt := range []struct {
		what  string
		flood flood
	}{
		{"two names that exist", flood{names: func(c, _ int) string { return fmt.Sprint("name ", c%2) }}},
		{"two names that nobody has", flood{names: func(c, _ int) string { return fmt.Sprint("name ", c%2) }, unknown: true}},
		{"512 names that exist; the other users are at known places", flood{names: func(c, _ int) string { return fmt.Sprint("name ", c) }, known: true}},
		{"a new name each time that nobody has", flood{names: func(c, n int) string { return fmt.Sprint("name ", c, " ", n) }, unknown: true}},
	} {
		for _, at := range []struct{ hash, pause, after time.Duration }{
			// bcrypt of cost 10
			{50 * time.Millisecond, 20 * time.Millisecond, 100 * time.Millisecond},
			{50 * time.Millisecond, 20 * time.Millisecond, 5 * time.Second},
			{250 * time.Millisecond, 20 * time.Millisecond, 5 * time.Second}, // bcrypt of cost 12
			// A waiting call keeps its place.
			{250 * time.Millisecond, 30 * time.Second, 100 * time.Millisecond},
			{250 * time.Millisecond, 30 * time.Second, 29900 * time.Millisecond},
		} {
			tt.flood.hash, tt.flood.pause, tt.flood.after = at.hash, at.pause, at.after
			if signedIn, did := tt.flood.signInDuring(t); signedIn != 20 {
				t.Errorf("%s, %+v: %d of 20 other users signed in, with the statistics %+v", tt.what, at, signedIn, did)
			}
		}
	}
}

func TestDurationsOfAFewCostsAreRecorded(t *testing.T) {
	r := recentDurations{took: make(map[cost]*clock.Durations)}
	r.note(cost{}, time.Hour) // a new hash, whose cost is not known
	for i := range 2 * measuredCosts {
		r.note(cost{memory: uint32(i + 1)}, time.Duration(i+1))
	}
	for _, c := range []cost{{}, {memory: measuredCosts + 1}} {
		if d := r.durationsOf(c, false); d != nil || len(r.took) != measuredCosts {
			t.Errorf("%d costs are measured, want %d; %+v: %v", len(r.took), measuredCosts, c, d)
		}
	}
	if d := r.durationsOf(cost{memory: 7}, false); d == nil || d.Draw(func(int) int { return 0 }) != 7 {
		t.Errorf("the duration of a cost: %v", d)
	}
}
