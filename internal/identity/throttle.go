package identity

import (
	"errors"
	"fmt"
	"hash/maphash"
	"math/bits"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// ErrThrottled means that too many attempts failed, and that this one was not looked at: neither is it
// wrong, nor is anything down. The error that wraps it is a *ThrottledError.
var ErrThrottled = errors.New("too many failed attempts")

// ThrottledError says when to try again. It is the same whether the name exists or not.
type ThrottledError struct {
	After time.Duration // until then everything is refused that the same attempts stand in the way of
	Again bool          // the same delay has refused somebody before: once told is enough for the journal
}

// Error says it for the client's user.
func (e *ThrottledError) Error() string {
	return fmt.Sprintf("%s: try again in %s", ErrThrottled, max(time.Second, e.After.Round(time.Second)))
}

func (e *ThrottledError) Unwrap() error { return ErrThrottled }

// ThrottleOptions are the settings of a Throttle. The zero value is good.
type ThrottleOptions struct {
	PerName    int              // wrong passwords for a name from one address before a delay; 0: 10
	PerAddress int              // failures from one address, whatever the names, before a delay; 0: 100
	Longest    time.Duration    // delay for a name at one address, at most; 0: 5 min
	Now        func() time.Time // nil: time.Now
}

// Throttle makes who guesses wait: a second after the last free failure, and twice as long after each
// further one. It counts failures
//
//   - of a name at an address, where guessing is: the delay there is up to ThrottleOptions.Longest;
//   - of an address with all names together: somebody may try one password on a thousand names;
//   - of a name at all addresses together: somebody may have a thousand addresses.
//
// Nobody can lock out others who are elsewhere: the first count is of one address, and the other two have
// short delays, at most half a minute, which do not bind a name at an address that it was right at before.
// No delay binds a password that was right before. What a Throttle knows of that is a keyed hash, which
// opens this door only: the source still asks for its own proof.
//
// An attempt is a password for a name. The same one again within ten seconds is the same attempt: clients that
// post first and get when that is refused (containerd, docker build) show each password twice.
//
// Tokens are not guessed, and many of one address fail together when their issuer's key changes. They
// are counted by address only, apart from passwords, and only once they have failed.
//
// An address is an IPv4 address or the /64 of an IPv6 address, since nobody is given less than that.
// Memory is constant, about 2 MB: the tables have a fixed size, and where one is full, few failures
// make room for many. Keys are hashes under a seed of this process, so that nobody can aim at a place.
//
// The methods may be called from any goroutine, and of a nil Throttle: it lets everybody through.
type Throttle struct {
	now     func() time.Time
	pairs   *counter // name and address
	names   *counter
	sources *counter // addresses
	tries   *marks   // name and password, in the last moments
	proven  *marks   // name and password, and name and address, that were right

	nameSeed, secretSeed, addressSeed maphash.Seed

	failed, byName, byAddress, known atomic.Uint64
}

// What does not need to be a setting.
const (
	firstDelay  = time.Second
	shortDelay  = 30 * time.Second // the longest by name alone or by address alone
	sameAttempt = 10 * time.Second // the same password again is no new attempt for so long …
	sameTimes   = 3                // … and so many times: it costs a hash each time
	perNameAll  = 100              // failures of a name at all addresses before a delay
	provenFor   = 24 * time.Hour   // since it was last right
	provenAgain = time.Minute      // how exactly that is known
)

// NewThrottle returns a Throttle. It has nothing to close.
func NewThrottle(o ThrottleOptions) *Throttle {
	if o.PerName <= 0 {
		o.PerName = 10
	}
	if o.PerAddress <= 0 {
		o.PerAddress = 100
	}
	if o.Longest <= 0 {
		o.Longest = 5 * time.Minute
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	short := min(shortDelay, o.Longest)
	return &Throttle{
		now:        o.Now,
		pairs:      newCounter(o.PerName, o.Longest),
		names:      newCounter(max(perNameAll, o.PerName), short),
		sources:    newCounter(o.PerAddress, short),
		tries:      &marks{},
		proven:     &marks{},
		nameSeed:   maphash.MakeSeed(),
		secretSeed: maphash.MakeSeed(), addressSeed: maphash.MakeSeed(),
	}
}

// ThrottleStats is what a Throttle has done since NewThrottle.
type ThrottleStats struct {
	Failed    uint64 // attempts that were wrong
	ByName    uint64 // attempts that were refused for the failures of their name, here or everywhere
	ByAddress uint64 // attempts that were refused for the failures of their address
	Known     uint64 // attempts with a password that was right before: they are not counted at all
}

// Stats may be called at any time.
func (t *Throttle) Stats() ThrottleStats {
	if t == nil {
		return ThrottleStats{}
	}
	return ThrottleStats{Failed: t.failed.Load(), ByName: t.byName.Load(), ByAddress: t.byAddress.Load(), Known: t.known.Load()}
}

// attempt is what the throttle has to know again when the attempt has come to its end.
type attempt struct {
	at      int64  // when it began, in nanoseconds
	secret  uint64 // keys; 0: there is none
	name    uint64
	pair    uint64
	source  uint64
	charged bool // it was counted as a failure when it began
	known   bool // it was not looked at, because it was right before …
	lately  bool // … and so short a time ago that it need not be noted again
}

// outcome is how an attempt ended.
type outcome uint8

const (
	right   outcome = iota
	wrong           // whoever it was: unknown, wrong, disabled, expired
	unasked         // a source was down, or the client has gone
)

// Try lets somebody show a secret elsewhere than at sign-in, as for changing a password, and counts it as if it were there.
// ask says ErrRejected of one that is wrong; other errors count nothing. The error is a *ThrottledError, or ask's.
func (t *Throttle) Try(c Credentials, ask func() error) error {
	a, err := t.begin(&c)
	if err != nil {
		return err
	}
	err = ask()
	t.end(&c, a, outcomeOf(err))
	return err
}

// begin says whether an attempt may be made; the error is a *ThrottledError. A new password is counted
// as a failure now, and not when it has failed, so that a thousand that come at once are not a thousand
// guesses for the price of none.
func (t *Throttle) begin(c *Credentials) (a attempt, err error) {
	if t == nil {
		return a, nil
	}
	now := t.now().UnixNano()
	a.at = now
	if c.Kind != Password {
		a.source = t.sourceKey(c)
		return a, t.refused(&t.byAddress, t.sources.delay(a.source, now))
	}
	a.secret = mix(2, maphash.String(t.nameSeed, c.Name), maphash.String(t.secretSeed, c.Secret.Reveal()))
	if m, ok := t.proven.get(a.secret); ok && m.fresh(now, provenFor) {
		t.known.Add(1)
		a.known, a.lately = true, m.fresh(now, provenAgain)
		return a, nil
	}
	t.locate(c, &a)
	if m, ok := t.tries.get(a.secret); ok && m.fresh(now, sameAttempt) && m.count <= sameTimes {
		return a, nil
	}
	if m, ok := t.proven.get(a.pair); !ok || !m.fresh(now, provenFor) {
		if err := t.refused(&t.byAddress, t.sources.delay(a.source, now)); err != nil {
			return a, err
		}
		if err := t.refused(&t.byName, t.names.delay(a.name, now)); err != nil {
			return a, err
		}
	}
	// First the charge, then the mark, which lets others through: never the other way round.
	if err := t.refused(&t.byName, t.pairs.charge(a.pair, now)); err != nil {
		return a, err
	}
	if !t.tries.set(a.secret, now, sameAttempt) {
		t.pairs.undo(a.pair) // the same password came at the same moment, and was counted
		return a, nil
	}
	t.names.add(a.name, now)
	a.charged = true
	return a, nil
}

// end counts how an attempt ended that begin let through.
func (t *Throttle) end(c *Credentials, a attempt, o outcome) {
	switch {
	case t == nil:
	case o == wrong:
		t.failed.Add(1)
		t.endWrong(c, a)
	case a.secret == 0: // a token
	case o == right && a.known:
		if !a.lately {
			t.proven.set(a.secret, a.at, provenAgain)
		}
	case o == right:
		t.proven.set(a.secret, a.at, provenAgain)
		t.proven.set(a.pair, a.at, provenAgain)
		t.tries.forget(a.secret)
		t.pairs.forget(a.pair)
		if a.charged {
			t.names.undo(a.name)
		}
	case a.charged: // and nobody said whether it is right
		t.tries.forget(a.secret)
		t.pairs.undo(a.pair)
		t.names.undo(a.name)
	}
}

func (t *Throttle) endWrong(c *Credentials, a attempt) {
	now := t.now().UnixNano()
	if a.secret == 0 {
		t.sources.add(a.source, now)
		return
	}
	if a.known { // no more
		t.proven.forget(a.secret)
		t.locate(c, &a)
	}
	if a.charged {
		t.sources.add(a.source, now)
		return
	}
	if t.tries.add(a.secret, now, sameAttempt) > sameTimes {
		t.pairs.add(a.pair, now)
		t.names.add(a.name, now)
		t.sources.add(a.source, now)
	}
}

// locate sets the keys by which a password's attempt is counted.
func (t *Throttle) locate(c *Credentials, a *attempt) {
	a.source = t.sourceKey(c)
	a.name = mix(1, maphash.String(t.nameSeed, fold(c.Name)), 0)
	a.pair = mix(3, a.name, a.source)
}

// fold makes one of all that a directory may take for the same name: case, spaces, widths, characters
// that cannot be seen. Else each spelling would be good for as many guesses again. That other names fall together, too,
// means that they are counted together, and nothing else.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		if r > ' ' && r < 0x7f || r > 0x7f && (unicode.IsLetter(r) || unicode.IsNumber(r)) {
			return unicode.ToLower(r)
		}
		return -1
	}, norm.NFKD.String(name))
}

