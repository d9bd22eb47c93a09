package credentials_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/accounts/accountstest"
	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/credentials"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/chain"
	"github.com/tidewaiter/tidewaiter/internal/ratelimit"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// credentialsOfAnn returns a credential of ann of each kind. All of them are in the cache.
func (h *harness) credentialsOfAnn() map[string]identity.Presented {
	h.T.Helper()
	_, laptop := h.AddTestToken("ann", "laptop")
	list := map[string]identity.Presented{
		"password":                 presented("ann", passwordOf("ann")),
		"token":                    presented("ann", laptop),
		"token without a name":     presented("", laptop),
		"refresh token":            refreshing(h.RefreshToken("ann", passwordOf("ann"))),
		"refresh token of a token": refreshing(h.RefreshToken("ann", laptop)),
	}
	for what, c := range list {
		if got := h.SignIn(c); got != "user:ann" {
			h.T.Fatalf("%s: %s", what, got)
		}
	}
	return list
}

func (h *harness) all(list map[string]identity.Presented, want string) {
	h.T.Helper()
	for what, c := range list {
		if got := h.SignIn(c); got != want {
			h.T.Errorf("%s: %s, want %s", what, got, want)
		}
	}
}

// Gitea CVE-2026-58422, -55987: sign-in re-enabled a disabled account. A disabled account stays
// disabled for every credential, including cached credentials.
func TestDisabledStaysDisabled(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		h.Maintain(t.Context())
		h.AddTestUser("ann")
		ways := h.credentialsOfAnn()
		if _, err := h.Disable(t.Context(), operator, "ann", 0); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			h.all(ways, "rejected")
		}
		// An account of another source with the same name cannot sign in, because the first source
		// that knows the name decides.
		h.Directory.People["ann"] = "directory password"
		if got := h.SignIn(presented("ann", "directory password")); got != "rejected" {
			t.Errorf("the password of another account with the same name: %s", got)
		}
		if _, err := h.Chain.Find(t.Context(), "ann", ""); !errors.Is(err, identity.ErrUnknown) {
			t.Errorf("finding a disabled user: %v", err)
		}
		if a, err := h.Account(t.Context(), operator, "ann"); err != nil || !a.Disabled {
			t.Errorf("the account after these sign-ins: %+v, %v", a, err)
		}
		if _, err := h.Enable(t.Context(), operator, "ann", 0); err != nil {
			t.Fatal(err)
		}
		for what, c := range ways {
			want := "user:ann"
			if c.Kind == identity.RefreshToken {
				want = "rejected" // revoked
			}
			if got := h.SignIn(c); got != want {
				t.Errorf("%s of an enabled user: %s, want %s", what, got, want)
			}
		}
	})
}

// Harbor 2026: a token outlived its deleted and re-created project. In Tidewaiter, names can be
// reused, but ids are never reused.
func TestAccountInheritsNothingFromADeletedOne(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		h.Maintain(t.Context())
		old := h.AddTestUser("ann", "dev")
		ways := h.credentialsOfAnn()
		_, ci := h.AddTestRobot("ci")
		if err := errors.Join(h.Delete(t.Context(), operator, "ann", 0), h.Delete(t.Context(), operator, "robot+ci", 0)); err != nil {
			t.Fatal(err)
		}
		h.all(ways, "rejected")
		a, err := h.AddUser(t.Context(), operator, accounts.NewUser{Name: "ann", Password: identity.NewSecret("another good password")})
		if err != nil || a.ID == old.ID || len(a.Groups) != 0 {
			t.Errorf("the later account: %+v, %v", a, err)
		}
		h.AddTestRobot("ci")
		h.all(ways, "rejected")
		if got := h.SignIn(presented("robot+ci", ci)); got != "rejected" {
			t.Errorf("the old robot's secret: %s", got)
		}
		if _, err := h.Chain.FindIn(t.Context(), "accounts", "ann", old.ID); !errors.Is(err, identity.ErrUnknown) {
			t.Errorf("finding the deleted account: %v", err)
		}
		if list, _, err := h.Tokens(t.Context(), operator, credentials.Owner{Name: "ann"}, admin.Page{}); len(list) != 0 || err != nil {
			t.Errorf("the later account has tokens: %v, %v", list, err)
		}
		if list, _, err := h.Tokens(t.Context(), operator, credentials.Owner{}, admin.Page{}); len(list) != 1 || err != nil {
			t.Errorf("the tokens of all are %v, %v, want the new robot's secret", list, err)
		}
	})
	onEachDatabase(t, func(t *testing.T, h *harness) {
		h.AddTestUser("ann", "dev")
		if err := h.DeleteGroup(t.Context(), operator, "dev", 0); err != nil {
			t.Fatal(err)
		}
		if g, err := h.AddGroup(t.Context(), operator, "dev"); err != nil || g.Size != 0 {
			t.Errorf("a group of the same name: %+v, %v", g, err)
		}
		if a, err := h.Account(t.Context(), operator, "ann"); err != nil || len(a.Groups) != 0 {
			t.Errorf("its members: %+v, %v", a, err)
		}
	})
}

