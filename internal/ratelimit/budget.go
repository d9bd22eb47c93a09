package ratelimit

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
)

// BudgetOptions are the settings of a Budget. Source, Max and Window are required.
type BudgetOptions struct {
	Source string // "ldap:corp"
	// wrong passwords in a window; must be less than the directory's threshold
	Max    int
	Window time.Duration // at least the directory's own window

	Store Store            // nil: nothing is shared
	Now   func() time.Time // nil: time.Now
	Log   *slog.Logger     // nil: nothing is logged
}

// Budget limits how many passwords a directory is asked to check for one account: at most Max
// wrong passwords in any span of Window, over all replicas. Half of these attempts are reserved
// for places where the name signed in before, so that strangers cannot use up the budget. A right
// password frees the whole budget, because directories also reset their count.
//
// Each attempt takes a slot before the directory is called. The slot stays taken for a window. If
// the password was right, the slot is freed immediately. A slot is a row of the store. The process
// also remembers the slots that it took. While the store is down, only these slots count.
//
// Guesses that reach the directory without this service are not counted here, so the directory can
// count more than Max. The methods may be called from any goroutine. A nil Budget has no limit.
type Budget struct {
	o       BudgetOptions
	slots   int // of each class
	outages outages
	unknown *Budget // the Budget that counts attempts for names that do not exist
	real    *Budget // the Budget whose field unknown is this Budget, or nil

	mu       sync.Mutex
	accounts map[string]*accountSlots // by class and account; at most maxAccounts
	examined int                      // accounts examined for eviction
}

// accountSlots has the slots of one account in one class, as far as this process knows them.
type accountSlots struct {
	until   []int64 // milliseconds since 1970: when each slot that this process took becomes free
	unsaved int64   // milliseconds: before this time, one taken slot is not in the store
	free    int64   // milliseconds: when a slot becomes free, according to the last query
	blocked int64   // milliseconds: before this time, no query for a free slot is needed
	busy    chan struct{}
}

const (
	maxAccounts = 16_384
	maxUnsaved  = maxAccounts / 2 // with more accounts in memory, each attempt is written
	// claimTries is the number of attempts to claim a slot if the budget is full. Another replica
	// could be checking the right password, and would then free its slot immediately.
	claimTries = 4
	claimPause = 250 * time.Millisecond
	claimFresh = 5 * time.Second
	// askAgain is the time after which a full budget is queried again, because a right password at
	// another replica frees all slots.
	askAgain = 30 * time.Second
)

// NewBudget returns a Budget, or nil if Max is 0.
func NewBudget(o BudgetOptions) *Budget {
	if o.Max <= 0 {
		return nil
	}
	o.Now = clock.Wall(o.Now)
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	b := newBudget(o)
	o.Store = nil
	b.unknown = newBudget(o)
	if b.o.Store != nil {
		b.unknown.real = b
	}
	return b
}

func newBudget(o BudgetOptions) *Budget {
	b := &Budget{o: o, slots: max(1, o.Max/2), accounts: make(map[string]*accountSlots)}
	b.outages.log = o.Log
	return b
}

// Verdict is the answer of a directory.
type Verdict uint8

// The verdicts.
const (
	Accepted Verdict = iota
	// also if the directory does not answer, because it may have counted the attempt
	Refused
	NotSent // the attempt was not sent
)

// Classes of attempts.
const (
	classKnown   = "known"
	classUnknown = "unknown"
	classProven  = "proven" // not attempts, but records of sign-ins to the account
)

// Spend calls the function check for one attempt at an account, and counts the verdict. If the
// budget is used up, it returns an *Error instead. Attempts for one account and class run one at a
// time. If an attempt gets no answer, the directory may still have counted it. So before the
// function check sends an attempt again, it must call the function that it gets as its argument.
// The verdict is about the last attempt.
func (b *Budget) Spend(ctx context.Context, account string, knownPlace bool, check func(more func() error) (Verdict, error)) error {
	return b.spend(ctx, account, knownPlace, "", check)
}

// SpendUnproven is Spend for an account that was not looked up first and may not exist. The first
// wrong password at an unknown place is counted only in memory. Otherwise each invented name would
// become a row of the store. At the second wrong password, both failures are written to the store.
// Failures of an account with a sign-in within PlaceFor are always written to the store. While
// more than maxUnsaved accounts are in memory, all failures are written to the store.
//
// So for a user who has signed in through this service, the bound is that of Spend. Other users
// have no known places, so nobody can use the half of the budget that is reserved for known
// places. Strangers get the other half. In addition, strangers get one attempt for each replica
// after the first, and one for each restart within the window. If the number of these additional
// attempts is at most half of Max, the total is at most Max.
func (b *Budget) SpendUnproven(ctx context.Context, account string, knownPlace bool, check func(more func() error) (Verdict, error)) error {
	if b == nil {
		return b.Spend(ctx, account, knownPlace, check)
	}
	return b.spend(ctx, account, knownPlace, b.key(classProven, account), check)
}

