package accounts_test

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/accounts"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

func keyed(by accounts.Actor, key string) accounts.Actor {
	by.Key = key
	return by
}

func TestWhoLostAnAnswerTriesAgain(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ctx := t.Context()
		root := h.as(shown("root", func() string { h.user("root", accounts.Administrators); return secretOf("root") }()))

		u := accounts.NewUser{Name: "ann", Password: identity.NewSecret(secretOf("ann"))}
		first, err := h.AddUser(ctx, keyed(root, "k1"), u)
		is(t, "a user", err, nil)
		second, err := h.AddUser(ctx, keyed(root, "k1"), u)
		is(t, "the user again", err, nil)
		if diff := cmp.Diff(first, second); diff != "" {
			t.Errorf("made once, and shown twice: %s", diff)
		}
		_, err = h.AddUser(ctx, root, u)
		is(t, "the user without a key", err, accounts.ErrExists)
		_, err = h.AddUser(ctx, keyed(root, "k2"), u)
		is(t, "the user with another key", err, accounts.ErrExists)
		_, err = h.AddUser(ctx, keyed(root, "k1"), accounts.NewUser{Name: "bob"})
		invalid(t, "another user with the key", err, "key")
		_, err = h.AddGroup(ctx, keyed(root, "k1"), "ann")
		invalid(t, "a group with the key", err, "key")
		is(t, "the user is deleted", h.Delete(ctx, root, "ann", 0), nil)
		_, err = h.AddUser(ctx, keyed(root, "k1"), u)
		is(t, "the user again, who is gone", err, accounts.ErrExists)

		g, err := h.AddGroup(ctx, keyed(root, "g"), "dev")
		is(t, "a group", err, nil)
		g2, err := h.AddGroup(ctx, keyed(root, "g"), "dev")
		is(t, "the group again", err, nil)
		if g != g2 {
			t.Errorf("a group made once: %+v and %+v", g, g2)
		}

		// The lost secret is revoked, and replaced by another one.
		ci, lost, err := h.AddRobot(ctx, keyed(root, "r"), accounts.NewRobot{Name: "ci"})
		is(t, "a robot", err, nil)
		again, secret, err := h.AddRobot(ctx, keyed(root, "r"), accounts.NewRobot{Name: "ci"})
		is(t, "the robot again", err, nil)
		if diff := cmp.Diff(ci, again); diff != "" {
			t.Errorf("a robot made once: %s", diff)
		}
		if got := h.enters(shown("robot+ci", lost.Reveal())); got != "rejected" {
			t.Errorf("the lost secret: %s", got)
		}
		if got := h.enters(shown("robot+ci", secret.Reveal())); got != "robot:ci" {
			t.Errorf("the second secret: %s", got)
		}
		// A secret that was used was not lost.
		_, _, err = h.AddRobot(ctx, keyed(root, "r"), accounts.NewRobot{Name: "ci"})
		is(t, "the robot again, whose secret was used", err, accounts.ErrExists)

		made, lost, err := h.AddToken(ctx, keyed(root, "t"), accounts.NewToken{Name: "laptop"})
		is(t, "a token", err, nil)
		token, secret, err := h.AddToken(ctx, keyed(root, "t"), accounts.NewToken{Name: "laptop"})
		is(t, "the token again", err, nil)
		if diff := cmp.Diff(made, token, cmpopts.EquateComparable(netip.Addr{}), cmpopts.IgnoreUnexported(accounts.Token{})); diff != "" {
			t.Errorf("a token made once: %s", diff)
		}
		if got := h.enters(shown("", lost.Reveal())) + " " + h.enters(shown("", secret.Reveal())); got != "rejected user:root" {
			t.Errorf("the lost token and the second: %s", got)
		}

		h.clock.add(25 * time.Hour)
		_, err = h.AddGroup(ctx, keyed(root, "k1"), "later")
		is(t, "the key after a day", err, nil)
	})
}

// Gitea CVE-2026-56654, variant: a key does not return a token that the credential could not
// create.
func TestAKeyGivesNothingThatTheCallerCouldNotMake(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ctx := t.Context()
		h.user("ann")
		h.user("bob")
		pull := policy.Limit{Names: []string{"team/**"}, Actions: scope.Pull}
		_, narrow := h.token("ann", "narrow", pull)
		ann, weak, bob := h.as(shown("ann", secretOf("ann"))), h.as(shown("", narrow)), h.as(shown("bob", secretOf("bob")))

		_, wide, err := h.AddToken(ctx, keyed(ann, "k"), accounts.NewToken{Name: "wide"})
		is(t, "a wide token", err, nil)
		_, _, err = h.AddToken(ctx, keyed(weak, "k"), accounts.NewToken{Name: "wide"})
		invalid(t, "the same by a narrowed credential", err, "key")
		_, _, err = h.AddToken(ctx, keyed(bob, "k"), accounts.NewToken{Name: "wide"})
		is(t, "the same key of somebody else's", err, nil)
		if got := h.enters(shown("", wide.Reveal())); got != "user:ann" {
			t.Errorf("the wide token: %s", got)
		}

		// The actor was an administrator when they added the robot, and is not any more.
		h.user("carl", "helpdesk", accounts.Administrators)
		carl := h.as(shown("carl", secretOf("carl")))
		_, _, err = h.AddRobot(ctx, keyed(carl, "r"), accounts.NewRobot{Name: "mighty", Groups: []string{accounts.Administrators}})
		is(t, "a robot", err, nil)
		h.user("root", accounts.Administrators)
		_, err = h.Leave(ctx, operator, accounts.Administrators, "carl", 0)
		is(t, "carl leaves", err, nil)
		carl = h.as(shown("carl", secretOf("carl")))
		_, _, err = h.AddRobot(ctx, keyed(carl, "r"), accounts.NewRobot{Name: "mighty"})
		is(t, "the robot again", err, accounts.ErrForbidden)
	})
}

func TestCreationsAtTheSameMomentAreOne(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.user("ann")
		ann := keyed(h.as(shown("ann", secretOf("ann"))), "k")
		const n = 8
		secrets := make(chan string, n)
		for range n {
			go func() {
				_, secret, err := h.AddToken(t.Context(), ann, accounts.NewToken{Name: "laptop"})
				if err != nil && !errors.Is(err, accounts.ErrExists) {
					t.Error(err)
				}
				secrets <- secret.Reveal()
			}()
		}
		var all []string
		for range n {
			all = append(all, <-secrets)
		}
		good := 0
		for _, s := range all {
			if s != "" && h.enters(shown("", s)) == "user:ann" {
				good++
			}
		}
		if good != 1 {
			t.Errorf("%d secrets are good", good)
		}
		list, _, err := h.Tokens(t.Context(), ann, accounts.OwnerOf(ann.Principal), accounts.Page{})
		if err != nil || len(list) != 1 {
			t.Errorf("%d tokens, %v", len(list), err)
		}
	})
}
