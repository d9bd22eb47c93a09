// Package password computes and compares password hashes.
//
// Hashing is slow on purpose. A Hashing limits how many hashes are computed at once, so that a
// flood of wrong passwords delays only the clients that cause it. For a short time, it remembers
// which pairs of hash and password matched. So if a client uses a password for every pull, the
// password is hashed only once. A Hashing stores only a keyed hash of each pair, with a key that
// only this process has. If the hash of a user changes, the user has a different pair. So the
// remembered pairs need not be removed.
//
// The package supports argon2id in the PHC string format, and bcrypt as $2a$, $2b$ and $2y$.
// Check explains what is wrong with any other hash. Passwords are bytes: they are not trimmed,
// cut or normalized.
//
// The package needs about 120 bytes for each remembered pair. While hashes are computed, it
// also needs the buffers of argon2id: 19 MiB for each hash of the cost that Hash uses, limited
// by [Options].Memory. Buffers of earlier hashes can take up to the same amount, until they are
// collected as garbage. All of this memory is returned to the system seconds after the last
// hash. bcrypt needs 4 KiB.
package password

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/cache"
	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/fairqueue"
)

// Requester is the origin of a request for a hash (see package fairqueue).
type Requester = fairqueue.Requester

// need is the number of threads and the memory that the computation of a hash occupies.
type need = fairqueue.Need

var (
	// ErrMismatch means that the password is wrong.
	ErrMismatch = errors.New("wrong password")
	// ErrTooLong means that a password is longer than the part that bcrypt uses (72 bytes).
	// Such a password is refused, never cut.
	ErrTooLong = errors.New("password longer than 72 bytes")
	// ErrTooShort means that a new password has fewer than MinLength bytes. Compare never returns
	// it.
	ErrTooShort = errors.New("password shorter than 8 bytes")
	// ErrBusy means that the queue is full, or that the wait took too long. Treat it as an
	// outage, not as a wrong password.
	ErrBusy = errors.New("too many passwords are being checked")
)

// MinLength is the minimum length of a new password in bytes (NIST SP 800-63B: eight
// characters).
const MinLength = 8

// Options configures a Hashing. The zero value uses the defaults.
type Options struct {
	// Parallel is how many threads hash at once; 0: half of the processors, at least 1, so that
	// the other processors stay free to sign tokens and to serve requests.
	Parallel int
	// Memory is how many bytes argon2id may use at once; 0: 64 MiB. If one hash needs more memory
	// than this, no other hash is computed at the same time.
	Memory int64
	// Queue is how many hashes may wait; 0: 256. When the queue is full, a new hash replaces a
	// waiting hash, whose call returns ErrBusy.
	Queue int
	// Wait is how long a hash may wait before ErrBusy; 0: 10 s.
	Wait time.Duration
	// Remember is how long a pair is remembered after its last use; 0: 5 min; negative: not at
	// all.
	Remember time.Duration
	// Remembered is how many pairs are remembered; 0: 10,000.
	Remembered int
	// HashMemory is how many KiB Hash uses; 0: 19 MiB, the first choice of OWASP's password
	// storage cheat sheet. Only tests set HashMemory, because hashes of 64 KiB take a 300th of the
	// time.
	HashMemory uint32
	Now        func() time.Time // nil: time.Now
	// Random returns a number in [0, n); nil: math/rand/v2.
	Random func(n int) int
}

// Hashing computes and compares hashes. All methods may be called from any goroutine.
type Hashing struct {
	limiter    *fairqueue.Limiter
	keys       *cache.Keys
	remembered *rememberedPairs
	recent     recentDurations
	random     func(int) int
	newest     argon2idHash // the parameters of new hashes

	calls cache.Calls[cache.Key, struct{}]

	hashed, recalled, skipped, refused atomic.Uint64
}

// New returns a Hashing. It needs no Close, because its goroutines and timers end by themselves.
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
	if o.HashMemory == 0 {
		o.HashMemory = 19 << 10
	}
	o.Now = clock.Wall(o.Now)
	if o.Random == nil {
		o.Random = rand.IntN
	}
	return &Hashing{
		limiter:    fairqueue.New(fairqueue.Options{All: need{Slots: o.Parallel, Memory: o.Memory}, Places: o.Queue, Wait: o.Wait, Random: o.Random}),
		keys:       cache.NewKeys(),
		remembered: newRemembered(o.Remember, o.Remembered, o.Now),
		recent:     recentDurations{took: make(map[cost]*clock.Durations)},
		random:     o.Random,
		newest:     argon2idHash{memory: o.HashMemory, passes: 2, threads: 1, salt: make([]byte, 16), sum: make([]byte, 32)},
	}
}

// Compare returns nil if the password matches the hash. Otherwise it returns ErrMismatch,
// ErrTooLong, ErrBusy, the error of ctx, or an error of Check, if the hash cannot be used. Only
// pairs that matched are remembered, so a wrong password costs a hash each time. Equal pairs that
// are compared at the same time share one hash.
func (h *Hashing) Compare(ctx context.Context, hash, password string) error {
	return h.CompareFor(ctx, Requester{Name: hash}, hash, password)
}