// Gitea CVE-2026-56654: a token created a stronger token. Nobody can promote themselves.
func TestNobodyPromotesThemselves(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		ctx := t.Context()
		h.AddTestUser("admin", admin.Administrators)
		h.AddTestUser("another", admin.Administrators)
		h.AddTestUser("help", "helpdesk")
		h.AddTestUser("ann")
		if _, err := h.AddGroup(ctx, operator, "ops"); err != nil {
			t.Fatal(err)
		}
		_, wide := h.AddTestToken("admin", "wide")
		_, narrow := h.AddTestToken("admin", "narrow", policy.Limit{Type: scope.TypeTidewaiter, Names: []string{"**"}, Actions: scope.Read | scope.Write})
		_, laptop := h.AddTestToken("ann", "laptop", policy.Limit{Names: []string{"team/**"}, Actions: scope.Pull})
		_, ending, err := h.AddToken(ctx, operator, credentials.NewToken{Owner: credentials.Owner{Name: "ann"}, Name: "ending", Expires: h.Clock.Now().Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		_, ci := h.AddTestRobot("ci")
		ops := map[string]func(by admin.Actor) error{
			"add a user": func(by admin.Actor) error {
				_, err := h.AddUser(ctx, by, accounts.NewUser{Name: "eve"})
				return errors.Join(err, h.Delete(ctx, operator, "eve", 0))
			},
			"add an administrator": func(by admin.Actor) error {
				_, err := h.AddUser(ctx, by, accounts.NewUser{Name: "eve", Groups: []string{admin.Administrators}})
				return errors.Join(err, h.Delete(ctx, operator, "eve", 0))
			},
			"become an administrator": func(by admin.Actor) error {
				_, err := h.Join(ctx, by, admin.Administrators, "ann", 0)
				_, undo := h.Leave(ctx, operator, admin.Administrators, "ann", 0)
				return errors.Join(err, undo)
			},
			"become an administrator by a rule": func(by admin.Actor) error {
				_, err := h.Join(ctx, by, "ops", "ann", 0)
				_, undo := h.Leave(ctx, operator, "ops", "ann", 0)
				return errors.Join(err, undo)
			},
			"set an administrator's password": func(by admin.Actor) error {
				_, err := h.SetPassword(ctx, by, "admin", identity.NewSecret(passwordOf("admin")), 0)
				return err
			},
			"set a user's password": func(by admin.Actor) error {
				_, err := h.SetPassword(ctx, by, "ann", identity.NewSecret(passwordOf("ann")), 0)
				return err
			},
			"make a token for an administrator": func(by admin.Actor) error {
				token, _, err := h.AddToken(ctx, by, credentials.NewToken{Owner: credentials.Owner{Name: "admin"}, Name: "stolen"})
				if err == nil {
					return h.Revoke(ctx, operator, token.ID)
				}
				return err
			},
			"disable an administrator": func(by admin.Actor) error {
				_, err := h.Disable(ctx, by, "admin", 0)
				_, undo := h.Enable(ctx, operator, "admin", 0)
				return errors.Join(err, undo)
			},
			"see the users": func(by admin.Actor) error {
				_, _, err := h.List(ctx, by, policy.User, admin.Page{})
				return err
			},
			"see the tokens": func(by admin.Actor) error {
				_, _, err := h.Tokens(ctx, by, credentials.Owner{}, admin.Page{})
				return err
			},
		}
		for _, tt := range []struct {
			who string
			as  admin.Actor
			may string
		}{
			{"an administrator", h.ActorOf(presented("admin", passwordOf("admin"))), "add a user, add an administrator, become an administrator, become an administrator by a rule, set a user's password, make a token for an administrator, disable an administrator, see the users, see the tokens"},
			{"an administrator's token", h.ActorOf(presented("admin", wide)), "add a user, add an administrator, become an administrator, become an administrator by a rule, set a user's password, make a token for an administrator, disable an administrator, see the users, see the tokens"},
			{"an administrator's narrowed token", h.ActorOf(presented("admin", narrow)), "make a token for an administrator, see the users, see the tokens"},
			{"the helpdesk", h.ActorOf(presented("help", passwordOf("help"))), "add a user, set a user's password, see the users, see the tokens"},
			{"a user", h.ActorOf(presented("ann", passwordOf("ann"))), ""},
			{"a restricted token", h.ActorOf(presented("ann", laptop)), ""},
			{"a robot", h.ActorOf(presented("robot+ci", ci)), ""},
			{"nobody", admin.Actor{}, ""},
			{"somebody anonymous", admin.Actor{Principal: &policy.Principal{Kind: policy.Anonymous, Groups: []string{admin.Administrators}}}, ""},
		} {
			for what, f := range ops {
				if tt.who == "an administrator's narrowed token" && strings.HasPrefix(what, "make") {
					continue // tested below: it can create a token with the same restrictions
				}
				err := f(tt.as)
				if strings.Contains(tt.may, what) {
					is(t, tt.who+" may "+what, err, nil)
				} else {
					is(t, tt.who+" may "+what, err, admin.ErrForbidden)
				}
			}
		}
		pull := []policy.Limit{{Names: []string{"team/app"}, Actions: scope.Pull}}
		for _, tt := range []struct {
			with   string
			limits []policy.Limit
			ends   time.Duration
			want   error
		}{
			{laptop, pull, 0, nil},
			{laptop, nil, 0, nil}, // inherits
			{laptop, []policy.Limit{{Names: []string{"team/app"}, Actions: scope.Pull | scope.Push}}, 0, admin.ErrForbidden},
			{laptop, []policy.Limit{{Names: []string{"**"}, Actions: scope.Pull}}, 0, admin.ErrForbidden},
			{laptop, []policy.Limit{{Type: "registry", Names: []string{"catalog"}, Actions: scope.All}}, 0, admin.ErrForbidden},
			{laptop, []policy.Limit{{Type: "tidewaiter", Names: []string{"**"}, Actions: scope.Read}}, 0, admin.ErrForbidden},
			{ending.Reveal(), pull, 0, nil}, // expires with it
			{ending.Reveal(), pull, time.Minute, nil},
			{ending.Reveal(), pull, 2 * time.Hour, admin.ErrForbidden},
			{passwordOf("ann"), nil, 0, nil},
		} {
			by := h.ActorOf(presented("ann", tt.with))
			n := credentials.NewToken{Name: "another", Limits: tt.limits}
			if tt.ends != 0 {
				n.Expires = h.Clock.Now().Add(tt.ends)
			}
			token, secret, err := h.AddToken(ctx, by, n)
			is(t, fmt.Sprintf("a token for %v, ending after %v", tt.limits, tt.ends), err, tt.want)
			if err != nil {
				continue
			}
			if len(by.Principal.Limits) > 0 && len(token.Limits) == 0 || !by.Until.IsZero() && (token.Expires.IsZero() || token.Expires.After(by.Until)) {
				t.Errorf("a token with more rights than %+v: %+v", by, token)
			}
			// If a leaked token is revoked, its descendants must be invalid, too.
			if got := h.SignIn(presented("ann", secret.Reveal())); got != "user:ann" {
				t.Errorf("the new token: %s", got)
			}
			if err := h.Revoke(ctx, operator, token.ID); err != nil {
				t.Error(err)
			}
		}
		made, _, err := h.AddToken(ctx, h.ActorOf(presented("ann", laptop)), credentials.NewToken{Name: "child"})
		is(t, "a child", err, nil)
		own := h.ActorOf(presented("ann", passwordOf("ann")))
		is(t, "revoking the parent", h.Revoke(ctx, own, made.Parent), nil)
		_, err = h.Token(ctx, own, made.ID)
		is(t, "the child of a revoked token", err, admin.ErrNotFound)
		_, _, err = h.AddToken(ctx, h.ActorOf(presented("robot+ci", ci)), credentials.NewToken{Name: "stay"})
		isInvalid(t, "a robot's token", err, "owner")
		_, err = h.SetPassword(ctx, h.ActorOf(presented("admin", wide)), "admin", identity.NewSecret("a whole new password"), 0)
		is(t, "setting a password with a token", err, admin.ErrForbidden)
		_, err = h.ChangePassword(ctx, h.ActorOf(presented("admin", wide)), identity.NewSecret("guess guess guess"), identity.NewSecret("a whole new password"))
		isInvalid(t, "setting a password with a token and a guess", err, "current")
		_, err = h.ChangePassword(ctx, h.ActorOf(presented("admin", wide)), identity.NewSecret(passwordOf("admin")), identity.NewSecret("a whole new password"))
		is(t, "setting a password with the password", err, nil)
	})
}

