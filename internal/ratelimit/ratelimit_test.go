package ratelimit_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/internal/ratelimit"
)

// start is an arbitrary time.
var start = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// testLimiter is a Limiter whose clock the test sets. The right password of all users is "right".
type testLimiter struct {
	*ratelimit.Limiter
	at      time.Time
	checked int
}

func newLimited(o ratelimit.Options) *testLimiter {
	l := &testLimiter{at: start}
	o.Now = func() time.Time { return l.at }
	l.Limiter = ratelimit.New(o)
	return l
}

// try returns "in", "wrong", or the delay.
func (l *testLimiter) try(name, secret, from string) string {
	g := ratelimit.Guess{Name: name, Secret: secret, From: netip.MustParseAddr(from)}
	a, err := l.Begin(context.Background(), g)
	if limit, ok := errors.AsType[*ratelimit.Error](err); ok {
		return limit.After.String()
	}
	l.checked++
	if secret == "right" {
		l.End(context.Background(), g, a, ratelimit.Right)
		l.Learn(name, "accounts", "id of "+name, g.From)
		return "in"
	}
	l.End(context.Background(), g, a, ratelimit.Wrong)
	return "wrong"
}

// nthAddress returns the nth of many addresses, each a different source and place.
func nthAddress(n int) string {
	return netip.AddrFrom4([4]byte{10 + byte(n>>16), byte(n >> 8), byte(n), 1}).String()
}

// The documentation promises that at most 1,540 passwords a day can be guessed for one name, from
// any number of addresses. An attacker does not get more guesses by pausing.
func TestAtMost1540GuessesADayForAName(t *testing.T) {
	l := newLimited(ratelimit.Options{})
	n := 0
	for range 24 * 60 {
		for range 20 {
			l.try("ann", fmt.Sprint("guess ", n), nthAddress(n))
			n++
		}
		l.at = l.at.Add(time.Minute)
	}
	if l.checked > 1540 || l.checked < 1500 {
		t.Errorf("%d guesses were checked in a day, want about 1,540", l.checked)
	}
	before := l.checked
	for range 24 * 60 {
		for range 20 {
			l.try("ann", fmt.Sprint("guess ", n), nthAddress(n))
			n++
		}
		l.at = l.at.Add(time.Minute)
	}
	if second := l.checked - before; second > 1440 {
		t.Errorf("%d guesses were checked on the second day, want one per minute", second)
	}
}

func TestUnknownPlacesCanBeRefused(t *testing.T) {
	l := newLimited(ratelimit.Options{RefuseUnknownPlaces: true})
	for n := range 24 * 60 * 5 {
		l.try("ann", fmt.Sprint("guess ", n), nthAddress(n))
		if n%5 == 4 {
			l.at = l.at.Add(time.Minute)
		}
	}
	if l.checked > 200 || l.checked < 190 {
		t.Errorf("%d guesses were checked in a day, want 100, and 100 more because failures are forgotten", l.checked)
	}
}

// At unknown places, a name gets at most 1,540 guesses in any period of 24 hours, with any
// behavior of the attacker.
func TestTheBoundOfANameHoldsInEachDay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLimited(ratelimit.Options{})
		var checked []time.Time
		n := 0
		for range rapid.IntRange(1, 60).Draw(t, "bursts") {
			l.at = l.at.Add(time.Duration(rapid.IntRange(0, 5*3600).Draw(t, "pause")) * time.Second)
			for range rapid.IntRange(1, 150).Draw(t, "guesses") {
				if l.try("ann", fmt.Sprint(n), nthAddress(n)) == "wrong" {
					checked = append(checked, l.at)
				}
				n++
			}
		}
		for i, first := range checked {
			day := 0
			for _, at := range checked[i:] {
				if at.Sub(first) < 24*time.Hour {
					day++
				}
			}
			if day > 1540 {
				t.Fatalf("%d guesses were checked within 24 hours, want at most 1,540", day)
			}
		}
	})
}

// All addresses of a /56 count together as one source, and so do all addresses of a /48.
func TestAWiderPrefixOfIPv6IsASourceToo(t *testing.T) {
	for _, tt := range []struct {
		from string
		free int
	}{
		{"2001:db8:0:1::%x", 100},  // one /64
		{"2001:db8:0:%x::1", 400},  // of one /56, if %x is below 256
		{"2001:db8:0:%x::2", 1600}, // of one /48
	} {
		l := newLimited(ratelimit.Options{})
		for i := range 4000 {
			n := i
			switch tt.free {
			case 400:
				n %= 256
			case 1600:
				n = n * 256 % 65536
				n += i % 256
			}
			l.try(fmt.Sprint("name ", i), "guess", fmt.Sprintf(tt.from, n))
		}
		if l.checked != tt.free {
			t.Errorf("%s: %d guesses were checked, want %d", tt.from, l.checked, tt.free)
		}
	}
}

