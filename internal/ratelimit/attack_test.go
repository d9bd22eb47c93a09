package ratelimit_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/ratelimit"
)

// sharedStore is a store in memory with one known place and the slots of accounts.
type sharedStore struct {
	brokenStore
	place ratelimit.Place
	slots map[string][]time.Time
}

func (s *sharedStore) KnownPlace(_ context.Context, p ratelimit.Place, _ time.Time) (bool, error) {
	s.calls++
	return p == s.place, nil
}

func (s *sharedStore) Levels(context.Context, time.Time) (func(string) ratelimit.Level, error) {
	return func(string) ratelimit.Level { return ratelimit.Level{} }, nil
}

func (s *sharedStore) Claim(_ context.Context, account string, slots int, now, until time.Time) (int, time.Duration, error) {
	if s.slots == nil {
		s.slots = make(map[string][]time.Time)
	}
	taken := s.slots[account]
	if len(taken) < slots {
		s.slots[account] = append(taken, until)
		return len(taken), 0, nil
	}
	return 0, slices.MinFunc(taken, time.Time.Compare).Sub(now), nil
}

// A wrong password can become right later, for example after a change. So a repeated wrong
// password is still tried with the limit of known places. Strangers must not be able to use up
// that limit.
func TestARepeatedPasswordUsesTheKnownPlace(t *testing.T) {
	l := newLimited(ratelimit.Options{})
	if got := l.try("ann", "right", "198.51.100.7"); got != "in" {
		t.Fatal(got)
	}
	if got := l.try("ann", "tomorrow's", "198.51.100.8"); got != "wrong" {
		t.Fatal(got)
	}
	a, err := l.Begin(t.Context(), ratelimit.Guess{Name: "ann", Secret: "tomorrow's", From: netip.MustParseAddr("198.51.100.8")})
	if err != nil || !a.KnownPlace {
		t.Errorf("the second attempt: known place %t, %v; want true and no error", a.KnownPlace, err)
	}
}

func (s *sharedStore) Claimed(_ context.Context, now time.Time, accounts ...string) (bool, error) {
	for _, account := range accounts {
		if slices.ContainsFunc(s.slots[account], now.Before) {
			return true, nil
		}
	}
	return false, nil
}

// Attempts above the limit of their source address cause no query, for any name.
func TestAttemptsAboveTheSourceLimitCostNoQuery(t *testing.T) {
	store := &sharedStore{}
	l := newLimited(ratelimit.Options{Store: store, PlacesMatter: func() bool { return true }, MaxFailuresPerSource: 10})
	for n := range 1000 {
		l.try(fmt.Sprint("name ", n), "guess", "192.0.2.1")
	}
	if l.checked > 11 || store.calls > l.checked {
		t.Errorf("%d guesses were checked, for %d queries", l.checked, store.calls)
	}
}

// When the budget is used up, attempts are refused. The time until a refusal must not reveal
// whether the directory has the name.
func TestAUsedUpBudgetTakesAsLongForAnUnknownName(t *testing.T) {
	took := func(try func(b *ratelimit.Budget) error) (all []time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			b := ratelimit.NewBudget(ratelimit.BudgetOptions{Source: "ldap:corp", Max: 4, Window: 30 * time.Minute, Store: &sharedStore{}})
			for range 5 {
				// Only sleeps advance the clock of the synctest bubble.
				began := time.Now()
				_ = try(b)
				all = append(all, time.Since(began))
			}
			time.Sleep(40 * time.Second)
			began := time.Now()
			_ = try(b)
			all = append(all, time.Since(began))
		})
		return all
	}
	known := took(func(b *ratelimit.Budget) error {
		return b.Spend(context.Background(), "ann", false, func(func() error) (ratelimit.Verdict, error) { return ratelimit.Refused, nil })
	})
	unknown := took(func(b *ratelimit.Budget) error { return b.SpendUnknown(context.Background(), "bob", false) })
	if !slices.Equal(known, unknown) {
		t.Errorf("a name that the directory has waits %v, an unknown name %v", known, unknown)
	}
}

