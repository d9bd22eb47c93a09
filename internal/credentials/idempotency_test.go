package credentials_test

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/credentials"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

func keyed(by admin.Actor, key string) admin.Actor {
	by.Key = key
	return by
}

func TestRepeatedCreationReturnsTheSameObject(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		ctx := t.Context()
		root := h.ActorOf(presented("root", func() string { h.AddTestUser("root", admin.Administrators); return passwordOf("root") }()))

		u := accounts.NewUser{Name: "ann", Password: identity.NewSecret(passwordOf("ann"))}
		first, err := h.AddUser(ctx, keyed(root, "k1"), u)
		is(t, "a user", err, nil)
		second, err := h.AddUser(ctx, keyed(root, "k1"), u)
		is(t, "the user again, with the same key", err, nil)
		if diff := cmp.Diff(first, second); diff != "" {
			t.Errorf("the second call returned another object: %s", diff)
		}
		_, err = h.AddUser(ctx, root, u)
		is(t, "the user without a key", err, admin.ErrExists)
		_, err = h.AddUser(ctx, keyed(root, "k2"), u)
		is(t, "the user with another key", err, admin.ErrExists)
		_, err = h.AddUser(ctx, keyed(root, "k1"), accounts.NewUser{Name: "bob"})
		isInvalid(t, "another user with the key", err, "key")
		_, err = h.AddGroup(ctx, keyed(root, "k1"), "ann")
		isInvalid(t, "a group with the key", err, "key")
		is(t, "the user is deleted", h.Delete(ctx, root, "ann", 0), nil)
		_, err = h.AddUser(ctx, keyed(root, "k1"), u)
		is(t, "the deleted user again", err, admin.ErrExists)

		g, err := h.AddGroup(ctx, keyed(root, "g"), "dev")
		is(t, "a group", err, nil)
		g2, err := h.AddGroup(ctx, keyed(root, "g"), "dev")
		is(t, "the group again", err, nil)
		if g != g2 {
			t.Errorf("the second call returned another group: %+v and %+v", g, g2)
		}

		// The lost secret is revoked, and replaced by another secret.
		ci, lost, err := h.AddRobot(ctx, keyed(root, "r"), accounts.NewRobot{Name: "ci"})
		is(t, "a robot", err, nil)
		again, secret, err := h.AddRobot(ctx, keyed(root, "r"), accounts.NewRobot{Name: "ci"})
		is(t, "the robot again", err, nil)
		if diff := cmp.Diff(ci, again); diff != "" {
			t.Errorf("the second call returned another robot: %s", diff)
		}
		if got := h.SignIn(presented("robot+ci", lost.Reveal())); got != "rejected" {
			t.Errorf("the lost secret: %s", got)
		}
		if got := h.SignIn(presented("robot+ci", secret.Reveal())); got != "robot:ci" {
			t.Errorf("the second secret: %s", got)
		}
		// If somebody used the secret, the response was not lost, so the secret is not replaced.
		_, _, err = h.AddRobot(ctx, keyed(root, "r"), accounts.NewRobot{Name: "ci"})
		is(t, "the robot again, whose secret was used", err, admin.ErrExists)

		made, lost, err := h.AddToken(ctx, keyed(root, "t"), credentials.NewToken{Name: "laptop"})
		is(t, "a token", err, nil)
		token, secret, err := h.AddToken(ctx, keyed(root, "t"), credentials.NewToken{Name: "laptop"})
		is(t, "the token again", err, nil)
		if diff := cmp.Diff(made, token, cmpopts.EquateComparable(netip.Addr{}), cmpopts.IgnoreUnexported(credentials.Token{})); diff != "" {
			t.Errorf("the second call returned another token: %s", diff)
		}
		if got := h.SignIn(presented("", lost.Reveal())) + " " + h.SignIn(presented("", secret.Reveal())); got != "rejected user:root" {
			t.Errorf("the lost token and the second: %s", got)
		}

		h.Clock.Pass(25 * time.Hour)
		_, err = h.AddGroup(ctx, keyed(root, "k1"), "later")
		is(t, "the key after a day", err, nil)
	})
}

// Gitea CVE-2026-56654, variant: a key returns only a token that the caller's credential could
// also create.
func TestKeyReturnsNothingThatTheCallerCouldNotCreate(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		ctx := t.Context()
		h.AddTestUser("ann")
		h.AddTestUser("bob")
		pull := policy.Limit{Names: []string{"team/**"}, Actions: scope.Pull}
		_, narrow := h.AddTestToken("ann", "narrow", pull)
		ann, weak, bob := h.ActorOf(presented("ann", passwordOf("ann"))), h.ActorOf(presented("", narrow)), h.ActorOf(presented("bob", passwordOf("bob")))

		_, wide, err := h.AddToken(ctx, keyed(ann, "k"), credentials.NewToken{Name: "wide"})
		is(t, "a wide token", err, nil)
		_, _, err = h.AddToken(ctx, keyed(weak, "k"), credentials.NewToken{Name: "wide"})
		isInvalid(t, "the key with a restricted credential", err, "key")
		_, _, err = h.AddToken(ctx, keyed(bob, "k"), credentials.NewToken{Name: "wide"})
		is(t, "the key of another user", err, nil)
		if got := h.SignIn(presented("", wide.Reveal())); got != "user:ann" {
			t.Errorf("the unrestricted token: %s", got)
		}

		// Carl added the robot as an administrator. Then Carl leaves the administrators.
		h.AddTestUser("carl", "helpdesk", admin.Administrators)
		carl := h.ActorOf(presented("carl", passwordOf("carl")))
		_, _, err = h.AddRobot(ctx, keyed(carl, "r"), accounts.NewRobot{Name: "mighty", Groups: []string{admin.Administrators}})
		is(t, "a robot", err, nil)
		h.AddTestUser("root", admin.Administrators)
		_, err = h.Leave(ctx, operator, admin.Administrators, "carl", 0)
		is(t, "carl leaves", err, nil)
		carl = h.ActorOf(presented("carl", passwordOf("carl")))
		_, _, err = h.AddRobot(ctx, keyed(carl, "r"), accounts.NewRobot{Name: "mighty"})
		is(t, "the robot again", err, admin.ErrForbidden)
	})
}

func TestConcurrentCreationsWithOneKey(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		h.AddTestUser("ann")
		ann := keyed(h.ActorOf(presented("ann", passwordOf("ann"))), "k")
		const n = 8
		secrets := make(chan string, n)
		for range n {
			go func() {
				_, secret, err := h.AddToken(t.Context(), ann, credentials.NewToken{Name: "laptop"})
				if err != nil && !errors.Is(err, admin.ErrExists) {
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
			if s != "" && h.SignIn(presented("", s)) == "user:ann" {
				good++
			}
		}
		if good != 1 {
			t.Errorf("%d secrets are valid", good)
		}
		list, _, err := h.Tokens(t.Context(), ann, credentials.OwnerOf(ann.Principal), admin.Page{})
		if err != nil || len(list) != 1 {
			t.Errorf("%d tokens, %v", len(list), err)
		}
	})
}