// hours is a condition that holds only at some hours of the day.
type hours struct{ from, to int }

func (c hours) Holds(r *policy.Request) (bool, error) {
	return r.Now.Hour() >= c.from && r.Now.Hour() < c.to, nil
}
func (hours) Explain(*policy.Request) []policy.Value { return nil }
func (hours) String() string                         { return "office hours" }

// Gitea CVE-2026-56654, variant: a user is an administrator only at some hours. If somebody else
// could set this user's password at other hours, that person would become an administrator.
func TestNobodyPromotesThemselvesByWaiting(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		ctx := t.Context()
		h.AddTestUser("help", "helpdesk")
		h.AddTestUser("day", "day")
		h.AddTestUser("night", "night")
		h.AddTestUser("never", "never")
		h.AddTestUser("ann")
		allowed := accountstest.Rule("by day", "group:day", []string{"**"}, scope.Read|scope.Write)
		allowed.When = hours{8, 18}
		denied := accountstest.Rule("by night", "group:night", []string{"**"}, scope.Read|scope.Write)
		denied.Deny, denied.When = true, hours{6, 20}
		forbidden := accountstest.Rule("never", "group:never", []string{"administrators"}, scope.Read|scope.Write)
		forbidden.Deny = true
		h.Policy = accountstest.Compile(t, allowed, denied, forbidden,
			accountstest.Rule("helpdesk", "group:helpdesk", []string{"accounts"}, scope.Read|scope.Write),
			accountstest.Rule("at night, a right without a condition", "group:night", []string{"**"}, scope.Read|scope.Write),
			accountstest.Rule("a right that a rule denies", "group:never", []string{"**"}, scope.Read|scope.Write))
		help := h.ActorOf(presented("help", passwordOf("help")))
		for range 2 { // at noon, and at midnight
			for name, want := range map[string]error{"day": admin.ErrForbidden, "night": admin.ErrForbidden, "never": nil, "ann": nil} {
				at := h.Clock.Now().Format("15:04")
				_, err := h.SetPassword(ctx, help, name, identity.NewSecret(passwordOf(name)), 0)
				is(t, at+": setting the password of "+name, err, want)
				_, _, err = h.AddToken(ctx, help, credentials.NewToken{Owner: credentials.Owner{Name: name}, Name: "found-" + h.Clock.Now().Format("15")})
				is(t, at+": a token for "+name, err, want)
				if name == "ann" {
					continue
				}
				_, err = h.Join(ctx, help, name, "ann", 0)
				is(t, at+": joining "+name, err, want)
				_, err = h.Leave(ctx, operator, name, "ann", 0)
				is(t, "leaving", err, nil)
			}
			h.Clock.Pass(12 * time.Hour)
		}
	})
}