// A known place is as large as the network of a site, so an attacker can be at the same place as
// the user. All clients at a known place together have one limit, so the attacker does not get
// more guesses.
func TestAKnownPlaceHasALimitOfItsOwn(t *testing.T) {
	l := newLimited(ratelimit.Options{})
	if got := l.try("ann", "right", "198.51.100.7"); got != "in" {
		t.Fatal(got)
	}
	for n := range 200 { // so that the limit of the name applies
		l.try("ann", fmt.Sprint("guess ", n), nthAddress(n))
	}
	l.checked = 0
	for n := range 250 {
		for k := range 5 {
			l.try("ann", fmt.Sprint("neighbour ", n, k), fmt.Sprintf("198.51.100.%d", n))
		}
	}
	if l.checked > 30 {
		t.Errorf("%d guesses from her /24 were checked, want 30", l.checked)
	}
	l.at = l.at.Add(5 * time.Minute)
	if got := l.try("ann", "another right one", "198.51.100.8"); got != "wrong" {
		t.Errorf("five minutes later, from the same /24: %s", got)
	}
}

// A right password or an unknown result undoes the charge of its own attempt. It does not end a
// delay from other attempts.
func TestTheRightPasswordEndsNoDelayOfOthers(t *testing.T) {
	l := newLimited(ratelimit.Options{MaxFailuresPerSource: 10})
	begin := func(name string) (ratelimit.Guess, ratelimit.Attempt, error) {
		g := ratelimit.Guess{Name: name, Secret: "right", From: netip.MustParseAddr("192.0.2.1")}
		a, err := l.Begin(t.Context(), g)
		return g, a, err
	}
	g, a, err := begin("insider") // this check ends after the guesses below
	if err != nil {
		t.Fatal(err)
	}
	for n := range 20 {
		l.try(fmt.Sprint("name ", n), "guess", "192.0.2.1")
	}
	l.End(t.Context(), g, a, ratelimit.Right)
	before := l.checked
	l.try("another", "guess", "192.0.2.1")
	l.try("another", "guess 2", "192.0.2.1")
	if n := l.checked - before; n > 1 {
		t.Errorf("%d guesses were checked after that, want one in place of the undone charge", n)
	}
}

// brokenStore is a store that is down.
type brokenStore struct{ calls int }

var errDown = errors.New("down")

func (b *brokenStore) KnownPlace(context.Context, ratelimit.Place, time.Time) (bool, error) {
	b.calls++
	return false, errDown
}
func (b *brokenStore) AddPlaces(context.Context, []ratelimit.Learned, time.Time) error {
	return errDown
}
func (b *brokenStore) ChargeName(context.Context, string, int, time.Time, ratelimit.LevelLimits) (ratelimit.Level, time.Duration, error) {
	return ratelimit.Level{}, 0, errDown
}
func (b *brokenStore) RefundName(context.Context, string, ratelimit.LevelLimits) error {
	return errDown
}
func (b *brokenStore) Levels(context.Context, time.Time) (func(string) ratelimit.Level, error) {
	return nil, errDown
}
func (b *brokenStore) Claim(context.Context, string, int, time.Time, time.Time) (int, time.Duration, error) {
	return 0, 0, errDown
}
func (b *brokenStore) Claimed(context.Context, time.Time, ...string) (bool, error) {
	return false, errDown
}
func (b *brokenStore) Release(context.Context, string) error { return errDown }
func (b *brokenStore) ReleaseSlot(context.Context, string, int, time.Time) error {
	return errDown
}
func (b *brokenStore) Sweep(context.Context, time.Time) error { return errDown }

// While the store is down, the counts of this process apply, and no attempt is refused because
// of the outage.
func TestWithoutTheStoreLocalCountsApply(t *testing.T) {
	l := newLimited(ratelimit.Options{Store: &brokenStore{}})
	if got := l.try("ann", "right", "198.51.100.7"); got != "in" {
		t.Fatal(got)
	}
	for n := range 300 {
		l.try("ann", fmt.Sprint("guess ", n), nthAddress(n))
	}
	if l.checked != 101 {
		t.Errorf("%d attempts were checked, want 101", l.checked)
	}
	if got := l.try("ann", "a new password", "198.51.100.8"); got != "wrong" {
		t.Errorf("an attempt from a known place: %s, want wrong", got)
	}
	if got := l.try("bob", "right", "192.0.2.9"); got != "in" {
		t.Errorf("the right password of another user: %s, want in", got)
	}

	b := ratelimit.NewBudget(ratelimit.BudgetOptions{Source: "ldap:corp", Max: 4, Window: 30 * time.Minute, Store: &brokenStore{}, Now: func() time.Time { return start }})
	sent := 0
	for range 10 {
		_ = b.Spend(t.Context(), "ann", false, func(func() error) (ratelimit.Verdict, error) { sent++; return ratelimit.Refused, errDown })
	}
	if sent != 2 {
		t.Errorf("%d attempts were sent to the directory, want 2", sent)
	}
}

// No query is made for a cached credential, or for a name that is not under attack.
func TestNoQueryBelowTheLimits(t *testing.T) {
	store := &brokenStore{}
	l := newLimited(ratelimit.Options{Store: store})
	for n := range 1000 {
		l.try(fmt.Sprint("name ", n), "right", nthAddress(n))
		l.try(fmt.Sprint("name ", n), "right", nthAddress(n))
		l.try(fmt.Sprint("name ", n), "wrong", nthAddress(n))
	}
	if store.calls != 0 {
		t.Errorf("%d queries for places, want 0", store.calls)
	}
}

