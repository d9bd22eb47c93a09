// Package ratelimit answers: may this sign-in be checked now, or were there too many failures?
//
// What can be guessed is limited before it is checked. What cannot be guessed is checked first, and only
// its refusals are limited. A limit that strangers can fill never decides alone about somebody who has
// signed in from that place before.
//
// # What cannot be guessed
//
// Robots' secrets, access, refresh and session tokens have 190 random bits; an ID token has a signature.
// A good one is never refused for being one of many: [Limiter.Refuse] is called for bad ones alone. Past the limit of
// its source, a bad one is answered with 429 in place of 401, and those that were not good within a day are verified
// one after the other ([Limiter.Turn]), with at most a hundred waiting. Counting
// distinct ones would not protect their neighbours: a hundred CI jobs have a hundred expired tokens.
// One that is bad for good is remembered for a minute ([Limiter.Dismissed]), so that a job that retries
// costs no signature and no query. The journal has one entry for each secret and minute.
//
// # What can be guessed
//
// A password is charged as a failure when its check begins, so that a thousand at once are not a
// thousand guesses for the price of none; being right, or an outage, takes that back.
//
//	limit                      free   then                                 bound by
//	name at one source         10     1 s, doubling, up to 5 min           always
//	source, whatever the names 100    1 s, doubling, up to 30 s            unless the name signed in at exactly
//	  (/64; /56 and /48: 4, 16 times as many; IPv4: /32)                   that source within a day
//	name at unknown places     100    one a minute, or none                at unknown places
//	name at a known place      30     1 s, doubling, up to 5 min           at known places
//	the same wrong password    3      1 s, doubling, up to 5 min           that password alone
//
// A place is a /24 of IPv4 or a /48 of IPv6; it is known for 90 days after the name signed in there, by
// whatever credential. Known places, and the counts of names from 25 failures on, are in a [Store] that
// replicas share and that survives a restart: there, names and addresses are HMACs under a key of that
// store. Places are read only when a name's limit binds, when passwords wait for a hash, or where a
// directory has a budget; a credential that is remembered makes no query. While the store is down, what this process knows counts, and
// nobody is refused for want of the store.
//
// A password that was right within a day is never limited. A wrong one that comes again is not a new
// guess: a job with an old password uses up nobody's limit but its own.
//
// All tables have a fixed size. Where one is full, few failures make room for many.
//
// # Directories
//
// A directory that locks people out after some failures must not be made to do so by strangers. A
// [Budget] bounds what it is sent, below its own threshold, over all replicas, half for unknown places.
//
// # What an attacker still can do
//
//   - Refuse somebody at places where she never was: 100 guesses, and one a minute, from many sources.
//     She gets in at a known place, with a token, or after `tidewaiter user allow`.
//   - Guess one name's password: at most 1,540 times a day at unknown places, and per replica and
//     restart 25 more.
//   - Try one password on many names: 100 times a source, then every 30 s.
//   - Use up the budget of a name at a directory: her password is not tried at unknown places for the
//     window, and her account in the directory stays open.
//
// Where it comes from: OWASP's device cookies (known and unknown clients are limited apart), NIST SP
// 800-63B (100 failures on one account), AD FS smart lockout (a threshold below the directory's),
// Dovecot (doubling delays; the same wrong password does not count).
package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
)

// ErrLimited means that too many attempts failed. The error that wraps it is an *Error.
var ErrLimited = errors.New("too many failed attempts")

// Error says when to try again. It is the same whether the name exists or not.
type Error struct {
	After    time.Duration
	Reported bool // the same delay has refused somebody before: one entry in the journal is enough
	Checked  bool // it was verified before, and is bad: it cannot be guessed
}

// Error is for the client's user.
func (e *Error) Error() string {
	return fmt.Sprintf("%s: try again in %s", ErrLimited, max(time.Second, e.After.Round(time.Second)))
}

func (e *Error) Unwrap() error { return ErrLimited }

// Options are the settings of a Limiter. The zero value is good.
type Options struct {
	MaxFailuresPerPair   int           // wrong passwords for a name from one source before a delay; 0: 10
	MaxFailuresPerSource int           // failures from one source, whatever the names, before a delay; 0: 100
	MaxDelay             time.Duration // for a name at one source; 0: 5 min
	RefuseUnknownPlaces  bool          // a name with too many failures is refused at unknown places, in place of one attempt a minute

	Store        Store            // nil: nothing is shared, and a restart loses everything
	PlacesMatter func() bool      // whether Attempt.KnownPlace is worth a query, as where passwords wait for a hash; nil: never
	Now          func() time.Time // nil: time.Now
	Log          *slog.Logger     // nil: nothing is logged
}