// Gitea CVE-2026-56654, variant: without a deny rule for a group, a user would be an
// administrator. Only administrators may remove the user from the group.
func TestNobodyPromotesThemselvesByLeaving(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		ctx := t.Context()
		h.AddTestUser("help", "helpdesk")
		h.AddTestUser("ann", "contractors")
		if _, err := h.AddGroup(ctx, operator, "ops"); err != nil {
			t.Fatal(err)
		}
		denied := accountstest.Rule("contractors", "group:contractors", []string{"administrators"}, scope.Read|scope.Write)
		denied.Deny = true
		h.Policy = accountstest.Compile(t, denied,
			accountstest.Rule("helpdesk", "group:helpdesk", []string{"accounts"}, scope.Read|scope.Write),
			accountstest.Rule("administrators", "group:ops", []string{"**"}, scope.Read|scope.Write))
		help := h.ActorOf(presented("help", passwordOf("help")))
		_, err := h.Leave(ctx, help, "contractors", "ann", 0)
		is(t, "leaving another group", err, nil)
		_, err = h.Join(ctx, help, "contractors", "ann", 0)
		is(t, "joining again", err, nil)
		_, err = h.Join(ctx, operator, "ops", "ann", 0)
		is(t, "joining the administrators", err, nil)
		_, err = h.Leave(ctx, help, "contractors", "ann", 0)
		is(t, "leaving", err, admin.ErrForbidden)
		is(t, "deleting the group", h.DeleteGroup(ctx, help, "contractors", 0), admin.ErrForbidden)
		is(t, "deleting the group as an operator", h.DeleteGroup(ctx, operator, "contractors", 0), nil)
	})
}

// Harbor CVE-2022-31667…31670, Quay CVE-2026-32589: object ids without an owner check. For an
// object of somebody else, the error is ErrNotFound.
func TestForeignIDsAreNotFound(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		h.AddTestUser("ann")
		h.AddTestUser("bob")
		token, _ := h.AddTestToken("ann", "laptop")
		bob := h.ActorOf(presented("bob", passwordOf("bob")))
		_, err := h.Token(t.Context(), bob, token.ID)
		is(t, "looking", err, admin.ErrNotFound)
		is(t, "revoking", h.Revoke(t.Context(), bob, token.ID), admin.ErrNotFound)
		_, _, err = h.Tokens(t.Context(), bob, token.Owner, admin.Page{})
		is(t, "listing", err, admin.ErrForbidden)
		_, err = h.RevokeAll(t.Context(), bob, token.Owner, "")
		is(t, "revoking all", err, admin.ErrForbidden)
		for _, login := range []string{"ann", "nobody", "robot+ci"} {
			_, err = h.Account(t.Context(), bob, login)
			is(t, "looking up "+login, err, admin.ErrForbidden)
		}
		ann := h.ActorOf(presented("ann", passwordOf("ann")))
		is(t, "one's own", h.Revoke(t.Context(), ann, token.ID), nil)
	})
}