// A budget allows any number of right passwords, and concurrent attempts do not exceed the
// budget.
func TestOnlyWrongPasswordsUseABudget(t *testing.T) {
	at := start
	b := ratelimit.NewBudget(ratelimit.BudgetOptions{Source: "ldap:corp", Max: 4, Window: 30 * time.Minute, Now: func() time.Time { return at }})
	spend := func(known bool, v ratelimit.Verdict) (sent bool) {
		_ = b.Spend(t.Context(), "ann", known, func(func() error) (ratelimit.Verdict, error) { sent = true; return v, nil })
		return sent
	}
	for range 10 {
		if !spend(false, ratelimit.Accepted) || !spend(false, ratelimit.NotSent) {
			t.Fatal("attempts that were right or not sent used up the budget")
		}
	}
	var sent [4]bool
	for i := range sent {
		sent[i] = spend(false, ratelimit.Refused)
	}
	if sent != [4]bool{true, true, false, false} {
		t.Errorf("which wrong passwords at unknown places were sent: %v, want the first two", sent)
	}
	for i, want := range []bool{true, true, false} {
		if sent := spend(true, ratelimit.Refused); sent != want {
			t.Errorf("whether wrong password %d at a known place was sent: %t", i, sent)
		}
	}
	at = at.Add(29 * time.Minute)
	if spend(false, ratelimit.Accepted) {
		t.Error("an attempt above the budget was sent within the window")
	}
	at = at.Add(2 * time.Minute)
	var mu sync.Mutex
	var all sync.WaitGroup
	n := 0
	for range 20 {
		all.Go(func() {
			_ = b.Spend(context.Background(), "ann", false, func(func() error) (ratelimit.Verdict, error) {
				mu.Lock()
				defer mu.Unlock()
				n++
				return ratelimit.Refused, nil
			})
		})
	}
	all.Wait()
	if n != 2 {
		t.Errorf("%d of twenty concurrent attempts were sent, want 2", n)
	}
}

// If the clock is set back, no delay is longer than the maximum of its limit.
func TestAClockThatGoesBackDoesNotExtendDelays(t *testing.T) {
	l := newLimited(ratelimit.Options{})
	for n := range 300 {
		l.try("ann", fmt.Sprint("guess ", n), nthAddress(n))
		l.try("bob", fmt.Sprint("guess ", n), "192.0.2.1")
	}
	token := netip.MustParseAddr("192.0.2.2")
	l.Refuse(1, "a token", token, true)
	l.at = l.at.Add(-365 * 24 * time.Hour)
	if l.Dismissed(1, "a token") {
		t.Error("after the clock was set back a year, a token is still dismissed")
	}
	if got := l.try("bob", "right", "192.0.2.1"); got != "in" {
		t.Errorf("a name at the source of many failures: %s", got)
	}
	if got := l.try("ann", "right", "192.0.2.3"); got != "in" {
		t.Errorf("a name with many failures at unknown places: %s", got)
	}
}

// An attempt that is not in the store is never evicted, even if an attacker invents many names.
func TestUnsavedAttemptsAreNotEvicted(t *testing.T) {
	b := ratelimit.NewBudget(ratelimit.BudgetOptions{Source: "ldap:corp", Max: 2, Window: 30 * time.Minute, Store: &sharedStore{}, Now: func() time.Time { return start }})
	try := func(name string) (sent bool) {
		_ = b.SpendUnproven(t.Context(), name, false, func(func() error) (ratelimit.Verdict, error) { sent = true; return ratelimit.Refused, nil })
		return sent
	}
	if !try("ann") {
		t.Fatal("not sent")
	}
	for n := range 40_000 {
		try(fmt.Sprint("name ", n))
	}
	if try("ann") {
		t.Error("forgotten")
	}
}

// At a known place, a user may also use attempts from the strangers' half of the budget, if
// strangers have not used them. Strangers may only use their own half.
func TestAKnownPlaceMayUseWhatStrangersLeft(t *testing.T) {
	for strangers, want := range []int{4, 3, 2} {
		b := ratelimit.NewBudget(ratelimit.BudgetOptions{Source: "ldap:corp", Max: 4, Window: 30 * time.Minute, Now: func() time.Time { return start }})
		sent := 0
		wrong := func(known bool) {
			_ = b.Spend(t.Context(), "ann", known, func(func() error) (ratelimit.Verdict, error) { sent++; return ratelimit.Refused, nil })
		}
		for range strangers {
			wrong(false)
		}
		for range 10 {
			wrong(true)
		}
		if sent-strangers != want {
			t.Errorf("after %d attempts of strangers, %d attempts from a known place were sent, want %d", strangers, sent-strangers, want)
		}
		for range 10 {
			wrong(false)
		}
		if sent != 4 {
			t.Errorf("%d attempts were sent, want 4", sent)
		}
	}
}
