package credentials_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/credentials"
)

// With a maximum lifetime, no access token or robot secret is valid for longer than the maximum,
// even if its own expiry is later. A request for a later expiry is rejected. A robot can rotate
// its secret and then use the new secret.
func TestMaxLifetime(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		const day = 24 * time.Hour
		h.AddTestUser("ann")
		_, old := h.AddTestToken("ann", "of-before")
		_, ofBefore := h.AddTestRobot("of-before")
		far := h.Clock.Now().AddDate(73, 0, 0)
		_, forever, err := h.AddToken(t.Context(), operator, credentials.NewToken{Owner: credentials.Owner{Name: "ann"}, Name: "for-ever", Expires: far})
		is(t, "a token to 2099 without a limit", err, nil)
		h.Clock.Pass(20 * day)

		h.Options.MaxLifetime = 30 * day
		h.Reopen()
		h.Maintain(t.Context())
		if cut, ended, err := h.CutShort(t.Context()); cut != 3 || ended != 0 || err != nil {
			t.Errorf("%d are cut short, %d have expired, %v", cut, ended, err)
		}
		_, _, err = h.AddToken(t.Context(), operator, credentials.NewToken{Owner: credentials.Owner{Name: "ann"}, Name: "far", Expires: far})
		isInvalid(t, "a token to 2099", err, "expires")
		if err == nil || !strings.Contains(err.Error(), "max_credential_lifetime") {
			t.Errorf("the error has no reason: %v", err)
		}
		made, fresh, err := h.AddToken(t.Context(), operator, credentials.NewToken{Owner: credentials.Owner{Name: "ann"}, Name: "open"})
		is(t, "a token without an expiry", err, nil)
		if want := h.Clock.Now().Add(30 * day); !made.Expires.Equal(want) {
			t.Errorf("a token without an expiry expires %s, want %s", made.Expires, want)
		}
		keyed := operator
		keyed.Key = "a key"
		first, _, err := h.AddToken(t.Context(), keyed, credentials.NewToken{Owner: credentials.Owner{Name: "ann"}, Name: "again"})
		is(t, "a token with a key", err, nil)
		h.Clock.Pass(time.Second)
		second, _, err := h.AddToken(t.Context(), keyed, credentials.NewToken{Owner: credentials.Owner{Name: "ann"}, Name: "again"})
		if is(t, "again", err, nil); !second.Expires.Equal(first.Expires) {
			t.Errorf("the second call returned the expiry %s, the first %s", second.Expires, first.Expires)
		}
		list, _, err := h.Tokens(t.Context(), operator, credentials.Owner{}, admin.Page{})
		is(t, "listing", err, nil)
		for _, one := range list {
			if one.Expires.IsZero() || one.Expires.Sub(one.Created) > 30*day {
				t.Errorf("%s is listed with the expiry %s", one.Name, one.Expires)
			}
		}
		_, current := h.AddTestRobot("ci")
		refresh := h.RefreshToken("ann", old)
		want := func(when string, creds map[string]string) {
			t.Helper()
			for secret, want := range creds {
				for range 2 { // uncached, then cached
					if got := h.SignIn(presented("", secret)); got != want {
						t.Errorf("%s: %s, want %s", when, got, want)
					}
				}
			}
		}
		want("after 20 days", map[string]string{old: "user:ann", ofBefore: "robot:of-before", forever.Reveal(): "user:ann", fresh.Reveal(): "user:ann", current: "robot:ci", refresh: "user:ann"})
		h.Clock.Pass(10*day - time.Minute)
		want("before 30 days", map[string]string{old: "user:ann", ofBefore: "robot:of-before", forever.Reveal(): "user:ann", refresh: "user:ann"})
		h.Clock.Pass(2 * time.Minute)
		want("after 30 days", map[string]string{old: "rejected", ofBefore: "rejected", forever.Reveal(): "rejected", refresh: "rejected", fresh.Reveal(): "user:ann", current: "robot:ci"})
		if cut, ended, err := h.CutShort(t.Context()); cut != 6 || ended != 3 || err != nil {
			t.Errorf("%d are cut short, %d have expired, %v", cut, ended, err)
		}
		// The robot's secret will expire. It is still the current secret, so the robot can rotate
		// it.
		by := h.ActorOf(presented("", current))
		_, next, err := h.Rotate(t.Context(), by, "robot+ci", time.Hour)
		is(t, "a robot rotates its secret", err, nil)
		h.Clock.Pass(25 * day)
		want("when the first secret has expired", map[string]string{current: "rejected", next.Reveal(): "robot:ci"})
	})
}

// An expiry in the past is rejected, in every form. In the database, 0 means "never", and rounding
// must not turn an expiry into 0.
func TestExpiryInThePastIsRejected(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		h.Options.MaxLifetime = 24 * time.Hour
		h.Reopen()
		h.AddTestUser("ann")
		_, secret := h.AddTestToken("ann", "short")
		self := h.ActorOf(presented("ann", secret))
		for _, end := range []time.Time{time.Unix(0, 0), time.Unix(0, 1), time.Unix(0, 999_999), time.Unix(1, 0), h.Clock.Now()} {
			for by, owner := range map[*admin.Actor]credentials.Owner{&operator: {Name: "ann"}, &self: {}} {
				token, _, err := h.AddToken(t.Context(), *by, credentials.NewToken{Owner: owner, Name: "past", Expires: end})
				isInvalid(t, fmt.Sprintf("a token to %s, which expires %s,", end.UTC(), token.Expires), err, "expires")
			}
		}
	})
}