// Gitea CVE-2026-28699, -28744, -58444, CVE-2025-68944: a token's scope was lost on another entry
// point. The restrictions stay with the principal, even if a token is exchanged for a refresh
// token.
func TestRestrictionsStayWithTheOwner(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		h.AddTestUser("ann")
		limits := []policy.Limit{{Names: []string{"team/**"}, Actions: scope.Pull}}
		token, narrow := h.AddTestToken("ann", "narrow", limits...)
		refresh := h.RefreshToken("ann", narrow)
		for range 2 {
			v, err := h.Chain.Authenticate(t.Context(), refreshing(refresh))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(limits, v.Principal.Limits); diff != "" {
				t.Errorf("the limits of a refresh token (-want +got):\n%s", diff)
			}
			h.Maintain(t.Context())
		}
		is(t, "revoking", h.Revoke(t.Context(), operator, token.ID), nil)
		if got := h.SignIn(refreshing(refresh)); got != "rejected" {
			t.Errorf("the refresh token of a revoked token: %s", got)
		}
	})
}

// Harbor CVE-2019-19030, Gitea CVE-2025-69413: user enumeration. Known and unknown names get the
// same answer for the same work.
func TestAllRefusalsAreAlike(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		h.Maintain(t.Context())
		h.Chain = chain.New(chain.Options{Sources: []identity.Source{{Name: accounts.Source, Authenticator: h.Accounts, Kinds: accounts.Kinds()}}})
		for _, name := range []string{"ann", "disabled", "expired"} {
			h.AddTestUser(name)
			h.SignIn(presented(name, passwordOf(name)))
		}
		if _, err := h.AddUser(t.Context(), operator, accounts.NewUser{Name: "passwordless"}); err != nil {
			t.Fatal(err)
		}
		_, err := h.Disable(t.Context(), operator, "disabled", 0)
		is(t, "disabling", err, nil)
		_, err = h.SetExpiry(t.Context(), operator, "expired", h.Clock.Now().Add(time.Minute), 0)
		is(t, "expiry", err, nil)
		h.SignIn(presented("expired", passwordOf("expired"))) // cached when it expires
		h.Clock.Pass(10 * time.Minute)
		for _, c := range []identity.Presented{
			presented("ann", "wrong password"), presented("nobody", "wrong password"), presented("disabled", "wrong password"), presented("expired", "wrong password"),
			presented("disabled", passwordOf("disabled")), presented("expired", passwordOf("expired")), presented("passwordless", "wrong password"),
			presented("disabled", passwordOf("disabled")), presented("expired", passwordOf("expired")),
		} {
			before := h.Hashing.Stats()
			_, err := h.Chain.Authenticate(t.Context(), c)
			after := h.Hashing.Stats()
			if !errors.Is(err, identity.ErrRejected) || after.Hashed != before.Hashed+1 || after.Remembered != before.Remembered {
				t.Errorf("%s: %v after %d hashes, want %v after 1", c.Name, err, after.Hashed-before.Hashed, identity.ErrRejected)
			}
		}
	})
}

// zot CVE-2025-23208: users kept a group that was removed at the identity provider. In Tidewaiter,
// the next token and the next refresh no longer have the group.
func TestRemovedGroupIsGone(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		h.Maintain(t.Context())
		h.AddTestUser("ann", "dev")
		_, token, err := h.AddToken(t.Context(), operator, credentials.NewToken{Owner: credentials.Owner{Source: "ldap:corp", Name: "dora"}, Name: "laptop"})
		if err != nil {
			t.Fatal(err)
		}
		dora := []identity.Presented{presented("dora", token.Reveal()), refreshing(h.RefreshToken("dora", "directory password")), refreshing(h.RefreshToken("dora", token.Reveal()))}
		ann := []identity.Presented{presented("ann", passwordOf("ann")), refreshing(h.RefreshToken("ann", passwordOf("ann")))}
		groups := func(want []string, list ...identity.Presented) {
			t.Helper()
			for _, c := range list {
				if diff := cmp.Diff(want, h.ActorOf(c).Principal.Groups, cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("groups (-want +got):\n%s", diff)
				}
			}
		}
		groups([]string{"dev"}, append(dora, ann...)...)
		h.Directory.Groups = nil
		groups(nil, dora...)
		if _, err := h.Leave(t.Context(), operator, "dev", "ann", 0); err != nil {
			t.Fatal(err)
		}
		groups(nil, ann...)
		h.Directory.Fail(errors.New("the wire is cut"))
		for _, c := range dora {
			if _, err := h.Chain.Authenticate(t.Context(), c); !errors.Is(err, identity.ErrUnavailable) {
				t.Errorf("while the directory is down: %v, want %v", err, identity.ErrUnavailable)
			}
		}
		groups(nil, ann...)
		h.Directory.Fail(nil)
		delete(h.Directory.People, "dora")
		for _, c := range dora {
			if got := h.SignIn(c); got != "rejected" {
				t.Errorf("a user who left the directory: %s", got)
			}
		}
	})
}