// spend implements Spend and SpendUnproven. The key provenKey records a sign-in to the account. It
// is "" if no record is needed.
func (b *Budget) spend(ctx context.Context, account string, knownPlace bool, provenKey string, check func(more func() error) (Verdict, error)) error {
	if b == nil {
		_, err := check(func() error { return nil })
		return err
	}
	if !knownPlace {
		return b.spendOf(ctx, classUnknown, account, provenKey, provenKey, claimTries, check)
	}
	// The name has signed in at this place before, so this attempt may also use slots that
	// strangers have not used. This does not change the bound for both classes together.
	asked := false
	noting := func(more func() error) (Verdict, error) {
		asked = true
		return check(more)
	}
	err := b.spendOf(ctx, classKnown, account, "", provenKey, 1, noting)
	own, limited := errors.AsType[*Error](err)
	if !limited || asked {
		return err
	}
	err = b.spendOf(ctx, classUnknown, account, "", provenKey, claimTries, noting)
	if left, limited := errors.AsType[*Error](err); limited && !asked && own.After < left.After {
		return own
	}
	return err
}

// spendOf spends a slot of one class. If it is enough to count an attempt in memory, unprovenKey
// equals provenKey. Otherwise unprovenKey is "".
func (b *Budget) spendOf(ctx context.Context, class, account, unprovenKey, provenKey string, tries int, check func(more func() error) (Verdict, error)) error {
	key := b.key(class, account)
	s, err := b.enter(ctx, key)
	if err != nil {
		return err
	}
	defer func() { <-s.busy }()

	local, slot, until, err := b.claim(ctx, key, unprovenKey, s, tries)
	if err != nil {
		return err
	}
	// Do not retry the claim here, because the caller may hold a connection for which others wait.
	verdict, err := check(func() (err error) {
		local, slot, until, err = b.claim(ctx, key, unprovenKey, s, 1)
		return err
	})
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	switch verdict {
	case Accepted:
		if provenKey != "" && b.o.Store != nil {
			b.outages.note(b.prove(ending, provenKey))
		}
		for _, class := range []string{classKnown, classUnknown} {
			b.forget(b.key(class, account))
			if b.o.Store != nil {
				b.outages.note(b.o.Store.Release(ending, b.key(class, account)))
			}
		}
	case NotSent:
		b.mu.Lock()
		s.until[local] = 0
		if slot < 0 {
			s.unsaved = 0
		}
		b.mu.Unlock()
		if slot >= 0 {
			b.outages.note(b.o.Store.ReleaseSlot(ending, key, slot, until))
		}
	case Refused:
	}
	return err
}

// prove records a sign-in to an account, at most once a day.
func (b *Budget) prove(ctx context.Context, provenKey string) error {
	until := b.o.Now().Add(PlaceFor)
	_, _, err := b.o.Store.Claim(ctx, provenKey, 1, until.Add(-24*time.Hour), until)
	return err
}

// SpendUnknown counts an attempt for an unknown name like an attempt that a directory refused. So
// a used-up budget does not reveal which names exist. The count stays in memory, because strangers
// could fill the store with invented names.
func (b *Budget) SpendUnknown(ctx context.Context, name string, knownPlace bool) error {
	if b == nil {
		return nil
	}
	return b.unknown.Spend(ctx, name, knownPlace, func(func() error) (Verdict, error) { return Refused, nil })
}

func (b *Budget) key(class, account string) string {
	return b.o.Source + "\x00" + class + "\x00" + account
}

