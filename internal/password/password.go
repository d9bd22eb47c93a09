// Package password answers: is this the password of that hash?
//
// Hashing is slow on purpose. A Hashing bounds how many hashes are computed at once, so that a flood of
// wrong passwords waits for itself and for nobody else. For a short time it remembers, by a key under
// a secret of this process, which pairs of hash and password belonged together: a password that is used
// for every pull is hashed once. A changed hash makes another pair, so nothing has to be forgotten.
//
// It reads argon2id in the PHC string format, and bcrypt as $2a$, $2b$ and $2y$. Check says what is
// wrong with any other. Passwords are bytes: nothing is trimmed, cut or normalized.
//
// What it holds: some 120 bytes for each remembered pair, and, while argon2id hashes are computed, their
// buffers (19 MiB each as Hash makes them), bounded by [Options].Memory; as much again may be garbage.
// Seconds after the last of them, the process is as small as before. bcrypt needs 4 KiB.
package password

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/cache"
	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/fairqueue"
)

// Requester is on whose behalf a password is hashed: see fairqueue.
type Requester = fairqueue.Requester

// need is what a hash takes while it is computed: threads and memory.
type need = fairqueue.Need

var (
	// ErrMismatch means that the password is not that of the hash.
	ErrMismatch = errors.New("wrong password")
	// ErrTooLong means that a password is longer than bcrypt reads (72 bytes): it is refused, never cut.
	ErrTooLong = errors.New("password longer than 72 bytes")
	// ErrTooShort means that a new password has fewer than MinLength bytes. Compare never returns it.
	ErrTooShort = errors.New("password shorter than 8 bytes")
	// ErrBusy means that there is no place in the queue, or that the wait took too long. It is an outage, no refusal.
	ErrBusy = errors.New("too many passwords are being checked")
)

// MinLength is how many bytes a new password needs (NIST SP 800-63B: eight characters).
const MinLength = 8

// Options are the settings of a Hashing. The zero value is good.
type Options struct {
	Parallel   int              // threads that hash at once; 0: half of the processors, at least 1, so that signing and serving keep theirs
	Memory     int64            // bytes that argon2id may hold at once; 0: 64 MiB. A hash that needs more runs alone
	Queue      int              // hashes that may wait for a thread; 0: 256. One more takes the place of another, which is ErrBusy
	Wait       time.Duration    // how long one may wait; 0: 10 s. Longer is ErrBusy
	Remember   time.Duration    // a pair is forgotten at the latest this long after its last use; 0: 5 min; negative: nothing is remembered
	Remembered int              // pairs to remember at most; 0: 10,000
	Now        func() time.Time // nil: time.Now
	Random     func(n int) int  // from 0 up to and without n; nil: that of math/rand/v2
}

// Hashing compares and makes hashes. All methods may be called from any goroutine.
type Hashing struct {
	limiter    *fairqueue.Limiter
	keys       *cache.Keys
	remembered *remembered
	cleaner    cleaner
	recent     *recent
	random     func(int) int

	calls cache.Calls[cache.Key, struct{}]

	hashed, recalled, shared, skipped, refused atomic.Uint64
}

// New returns a Hashing. It has nothing to close: what it starts ends by itself.
func New(o Options) *Hashing {
	if o.Parallel <= 0 {
		o.Parallel = threads()
	}
	if o.Memory <= 0 {
		o.Memory = 64 << 20
	}
	if o.Queue <= 0 {
		o.Queue = 256
	}
	if o.Wait <= 0 {
		o.Wait = 10 * time.Second
	}
	if o.Remember == 0 {
		o.Remember = 5 * time.Minute
	}
	if o.Remembered <= 0 {
		o.Remembered = 10_000
	}
	o.Now = clock.Wall(o.Now)
	if o.Random == nil {
		o.Random = rand.IntN
	}
	return &Hashing{
		limiter:    fairqueue.New(fairqueue.Options{All: need{Slots: o.Parallel, Memory: o.Memory}, Places: o.Queue, Wait: o.Wait, Random: o.Random}),
		keys:       cache.NewKeys(),
		remembered: newRemembered(o.Remember, o.Remembered, o.Now),
		cleaner:    cleaner{free: debug.FreeOSMemory},
		recent:     newRecent(),
		random:     o.Random,
	}
}

// Compare returns nil if password is that of hash, and else ErrMismatch, ErrTooLong, ErrBusy, the
// error of ctx, or one that says why the hash cannot be used (Check has told so before). Only a pair
// that matched is remembered: a wrong password costs a hash each time. Equal pairs that are compared
// at the same moment share one hash.
func (h *Hashing) Compare(ctx context.Context, hash, password string) error {
	return h.CompareFor(ctx, Requester{Name: hash}, hash, password)
}

// CompareFor is Compare for somebody: so that one address that floods the queue waits behind itself,
// and one name has an eighth of the queue at most. Compare takes the hash for the name.
func (h *Hashing) CompareFor(ctx context.Context, who Requester, hash, password string) error {
	k := h.keys.Of(compared, hash, password)
	if h.remembered.has(k) {
		h.recalled.Add(1)
		return nil
	}
	parsed, err := parse(hash)
	if err != nil {
		return fmt.Errorf("comparing with a hash: %w", err)
	}
	if err := parsed.accepts(password); err != nil {
		return err
	}
	return h.share(ctx, k, func(ctx context.Context) error {
		return h.work(ctx, who, parsed, func() error {
			if !parsed.matches(password) {
				return ErrMismatch
			}
			return nil
		})
	})
}