// For access tokens, owners from other sources are cached for a few seconds. For refresh tokens,
// the cache is not used. If the owner no longer exists, the cached entry is removed at once.
func TestRefreshTokenLooksUpTheOwnerAgain(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		h.Options.OwnerFor = 0
		h.Reopen()
		h.Maintain(t.Context())
		_, token, err := h.AddToken(t.Context(), operator, credentials.NewToken{Owner: credentials.Owner{Source: "ldap:corp", Name: "dora"}, Name: "laptop"})
		if err != nil {
			t.Fatal(err)
		}
		kept := refreshing(h.RefreshToken("dora", "directory password"))
		groups := func(c identity.Presented) string {
			t.Helper()
			v, err := h.Authenticate(t.Context(), c)
			if err != nil {
				return err.Error()
			}
			return fmt.Sprint(v.Principal.Groups)
		}
		laptop := presented("dora", token.Reveal())
		see := func(what string, c identity.Presented, want string) {
			t.Helper()
			if got := groups(c); got != want {
				t.Errorf("%s: %s, want %s", what, got, want)
			}
		}
		see("the token", laptop, "[dev]")
		h.Directory.Groups = []string{"sales"}
		see("the token, at once", laptop, "[dev]")
		h.Clock.Pass(10 * time.Second)
		see("the token, ten seconds later", laptop, "[sales]")
		h.Directory.Groups = nil
		see("the refresh token, at once", kept, "[]")
		delete(h.Directory.People, "dora")
		see("the token of a user who has just left", laptop, "[]")
		see("the refresh token of a user who has left", kept, identity.ErrRejected.Error())
		see("the token, after the cached owner was removed", laptop, identity.ErrRejected.Error())
	})
}

