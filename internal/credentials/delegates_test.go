package credentials_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/accounts/accountstest"
	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/credentials"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Gitea CVE-2026-56654, variant: a user who may change accounts creates a token for somebody
// else, and waits until the owner of the token becomes an administrator.
func TestNobodyPromotesThemselvesByATokenForAnother(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		ctx := t.Context()
		h.Maintain(ctx)
		h.AddTestUser("help", "helpdesk")
		h.AddTestUser("admin", admin.Administrators)
		h.AddTestUser("ann")
		if _, err := h.AddGroup(ctx, operator, "ops"); err != nil {
			t.Fatal(err)
		}
		help, root := h.ActorOf(presented("help", passwordOf("help"))), h.ActorOf(presented("admin", passwordOf("admin")))
		dora := credentials.Owner{Source: "ldap:corp", Name: "dora"}
		token := func(by admin.Actor, of credentials.Owner, name string, limits ...policy.Limit) (credentials.Token, string, error) {
			made, secret, err := h.AddToken(ctx, by, credentials.NewToken{Owner: of, Name: name, Limits: limits})
			return made, secret.Reveal(), err
		}
		registries := []policy.Limit{
			{Names: []string{"**"}, Actions: scope.Repository}, {Type: scope.TypeRegistry, Names: []string{"catalog"}, Actions: scope.All},
		}
		made, anns, err := token(help, credentials.Owner{Name: "ann"}, "by-help")
		is(t, "the helpdesk creates a token", err, nil)
		if diff := cmp.Diff(registries, made.Limits); diff != "" {
			t.Errorf("the token is valid for (-want +got):\n%s", diff)
		}
		_, doras, err := token(help, dora, "by-help")
		is(t, "a token for a user of a directory", err, nil)
		narrow := policy.Limit{Names: []string{"team/**"}, Actions: scope.Pull}
		made, _, err = token(help, credentials.Owner{Name: "ann"}, "narrow", narrow)
		is(t, "a restricted one", err, nil)
		if diff := cmp.Diff([]policy.Limit{narrow}, made.Limits); diff != "" {
			t.Errorf("the restricted token is valid for (-want +got):\n%s", diff)
		}
		_, _, err = token(help, credentials.Owner{Name: "ann"}, "over-tidewaiter", narrow, policy.Limit{Type: scope.TypeTidewaiter, Names: []string{"journal"}, Actions: scope.Read})
		is(t, "a token with rights over Tidewaiter", err, admin.ErrForbidden)

		made, admins, err := token(root, credentials.Owner{Name: "ann"}, "by-admin")
		is(t, "an administrator creates a token", err, nil)
		if len(made.Limits) != 0 {
			t.Errorf("the token is valid for %v", made.Limits)
		}
		_, own, err := token(h.ActorOf(presented("ann", passwordOf("ann"))), credentials.Owner{}, "own")
		is(t, "the user creates a token", err, nil)

		for _, group := range []string{admin.Administrators, "ops"} {
			is(t, "ann joins "+group, second(h.Join(ctx, root, group, "ann", 0)), nil)
			h.Directory.Groups = []string{group}
			for what, tt := range map[string]struct {
				secret string
				may    bool
			}{
				"the helpdesk's token": {anns, false}, "the helpdesk's token for dora": {doras, false}, "an administrator's token": {admins, true}, "her own token": {own, true},
			} {
				by := h.ActorOf(presented("", tt.secret))
				if got := h.Options.Rights.May(by, "administrators", scope.Write) || h.Options.Rights.May(by, "accounts", scope.Read); got != tt.may {
					t.Errorf("%s, as a member of %s: %t, want %t", what, group, got, tt.may)
				}
				if tt.may {
					continue
				}
				child, secret, err := token(by, credentials.Owner{}, "child")
				is(t, "a token of "+what, err, nil)
				if h.Options.Rights.May(h.ActorOf(presented("", secret)), "administrators", scope.Write) {
					t.Errorf("a token created with %s has rights over Tidewaiter", what)
				}
				is(t, "revoking it", h.Revoke(ctx, operator, child.ID), nil)
			}
			is(t, "ann leaves "+group, second(h.Leave(ctx, root, group, "ann", 0)), nil)
		}
	})
}

