package credentials_test

import (
	"errors"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/credentials"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// startSession signs in and returns the session.
func (h *harness) startSession(name, secret string) (credentials.Token, string) {
	h.T.Helper()
	c := presented(name, secret)
	v, err := h.Chain.Authenticate(h.T.Context(), c)
	if err != nil {
		h.T.Fatal(err)
	}
	t, s, err := h.StartSession(h.T.Context(), c, v)
	if err != nil {
		h.T.Fatal(err)
	}
	return t, s.Reveal()
}

func inSession(secret string) identity.Presented {
	c := identity.NewSession(secret)
	c.Remote = presented("", "").Remote
	return c
}

func TestSessionsEnd(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		ctx := t.Context()
		h.AddTestUser("ann")
		h.AddTestUser("root", admin.Administrators)
		root := h.ActorOf(presented("root", passwordOf("root")))
		in := func(what, secret, want string) {
			t.Helper()
			if got := h.SignIn(inSession(secret)); got != want {
				t.Errorf("%s: %s, want %s", what, got, want)
			}
		}
		_, s := h.startSession("ann", passwordOf("ann"))
		in("a session", s, "user:ann")
		for range 4 {
			h.Clock.Pass(50 * time.Minute)
			in("after two hours with requests", s, "user:ann")
		}
		h.Clock.Pass(61 * time.Minute)
		in("after an hour without a request", s, "rejected")

		_, s = h.startSession("ann", passwordOf("ann"))
		for range 14 {
			h.Clock.Pass(50 * time.Minute)
			h.SignIn(inSession(s))
		}
		in("just before twelve hours", s, "user:ann")
		h.Clock.Pass(21 * time.Minute)
		in("after twelve hours", s, "rejected")

		session, s := h.startSession("ann", passwordOf("ann"))
		is(t, "it is revoked", h.Revoke(ctx, h.ActorOf(inSession(s)), session.ID), nil)
		in("after it was revoked", s, "rejected")

		_, s = h.startSession("ann", passwordOf("ann"))
		_, err := h.ChangePassword(ctx, h.ActorOf(inSession(s)), identity.NewSecret(passwordOf("ann")), identity.NewSecret(passwordOf("new ann")))
		is(t, "the password is changed in a session", err, nil)
		in("after the password was changed", s, "rejected")

		_, s = h.startSession("ann", passwordOf("new ann"))
		_, err = h.SetPassword(ctx, root, "ann", identity.NewSecret(passwordOf("ann")), 0)
		is(t, "the password is set", err, nil)
		in("after the password was set", s, "rejected")

		_, s = h.startSession("ann", passwordOf("ann"))
		_, err = h.Disable(ctx, root, "ann", 0)
		is(t, "ann is disabled", err, nil)
		in("while she is disabled", s, "rejected")
		_, err = h.Enable(ctx, root, "ann", 0)
		is(t, "ann is enabled", err, nil)
		in("when she is enabled", s, "rejected")
	})
}

// Gitea CVE-2026-28699 and similar: a session has the restrictions of the credential with which
// it was started, and ends when that credential ends.
func TestSessionHasTheRestrictionsOfItsCredential(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		h.AddTestUser("ann")
		pull := policy.Limit{Names: []string{"team/**"}, Actions: scope.Pull}
		token, secret := h.AddTestToken("ann", "narrow", pull)
		session, s := h.startSession("ann", secret)
		by := h.ActorOf(inSession(s))
		if !by.Restricted() || session.Parent != token.ID {
			t.Errorf("a session of a restricted token: %+v, of the token %s", by.Principal.Limits, session.Parent)
		}
		is(t, "the token is revoked", h.Revoke(t.Context(), operator, token.ID), nil)
		if got := h.SignIn(inSession(s)); got != "rejected" {
			t.Errorf("the session after its token is revoked: %s", got)
		}
		// Tokens that a session creates become invalid together with the session.
		session, s = h.startSession("ann", passwordOf("ann"))
		made, secret2, err := h.AddToken(t.Context(), h.ActorOf(inSession(s)), credentials.NewToken{Name: "laptop"})
		is(t, "a token by a session", err, nil)
		if made.Parent != session.ID || !made.Expires.Equal(session.Expires) {
			t.Errorf("the token: %+v, of the session %+v", made, session)
		}
		is(t, "the session ends", h.Revoke(t.Context(), operator, session.ID), nil)
		if got := h.SignIn(presented("", secret2.Reveal())); got != "rejected" {
			t.Errorf("a token created with the session: %s", got)
		}
	})
}