// refused makes an error of a delay, and counts it.
func (t *Throttle) refused(by *atomic.Uint64, d delay) error {
	if d.left <= 0 {
		return nil
	}
	by.Add(1)
	return &ThrottledError{After: d.left, Again: d.told}
}

// sourceKey is the key of the address, for credentials of its kind; 0 if the address is not known.
func (t *Throttle) sourceKey(c *Credentials) uint64 {
	from := c.CountedAt()
	if !from.IsValid() {
		return 0
	}
	kind := uint64(4)
	if c.Kind != Password {
		kind = 5
	}
	at := block(from).As16()
	return mix(kind, maphash.Bytes(t.addressSeed, at[:]), 0)
}

// block is what one party has of the address space: one IPv4 address, or 64 bits' worth of IPv6.
func block(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is4() {
		return a
	}
	p, err := a.Prefix(64)
	if err != nil {
		return a
	}
	return p.Addr()
}

// mix makes one key of two hashes and what they are of. It is never 0. That it can be calculated
// backwards does not matter: what goes in is under seeds that nobody knows.
func mix(kind, a, b uint64) uint64 {
	x := a ^ bits.RotateLeft64(b, 29)*0x9e3779b97f4a7c15 ^ kind*0xd6e8feb86659fd93
	x = (x ^ x>>32) * 0xd6e8feb86659fd93
	x = (x ^ x>>29) * 0x9e3779b97f4a7c15
	return x ^ x>>32 | 1
}