// hangingStore is a store whose first read of levels hangs until its time limit.
type hangingStore struct {
	brokenStore
	mu    sync.Mutex
	reads int
}

func (h *hangingStore) Levels(ctx context.Context, _ time.Time) (func(string) ratelimit.Level, error) {
	h.mu.Lock()
	h.reads++
	h.mu.Unlock()
	<-ctx.Done()
	return nil, ctx.Err()
}

// If a store hangs, all concurrent requests wait for the same read until its time limit. They do
// not wait for one read after another.
func TestAHangingStoreDelaysRequestsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &hangingStore{}
		l := ratelimit.New(ratelimit.Options{Store: store})
		var all sync.WaitGroup
		for n := range 50 {
			all.Go(func() {
				_, _ = l.Begin(context.Background(), ratelimit.Guess{Name: fmt.Sprint("name ", n), Secret: "guess", From: netip.MustParseAddr(nthAddress(n))})
			})
		}
		all.Wait()
		if store.reads != 1 {
			t.Errorf("fifty sign-ins waited for %d reads, want one", store.reads)
		}
	})
}

// stuckStore is a store whose writes hang until the caller gives up.
type stuckStore struct {
	brokenStore
	reads int // reads of counts, which only Run performs
}

func (s *stuckStore) AddPlaces(ctx context.Context, _ []ratelimit.Learned, _ time.Time) error {
	<-ctx.Done()
	return ctx.Err()
}
func (s *stuckStore) Sweep(ctx context.Context, _ time.Time) error { <-ctx.Done(); return ctx.Err() }
func (s *stuckStore) Levels(context.Context, time.Time) (func(string) ratelimit.Level, error) {
	s.reads++
	return func(string) ratelimit.Level { return ratelimit.Level{} }, nil
}

// A replica whose writes hang still reads the counts of other replicas, and can still be closed.
func TestAStoreWhoseWritesHangIsStillRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &stuckStore{}
		l := ratelimit.New(ratelimit.Options{Store: store})
		l.Learn("ann", "accounts", "1", netip.MustParseAddr("192.0.2.1"))
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { l.Run(ctx); close(ended) }()
		time.Sleep(5 * time.Minute)
		stop()
		<-ended
		if store.reads < 50 {
			t.Errorf("the counts were read %d times in five minutes", store.reads)
		}
	})
}

// A client that disconnects during a check has caused the work of the check. The attempt counts
// for the client's address, but not for the name.
func TestAnAbandonedCheckCountsForItsSource(t *testing.T) {
	l := newLimited(ratelimit.Options{MaxFailuresPerSource: 10})
	begun := 0
	for n := range 100 {
		g := ratelimit.Guess{Name: "ann", Secret: fmt.Sprint(n), From: netip.MustParseAddr("192.0.2.1")}
		if a, err := l.Begin(t.Context(), g); err == nil {
			begun++
			l.End(t.Context(), g, a, ratelimit.Abandoned)
		}
	}
	if begun != 10 {
		t.Errorf("%d checks were begun, want 10", begun)
	}
	if got := l.try("ann", "right", "192.0.2.2"); got != "in" {
		t.Errorf("ann elsewhere: %s", got)
	}
}

// Invented names cause evictions. An eviction holds a lock that sign-ins need, so it must not
// examine thousands of accounts.
func TestInventedNamesEvictInFewSteps(t *testing.T) {
	b := ratelimit.NewBudget(ratelimit.BudgetOptions{Source: "ldap:corp", Max: 4, Window: 30 * time.Minute, Now: func() time.Time { return start }})
	const names = 20_000
	for n := range names {
		if err := b.SpendUnknown(t.Context(), fmt.Sprint("name ", n), false); err != nil {
			t.Fatal(err)
		}
	}
	if examined := ratelimit.LookedAt(b); examined > 10*names {
		t.Errorf("%d accounts were examined for %d names", examined, names)
	}
}