// A session secret is not accepted as a password or token. A token is not accepted as a session.
func TestSessionSecretIsAcceptedOnlyAsASession(t *testing.T) {
	h := newHarness(t, storetest.SQLite().Ready(t))
	h.AddTestUser("ann")
	_, s := h.startSession("ann", passwordOf("ann"))
	_, token := h.AddTestToken("ann", "laptop")
	for what, c := range map[string]identity.Presented{
		"a session as a password": presented("ann", s), "a session as a token": presented("", s), "a session as a refresh token": refreshing(s),
		"a token as a session": inSession(token), "a password as a session": inSession(passwordOf("ann")), "nothing as a session": inSession(""),
	} {
		if got := h.SignIn(c); got != "rejected" {
			t.Errorf("%s: %s", what, got)
		}
	}
	// A session cannot start another session.
	v, err := h.Chain.Authenticate(t.Context(), inSession(s))
	is(t, "the session", err, nil)
	_, _, err = h.StartSession(t.Context(), inSession(s), v)
	is(t, "a session of a session", err, admin.ErrForbidden)
	_, robot := h.AddTestRobot("ci")
	v, err = h.Chain.Authenticate(t.Context(), presented("", robot))
	is(t, "a robot", err, nil)
	_, _, err = h.StartSession(t.Context(), presented("", robot), v)
	is(t, "a session of a robot", err, admin.ErrForbidden)
}

func TestUsersOfADirectoryHaveSessions(t *testing.T) {
	h := newHarness(t, storetest.SQLite().Ready(t))
	_, s := h.startSession("dora", "directory password")
	if got := h.SignIn(inSession(s)); got != "user:dora" {
		t.Errorf("a session of dora: %s", got)
	}
	if p := h.ActorOf(inSession(s)).Principal; p.Source != "ldap:corp" || len(p.Groups) != 1 {
		t.Errorf("dora in her session: %+v", p)
	}
	h.Directory.People = nil
	if got := h.SignIn(inSession(s)); got != "rejected" {
		t.Errorf("after the user was removed from the directory: %s", got)
	}
}

func TestExpiredSessionsArePurged(t *testing.T) {
	h := newHarness(t, storetest.SQLite().Ready(t))
	h.AddTestUser("ann")
	session, _ := h.startSession("ann", passwordOf("ann"))
	h.Clock.Pass(24 * time.Hour)
	h.Maintain(t.Context())
	if _, err := h.Token(t.Context(), operator, session.ID); !errors.Is(err, admin.ErrNotFound) {
		t.Errorf("an expired session: %v", err)
	}
}

