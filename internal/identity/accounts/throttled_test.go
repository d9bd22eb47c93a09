package accounts_test

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/accounts"
	"github.com/tidewaiter/tidewaiter/internal/ratelimit"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
)

// guarded returns accounts with a limiter that the chain shares.
func (h *house) guarded(o ratelimit.Options) *ratelimit.Limiter {
	h.t.Helper()
	o.Now = h.clock.Now
	limiter := ratelimit.New(o)
	h.options.Limiter = func() *ratelimit.Limiter { return limiter }
	var err error
	if h.Accounts, err = accounts.Open(h.options); err != nil {
		h.t.Fatal(err)
	}
	h.chain = identity.NewChain(identity.Options{Limiter: limiter, Sources: []identity.Source{
		{Name: accounts.Source, Authenticator: h.Accounts, Kinds: accounts.Kinds()},
	}})
	return limiter
}

// A stolen session guesses the password no faster than sign-in does, and does not block the
// hashing queue.
func TestWhoGuessesAtThePresentPasswordWaits(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.guarded(ratelimit.Options{MaxFailuresPerPair: 3})
		h.user("ann")
		ann := h.as(shown("ann", secretOf("ann")))
		change := func(current string) error {
			_, err := h.ChangePassword(t.Context(), ann, identity.NewSecret(current), identity.NewSecret("a whole new password"))
			return err
		}
		for i := range 3 {
			invalid(t, "a guess", change(fmt.Sprint("guess ", i)), "current")
		}
		before := h.hashing.Stats()
		is(t, "one guess more", change("another guess"), identity.ErrRateLimited)
		if after := h.hashing.Stats(); after != before {
			t.Errorf("a guess that has to wait was hashed: %+v, and before %+v", after, before)
		}
		if _, err := h.chain.Authenticate(t.Context(), shown("ann", "yet another")); !errors.Is(err, identity.ErrRateLimited) {
			t.Errorf("the next guess, at sign-in: %v", err)
		}
		// A correct password is always compared, so nobody can keep ann from changing hers.
		is(t, "the present password", change(secretOf("ann")), nil)
		h.clock.add(time.Minute)
		invalid(t, "the old password", change(secretOf("ann")), "current")
	})
}

// Guesses at sign-in and in ChangePassword count together.
func TestGuessesAtTheDoorCountWhereThePasswordIsChanged(t *testing.T) {
	h := newHouse(t, storetest.SQLite().Ready(t))
	h.guarded(ratelimit.Options{MaxFailuresPerPair: 3})
	h.user("ann")
	_, laptop := h.token("ann", "laptop")
	ann := h.as(shown("ann", laptop)) // her password was never right from here
	for i := range 3 {
		h.enters(shown("ann", fmt.Sprint("guess ", i)))
	}
	_, err := h.ChangePassword(t.Context(), ann, identity.NewSecret("another guess"), identity.NewSecret("a whole new password"))
	is(t, "the next guess, where it is changed", err, identity.ErrRateLimited)
}

// An outage does not count as a guess.
func TestAnOutageIsNoWrongPassword(t *testing.T) {
	h := newHouse(t, storetest.SQLite().Ready(t))
	limiter := h.guarded(ratelimit.Options{})
	h.user("ann")
	ann := h.as(shown("ann", secretOf("ann")))
	h.db.Close()
	_, err := h.ChangePassword(t.Context(), ann, identity.NewSecret("wrong"), identity.NewSecret("a whole new password"))
	if _, again := h.SetUp(t.Context(), accounts.Secret('s'), accounts.NewUser{}, identity.Presented{Remote: ann.Remote}); err == nil || again == nil || errors.Is(again, accounts.ErrForbidden) {
		t.Errorf("while the database is gone: %v, %v", err, again)
	}
	if s := limiter.Stats(); s.Failed != 0 {
		t.Errorf("%d failures were counted", s.Failed)
	}
}

func TestWhoGuessesAtSetUpWaits(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.guarded(ratelimit.Options{MaxFailuresPerSource: 5})
		secret, _, err := h.SetupSecret(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		remote := netip.MustParseAddr("192.0.2.66")
		setUp := func(secret identity.Secret, remote netip.Addr) error {
			_, err := h.SetUp(t.Context(), secret, accounts.NewUser{Name: "ann", Password: identity.NewSecret(secretOf("ann"))}, identity.Presented{Remote: remote})
			return err
		}
		for i := range 5 {
			guess := accounts.Secret('s')
			if i == 0 {
				guess = identity.NewSecret("password")
			}
			is(t, "a guess", setUp(guess, remote), accounts.ErrForbidden)
		}
		is(t, "one guess more", setUp(accounts.Secret('s'), remote), identity.ErrRateLimited)
		is(t, "the secret, from there: it cannot be guessed", setUp(secret, remote), nil)
	})
}