// CompareFor is Compare for a requester. If an address floods the queue, only requests from that
// address are delayed. A name gets at most an eighth of the queue. Compare is CompareFor with the
// hash as the requester's name.
func (h *Hashing) CompareFor(ctx context.Context, who Requester, hash, password string) error {
	k := h.keys.Of(realHash, hash, password)
	if h.remembered.contains(k) {
		h.recalled.Add(1)
		return nil
	}
	parsed, err := parse(hash)
	if err != nil {
		return fmt.Errorf("comparing with a hash: %w", err)
	}
	if err := parsed.checkPassword(password); err != nil {
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

// share calls the function work for the key k, or waits until a running call for k ends. It
// remembers k if the error is nil.
func (h *Hashing) share(ctx context.Context, k cache.Key, work func(context.Context) error) error {
	_, err := h.calls.Do(ctx, k, func(ctx context.Context) (none struct{}, err error) {
		if h.remembered.contains(k) { // another call may have just ended
			h.recalled.Add(1)
			return none, nil
		}
		if err = work(ctx); err == nil {
			h.remembered.add(k)
		}
		return none, err
	})
	return err
}

// Dummy takes as long as Compare with a wrong password. Call it for a name that has no hash, so
// that response times do not reveal which names exist. The algorithm and cost of Dummy are those
// of the example hash. If the example is "", they are those of Hash. Calls with different names do
// not share a hash, because comparisons for two known names do not share a hash either. The result
// is nil for every password. The possible errors are ErrBusy, the error of ctx, and an error of
// Check, if the example hash cannot be used.
func (h *Hashing) Dummy(ctx context.Context, example, name, password string) error {
	return h.DummyFor(ctx, Requester{Name: name}, example, password)
}

// DummyFor is Dummy for a requester (see CompareFor).
func (h *Hashing) DummyFor(ctx context.Context, who Requester, like, password string) error {
	parsed := parameters(h.newest)
	if like != "" {
		var err error
		if parsed, err = parse(like); err != nil {
			return fmt.Errorf("comparing with a dummy hash: %w", err)
		}
	}
	if parsed.checkPassword(password) != nil {
		return nil // Compare also rejects the password without computing a hash
	}
	k := h.keys.Of(dummyHash, like, who.Name, password)
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

// Hash computes an argon2id hash with two passes and one thread. It waits in the queue of Compare.
// Its errors are ErrTooShort, ErrBusy and the error of ctx.
func (h *Hashing) Hash(ctx context.Context, password string) (string, error) {
	return h.newHash(ctx, password, h.newest, func() (string, error) { return h.newest.hash(password), nil })
}

// HashBcrypt computes a bcrypt hash with a cost from minNewCost to maxCost, for programs that
// do not support argon2id. It returns ErrTooLong for a password of more than maxBcrypt bytes.
// Its other errors are those of Hash.
func (h *Hashing) HashBcrypt(ctx context.Context, password string, cost int) (string, error) {
	if cost < minNewCost || cost > maxCost {
		return "", fmt.Errorf("computing a bcrypt hash: the cost %d is not between %d and %d", cost, minNewCost, maxCost)
	}
	return h.newHash(ctx, password, bcryptHash{}, func() (string, error) { return newBcrypt(password, cost) })
}

// newHash checks a new password and computes its hash in the limiter.
func (h *Hashing) newHash(ctx context.Context, password string, p parameters, f func() (string, error)) (hash string, err error) {
	if len(password) < MinLength {
		return "", ErrTooShort
	}
	if err := p.checkPassword(password); errors.Is(err, ErrMismatch) {
		return "", errors.New("computing a bcrypt hash: the password contains a NUL byte, which bcrypt does not support")
	} else if err != nil {
		return "", err
	}
	err = h.work(ctx, Requester{}, p, func() error {
		hash, err = f()
		return err
	})
	return hash, err
}

// work waits until the limiter admits the request, and then runs f.
func (h *Hashing) work(ctx context.Context, who Requester, p parameters, f func() error) error {
	if err := h.countError(h.limiter.Enter(ctx, who, p.needs())); err != nil {
		return err
	}
	return h.compute(p, f)
}

// workDummy is like work, but for a dummy hash. While the queue is crowded, workDummy does not run
// f. Instead, it waits for the duration of a recent hash and returns ErrMismatch.
func (h *Hashing) workDummy(ctx context.Context, who Requester, p parameters, f func() error) error {
	compute, err := h.limiter.EnterDummy(ctx, who, p.needs())
	if err := h.countError(err); err != nil {
		return err
	}
	if compute {
		return h.compute(p, f)
	}
	durations := h.recent.durationsOf(p.cost(), false)
	if durations == nil {
		return h.work(ctx, who, p, f)
	}
	h.skipped.Add(1)
	if err := clock.Sleep(ctx, durations.Draw(h.random)); err != nil {
		return err
	}
	return ErrMismatch
}

// compute runs f. The limiter must have admitted the caller.
func (h *Hashing) compute(p parameters, f func() error) error {
	needs, began := p.needs(), time.Now() // only for a duration, so not Options.Now
	defer func() {
		took := time.Since(began)
		h.recent.note(p.cost(), took)
		h.limiter.Leave(needs, took)
	}()
	h.hashed.Add(1)
	return f()
}

// countError translates an error of the limiter to an error of this package, and counts it.
func (h *Hashing) countError(err error) error {
	if errors.Is(err, fairqueue.ErrBusy) {
		h.refused.Add(1)
		return ErrBusy
	}
	return err
}

// Stats counts the work of a Hashing since New.
type Stats struct {
	Hashed     uint64 // hashes computed, including dummies
	Skipped    uint64 // dummies that waited instead of computing
	Remembered uint64 // comparisons answered by a remembered pair
	Shared     uint64 // comparisons that shared the hash of an equal comparison
	Busy       uint64 // hashes refused with ErrBusy
	Waiting    int    // hashes in the queue
}

// Stats returns the current counts.
func (h *Hashing) Stats() Stats {
	return Stats{
		Hashed:     h.hashed.Load(),
		Skipped:    h.skipped.Load(),
		Remembered: h.recalled.Load(),
		Shared:     h.calls.Shared(),
		Busy:       h.refused.Load(),
		Waiting:    h.limiter.Waiting(),
	}
}
