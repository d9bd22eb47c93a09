package accounts_test

import (
	"errors"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/accounts"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// session signs in and returns the session.
func (h *house) session(name, secret string) (accounts.Token, string) {
	h.t.Helper()
	c := shown(name, secret)
	v, err := h.chain.Authenticate(h.t.Context(), c)
	if err != nil {
		h.t.Fatal(err)
	}
	t, s, err := h.StartSession(h.t.Context(), c, v)
	if err != nil {
		h.t.Fatal(err)
	}
	return t, s.Reveal()
}

func inSession(secret string) identity.Presented {
	c := identity.NewSession(secret)
	c.Remote = shown("", "").Remote
	return c
}

func TestSessionsEnd(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ctx := t.Context()
		h.user("ann")
		h.user("root", accounts.Administrators)
		root := h.as(shown("root", secretOf("root")))
		in := func(what, secret, want string) {
			t.Helper()
			if got := h.enters(inSession(secret)); got != want {
				t.Errorf("%s: %s, want %s", what, got, want)
			}
		}
		_, s := h.session("ann", secretOf("ann"))
		in("a session", s, "user:ann")
		for range 4 {
			h.clock.add(50 * time.Minute)
			in("with requests in between", s, "user:ann")
		}
		h.clock.add(61 * time.Minute)
		in("after an hour without a request", s, "rejected")

		_, s = h.session("ann", secretOf("ann"))
		for range 14 {
			h.clock.add(50 * time.Minute)
			h.enters(inSession(s))
		}
		in("just before twelve hours", s, "user:ann")
		h.clock.add(21 * time.Minute)
		in("after twelve hours", s, "rejected")

		session, s := h.session("ann", secretOf("ann"))
		is(t, "it is revoked", h.Revoke(ctx, h.as(inSession(s)), session.ID), nil)
		in("after it was revoked", s, "rejected")

		_, s = h.session("ann", secretOf("ann"))
		_, err := h.ChangePassword(ctx, h.as(inSession(s)), identity.NewSecret(secretOf("ann")), identity.NewSecret(secretOf("new ann")))
		is(t, "the password is changed in a session", err, nil)
		in("after the password was changed", s, "rejected")

		_, s = h.session("ann", secretOf("new ann"))
		_, err = h.SetPassword(ctx, root, "ann", identity.NewSecret(secretOf("ann")), 0)
		is(t, "the password is set", err, nil)
		in("after the password was set", s, "rejected")

		_, s = h.session("ann", secretOf("ann"))
		_, err = h.Disable(ctx, root, "ann", 0)
		is(t, "ann is disabled", err, nil)
		in("while she is disabled", s, "rejected")
		_, err = h.Enable(ctx, root, "ann", 0)
		is(t, "ann is enabled", err, nil)
		in("when she is enabled", s, "rejected")
	})
}

// Gitea CVE-2026-28699 and similar: a session has the restrictions of the credential it was
// started with, and ends with it.
func TestASessionIsNoWiderThanWhatItWasBegunWith(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.user("ann")
		pull := policy.Limit{Names: []string{"team/**"}, Actions: scope.Pull}
		token, secret := h.token("ann", "narrow", pull)
		session, s := h.session("ann", secret)
		by := h.as(inSession(s))
		if !by.Restricted() || session.Parent != token.ID {
			t.Errorf("a session of a narrowed token: %+v, of the token %s", by.Principal.Limits, session.Parent)
		}
		is(t, "the token is revoked", h.Revoke(t.Context(), operator, token.ID), nil)
		if got := h.enters(inSession(s)); got != "rejected" {
			t.Errorf("the session then: %s", got)
		}
		// Tokens created with a session end with it.
		session, s = h.session("ann", secretOf("ann"))
		made, secret2, err := h.AddToken(t.Context(), h.as(inSession(s)), accounts.NewToken{Name: "laptop"})
		is(t, "a token by a session", err, nil)
		if made.Parent != session.ID || !made.Expires.Equal(session.Expires) {
			t.Errorf("the token: %+v, of the session %+v", made, session)
		}
		is(t, "the session ends", h.Revoke(t.Context(), operator, session.ID), nil)
		if got := h.enters(shown("", secret2.Reveal())); got != "rejected" {
			t.Errorf("a token that was made in it: %s", got)
		}
	})
}

// A session secret is not accepted as a password or token, and a token is not accepted as a
// session.
func TestASessionIsShownAsASessionOnly(t *testing.T) {
	h := newHouse(t, storetest.SQLite().Ready(t))
	h.user("ann")
	_, s := h.session("ann", secretOf("ann"))
	_, token := h.token("ann", "laptop")
	for what, c := range map[string]identity.Presented{
		"a session as a password": shown("ann", s), "a session as a token": shown("", s), "a session as a refresh token": refreshing(s),
		"a token as a session": inSession(token), "a password as a session": inSession(secretOf("ann")), "nothing as a session": inSession(""),
	} {
		if got := h.enters(c); got != "rejected" {
			t.Errorf("%s: %s", what, got)
		}
	}
	// A session cannot start another session.
	v, err := h.chain.Authenticate(t.Context(), inSession(s))
	is(t, "the session", err, nil)
	_, _, err = h.StartSession(t.Context(), inSession(s), v)
	is(t, "a session of a session", err, accounts.ErrForbidden)
	_, robot := h.robot("ci")
	v, err = h.chain.Authenticate(t.Context(), shown("", robot))
	is(t, "a robot", err, nil)
	_, _, err = h.StartSession(t.Context(), shown("", robot), v)
	is(t, "a session of a robot", err, accounts.ErrForbidden)
}