// Harbor GHSA-prh4-vhfh-24mj, zot CVE-2025-48374, Gitea CVE-2026-58511: secrets appeared in logs,
// audit records and API responses. The database and errors must not contain a secret.
func TestSecretsAreNotStoredOrLogged(t *testing.T) {
	storetest.Each(t, func(t *testing.T, d storetest.Database) {
		h := newHarness(t, d.Ready(t))
		var log bytes.Buffer
		h.Options.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		h.WithLimiter(ratelimit.Options{MaxFailuresPerPair: 2})
		maintain := h.Maintain(t.Context())
		h.AddTestUser("ann")
		_, laptop := h.AddTestToken("ann", "laptop")
		_, ci := h.AddTestRobot("ci")
		setup, _, err := h.SetupSecret(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		secrets := []string{passwordOf("ann"), laptop, ci, setup.Reveal(), h.RefreshToken("ann", laptop), "canary-7f1e"}
		canary := identity.NewSecret(secrets[len(secrets)-1])
		var text []string
		says := func(_ any, err error) { text = append(text, fmt.Sprintf("%v %+v", err, err)) }
		says(h.AddUser(t.Context(), operator, accounts.NewUser{Name: "bob", Hash: canary}))
		says(h.SetUp(t.Context(), canary, accounts.NewUser{Name: "bob"}, presented("", "")))
		ann := h.ActorOf(presented("ann", laptop))
		for range 4 { // more attempts would be rate limited
			says(h.ChangePassword(t.Context(), ann, canary, canary))
			says(h.Chain.Authenticate(t.Context(), presented("ann", canary.Reveal()+"0")))
			says(h.Chain.Authenticate(t.Context(), presented("twp_"+canary.Reveal(), canary.Reveal()+"1")))
			says(h.Chain.Authenticate(t.Context(), refreshing(canary.Reveal())))
		}
		says(h.SetPassword(t.Context(), operator, "nobody", canary, 0))
		maintain()
		text = append(text, strings.Join(h.Changes(), "\n"))
		for e, err := range h.Journal.Read(t.Context(), 0) {
			text = append(text, fmt.Sprintf("%+v %+v %v", e, e.Change, err))
		}
		text = append(text, h.allContents()...)
		h.DB.Close()
		says(h.Chain.Authenticate(t.Context(), presented("eve", canary.Reveal())))
		maintain()
		text = append(text, log.String())
		if log.Len() == 0 {
			t.Error("the outage was not logged")
		}
		for _, where := range text {
			for _, secret := range secrets {
				if strings.Contains(where, secret) || strings.Contains(where, secret[5:]) || strings.Contains(where, hex.EncodeToString([]byte(secret))) {
					t.Errorf("the secret %s is in: %.200s", secret, where)
				}
			}
		}
	})
}

// allContents returns all contents of the database: its files, or the rows of all tables.
func (h *harness) allContents() (text []string) {
	h.T.Helper()
	if path, ok := strings.CutPrefix(h.URL, "sqlite:"); ok {
		for _, name := range []string{"", "-wal"} {
			file, err := os.ReadFile(path + name)
			if err != nil {
				h.T.Fatal(err)
			}
			text = append(text, string(file))
		}
		return text
	}
	column := func(query string) (list []string) {
		rows, err := h.DB.Read().Query(query)
		if err != nil {
			h.T.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var one string
			if err := rows.Scan(&one); err != nil {
				h.T.Fatal(err)
			}
			list = append(list, one)
		}
		return list
	}
	for _, table := range column("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'") {
		text = append(text, column("SELECT t::text FROM "+table+" t")...)
	}
	return text
}

// artifact-keeper: rotating docker's refresh token broke every pull. In Tidewaiter, two clients
// can use the same refresh token until it is revoked.
func TestRefreshTokenLastsUntilItIsRevoked(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		ctx := t.Context()
		h.Maintain(ctx)
		h.AddTestUser("ann")
		_, ci := h.AddTestRobot("ci")
		first, robots := h.RefreshToken("ann", passwordOf("ann")), h.RefreshToken("robot+ci", ci)
		other := refreshing(first)
		other.Client = "containers/image" // podman reads docker's credentials file
		for range 3 {
			for _, c := range []identity.Presented{refreshing(first), other} {
				if got := h.SignIn(c); got != "user:ann" {
					t.Errorf("a refresh token: %s", got)
				}
			}
			h.Clock.Pass(80 * 24 * time.Hour) // each use keeps it valid
		}
		if got := h.SignIn(refreshing(robots)); got != "rejected" {
			t.Errorf("a refresh token that was used every 80 days for 240 days: %s", got)
		}
		elsewhere := refreshing(first)
		elsewhere.Registry = "other.example.com"
		if got := h.SignIn(elsewhere); got != "rejected" {
			t.Errorf("at another registry: %s", got)
		}
		// Clients without support for refresh tokens present a refresh token by Basic
		// authentication. The name is docker's "<token>", empty, or the owner's name.
		for name, want := range map[string]string{"<token>": "user:ann", "": "user:ann", "ann": "user:ann", "bob": "rejected", "robot+ci": "rejected"} {
			if got := h.SignIn(presented(name, first)); got != want {
				t.Errorf("as the password of %q: %s, want %s", name, got, want)
			}
			elsewhere := presented(name, first)
			elsewhere.Registry = "other.example.com"
			if got := h.SignIn(elsewhere); got != "rejected" {
				t.Errorf("as the password of %q at another registry: %s", name, got)
			}
		}
		if _, err := h.ChangePassword(ctx, h.ActorOf(presented("ann", passwordOf("ann"))), identity.NewSecret(passwordOf("ann")), identity.NewSecret("a whole new password")); err != nil {
			t.Fatal(err)
		}
		if got := h.SignIn(refreshing(first)); got != "rejected" {
			t.Errorf("after the password was changed: %s", got)
		}
		second := h.RefreshToken("ann", "a whole new password")
		n, err := h.RevokeAll(ctx, operator, credentials.Owner{Name: "ann"}, credentials.Refresh)
		if err != nil || n != 1 {
			t.Errorf("revoking: %d, %v", n, err)
		}
		if got := h.SignIn(refreshing(second)); got != "rejected" {
			t.Errorf("a revoked refresh token: %s", got)
		}
	})
}

// Principals that cannot be looked up, or that present a new credential each time, get no
// refresh token.
func TestRefreshTokenIsNotIssued(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		job := &policy.Principal{Kind: policy.Workload, Name: "job", Source: "oidc:github", ID: "1"}
		gone := &policy.Principal{Kind: policy.User, Name: "gone", Source: "ldap:corp", ID: "id of gone"}
		for what, tt := range map[string]struct {
			shown identity.Presented
			who   *policy.Principal
		}{
			"a job":                                {presented("", "eyJhbGciOiJFUzI1NiJ9.e30.c2ln"), job},
			"nobody":                               {presented("", ""), &policy.Principal{}},
			"a user whom the source no longer has": {presented("gone", "password of gone"), gone},
			"a token of another system":            {presented("gone", "twp_xyz"), gone},
		} {
			secret, err := h.IssueRefresh(t.Context(), tt.shown, identity.Verified{Principal: tt.who})
			if err != nil || secret.Reveal() != "" {
				t.Errorf("%s: %v, %v", what, secret.Reveal() != "", err)
			}
		}
	})
}

// If a password is changed during a sign-in with the old password, no token is issued.
func TestOldPasswordGetsNoRefreshToken(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		h.AddTestUser("ann")
		c := presented("ann", passwordOf("ann"))
		v, err := h.Chain.Authenticate(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.SetPassword(t.Context(), operator, "ann", identity.NewSecret("a whole new password"), 0); err != nil {
			t.Fatal(err)
		}
		if secret, err := h.IssueRefresh(t.Context(), c, v); err == nil && secret.Reveal() != "" {
			t.Error("the old password got a refresh token")
		}
	})
}