// Gitea CVE-2026-56654, variant: the descendants of a session end with the session. The reason for
// the end of the session does not matter. For example, an attacker who used an open browser has no
// valid token after the user has changed the password.
func TestDescendantsEndWithTheirSession(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		ctx := t.Context()
		ends := map[string]func(ann accounts.Account, session credentials.Token) error{
			"the password is changed": func(accounts.Account, credentials.Token) error {
				_, err := h.ChangePassword(ctx, h.ActorOf(presented("ann", passwordOf("ann"))), identity.NewSecret(passwordOf("ann")), identity.NewSecret(passwordOf("ann")+"!"))
				if err == nil {
					_, err = h.SetPassword(ctx, operator, "ann", identity.NewSecret(passwordOf("ann")), 0)
				}
				return err
			},
			"sessions are revoked": func(ann accounts.Account, _ credentials.Token) error {
				_, err := h.RevokeAll(ctx, operator, credentials.Owner{Kind: policy.User, Name: ann.Name}, credentials.Session)
				return err
			},
			"the user is disabled for a while": func(accounts.Account, credentials.Token) error {
				_, err := h.Disable(ctx, operator, "ann", 0)
				if err == nil {
					_, err = h.Enable(ctx, operator, "ann", 0)
				}
				return err
			},
			"it is revoked": func(_ accounts.Account, s credentials.Token) error { return h.Revoke(ctx, operator, s.ID) },
		}
		ann := h.AddTestUser("ann")
		_, own := h.AddTestToken("ann", "laptop")
		for what, end := range ends {
			s, secret := h.startSession("ann", passwordOf("ann"))
			made := []string{}
			for i, by := 0, h.ActorOf(inSession(secret)); i < 3; i++ {
				_, next, err := h.AddToken(ctx, by, credentials.NewToken{Name: "found-" + string(rune('a'+i))})
				if err != nil {
					t.Fatal(err)
				}
				made, by = append(made, next.Reveal()), h.ActorOf(presented("", next.Reveal()))
			}
			if err := end(ann, s); err != nil {
				t.Fatal(err)
			}
			for i, token := range made {
				if got := h.SignIn(presented("", token)); got != "rejected" {
					t.Errorf("%s: the token of step %d: %s", what, i+1, got)
				}
			}
			if got := h.SignIn(presented("", own)); got != "user:ann" {
				t.Errorf("%s: the token created without the session: %s", what, got)
			}
		}
	})
}

// Gitea CVE-2026-56654, variant: the descendants of a session become invalid as soon as the
// session has been idle for too long. This also applies to cached descendants, and before the next
// maintenance. A use of a descendant does not prolong the session. A use of the session prolongs
// the session and its descendants.
func TestDescendantsEndWhenTheirSessionIsIdle(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		ctx := t.Context()
		other := h.Open()
		h.Maintain(ctx)
		maintain := other.Maintain(ctx)
		h.AddTestUser("ann")
		_, s := h.startSession("ann", passwordOf("ann"))
		_, laptop, err := h.AddToken(ctx, h.ActorOf(inSession(s)), credentials.NewToken{Name: "laptop"})
		is(t, "a token by a session", err, nil)
		_, phone, err := h.AddToken(ctx, h.ActorOf(presented("", laptop.Reveal())), credentials.NewToken{Name: "phone"})
		is(t, "creating a token with the token", err, nil)
		made := map[string]identity.Presented{
			"a token": presented("", laptop.Reveal()), "a token of the token": presented("", phone.Reveal()),
			"a refresh token of the second token": refreshing(h.RefreshToken("ann", phone.Reveal())),
		}
		see := func(when, want string) {
			t.Helper()
			h.all(made, want)
			for what, c := range made {
				_, err := other.Authenticate(ctx, c)
				if good := want != "rejected"; good && err != nil || !good && !errors.Is(err, identity.ErrRejected) {
					t.Errorf("%s in another process, %s: %v", what, when, err)
				}
			}
		}
		for range 3 {
			h.Clock.Pass(40 * time.Minute)
			h.SignIn(inSession(s))
			h.FlushLastUsed(ctx) // so that other processes see it
			maintain()
			see("while the session is used", "user:ann")
		}
		h.Clock.Pass(59 * time.Minute)
		see("just before the session has been idle for an hour", "user:ann")
		h.Clock.Pass(2 * time.Minute)
		see("after an hour without a request", "rejected")
		_, _, err = h.StartSession(ctx, presented("", phone.Reveal()), identity.Verified{Principal: h.ActorOf(presented("ann", passwordOf("ann"))).Principal})
		is(t, "starting a session with such a token", err, admin.ErrForbidden)
	})
}
