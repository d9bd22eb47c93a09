// Package ratelimit decides whether a sign-in may be checked now, or whether there were too many
// failures.
//
// Credentials that can be guessed are limited before they are checked. Credentials that cannot
// be guessed are checked first, and only their refusals are limited. A user who has signed in
// from the same place before is never refused only because strangers have exhausted a limit.
//
// # Credentials that cannot be guessed
//
// Secrets of robots and access, refresh and session tokens have 190 random bits, and an ID token
// has a signature. A valid credential is never refused because of the failures of others, because
// [Limiter.Refuse] is called only for invalid credentials. Above the limit of its source address,
// an invalid credential is answered with 429 instead of 401. Above that limit, credentials that
// were not valid within the last day are verified one at a time ([Limiter.Turn]), and at most
// maxWaiting requests wait. The number of distinct credentials of an address is not limited. Such
// a limit would hurt other users of the address, because a hundred CI jobs can have a hundred
// expired tokens. A credential that can never become valid is remembered for the time dismissFor
// ([Limiter.Dismissed]). So if a job retries with such a credential, no signature is checked and
// no query is sent. The journal has at most one entry per minute for each such credential.
//
// # Credentials that can be guessed
//
// A password is counted as a failure when its check begins. Otherwise a thousand concurrent
// guesses would all be allowed before the first of them is counted. The count is undone if the
// password was right or an identity source was down.
//
//	limit                    free  then                        applies
//	name at one source       10    1 s, doubling, up to 5 min  always
//	source, for all names    100   1 s, doubling, up to 30 s   unless the name signed in
//	                                                           at this source within a day
//	name at unknown places   100   one a minute, or none       at unknown places
//	name at a known place    30    1 s, doubling, up to 5 min  at known places
//	the same wrong password  3     1 s, doubling, up to 5 min  to that password only
//
// A source is an IPv4 address or a /64 of IPv6. A /56 and a /48 are sources as well, with 4 and 16
// times as many free failures.
//
// A place is a /24 of IPv4 or a /48 of IPv6. A place is known for the time [PlaceFor] after the
// name signed in there with any credential. Known places, and the counts of names with at least
// sharedFrom failures, are in a [Store]. Replicas share the store, and it survives a restart. The
// store has HMACs of names and addresses; the key of the HMACs is in the same store. A place is
// looked up only when the limit of a name applies, when passwords wait for a hash, or when a
// directory has a budget. A cached credential needs no query. While the store is down, the limiter
// uses what this process knows, and refuses no one because of the outage.
//
// A password that was right within the last day is never limited. A repeated wrong password is
// not a new guess, so a job with an old password exhausts only the limit for this password.
//
// All tables have a fixed size. A full table evicts entries with few failures first.
//
// # Directories
//
// A directory can lock an account after some failures, and strangers must not be able to lock it.
// A [Budget] limits the attempts that are sent to the directory, over all replicas. Their number
// stays below the directory's threshold. Unknown places get half of the budget.
//
// # What an attacker can still do
//
//   - Prevent a user from signing in at places where the user never signed in. This takes 100
//     guesses from many sources, and then one guess a minute. The user can still sign in at a
//     known place, with a token, or after `tidewaiter user allow`.
//   - Guess the password of one name: at most 1,540 times a day at unknown places, and 25
//     (sharedFrom) additional times for each replica and restart.
//   - Try one password on many names: 100 times from a source, then every 30 s.
//   - Use up the budget of a name at a directory. The password is then not tried at unknown places
//     for the window, but the account in the directory is not locked.
//
// Sources: OWASP's device cookies (known and unknown clients have separate limits), NIST SP
// 800-63B (100 failures of one account), AD FS smart lockout (a threshold below the directory's),
// Dovecot (doubling delays; the same wrong password does not count).
package ratelimit