// share runs work for k, or waits for the same work that is running. A nil error is remembered for k.
func (h *Hashing) share(ctx context.Context, k cache.Key, work func(context.Context) error) error {
	_, shared, err := h.calls.Do(ctx, k, func(ctx context.Context) (none struct{}, err error) {
		if h.remembered.has(k) { // another call has ended since the caller looked
			h.recalled.Add(1)
			return none, nil
		}
		if err = work(ctx); err == nil {
			h.remembered.add(k)
		}
		return none, err
	})
	if shared {
		h.shared.Add(1)
	}
	return err
}

// Dummy does what Compare does with a wrong password for a name that has no hash, and takes as long,
// so that nobody learns by the clock which names exist. The hash like sets algorithm and cost; ""
// stands for what Hash makes. The name keeps two unknown names from sharing a hash, as two known ones
// would not. Nil means that the time is spent, whatever the password; else the error is ErrBusy, that of
// ctx, or one that says why like cannot be used, as Compare would have returned them.
func (h *Hashing) Dummy(ctx context.Context, like, name, password string) error {
	return h.DummyFor(ctx, Requester{Name: name}, like, password)
}

// DummyFor is Dummy for somebody, as CompareFor is Compare.
func (h *Hashing) DummyFor(ctx context.Context, who Requester, like, password string) error {
	parsed := parameters(defaultArgon2id())
	if like != "" {
		var err error
		if parsed, err = parse(like); err != nil {
			return fmt.Errorf("comparing with a dummy hash: %w", err)
		}
	}
	if parsed.accepts(password) != nil {
		return nil // Compare refuses it at once, too
	}
	k := h.keys.Of(pretended, like, who.Name, password)
	err := h.share(ctx, k, func(ctx context.Context) error {
		return h.workDummy(ctx, who, parsed, func() error {
			parsed.matches(password)
			return ErrMismatch // never remembered
		})
	})
	if errors.Is(err, ErrMismatch) {
		return nil
	}
	return err
}

// Hash makes an argon2id hash (19 MiB, two passes, one thread: the first choice of OWASP's password
// storage cheat sheet). It waits its turn like Compare, and returns ErrTooShort, ErrBusy or the error of ctx.
func (h *Hashing) Hash(ctx context.Context, password string) (string, error) {
	return h.make(ctx, password, defaultArgon2id(), func() (string, error) { return newArgon2id(password), nil })
}

// HashBcrypt makes a bcrypt hash of cost 10 to 15, for programs that read no argon2id. It returns
// ErrTooLong for more than 72 bytes, and else what Hash returns.
func (h *Hashing) HashBcrypt(ctx context.Context, password string, cost int) (string, error) {
	if cost < minNewCost || cost > maxCost {
		return "", fmt.Errorf("making a bcrypt hash: the cost %d is not between %d and %d", cost, minNewCost, maxCost)
	}
	return h.make(ctx, password, bcryptHash{}, func() (string, error) { return newBcrypt(password, cost) })
}

// make checks a new password and makes its hash in the limiter.
func (h *Hashing) make(ctx context.Context, password string, p parameters, f func() (string, error)) (hash string, err error) {
	if len(password) < MinLength {
		return "", ErrTooShort
	}
	if err := p.accepts(password); errors.Is(err, ErrMismatch) {
		return "", errors.New("making a hash: bcrypt cannot tell a password with a NUL byte from others")
	} else if err != nil {
		return "", err
	}
	err = h.work(ctx, Requester{}, p, func() error {
		hash, err = f()
		return err
	})
	return hash, err
}

// work runs f in the limiter.
func (h *Hashing) work(ctx context.Context, who Requester, p parameters, f func() error) error {
	if err := h.counted(h.limiter.Enter(ctx, who, p.needs())); err != nil {
		return err
	}
	return h.compute(p, f)
}

// workDummy is work for a dummy hash. While the queue is crowded, it waits for as long, and returns
// ErrMismatch without having run f.
func (h *Hashing) workDummy(ctx context.Context, who Requester, p parameters, f func() error) error {
	compute, err := h.limiter.EnterDummy(ctx, who, p.needs())
	if err := h.counted(err); err != nil {
		return err
	}
	if compute {
		return h.compute(p, f)
	}
	took, measured := h.recent.draw(p.cost(), h.random)
	if !measured {
		return h.work(ctx, who, p, f)
	}
	h.skipped.Add(1)
	timer := time.NewTimer(took)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ErrMismatch
	case <-ctx.Done():
		return ctx.Err()
	}
}

// compute runs f, for which there is room in the limiter.
func (h *Hashing) compute(p parameters, f func() error) error {
	needs, began := p.needs(), time.Now() // its monotonic reading: this is no date
	defer h.cleaner.used(needs.Memory)
	defer func() {
		took := time.Since(began)
		h.recent.note(p.cost(), took)
		h.limiter.Leave(needs, took)
	}()
	h.hashed.Add(1)
	return f()
}

// counted puts the error of a limiter into words, and counts it.
func (h *Hashing) counted(err error) error {
	if errors.Is(err, fairqueue.ErrBusy) {
		h.refused.Add(1)
		return ErrBusy
	}
	return err
}

// Stats is what a Hashing has done since New.
type Stats struct {
	Hashed     uint64 // hashes computed, dummies among them
	Skipped    uint64 // dummies that waited and computed nothing
	Remembered uint64 // comparisons that a remembered pair answered
	Shared     uint64 // comparisons that waited for the hash of an equal one
	Busy       uint64 // hashes that were refused with ErrBusy
	Waiting    int    // hashes that wait now
}

// Stats may be called at any time.
func (h *Hashing) Stats() Stats {
	return Stats{
		Hashed:     h.hashed.Load(),
		Skipped:    h.skipped.Load(),
		Remembered: h.recalled.Load(),
		Shared:     h.shared.Load(),
		Busy:       h.refused.Load(),
		Waiting:    h.limiter.Waiting(),
	}
}
