package accounts_test

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/ratelimit"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
)

// With a stolen session, an attacker cannot guess the password faster than at sign-in, and
// cannot block the hashing queue.
func TestGuessesOfTheCurrentPasswordAreRateLimited(t *testing.T) {
	eachDatabase(t, func(t *testing.T, h *harness) {
		h.WithLimiter(ratelimit.Options{MaxFailuresPerPair: 3})
		h.AddTestUser("ann")
		ann := h.ActorOf(presented("ann", passwordOf("ann")))
		change := func(current string) error {
			_, err := h.ChangePassword(t.Context(), ann, identity.NewSecret(current), identity.NewSecret("a whole new password"))
			return err
		}
		for i := range 3 {
			isInvalid(t, "a guess", change(fmt.Sprint("guess ", i)), "current")
		}
		before := h.Hashing.Stats()
		is(t, "one more guess", change("another guess"), identity.ErrRateLimited)
		if after := h.Hashing.Stats(); after != before {
			t.Errorf("a rate limited guess was hashed: %+v, before: %+v", after, before)
		}
		if _, err := h.Chain.Authenticate(t.Context(), presented("ann", "yet another")); !errors.Is(err, identity.ErrRateLimited) {
			t.Errorf("the next guess, at sign-in: %v", err)
		}
		// A correct password is always accepted, even after too many guesses. So an attacker
		// cannot prevent ann from changing her password.
		is(t, "the present password", change(passwordOf("ann")), nil)
		h.Clock.Pass(time.Minute)
		isInvalid(t, "the old password", change(passwordOf("ann")), "current")
	})
}

// Guesses at sign-in and in ChangePassword count together.
func TestGuessesAtSignInCountForPasswordChanges(t *testing.T) {
	h := newHarness(t, storetest.SQLite().Ready(t))
	h.WithLimiter(ratelimit.Options{MaxFailuresPerPair: 3})
	h.AddTestUser("ann")
	_, laptop := h.AddTestToken("ann", "laptop")
	ann := h.ActorOf(presented("ann", laptop)) // ann has not signed in with her password from here
	for i := range 3 {
		h.SignIn(presented("ann", fmt.Sprint("guess ", i)))
	}
	_, err := h.ChangePassword(t.Context(), ann, identity.NewSecret("another guess"), identity.NewSecret("a whole new password"))
	is(t, "the next guess, in ChangePassword", err, identity.ErrRateLimited)
}

// An outage does not count as a guess.
func TestOutageIsNotAWrongPassword(t *testing.T) {
	h := newHarness(t, storetest.SQLite().Ready(t))
	limiter := h.WithLimiter(ratelimit.Options{})
	h.AddTestUser("ann")
	ann := h.ActorOf(presented("ann", passwordOf("ann")))
	h.DB.Close()
	_, err := h.ChangePassword(t.Context(), ann, identity.NewSecret("wrong"), identity.NewSecret("a whole new password"))
	if _, again := h.SetUp(t.Context(), newSecret('s'), accounts.NewUser{}, identity.Presented{Remote: ann.Remote}); err == nil || again == nil || errors.Is(again, admin.ErrForbidden) {
		t.Errorf("during an outage: %v, %v", err, again)
	}
	if s := limiter.Stats(); s.Failed != 0 {
		t.Errorf("%d failures were counted", s.Failed)
	}
}

func TestGuessesOfTheSetupSecretAreRateLimited(t *testing.T) {
	eachDatabase(t, func(t *testing.T, h *harness) {
		h.WithLimiter(ratelimit.Options{MaxFailuresPerSource: 5})
		secret, _, err := h.SetupSecret(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		remote := netip.MustParseAddr("192.0.2.66")
		setUp := func(secret identity.Secret, remote netip.Addr) error {
			_, err := h.SetUp(t.Context(), secret, accounts.NewUser{Name: "ann", Password: identity.NewSecret(passwordOf("ann"))}, identity.Presented{Remote: remote})
			return err
		}
		for i := range 5 {
			guess := newSecret('s')
			if i == 0 {
				guess = identity.NewSecret("password")
			}
			is(t, "a guess", setUp(guess, remote), admin.ErrForbidden)
		}
		is(t, "one more guess", setUp(newSecret('s'), remote), identity.ErrRateLimited)
		is(t, "the correct secret, from the address of the guesses", setUp(secret, remote), nil)
	})
}