// Limiter limits sign-ins: see the package comment. The methods may be called from any goroutine, and of
// a nil Limiter, which lets everybody try.
type Limiter struct {
	o      Options
	limits LevelLimits

	pairs   *counter // name at a source
	names   levels   // at unknown places
	atPlace *counter // name at a known place
	sources sources
	tokens  sources  // of what cannot be guessed
	repeats *counter // the same wrong password

	tries     marks // name and password, being checked
	wrong     marks // name and password, that were wrong
	right     marks // name and password, and name and source, that were right
	dismissed marks // secrets that are bad for good
	reported  marks // secrets whose refusal is in the journal
	proved    marks // secrets that cannot be guessed, and were good
	turns     turns

	places  places
	shared  atomic.Pointer[func(string) Level] // levels in the store; nil: not read yet
	first   sync.Once                          // begins to read them, unless Run has
	read    chan struct{}                      // closed when that is over
	outages outages

	nameSeed, secretSeed, addressSeed maphash.Seed

	failed, byName, bySource, known atomic.Uint64
}

// What does not need to be a setting.
const (
	shortDelay      = 30 * time.Second // the longest for a source
	sameAttempt     = 10 * time.Second // a password that is being checked is no new attempt for so long
	freeRepeats     = 3                // of the same wrong password: clients show each twice
	freeAtPlace     = 30
	rememberFor     = 24 * time.Hour // what was right or wrong
	rememberExactly = time.Minute    // how exactly that is known
	dismissFor      = time.Minute    // a secret that is bad for good
	storeTimeout    = 2 * time.Second
)