func TestPeopleOfADirectoryHaveSessions(t *testing.T) {
	h := newHouse(t, storetest.SQLite().Ready(t))
	_, s := h.session("dora", "directory password")
	if got := h.enters(inSession(s)); got != "user:dora" {
		t.Errorf("a session of dora: %s", got)
	}
	if p := h.as(inSession(s)).Principal; p.Source != "ldap:corp" || len(p.Groups) != 1 {
		t.Errorf("dora in her session: %+v", p)
	}
	h.directory.People = nil
	if got := h.enters(inSession(s)); got != "rejected" {
		t.Errorf("when the directory knows her no more: %s", got)
	}
}

func TestEndedSessionsAreRemoved(t *testing.T) {
	h := newHouse(t, storetest.SQLite().Ready(t))
	h.user("ann")
	session, _ := h.session("ann", secretOf("ann"))
	h.clock.add(24 * time.Hour)
	h.Tend(t.Context())
	if _, err := h.Token(t.Context(), operator, session.ID); !errors.Is(err, accounts.ErrNotFound) {
		t.Errorf("a session of yesterday: %v", err)
	}
}

// Gitea CVE-2026-56654, variant: the descendants of a session end with it, whatever ends it.
// Somebody who used an open browser has nothing left once its user has changed the password.
func TestWhatASessionMadeEndsWithItDownToTheLast(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ctx := t.Context()
		ends := map[string]func(ann accounts.Account, session accounts.Token) error{
			"the password is changed": func(accounts.Account, accounts.Token) error {
				_, err := h.ChangePassword(ctx, h.as(shown("ann", secretOf("ann"))), identity.NewSecret(secretOf("ann")), identity.NewSecret(secretOf("ann")+"!"))
				if err == nil {
					_, err = h.SetPassword(ctx, operator, "ann", identity.NewSecret(secretOf("ann")), 0)
				}
				return err
			},
			"sessions are revoked": func(ann accounts.Account, _ accounts.Token) error {
				_, err := h.RevokeAll(ctx, operator, accounts.Owner{Kind: policy.User, Name: ann.Name}, accounts.Session)
				return err
			},
			"the user is disabled for a while": func(accounts.Account, accounts.Token) error {
				_, err := h.Disable(ctx, operator, "ann", 0)
				if err == nil {
					_, err = h.Enable(ctx, operator, "ann", 0)
				}
				return err
			},
			"it is revoked": func(_ accounts.Account, s accounts.Token) error { return h.Revoke(ctx, operator, s.ID) },
		}
		ann := h.user("ann")
		_, own := h.token("ann", "laptop")
		for what, end := range ends {
			s, secret := h.session("ann", secretOf("ann"))
			made := []string{}
			for i, by := 0, h.as(inSession(secret)); i < 3; i++ {
				_, next, err := h.AddToken(ctx, by, accounts.NewToken{Name: "found-" + string(rune('a'+i))})
				if err != nil {
					t.Fatal(err)
				}
				made, by = append(made, next.Reveal()), h.as(shown("", next.Reveal()))
			}
			if err := end(ann, s); err != nil {
				t.Fatal(err)
			}
			for i, token := range made {
				if got := h.enters(shown("", token)); got != "rejected" {
					t.Errorf("%s: what was made in step %d: %s", what, i+1, got)
				}
			}
			if got := h.enters(shown("", own)); got != "user:ann" {
				t.Errorf("%s: what was made elsewhere: %s", what, got)
			}
		}
	})
}

// Gitea CVE-2026-56654, variant: the descendants of an idle session end at that moment, cached or
// not, and not only at the next maintenance. Using a descendant does not keep the session. Using
// the session keeps both.
func TestWhatASessionMadeEndsWhenItIsIdle(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ctx := t.Context()
		other, err := accounts.Open(h.options)
		if err != nil {
			t.Fatal(err)
		}
		h.Tend(ctx)
		tend := other.Tend(ctx)
		h.user("ann")
		_, s := h.session("ann", secretOf("ann"))
		_, laptop, err := h.AddToken(ctx, h.as(inSession(s)), accounts.NewToken{Name: "laptop"})
		is(t, "a token by a session", err, nil)
		_, phone, err := h.AddToken(ctx, h.as(shown("", laptop.Reveal())), accounts.NewToken{Name: "phone"})
		is(t, "a token by that token", err, nil)
		made := map[string]identity.Presented{
			"a token": shown("", laptop.Reveal()), "a token of the token": shown("", phone.Reveal()),
			"a refresh token of that": refreshing(h.refresh("ann", phone.Reveal())),
		}
		see := func(when, want string) {
			t.Helper()
			h.all(made, want)
			for what, c := range made {
				_, err := other.Authenticate(ctx, c)
				if good := want != "rejected"; good && err != nil || !good && !errors.Is(err, identity.ErrRejected) {
					t.Errorf("%s, elsewhere, %s: %v", what, when, err)
				}
			}
		}
		for range 3 {
			h.clock.add(40 * time.Minute)
			h.enters(inSession(s))
			h.Note(ctx) // so that other processes see it
			tend()
			see("while the session is used", "user:ann")
		}
		h.clock.add(59 * time.Minute)
		see("just before the session has been idle for an hour", "user:ann")
		h.clock.add(2 * time.Minute)
		see("after an hour without a request", "rejected")
		_, _, err = h.StartSession(ctx, shown("", phone.Reveal()), identity.Verified{Principal: h.as(shown("ann", secretOf("ann"))).Principal})
		is(t, "a session of such a token", err, accounts.ErrForbidden)
	})
}
