package accounts_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/accounts"
)

// With a maximum lifetime, no access token or robot secret lives longer, whatever its own expiry
// and age. A request for a later expiry is rejected. A robot can rotate its secret and go on.
func TestNoCredentialOutlivesTheLimit(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		const day = 24 * time.Hour
		h.user("ann")
		_, old := h.token("ann", "of-before")
		_, ofBefore := h.robot("of-before")
		far := h.clock.Now().AddDate(73, 0, 0)
		_, forever, err := h.AddToken(t.Context(), operator, accounts.NewToken{Owner: accounts.Owner{Name: "ann"}, Name: "for-ever", Expires: far})
		is(t, "a token to 2099 without a limit", err, nil)
		h.clock.add(20 * day)

		h.options.MaxLifetime = 30 * day
		limited, err := accounts.Open(h.options)
		if err != nil {
			t.Fatal(err)
		}
		h.Accounts = limited
		h.chain = identity.NewChain(identity.Options{Sources: []identity.Source{{Name: accounts.Source, Authenticator: limited, Kinds: accounts.Kinds()}}})
		h.Tend(t.Context())
		if cut, ended, err := h.CutShort(t.Context()); cut != 3 || ended != 0 || err != nil {
			t.Errorf("%d are cut short, %d have ended, %v", cut, ended, err)
		}
		_, _, err = h.AddToken(t.Context(), operator, accounts.NewToken{Owner: accounts.Owner{Name: "ann"}, Name: "far", Expires: far})
		invalid(t, "a token to 2099", err, "expires")
		if err == nil || !strings.Contains(err.Error(), "max_credential_lifetime") {
			t.Errorf("it does not give the reason: %v", err)
		}
		made, fresh, err := h.AddToken(t.Context(), operator, accounts.NewToken{Owner: accounts.Owner{Name: "ann"}, Name: "open"})
		is(t, "a token without an end", err, nil)
		if want := h.clock.Now().Add(30 * day); !made.Expires.Equal(want) {
			t.Errorf("a token without an end ends %s, want %s", made.Expires, want)
		}
		keyed := operator
		keyed.Key = "a key"
		first, _, err := h.AddToken(t.Context(), keyed, accounts.NewToken{Owner: accounts.Owner{Name: "ann"}, Name: "again"})
		is(t, "a token with a key", err, nil)
		h.clock.add(time.Second)
		second, _, err := h.AddToken(t.Context(), keyed, accounts.NewToken{Owner: accounts.Owner{Name: "ann"}, Name: "again"})
		if is(t, "again", err, nil); !second.Expires.Equal(first.Expires) {
			t.Errorf("the second time it ends %s, and %s the first", second.Expires, first.Expires)
		}
		list, _, err := h.Tokens(t.Context(), operator, accounts.Owner{}, accounts.Page{})
		is(t, "listing", err, nil)
		for _, one := range list {
			if one.Expires.IsZero() || one.Expires.Sub(one.Created) > 30*day {
				t.Errorf("%s is listed as ending %s", one.Name, one.Expires)
			}
		}
		_, current := h.robot("ci")
		refresh := h.refresh("ann", old)
		want := func(when string, creds map[string]string) {
			t.Helper()
			for secret, want := range creds {
				for range 2 { // uncached, then cached
					if got := h.enters(shown("", secret)); got != want {
						t.Errorf("%s: %s, want %s", when, got, want)
					}
				}
			}
		}
		want("after 20 days", map[string]string{old: "user:ann", ofBefore: "robot:of-before", forever.Reveal(): "user:ann", fresh.Reveal(): "user:ann", current: "robot:ci", refresh: "user:ann"})
		h.clock.add(10*day - time.Minute)
		want("before 30 days", map[string]string{old: "user:ann", ofBefore: "robot:of-before", forever.Reveal(): "user:ann", refresh: "user:ann"})
		h.clock.add(2 * time.Minute)
		want("after 30 days", map[string]string{old: "rejected", ofBefore: "rejected", forever.Reveal(): "rejected", refresh: "rejected", fresh.Reveal(): "user:ann", current: "robot:ci"})
		if cut, ended, err := h.CutShort(t.Context()); cut != 6 || ended != 3 || err != nil {
			t.Errorf("%d are cut short, %d have ended, %v", cut, ended, err)
		}
		// Its secret expires, and is the current one all the same.
		by := h.as(shown("", current))
		_, next, err := h.Rotate(t.Context(), by, "robot+ci", time.Hour)
		is(t, "a robot makes itself another secret", err, nil)
		h.clock.add(25 * day)
		want("when its first is over", map[string]string{current: "rejected", next.Reveal(): "robot:ci"})
	})
}