// New returns a Limiter. It starts nothing: Run is to be called.
func New(o Options) *Limiter {
	if o.MaxFailuresPerPair <= 0 {
		o.MaxFailuresPerPair = 10
	}
	if o.MaxFailuresPerSource <= 0 {
		o.MaxFailuresPerSource = 100
	}
	if o.MaxDelay <= 0 {
		o.MaxDelay = 5 * time.Minute
	}
	o.Now = clock.Wall(o.Now)
	if o.PlacesMatter == nil {
		o.PlacesMatter = func() bool { return false }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	short := min(shortDelay, o.MaxDelay)
	l := &Limiter{
		o: o, limits: limitsOf(o.RefuseUnknownPlaces), read: make(chan struct{}),
		pairs:    newCounter(o.MaxFailuresPerPair, o.MaxDelay),
		atPlace:  newCounter(max(freeAtPlace, o.MaxFailuresPerPair), o.MaxDelay),
		repeats:  newCounter(freeRepeats, o.MaxDelay),
		sources:  newSources(o.MaxFailuresPerSource, short),
		tokens:   newSources(o.MaxFailuresPerSource, short),
		nameSeed: maphash.MakeSeed(), secretSeed: maphash.MakeSeed(), addressSeed: maphash.MakeSeed(),
	}
	l.names.limits = l.limits
	l.outages.log = o.Log
	return l
}

// Stats is what a Limiter has done since New.
type Stats struct {
	Failed   uint64 // attempts that were wrong
	ByName   uint64 // attempts that were refused for the failures of their name, or of the same password
	BySource uint64 // attempts that were refused for the failures of their source
	Known    uint64 // attempts with a password that was right before: they are not counted at all
}

// Stats may be called at any time.
func (l *Limiter) Stats() Stats {
	if l == nil {
		return Stats{}
	}
	return Stats{Failed: l.failed.Load(), ByName: l.byName.Load(), BySource: l.bySource.Load(), Known: l.known.Load()}
}

// Guess is a password for a name, from an address.
type Guess struct {
	Name, Secret string
	From         netip.Addr
}

// Attempt is a check that may be made. Whoever made it calls End.
type Attempt struct {
	// KnownPlace means that the name has signed in from that place before. Where that costs a query, it
	// is found out only if it matters.
	KnownPlace bool

	at      int64  // when it began, in nanoseconds
	secret  uint64 // keys; 0: there is none
	name    uint64
	pair    uint64
	place   uint64
	source  origin
	charged charge
	known   bool // it was right before …
	lately  bool // … and so short a time ago that it need not be noted again
}

// charge is what an attempt was counted as.
type charge uint8

const (
	nothing   charge = iota
	asUnknown        // at an unknown place
	asShared         // the same, in the store too
	asPlace          // at a known place
	asRepeat         // of a password that was wrong before
)

// Outcome is how a check ended.
type Outcome uint8

// The outcomes.
const (
	Right     Outcome = iota
	Wrong             // for whatever reason: unknown, wrong, disabled, expired
	Unchecked         // a source was down
	Abandoned         // the client has gone, or a source's own limit binds: nobody says, and there was work to be done
)

// Begin reports whether a password may be checked; the error is an *Error.
func (l *Limiter) Begin(ctx context.Context, g Guess) (a Attempt, err error) {
	if l == nil {
		return a, nil
	}
	now := l.o.Now()
	a.at = now.UnixNano()
	a.secret = l.secretKey(g)
	if m, ok := l.right.get(a.secret); ok && m.fresh(a.at, rememberFor) {
		l.known.Add(1)
		a.known, a.lately, a.KnownPlace = true, m.fresh(a.at, rememberExactly), true
		return a, nil
	}
	name := l.locate(g, &a)
	place := Place{name, PlaceOf(g.From)}
	settled := l.right.has(a.pair, a.at, rememberFor)
	a.KnownPlace = settled || l.places.has(a.place, now)
	repeated := l.wrong.has(a.secret, a.at, rememberFor)
	tried := !repeated && l.tries.has(a.secret, a.at, sameAttempt)
	if repeated || !settled && !tried { // before the store is asked: who waits costs nothing
		if err := l.refused(&l.bySource, l.sources.delay(a.source, a.at)); err != nil {
			return a, err
		}
	}
	if !a.KnownPlace && l.o.PlacesMatter() {
		a.KnownPlace = l.lookUp(ctx, a.place, place, now)
	}
	if repeated {
		a.charged = asRepeat
		return a, l.refused(&l.byName, l.repeats.charge(a.secret, a.at))
	}
	if tried {
		return a, nil
	}
	if settled {
		l.sources.add(a.source, a.at)
	} else if err := l.refused(&l.bySource, l.sources.charge(a.source, a.at)); err != nil {
		return a, err
	}
	if err := l.refused(&l.byName, l.pairs.charge(a.pair, a.at)); err != nil {
		l.sources.undo(a.source, a.at)
		return a, err
	}
	if err := l.chargeName(ctx, &a, place, now); err != nil {
		l.sources.undo(a.source, a.at)
		l.pairs.undo(a.pair, a.at)
		return a, err
	}
	// First the charge, then the mark, which lets others through: never the other way round.
	if !l.tries.set(a.secret, a.at, sameAttempt) {
		l.undoCharge(ctx, g, &a) // the same password came at the same moment, and was counted
	}
	return a, nil
}

// chargeName counts a failure of the name, at a known place or at unknown ones.
func (l *Limiter) chargeName(ctx context.Context, a *Attempt, p Place, now time.Time) error {
	if !a.KnownPlace {
		level := l.level(ctx, p.Name, now)
		wait := l.names.wait(a.name, level, now.UnixMilli())
		if wait == 0 {
			var share int
			if wait, share = l.names.charge(a.name, level, now.UnixMilli()); wait == 0 {
				a.charged = asUnknown
			}
			if share > 0 {
				wait = l.share(ctx, a, p.Name, share, now)
			}
		}
		if wait == 0 {
			return nil
		}
		if !l.lookUp(ctx, a.place, p, now) {
			l.byName.Add(1)
			return &Error{After: wait, Reported: !l.reported.set(mix(keyReport, a.name, 0), a.at, rememberExactly)}
		}
		a.KnownPlace = true
	}
	if err := l.refused(&l.byName, l.atPlace.charge(a.place, a.at)); err != nil {
		return err
	}
	a.charged = asPlace
	return nil
}

// share tells the store of n failures of a name. With a wait, the attempt is not counted any more.
func (l *Limiter) share(ctx context.Context, a *Attempt, name string, n int, now time.Time) time.Duration {
	if l.o.Store == nil {
		return 0
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	level, wait, err := l.o.Store.ChargeName(ctx, name, n, now, l.limits)
	switch {
	case l.outages.note(err):
		l.names.addUnshared(a.name, n)
		return 0
	case wait > 0:
		l.names.refund(a.name)
		a.charged = nothing
	default:
		a.charged = asShared
	}
	l.names.set(a.name, level)
	return wait
}

// End notes how a check ended that Begin let through.
func (l *Limiter) End(ctx context.Context, g Guess, a Attempt, o Outcome) {
	switch {
	case l == nil:
	case o == Wrong:
		l.failed.Add(1)
		if a.known { // no more: it was let through without a charge
			l.right.forget(a.secret)
			l.chargeLate(g, &a)
		}
		l.wrong.set(a.secret, a.at, rememberFor)
	case o == Right && a.known:
		if !a.lately {
			l.right.set(a.secret, a.at, rememberExactly)
		}
	case o == Right:
		l.right.set(a.secret, a.at, rememberExactly)
		l.right.set(a.pair, a.at, rememberExactly)
		l.wrong.forget(a.secret)
		l.repeats.forget(a.secret)
		l.undoCharge(ctx, g, &a)
		l.tries.forget(a.secret)
		l.pairs.forget(a.pair)
	case o == Abandoned && a.charged == asRepeat: // it stays counted: it was wrong before
	case a.charged != nothing: // and nobody said whether it is right
		l.undoCharge(ctx, g, &a)
		l.tries.forget(a.secret)
		if o == Abandoned {
			// A hash that has begun is computed to its end, and a directory has been asked: who could have that for nothing
			// would go on without end.
			l.sources.add(a.source, a.at)
		}
	}
}

// chargeLate charges an attempt that was let through because it was right before.
func (l *Limiter) chargeLate(g Guess, a *Attempt) {
	name := l.locate(g, a)
	now := l.o.Now()
	l.sources.add(a.source, a.at)
	l.pairs.add(a.pair, a.at)
	if l.right.has(a.pair, a.at, rememberFor) || l.places.has(a.place, now) {
		l.atPlace.add(a.place, a.at)
	} else {
		l.names.charge(a.name, l.cachedLevel(name), now.UnixMilli())
	}
}

// undoCharge undoes what an attempt was charged.
func (l *Limiter) undoCharge(ctx context.Context, g Guess, a *Attempt) {
	switch a.charged {
	case nothing:
		return
	case asRepeat:
		l.repeats.undo(a.secret, a.at)
		return
	case asPlace:
		l.atPlace.undo(a.place, a.at)
	case asShared:
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
		defer cancel()
		l.outages.note(l.o.Store.RefundName(ctx, Fold(g.Name), l.limits))
		fallthrough
	case asUnknown:
		l.names.refund(a.name)
	}
	l.sources.undo(a.source, a.at)
	l.pairs.undo(a.pair, a.at)
	a.charged = nothing
}

// refused makes an error of a delay, and counts it.
func (l *Limiter) refused(by *atomic.Uint64, d delay) error {
	if d.left <= 0 {
		return nil
	}
	by.Add(1)
	return &Error{After: d.left, Reported: d.reported}
}

// level returns what the store has counted of a name, as it was read a short while ago.
func (l *Limiter) level(ctx context.Context, name string, now time.Time) Level {
	if l.o.Store != nil && l.shared.Load() == nil {
		// Once, for all who wait: where the store hangs, they must not wait one after the other. Run reads again.
		l.first.Do(func() {
			go func() {
				defer close(l.read)
				l.loadLevels(context.WithoutCancel(ctx), now)
			}()
		})
		select {
		case <-l.read:
		case <-ctx.Done():
		}
	}
	return l.cachedLevel(name)
}

func (l *Limiter) cachedLevel(name string) Level {
	if levels := l.shared.Load(); levels != nil {
		return (*levels)(name)
	}
	return Level{}
}

// loadLevels reads what the store has counted.
func (l *Limiter) loadLevels(ctx context.Context, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	levels, err := l.o.Store.Levels(ctx, now)
	if !l.outages.note(err) {
		l.shared.Store(&levels)
	}
}

// Run learns what other replicas counted, and writes the places that were learned, until ctx ends.
func (l *Limiter) Run(ctx context.Context) {
	if l == nil || l.o.Store == nil {
		<-ctx.Done()
		return
	}
	tick := time.NewTicker(levelsEvery)
	defer tick.Stop()
	var swept time.Time
	for {
		now := l.o.Now()
		l.loadLevels(ctx, now)
		l.Flush(ctx)
		if now.Sub(swept) >= sweepEvery {
			swept = now
			l.outages.note(l.o.Store.Sweep(ctx, now))
		}
		select {
		case <-ctx.Done():
			ending, done := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
			defer done()
			l.Flush(ending)
			return
		case <-tick.C:
		}
	}
}

const (
	levelsEvery = 2 * time.Second
	sweepEvery  = time.Hour
)

// outages logs the first failure of the store, and that it answers again.
type outages struct {
	log     *slog.Logger
	failing atomic.Bool
}

// note reports whether there was no answer.
func (o *outages) note(err error) bool {
	switch {
	case errors.Is(err, context.Canceled):
	case err != nil && !o.failing.Swap(true):
		o.log.Warn("counts of failed sign-ins and known places are not shared: the database does not answer", "error", err)
	case err == nil && o.failing.Swap(false):
		o.log.Info("counts of failed sign-ins and known places are shared again")
	}
	return err != nil
}