// Gitea CVE-2026-56654, variant: a user who may change accounts sets another user's password,
// and creates tokens with the password in that user's name.
func TestNobodyPromotesThemselvesByAPasswordTheySet(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		ctx := t.Context()
		h.AddTestUser("help", "helpdesk")
		h.AddTestUser("admin", admin.Administrators)
		if _, err := h.AddGroup(ctx, operator, "ops"); err != nil {
			t.Fatal(err)
		}
		h.AddTestUser("ann")
		help, root := h.ActorOf(presented("help", passwordOf("help"))), h.ActorOf(presented("admin", passwordOf("admin")))
		setByDelegate := func(when, login string, want bool) {
			t.Helper()
			a, err := h.Account(ctx, operator, login)
			if err != nil || a.SetByDelegate != want {
				t.Errorf("%s: set by a delegate: %t (%v), want %t", when, a.SetByDelegate, err, want)
			}
			for _, group := range []string{admin.Administrators, "ops"} {
				var wanted error
				if want {
					wanted = accounts.ErrSetByDelegate
				}
				is(t, when+": joining "+group, second(h.Join(ctx, root, group, login, 0)), wanted)
				is(t, when+": leaving "+group, second(h.Leave(ctx, root, group, login, 0)), nil)
			}
		}
		setByDelegate("ann as an operator added her", "ann", false)
		_, err := h.SetPassword(ctx, help, "ann", identity.NewSecret("what help has set"), 0)
		is(t, "the helpdesk sets ann's password", err, nil)
		setByDelegate("ann with a password that the helpdesk set", "ann", true)
		_, waiting, err := h.AddToken(ctx, h.ActorOf(presented("ann", "what help has set")), credentials.NewToken{Name: "waiting"})
		is(t, "a token with this password", err, nil)
		_, err = h.ChangePassword(ctx, h.ActorOf(presented("ann", "what help has set")), identity.NewSecret("what help has set"), identity.NewSecret("what ann has set"))
		is(t, "the user, or the helpdesk in her name, changes the password", err, nil)
		setByDelegate("ann with a password that the helpdesk possibly changed", "ann", true)
		_, err = h.SetPassword(ctx, root, "ann", identity.NewSecret("what an admin has set"), 0)
		is(t, "an administrator sets ann's password", err, nil)
		if got := h.SignIn(presented("", waiting.Reveal())); got != "rejected" {
			t.Errorf("the token with the helpdesk's password: %s", got)
		}
		setByDelegate("ann with a password that an administrator set", "ann", false)
		_, err = h.ChangePassword(ctx, h.ActorOf(presented("ann", "what an admin has set")), identity.NewSecret("what an admin has set"), identity.NewSecret("what ann has set"))
		is(t, "ann changes her password", err, nil)
		setByDelegate("ann with a password that she set", "ann", false)

		_, err = h.AddUser(ctx, help, accounts.NewUser{Name: "bob", Password: identity.NewSecret(passwordOf("bob"))})
		is(t, "the helpdesk adds a user", err, nil)
		setByDelegate("bob, after the helpdesk has added bob", "bob", true)
		_, err = h.AddUser(ctx, help, accounts.NewUser{Name: "cyd"})
		is(t, "the helpdesk adds a user without a password", err, nil)
		setByDelegate("cyd without a password", "cyd", false)

		_, _, err = h.AddRobot(ctx, help, accounts.NewRobot{Name: "ci"})
		is(t, "the helpdesk adds a robot", err, nil)
		setByDelegate("the robot as the helpdesk added it", "robot+ci", true)
		_, secret, err := h.Rotate(ctx, root, "robot+ci", time.Hour)
		is(t, "an administrator rotates the secret with an overlap", err, nil)
		setByDelegate("the robot while the first secret is valid", "robot+ci", true)
		is(t, "the robot rotates its own secret", third(h.Rotate(ctx, h.ActorOf(presented("", secret.Reveal())), "robot+ci", 0)), nil)
		setByDelegate("the robot with a secret that the helpdesk possibly created", "robot+ci", true)
		is(t, "an administrator rotates the secret without an overlap", third(h.Rotate(ctx, root, "robot+ci", 0)), nil)
		setByDelegate("the robot with a secret of an administrator", "robot+ci", false)
		is(t, "the helpdesk rotates the secret", third(h.Rotate(ctx, help, "robot+ci", time.Hour)), nil)
		setByDelegate("the robot with a secret of the helpdesk", "robot+ci", true)
	})
}

// Gitea CVE-2026-56654, variant: a user is in a group of administrators, and in a second group for
// which a deny rule removes the rights. Somebody who may change accounts sets this user's
// password, and waits until the user leaves the second group.
func TestNobodyPromotesThemselvesWhenAUserLeavesAGroup(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		ctx := t.Context()
		h.AddTestUser("help", "helpdesk")
		denied := accountstest.Rule("contractors", "group:contractors", []string{"administrators"}, scope.Read|scope.Write)
		denied.Deny = true
		h.Policy = accountstest.Compile(t, denied,
			accountstest.Rule("helpdesk", "group:helpdesk", []string{"accounts"}, scope.Read|scope.Write),
			accountstest.Rule("administrators", "group:ops", []string{"**"}, scope.Read|scope.Write))
		for _, name := range []string{"ann", "bob"} {
			h.AddTestUser(name, "contractors", "ops")
		}
		_, err := h.SetPassword(ctx, h.ActorOf(presented("help", passwordOf("help"))), "ann", identity.NewSecret("what help has set"), 0)
		is(t, "the helpdesk sets the password of a contractor", err, nil)
		is(t, "a user with a password of the helpdesk leaves", second(h.Leave(ctx, operator, "contractors", "ann", 0)), accounts.ErrSetByDelegate)
		is(t, "all leave", h.DeleteGroup(ctx, operator, "contractors", 0), accounts.ErrSetByDelegate)
		is(t, "another user leaves", second(h.Leave(ctx, operator, "contractors", "bob", 0)), nil)
		_, err = h.SetPassword(ctx, operator, "ann", identity.NewSecret(passwordOf("ann")), 0)
		is(t, "an operator sets the password", errors.Join(err, h.DeleteGroup(ctx, operator, "contractors", 0)), nil)
	})
}