// Gitea CVE-2026-20779, -58426, -58421: code replay. A setup secret can be used only once, because
// one transaction checks and deletes the secret.
func TestSetupSecretIsUsedOnce(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		secret, _, err := h.SetupSecret(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		var made atomic.Int32
		for i := range 6 {
			all.Go(func() {
				u := accounts.NewUser{Name: fmt.Sprintf("admin%d", i), Password: identity.NewSecret("correct horse battery")}
				switch _, err := h.SetUp(t.Context(), secret, u, presented("", "")); {
				case err == nil:
					made.Add(1)
				case !errors.Is(err, admin.ErrForbidden) && !errors.Is(err, admin.ErrExists):
					t.Error(err)
				}
			})
		}
		all.Wait()
		list, _, err := h.List(t.Context(), operator, policy.User, admin.Page{})
		if err != nil || made.Load() != 1 || len(list) != 1 {
			t.Errorf("%d were added, %d are stored: %v", made.Load(), len(list), err)
		}
	})
}

// If a password is changed while a refresh token is being written, no token is issued.
func TestPasswordChangeDuringAnExchange(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		other := h.Open()
		h.AddTestUser("ann")
		c := presented("ann", passwordOf("ann"))
		v, err := h.Chain.Authenticate(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		var changing sync.WaitGroup
		h.SetWrite(func(real accountstest.Write) accountstest.Write {
			return func(ctx context.Context, topic string, f func(*sql.Tx) error) error {
				return real(ctx, topic, func(tx *sql.Tx) error {
					err := f(tx)
					changing.Go(func() { // blocks until the transaction in progress ends
						if _, err := other.SetPassword(t.Context(), operator, "ann", identity.NewSecret("a whole new password"), 0); err != nil {
							t.Error(err)
						}
					})
					return err
				})
			}
		})
		secret, err := h.IssueRefresh(t.Context(), c, v)
		changing.Wait()
		if err != nil || secret.Reveal() == "" {
			t.Fatalf("no refresh token: %v", err)
		}
		if got := h.SignIn(refreshing(secret.Reveal())); got != "rejected" {
			t.Errorf("the refresh token of the old password: %s", got)
		}
	})
}

// Anyone who may change accounts can revoke a leaked token, even a token of an administrator. The
// revocation gives no rights to anybody. Administrators can still take the right to change
// accounts away from the person who revoked the token.
func TestHelpdeskRevokesALeakedTokenOfAnAdministrator(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		ctx := t.Context()
		h.Maintain(ctx)
		h.AddTestUser("admin", admin.Administrators)
		h.AddTestUser("help", "helpdesk")
		help := h.ActorOf(presented("help", passwordOf("help")))
		leaked, secret := h.AddTestToken("admin", "leaked")
		_, s := h.startSession("admin", passwordOf("admin"))
		h.ActorOf(presented("", secret))
		is(t, "revoking the leaked token", h.Revoke(ctx, help, leaked.ID), nil)
		if got := h.SignIn(presented("", secret)); got != "rejected" {
			t.Errorf("the leaked token: %s", got)
		}
		if got := h.SignIn(inSession(s)); got != "user:admin" {
			t.Errorf("the other token: %s", got)
		}
		_, err := h.RevokeAll(ctx, help, leaked.Owner, "")
		is(t, "revoking all", err, nil)
		if got := h.SignIn(inSession(s)); got != "rejected" {
			t.Errorf("the session: %s", got)
		}
		log := h.Changes()
		if diff := cmp.Diff([]string{"user:help access.revoke user:admin", "user:help token.revoke-all user:admin"}, log[len(log)-2:]); diff != "" {
			t.Errorf("the journal (-want +got):\n%s", diff)
		}
		for what, err := range map[string]error{
			"disabling":  second(h.Disable(ctx, help, "admin", 0)),
			"a password": second(h.SetPassword(ctx, help, "admin", identity.NewSecret("a whole new password"), 0)),
			"an end":     second(h.SetExpiry(ctx, help, "admin", h.Clock.Now().Add(time.Hour), 0)),
			"a token":    third(h.AddToken(ctx, help, credentials.NewToken{Owner: leaked.Owner, Name: "another"})),
			"deleting":   h.Delete(ctx, help, "admin", 0),
		} {
			is(t, what, err, admin.ErrForbidden)
		}
		_, err = h.Leave(ctx, h.ActorOf(presented("admin", passwordOf("admin"))), "helpdesk", "help", 0)
		is(t, "an administrator takes the right away, with the password", err, nil)
		_, err = h.RevokeAll(ctx, h.ActorOf(presented("help", passwordOf("help"))), leaked.Owner, "")
		is(t, "once more", err, admin.ErrForbidden)
	})
}