// enter waits until no other attempt for the account runs.
func (b *Budget) enter(ctx context.Context, key string) (*accountSlots, error) {
	b.mu.Lock()
	s := b.accounts[key]
	if s == nil {
		if len(b.accounts) >= maxAccounts {
			b.evictLocked()
		}
		s = &accountSlots{until: make([]int64, b.slots), busy: make(chan struct{}, 1)}
		b.accounts[key] = s
	}
	wait := s.blockedLocked(b.o.Now().UnixMilli())
	b.mu.Unlock()
	if wait > 0 {
		return nil, &Error{After: wait, Reported: true}
	}
	select {
	case s.busy <- struct{}{}:
		return s, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// evictLocked removes accounts without taken slots. If this frees less than an eighth of the
// map, it also removes the accounts with the fewest taken slots, until an eighth is free. So
// evictLocked is rarely called. The removed accounts are still in the store, because evictLocked
// never removes an account that is not in the store.
func (b *Budget) evictLocked() {
	now := b.o.Now().UnixMilli()
	for key, s := range b.accounts {
		b.examined++
		if len(s.busy) == 0 && s.blocked <= now && s.spentLocked(now) == 0 {
			delete(b.accounts, key)
		}
	}
	const left = maxAccounts - maxAccounts/8
	for fewest := 1; len(b.accounts) > left && fewest <= b.slots; fewest++ {
		for key, s := range b.accounts {
			if len(b.accounts) <= left {
				return
			}
			b.examined++
			if len(s.busy) == 0 && s.unsaved <= now && s.spentLocked(now) <= fewest {
				delete(b.accounts, key)
			}
		}
	}
}

func (s *accountSlots) spentLocked(now int64) (n int) {
	for _, until := range s.until {
		if until > now {
			n++
		}
	}
	return n
}

// blockedLocked returns the time until a slot is free, according to a recent query. It returns
// 0 if a new query is needed.
func (s *accountSlots) blockedLocked(now int64) time.Duration {
	if s.blocked <= now || s.blocked > now+askAgain.Milliseconds() { // the clock was set back
		return 0
	}
	return time.Duration(s.free-now) * time.Millisecond
}

// claim takes a slot in the store. While the store is down, it takes a slot only in this process,
// and the second result is -1. The first result is the index in s.until.
func (b *Budget) claim(ctx context.Context, key, unprovenKey string, s *accountSlots, tries int) (local, slot int, until time.Time, err error) {
	now := b.o.Now()
	until = time.UnixMilli(now.Add(b.o.Window).UnixMilli())
	b.mu.Lock()
	wait := s.blockedLocked(now.UnixMilli())
	b.mu.Unlock()
	if wait > 0 {
		return 0, -1, until, &Error{After: wait, Reported: true}
	}
	slot, wait, shared := b.claimShared(ctx, key, unprovenKey, s, now, until, tries)
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range s.until {
		if s.until[i] < s.until[local] {
			local = i
		}
	}
	if !shared {
		wait = time.Duration(max(0, s.until[local]-now.UnixMilli())) * time.Millisecond
	}
	if wait > 0 {
		s.free, s.blocked = now.Add(wait).UnixMilli(), now.Add(min(wait, askAgain)).UnixMilli()
		return 0, -1, until, &Error{After: wait}
	}
	s.until[local] = until.UnixMilli()
	if shared && slot < 0 && b.o.Store != nil {
		s.unsaved = until.UnixMilli()
	}
	return local, slot, until, nil
}

// claimOnce takes a slot in the store. If the store did not answer, claimOnce returns false. For
// an unknown name, this process gives the answer that the store would give for an existing name.
func (b *Budget) claimOnce(ctx context.Context, key, unprovenKey string, s *accountSlots, now, until time.Time) (slot int, wait time.Duration, ok bool) {
	switch {
	case b.o.Store != nil:
		ctx, cancel := context.WithTimeout(ctx, storeTimeout)
		defer cancel()
		if unprovenKey != "" {
			enough, wait, err := b.countLocally(ctx, key, unprovenKey, s, now)
			if err != nil || enough {
				return -1, wait, !b.outages.note(err)
			}
		}
		slot, wait, err := b.o.Store.Claim(ctx, key, b.slots, now, until)
		return slot, wait, !b.outages.note(err)
	case b.real != nil && !b.real.outages.failing.Load():
		b.mu.Lock()
		defer b.mu.Unlock()
		free := slices.Min(s.until) - now.UnixMilli()
		return -1, time.Duration(max(0, free)) * time.Millisecond, true
	}
	return -1, 0, false
}

// countLocally decides where to count an attempt for an account that may not exist. If it returns
// true, the attempt is counted in memory, and the returned duration is the time until a slot is
// free. Otherwise countLocally has written the earlier attempts from memory to the store, and the
// new attempt must also be counted in the store.
func (b *Budget) countLocally(ctx context.Context, key, unprovenKey string, s *accountSlots, now time.Time) (counted bool, wait time.Duration, err error) {
	written, err := b.o.Store.Claimed(ctx, now, unprovenKey, key)
	if err != nil || written {
		return false, 0, err
	}
	b.mu.Lock()
	here, crowded := slices.Clone(s.until), len(b.accounts) > maxUnsaved
	spent := s.spentLocked(now.UnixMilli())
	b.mu.Unlock()
	switch {
	case spent == len(here):
		return true, time.UnixMilli(slices.Min(here)).Sub(now), nil
	case spent == 0 && !crowded:
		return true, 0, nil
	}
	for _, until := range here {
		if until <= now.UnixMilli() {
			continue
		}
		if _, _, err := b.o.Store.Claim(ctx, key, b.slots, now, time.UnixMilli(until)); err != nil {
			return false, 0, err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s.unsaved = 0
	return false, 0, nil
}

// claimShared takes a slot in the store. If the store did not answer, claimShared returns false.
// claimShared tries several times for unknown names, too. Otherwise the duration of an attempt on
// a recently used-up budget would reveal which names exist.
func (b *Budget) claimShared(ctx context.Context, key, unprovenKey string, s *accountSlots, now, until time.Time, tries int) (slot int, wait time.Duration, ok bool) {
	for try := 1; ; try++ {
		slot, wait, ok := b.claimOnce(ctx, key, unprovenKey, s, now, until)
		if !ok {
			return -1, 0, false
		}
		if wait == 0 || try == tries || wait < b.o.Window-claimFresh {
			return slot, wait, true
		}
		if clock.Sleep(ctx, claimPause) != nil {
			return slot, wait, true
		}
	}
}

// forget deletes the counts of an account in this process.
func (b *Budget) forget(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.accounts[key]; s != nil {
		clear(s.until)
		s.unsaved, s.blocked = 0, 0
	}
}