import (
	"cmp"
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

// ErrLimited means that there were too many failed attempts. It is always wrapped in an *Error.
var ErrLimited = errors.New("too many failed attempts")

// Error has the time until the next attempt. The time does not depend on whether the name
// exists.
type Error struct {
	After    time.Duration
	Reported bool // the journal already has a refusal because of the same delay
	Checked  bool // the credential cannot be guessed; it was verified and is invalid
}

// Error returns the text for the user of the client.
func (e *Error) Error() string {
	return fmt.Sprintf("%s: try again in %s", ErrLimited, max(time.Second, e.After.Round(time.Second)))
}

func (e *Error) Unwrap() error { return ErrLimited }

// Options are the settings of a Limiter. The zero value has the defaults.
type Options struct {
	// MaxFailuresPerPair is how many wrong passwords for a name from one source address are
	// free; 0: 10.
	MaxFailuresPerPair int
	// MaxFailuresPerSource is how many failures from one source address are free; 0: 100.
	MaxFailuresPerSource int
	MaxDelay             time.Duration // longest delay for a name at one source; 0: 5 min
	// If RefuseUnknownPlaces is true, a name with too many failures is refused at all unknown
	// places. If RefuseUnknownPlaces is false, one attempt per slowAttempts is allowed at these
	// places.
	RefuseUnknownPlaces bool

	Store Store // nil: counts are not shared, and are lost at a restart
	// PlacesMatter reports whether a query for Attempt.KnownPlace is useful now, for example
	// because passwords wait for a hash; nil: never.
	PlacesMatter func() bool
	Now          func() time.Time // nil: time.Now
	Log          *slog.Logger     // nil: nothing is logged
}

// Limiter limits sign-ins (see the package comment). Its methods may be called from any
// goroutine. A nil Limiter allows everything.
type Limiter struct {
	o      Options
	limits LevelLimits

	pairs   *counter // failures of a name at a source
	names   levels   // failures of a name at unknown places
	atPlace *counter // failures of a name at a known place
	sources sources
	tokens  sources  // failures of credentials that cannot be guessed
	repeats *counter // attempts with the same wrong password

	tries     marks // name and password that are being checked
	wrong     marks // name and password that were wrong
	right     marks // name and password, and name and source, that were right
	dismissed marks // secrets that can never become valid
	reported  marks // secrets whose refusal is in the journal
	proved    marks // secrets that cannot be guessed and were valid
	turns     turns

	places places
	shared atomic.Pointer[func(string) Level] // levels in the store; nil: not read yet
	// starts the first read of the levels, if Run has not started it
	first   sync.Once
	read    chan struct{} // closed when the first read ends
	outages outages

	nameSeed, secretSeed, addressSeed maphash.Seed

	failed, byName, bySource, known atomic.Uint64
}

// These limits are not configurable.
const (
	shortDelay = 30 * time.Second // longest delay for a source
	// equal attempts within this time count once while the password is being checked
	sameAttempt = 10 * time.Second
	// free attempts with the same wrong password; clients send each password twice
	freeRepeats     = 3
	freeAtPlace     = 30
	rememberFor     = 24 * time.Hour // how long right and wrong passwords are remembered
	rememberExactly = time.Minute    // precision of rememberFor
	dismissFor      = time.Minute    // how long a secret that can never become valid is remembered
	storeTimeout    = 2 * time.Second
)

// New returns a Limiter. It starts no goroutine; call Run.
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
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
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

// Stats counts the work of a Limiter since New.
type Stats struct {
	Failed   uint64 // wrong attempts
	ByName   uint64 // attempts refused because of failures of the name, or of the same password
	BySource uint64 // attempts refused because of failures of the source
	Known    uint64 // attempts with a password that was right before; not counted
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

// Attempt is a check that was allowed. The caller of Begin must call End.
type Attempt struct {
	// KnownPlace means that the name has signed in from this place before. Sometimes only a query
	// to the store can answer this. Begin sends the query only if a limit applies, or if
	// Options.PlacesMatter returns true.
	KnownPlace bool

	at      int64  // start, in nanoseconds
	secret  uint64 // keys; 0: no key
	name    uint64
	pair    uint64
	place   uint64
	source  origin
	charged charge
	known   bool // the password was right before
	lately  bool // the password was right so recently that End need not record this again
}

// charge is the kind of failure that was counted for an attempt.
type charge uint8

const (
	nothing   charge = iota
	asUnknown        // at an unknown place
	asShared         // at an unknown place, in the store too
	asPlace          // at a known place
	asRepeat         // of a password that was wrong before
)

// Outcome is the result of a check.
type Outcome uint8

// The outcomes.
const (
	Right     Outcome = iota
	Wrong             // refused for any reason: unknown, wrong, disabled, expired
	Unchecked         // a source was down
	// Abandoned means that the client disconnected, or that a limit of the identity source
	// refused the check. The result is unknown, but the check has cost work.
	Abandoned
)

// Begin reports whether a password may be checked. Its error is an *Error.
func (l *Limiter) Begin(ctx context.Context, g Guess) (a Attempt, err error) {
	if l == nil {
		return a, nil
	}
	now := l.o.Now()
	a.at = now.UnixNano()
	a.secret = l.secretKey(g)
	if m, ok := l.right.get(a.secret); ok && m.isFresh(a.at, rememberFor) {
		l.known.Add(1)
		a.known, a.lately, a.KnownPlace = true, m.isFresh(a.at, rememberExactly), true
		return a, nil
	}
	name := l.locate(g, &a)
	place := Place{name, PlaceOf(g.From)}
	settled := l.right.contains(a.pair, a.at, rememberFor)
	a.KnownPlace = settled || l.places.contains(a.place, now)
	repeated := l.wrong.contains(a.secret, a.at, rememberFor)
	tried := !repeated && l.tries.contains(a.secret, a.at, sameAttempt)
	// Check this limit before the query to the store, so that refused attempts cost no query.
	if repeated || !settled && !tried {
		if err := l.delayError(&l.bySource, l.sources.delay(a.source, a.at)); err != nil {
			return a, err
		}
	}
	if !a.KnownPlace && l.o.PlacesMatter() {
		a.KnownPlace = l.lookUp(ctx, a.place, place, now)
	}
	if repeated {
		a.charged = asRepeat
		return a, l.delayError(&l.byName, l.repeats.charge(a.secret, a.at))
	}
	if tried {
		return a, nil
	}
	if settled {
		l.sources.add(a.source, a.at)
	} else if err := l.delayError(&l.bySource, l.sources.charge(a.source, a.at)); err != nil {
		return a, err
	}
	if err := l.delayError(&l.byName, l.pairs.charge(a.pair, a.at)); err != nil {
		l.sources.undo(a.source, a.at)
		return a, err
	}
	if err := l.chargeName(ctx, &a, place, now); err != nil {
		l.sources.undo(a.source, a.at)
		l.pairs.undo(a.pair, a.at)
		return a, err
	}
	// The charge must come before the mark, because the mark lets other attempts pass.
	if !l.tries.set(a.secret, a.at, sameAttempt) {
		l.undoCharge(ctx, g, &a) // a concurrent equal attempt was counted
	}
	return a, nil
}

// chargeName counts a failure of the name, either at its known place or at unknown places.
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
	if err := l.delayError(&l.byName, l.atPlace.charge(a.place, a.at)); err != nil {
		return err
	}
	a.charged = asPlace
	return nil
}

// share counts n failures of a name in the store. If the returned wait is not 0, the attempt
// was not counted.
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

// End records the result of a check that Begin allowed.
func (l *Limiter) End(ctx context.Context, g Guess, a Attempt, o Outcome) {
	switch {
	case l == nil:
	case o == Wrong:
		l.failed.Add(1)
		// Begin allowed the attempt without a charge, so End charges it.
		if a.known {
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
	case o == Abandoned && a.charged == asRepeat: // it still counts
	case a.charged != nothing: // the attempt was counted, and the result is unknown
		l.undoCharge(ctx, g, &a)
		l.tries.forget(a.secret)
		if o == Abandoned {
			// An abandoned check has caused the work of a hash or a call of a directory. A hash is
			// always computed to the end. If such a check did not count, the client could repeat
			// it without limit.
			l.sources.add(a.source, a.at)
		}
	}
}

// chargeLate charges an attempt that Begin allowed because the password was right before.
func (l *Limiter) chargeLate(g Guess, a *Attempt) {
	name := l.locate(g, a)
	now := l.o.Now()
	l.sources.add(a.source, a.at)
	l.pairs.add(a.pair, a.at)
	if l.right.contains(a.pair, a.at, rememberFor) || l.places.contains(a.place, now) {
		l.atPlace.add(a.place, a.at)
	} else {
		l.names.charge(a.name, l.cachedLevel(name), now.UnixMilli())
	}
}

// undoCharge removes the charge of an attempt.
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

// delayError returns the error for a delay and counts the refusal.
func (l *Limiter) delayError(by *atomic.Uint64, d delay) error {
	if d.left <= 0 {
		return nil
	}
	by.Add(1)
	return &Error{After: d.left, Reported: d.reported}
}

// level returns the level that a name had in the store at the last read.
func (l *Limiter) level(ctx context.Context, name string, now time.Time) Level {
	if l.o.Store != nil && l.shared.Load() == nil {
		// All callers share one read, so that they do not wait one after another if the store
		// hangs. Later reads are made by Run.
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

// loadLevels reads the failures of names from the store.
func (l *Limiter) loadLevels(ctx context.Context, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	levels, err := l.o.Store.Levels(ctx, now)
	if !l.outages.note(err) {
		l.shared.Store(&levels)
	}
}

// Run reads what other replicas counted and writes newly learned places, until ctx ends.
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
			l.sweep(ctx, now)
		}
		select {
		case <-ctx.Done():
			l.Flush(context.WithoutCancel(ctx))
			return
		case <-tick.C:
		}
	}
}

const (
	levelsEvery  = 2 * time.Second
	sweepEvery   = time.Hour
	sweepTimeout = 30 * time.Second // a sweep may delete thousands of rows
)

func (l *Limiter) sweep(ctx context.Context, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	l.outages.note(l.o.Store.Sweep(ctx, now))
}

// outages logs the first failure of the store and its recovery.
type outages struct {
	log     *slog.Logger
	failing atomic.Bool
}

// note records err and reports whether it is a failure.
func (o *outages) note(err error) bool {
	switch {
	case errors.Is(err, context.Canceled):
	case err != nil && !o.failing.Swap(true):
		o.log.Warn("the database does not answer, so failed sign-ins and known places are not shared with other replicas", "error", err)
	case err == nil && o.failing.Swap(false):
		o.log.Info("failed sign-ins and known places are shared with other replicas again")
	}
	return err != nil
}
