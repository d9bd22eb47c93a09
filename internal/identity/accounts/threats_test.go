package accounts_test

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

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/accounts"
	"github.com/tidewaiter/tidewaiter/internal/ratelimit"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// ways are all credentials of ann, cached.
func (h *house) ways() map[string]identity.Presented {
	h.t.Helper()
	_, laptop := h.token("ann", "laptop")
	list := map[string]identity.Presented{
		"password":                 shown("ann", secretOf("ann")),
		"token":                    shown("ann", laptop),
		"token without a name":     shown("", laptop),
		"refresh token":            refreshing(h.refresh("ann", secretOf("ann"))),
		"refresh token of a token": refreshing(h.refresh("ann", laptop)),
	}
	for what, c := range list {
		if got := h.enters(c); got != "user:ann" {
			h.t.Fatalf("%s: %s", what, got)
		}
	}
	return list
}

func (h *house) all(list map[string]identity.Presented, want string) {
	h.t.Helper()
	for what, c := range list {
		if got := h.enters(c); got != want {
			h.t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
}

// Gitea CVE-2026-58422, -55987: sign-in re-enabled a disabled account. A disabled account stays
// disabled for every credential, also for cached ones.
func TestDisabledStaysDisabled(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.Tend(t.Context())
		h.user("ann")
		ways := h.ways()
		if _, err := h.Disable(t.Context(), operator, "ann", 0); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			h.all(ways, "rejected")
		}
		// An account in another source with the same name does not sign in: the first source that
		// knows the name decides.
		h.directory.People["ann"] = "directory password"
		if got := h.enters(shown("ann", "directory password")); got != "rejected" {
			t.Errorf("the password of another account with the same name: %s", got)
		}
		if _, err := h.chain.Find(t.Context(), "ann", ""); !errors.Is(err, identity.ErrUnknown) {
			t.Errorf("finding who is disabled: %v", err)
		}
		if a, err := h.Account(t.Context(), operator, "ann"); err != nil || !a.Disabled {
			t.Errorf("after that: %+v, %v", a, err)
		}
		if _, err := h.Enable(t.Context(), operator, "ann", 0); err != nil {
			t.Fatal(err)
		}
		for what, c := range ways {
			want := "user:ann"
			if c.Kind == identity.RefreshToken {
				want = "rejected" // revoked
			}
			if got := h.enters(c); got != want {
				t.Errorf("%s of who was enabled: %s, want %s", what, got, want)
			}
		}
	})
}

// Harbor 2026: a token outlived its deleted and re-created project. Names are reused, ids are not.
func TestANamesakeHasNothingOfTheDeleted(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.Tend(t.Context())
		old := h.user("ann", "dev")
		ways := h.ways()
		_, ci := h.robot("ci")
		if err := errors.Join(h.Delete(t.Context(), operator, "ann", 0), h.Delete(t.Context(), operator, "robot+ci", 0)); err != nil {
			t.Fatal(err)
		}
		h.all(ways, "rejected")
		a, err := h.AddUser(t.Context(), operator, accounts.NewUser{Name: "ann", Password: identity.NewSecret("another good password")})
		if err != nil || a.ID == old.ID || len(a.Groups) != 0 {
			t.Errorf("the later account: %+v, %v", a, err)
		}
		h.robot("ci")
		h.all(ways, "rejected")
		if got := h.enters(shown("robot+ci", ci)); got != "rejected" {
			t.Errorf("the old robot's secret: %s", got)
		}
		if _, err := h.chain.FindIn(t.Context(), "accounts", "ann", old.ID); !errors.Is(err, identity.ErrUnknown) {
			t.Errorf("finding the old one: %v", err)
		}
		if list, _, err := h.Tokens(t.Context(), operator, accounts.Owner{Name: "ann"}, accounts.Page{}); len(list) != 0 || err != nil {
			t.Errorf("the later account has tokens: %v, %v", list, err)
		}
		if list, _, err := h.Tokens(t.Context(), operator, accounts.Owner{}, accounts.Page{}); len(list) != 1 || err != nil {
			t.Errorf("the tokens of all are %v, %v, want the new robot's secret", list, err)
		}
	})
	each(t, func(t *testing.T, h *house) {
		h.user("ann", "dev")
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
func TestNobodyPromotesHimself(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ctx := t.Context()
		h.user("admin", accounts.Administrators)
		h.user("another", accounts.Administrators)
		h.user("help", "helpdesk")
		h.user("ann")
		if _, err := h.AddGroup(ctx, operator, "ops"); err != nil {
			t.Fatal(err)
		}
		_, wide := h.token("admin", "wide")
		_, narrow := h.token("admin", "narrow", policy.Limit{Type: scope.TypeTidewaiter, Names: []string{"**"}, Actions: scope.Read | scope.Write})
		_, laptop := h.token("ann", "laptop", policy.Limit{Names: []string{"team/**"}, Actions: scope.Pull})
		_, ending, err := h.AddToken(ctx, operator, accounts.NewToken{Owner: accounts.Owner{Name: "ann"}, Name: "ending", Expires: h.clock.Now().Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		_, ci := h.robot("ci")
		ops := map[string]func(by accounts.Actor) error{
			"add a user": func(by accounts.Actor) error {
				_, err := h.AddUser(ctx, by, accounts.NewUser{Name: "eve"})
				return errors.Join(err, h.Delete(ctx, operator, "eve", 0))
			},
			"add an administrator": func(by accounts.Actor) error {
				_, err := h.AddUser(ctx, by, accounts.NewUser{Name: "eve", Groups: []string{accounts.Administrators}})
				return errors.Join(err, h.Delete(ctx, operator, "eve", 0))
			},
			"become an administrator": func(by accounts.Actor) error {
				_, err := h.Join(ctx, by, accounts.Administrators, "ann", 0)
				_, undo := h.Leave(ctx, operator, accounts.Administrators, "ann", 0)
				return errors.Join(err, undo)
			},
			"become an administrator by a rule": func(by accounts.Actor) error {
				_, err := h.Join(ctx, by, "ops", "ann", 0)
				_, undo := h.Leave(ctx, operator, "ops", "ann", 0)
				return errors.Join(err, undo)
			},
			"set an administrator's password": func(by accounts.Actor) error {
				_, err := h.SetPassword(ctx, by, "admin", identity.NewSecret(secretOf("admin")), 0)
				return err
			},
			"set a user's password": func(by accounts.Actor) error {
				_, err := h.SetPassword(ctx, by, "ann", identity.NewSecret(secretOf("ann")), 0)
				return err
			},
			"make a token for an administrator": func(by accounts.Actor) error {
				token, _, err := h.AddToken(ctx, by, accounts.NewToken{Owner: accounts.Owner{Name: "admin"}, Name: "stolen"})
				if err == nil {
					return h.Revoke(ctx, operator, token.ID)
				}
				return err
			},
			"disable an administrator": func(by accounts.Actor) error {
				_, err := h.Disable(ctx, by, "admin", 0)
				_, undo := h.Enable(ctx, operator, "admin", 0)
				return errors.Join(err, undo)
			},
			"see the users": func(by accounts.Actor) error {
				_, _, err := h.List(ctx, by, policy.User, accounts.Page{})
				return err
			},
			"see the tokens": func(by accounts.Actor) error {
				_, _, err := h.Tokens(ctx, by, accounts.Owner{}, accounts.Page{})
				return err
			},
		}
		for _, tt := range []struct {
			who string
			as  accounts.Actor
			may string
		}{
			{"an administrator", h.as(shown("admin", secretOf("admin"))), "add a user, add an administrator, become an administrator, become an administrator by a rule, set a user's password, make a token for an administrator, disable an administrator, see the users, see the tokens"},
			{"an administrator's token", h.as(shown("admin", wide)), "add a user, add an administrator, become an administrator, become an administrator by a rule, set a user's password, make a token for an administrator, disable an administrator, see the users, see the tokens"},
			{"an administrator's narrowed token", h.as(shown("admin", narrow)), "make a token for an administrator, see the users, see the tokens"},
			{"the helpdesk", h.as(shown("help", secretOf("help"))), "add a user, set a user's password, see the users, see the tokens"},
			{"a user", h.as(shown("ann", secretOf("ann"))), ""},
			{"a narrowed token", h.as(shown("ann", laptop)), ""},
			{"a robot", h.as(shown("robot+ci", ci)), ""},
			{"nobody", accounts.Actor{}, ""},
			{"somebody anonymous", accounts.Actor{Principal: &policy.Principal{Kind: policy.Anonymous, Groups: []string{accounts.Administrators}}}, ""},
		} {
			for what, f := range ops {
				if tt.who == "an administrator's narrowed token" && strings.HasPrefix(what, "make") {
					continue // for themselves and as narrow: tested below
				}
				err := f(tt.as)
				if strings.Contains(tt.may, what) {
					is(t, tt.who+" may "+what, err, nil)
				} else {
					is(t, tt.who+" may "+what, err, accounts.ErrForbidden)
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
			{laptop, []policy.Limit{{Names: []string{"team/app"}, Actions: scope.Pull | scope.Push}}, 0, accounts.ErrForbidden},
			{laptop, []policy.Limit{{Names: []string{"**"}, Actions: scope.Pull}}, 0, accounts.ErrForbidden},
			{laptop, []policy.Limit{{Type: "registry", Names: []string{"catalog"}, Actions: scope.All}}, 0, accounts.ErrForbidden},
			{laptop, []policy.Limit{{Type: "tidewaiter", Names: []string{"**"}, Actions: scope.Read}}, 0, accounts.ErrForbidden},
			{ending.Reveal(), pull, 0, nil}, // expires with it
			{ending.Reveal(), pull, time.Minute, nil},
			{ending.Reveal(), pull, 2 * time.Hour, accounts.ErrForbidden},
			{secretOf("ann"), nil, 0, nil},
		} {
			by := h.as(shown("ann", tt.with))
			n := accounts.NewToken{Name: "another", Limits: tt.limits}
			if tt.ends != 0 {
				n.Expires = h.clock.Now().Add(tt.ends)
			}
			token, secret, err := h.AddToken(ctx, by, n)
			is(t, fmt.Sprintf("a token for %v, ending after %v", tt.limits, tt.ends), err, tt.want)
			if err != nil {
				continue
			}
			if len(by.Principal.Limits) > 0 && len(token.Limits) == 0 || !by.Until.IsZero() && (token.Expires.IsZero() || token.Expires.After(by.Until)) {
				t.Errorf("a token that is more than %+v: %+v", by, token)
			}
			// A leaked token must not live on in its descendants.
			if got := h.enters(shown("ann", secret.Reveal())); got != "user:ann" {
				t.Errorf("the new token: %s", got)
			}
			if err := h.Revoke(ctx, operator, token.ID); err != nil {
				t.Error(err)
			}
		}
		made, _, err := h.AddToken(ctx, h.as(shown("ann", laptop)), accounts.NewToken{Name: "child"})
		is(t, "a child", err, nil)
		own := h.as(shown("ann", secretOf("ann")))
		is(t, "revoking the parent", h.Revoke(ctx, own, made.Parent), nil)
		_, err = h.Token(ctx, own, made.ID)
		is(t, "the child of a revoked token", err, accounts.ErrNotFound)
		_, _, err = h.AddToken(ctx, h.as(shown("robot+ci", ci)), accounts.NewToken{Name: "stay"})
		invalid(t, "a robot's token", err, "owner")
		_, err = h.SetPassword(ctx, h.as(shown("admin", wide)), "admin", identity.NewSecret("a whole new password"), 0)
		is(t, "a password of a token", err, accounts.ErrForbidden)
		_, err = h.ChangePassword(ctx, h.as(shown("admin", wide)), identity.NewSecret("guess guess guess"), identity.NewSecret("a whole new password"))
		invalid(t, "a password of a token and a guess", err, "current")
		_, err = h.ChangePassword(ctx, h.as(shown("admin", wide)), identity.NewSecret(secretOf("admin")), identity.NewSecret("a whole new password"))
		is(t, "a password of a password", err, nil)
	})
}

// at is a condition that holds at some hours only.
type at struct{ from, to int }

func (c at) Holds(r *policy.Request) (bool, error) {
	return r.Now.Hour() >= c.from && r.Now.Hour() < c.to, nil
}
func (at) Explain(*policy.Request) []policy.Value { return nil }
func (at) String() string                         { return "office hours" }

// Gitea CVE-2026-56654, variant: an administrator at some hours only. Anyone who could set their
// password at other hours would become one.
func TestNobodyPromotesHimselfByWaiting(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ctx := t.Context()
		h.user("help", "helpdesk")
		h.user("day", "day")
		h.user("night", "night")
		h.user("never", "never")
		h.user("ann")
		allowed := rule("by day", "group:day", []string{"**"}, scope.Read|scope.Write)
		allowed.When = at{8, 18}
		denied := rule("by night", "group:night", []string{"**"}, scope.Read|scope.Write)
		denied.Deny, denied.When = true, at{6, 20}
		forbidden := rule("never", "group:never", []string{"administrators"}, scope.Read|scope.Write)
		forbidden.Deny = true
		h.policy = compile(t, allowed, denied, forbidden,
			rule("helpdesk", "group:helpdesk", []string{"accounts"}, scope.Read|scope.Write),
			rule("also by night", "group:night", []string{"**"}, scope.Read|scope.Write),
			rule("if it were not denied", "group:never", []string{"**"}, scope.Read|scope.Write))
		help := h.as(shown("help", secretOf("help")))
		for range 2 { // at noon, and at midnight
			for name, want := range map[string]error{"day": accounts.ErrForbidden, "night": accounts.ErrForbidden, "never": nil, "ann": nil} {
				at := h.clock.Now().Format("15:04")
				_, err := h.SetPassword(ctx, help, name, identity.NewSecret(secretOf(name)), 0)
				is(t, at+": setting the password of "+name, err, want)
				_, _, err = h.AddToken(ctx, help, accounts.NewToken{Owner: accounts.Owner{Name: name}, Name: "found-" + h.clock.Now().Format("15")})
				is(t, at+": a token for "+name, err, want)
				if name == "ann" {
					continue
				}
				_, err = h.Join(ctx, help, name, "ann", 0)
				is(t, at+": joining "+name, err, want)
				_, err = h.Leave(ctx, operator, name, "ann", 0)
				is(t, "leaving", err, nil)
			}
			h.clock.add(12 * time.Hour)
		}
	})
}

// Gitea CVE-2026-56654, variant: a group keeps a user from being an administrator. Only
// administrators may remove the user from it.
func TestNobodyPromotesHimselfByLeaving(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ctx := t.Context()
		h.user("help", "helpdesk")
		h.user("ann", "contractors")
		if _, err := h.AddGroup(ctx, operator, "ops"); err != nil {
			t.Fatal(err)
		}
		denied := rule("contractors", "group:contractors", []string{"administrators"}, scope.Read|scope.Write)
		denied.Deny = true
		h.policy = compile(t, denied,
			rule("helpdesk", "group:helpdesk", []string{"accounts"}, scope.Read|scope.Write),
			rule("administrators", "group:ops", []string{"**"}, scope.Read|scope.Write))
		help := h.as(shown("help", secretOf("help")))
		_, err := h.Leave(ctx, help, "contractors", "ann", 0)
		is(t, "leaving, for nothing", err, nil)
		_, err = h.Join(ctx, help, "contractors", "ann", 0)
		is(t, "joining again", err, nil)
		_, err = h.Join(ctx, operator, "ops", "ann", 0)
		is(t, "joining the administrators", err, nil)
		_, err = h.Leave(ctx, help, "contractors", "ann", 0)
		is(t, "leaving", err, accounts.ErrForbidden)
		is(t, "ending the group", h.DeleteGroup(ctx, help, "contractors", 0), accounts.ErrForbidden)
		is(t, "ending it as an operator", h.DeleteGroup(ctx, operator, "contractors", 0), nil)
	})
}

// Harbor CVE-2022-31667…31670, Quay CVE-2026-32589: object ids without an owner check. An object
// of somebody else is not found.
func TestForeignIDsAreNotFound(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.user("ann")
		h.user("bob")
		token, _ := h.token("ann", "laptop")
		bob := h.as(shown("bob", secretOf("bob")))
		_, err := h.Token(t.Context(), bob, token.ID)
		is(t, "looking", err, accounts.ErrNotFound)
		is(t, "revoking", h.Revoke(t.Context(), bob, token.ID), accounts.ErrNotFound)
		_, _, err = h.Tokens(t.Context(), bob, token.Owner, accounts.Page{})
		is(t, "listing", err, accounts.ErrForbidden)
		_, err = h.RevokeAll(t.Context(), bob, token.Owner, "")
		is(t, "revoking all", err, accounts.ErrForbidden)
		for _, login := range []string{"ann", "nobody", "robot+ci"} {
			_, err = h.Account(t.Context(), bob, login)
			is(t, "looking up "+login, err, accounts.ErrForbidden)
		}
		ann := h.as(shown("ann", secretOf("ann")))
		is(t, "one's own", h.Revoke(t.Context(), ann, token.ID), nil)
	})
}

// Gitea CVE-2026-28699, -28744, -58444, CVE-2025-68944: a token's scope was lost on another entry
// point. Restrictions stay with the principal, also through a refresh token.
func TestNarrowingTravels(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.user("ann")
		limits := []policy.Limit{{Names: []string{"team/**"}, Actions: scope.Pull}}
		token, narrow := h.token("ann", "narrow", limits...)
		refresh := h.refresh("ann", narrow)
		for range 2 {
			v, err := h.chain.Authenticate(t.Context(), refreshing(refresh))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(limits, v.Principal.Limits); diff != "" {
				t.Errorf("the limits of a refresh token (-want +got):\n%s", diff)
			}
			h.Tend(t.Context())
		}
		is(t, "revoking", h.Revoke(t.Context(), operator, token.ID), nil)
		if got := h.enters(refreshing(refresh)); got != "rejected" {
			t.Errorf("the refresh token of a revoked token: %s", got)
		}
	})
}

// Harbor CVE-2019-19030, Gitea CVE-2025-69413: user enumeration. Known and unknown names get the
// same answer for the same work.
func TestOneAnswerForAllRefusals(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.Tend(t.Context())
		h.chain = identity.NewChain(identity.Options{Sources: []identity.Source{{Name: accounts.Source, Authenticator: h.Accounts, Kinds: accounts.Kinds()}}})
		for _, name := range []string{"ann", "disabled", "expired"} {
			h.user(name)
			h.enters(shown(name, secretOf(name)))
		}
		if _, err := h.AddUser(t.Context(), operator, accounts.NewUser{Name: "passwordless"}); err != nil {
			t.Fatal(err)
		}
		_, err := h.Disable(t.Context(), operator, "disabled", 0)
		is(t, "disabling", err, nil)
		_, err = h.SetExpiry(t.Context(), operator, "expired", h.clock.Now().Add(time.Minute), 0)
		is(t, "expiry", err, nil)
		h.enters(shown("expired", secretOf("expired"))) // cached when it expires
		h.clock.add(10 * time.Minute)
		for _, c := range []identity.Presented{
			shown("ann", "wrong password"), shown("nobody", "wrong password"), shown("disabled", "wrong password"), shown("expired", "wrong password"),
			shown("disabled", secretOf("disabled")), shown("expired", secretOf("expired")), shown("passwordless", "wrong password"),
			shown("disabled", secretOf("disabled")), shown("expired", secretOf("expired")),
		} {
			before := h.hashing.Stats()
			_, err := h.chain.Authenticate(t.Context(), c)
			after := h.hashing.Stats()
			if !errors.Is(err, identity.ErrRejected) || after.Hashed != before.Hashed+1 || after.Remembered != before.Remembered {
				t.Errorf("%s: %v after %d hashes, want %v after 1", c.Name, err, after.Hashed-before.Hashed, identity.ErrRejected)
			}
		}
	})
}

// zot CVE-2025-23208: a group that was removed at the identity provider stayed. Here it is gone
// from the next token and refresh.
func TestADroppedGroupIsGone(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.Tend(t.Context())
		h.user("ann", "dev")
		_, token, err := h.AddToken(t.Context(), operator, accounts.NewToken{Owner: accounts.Owner{Source: "ldap:corp", Name: "dora"}, Name: "laptop"})
		if err != nil {
			t.Fatal(err)
		}
		dora := []identity.Presented{shown("dora", token.Reveal()), refreshing(h.refresh("dora", "directory password")), refreshing(h.refresh("dora", token.Reveal()))}
		ann := []identity.Presented{shown("ann", secretOf("ann")), refreshing(h.refresh("ann", secretOf("ann")))}
		groups := func(want []string, list ...identity.Presented) {
			t.Helper()
			for _, c := range list {
				if diff := cmp.Diff(want, h.as(c).Principal.Groups, cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("groups (-want +got):\n%s", diff)
				}
			}
		}
		groups([]string{"dev"}, append(dora, ann...)...)
		h.directory.Groups = nil
		groups(nil, dora...)
		if _, err := h.Leave(t.Context(), operator, "dev", "ann", 0); err != nil {
			t.Fatal(err)
		}
		groups(nil, ann...)
		h.directory.Fail(errors.New("the wire is cut"))
		for _, c := range dora {
			if _, err := h.chain.Authenticate(t.Context(), c); !errors.Is(err, identity.ErrUnavailable) {
				t.Errorf("while the directory is down: %v, want %v", err, identity.ErrUnavailable)
			}
		}
		groups(nil, ann...)
		h.directory.Fail(nil)
		delete(h.directory.People, "dora")
		for _, c := range dora {
			if got := h.enters(c); got != "rejected" {
				t.Errorf("who left the directory: %s", got)
			}
		}
	})
}

// Owners of other sources are cached for access tokens, for seconds. A refresh token bypasses the
// cache. If the owner does not exist, the cached entry is removed at once.
func TestARefreshAsksTheSourceAgain(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.options.OwnerFor = 0
		var err error
		if h.Accounts, err = accounts.Open(h.options); err != nil {
			t.Fatal(err)
		}
		h.Tend(t.Context())
		_, token, err := h.AddToken(t.Context(), operator, accounts.NewToken{Owner: accounts.Owner{Source: "ldap:corp", Name: "dora"}, Name: "laptop"})
		if err != nil {
			t.Fatal(err)
		}
		kept := refreshing(h.refresh("dora", "directory password"))
		groups := func(c identity.Presented) string {
			t.Helper()
			v, err := h.Authenticate(t.Context(), c)
			if err != nil {
				return err.Error()
			}
			return fmt.Sprint(v.Principal.Groups)
		}
		laptop := shown("dora", token.Reveal())
		see := func(what string, c identity.Presented, want string) {
			t.Helper()
			if got := groups(c); got != want {
				t.Errorf("%s: %s, want %s", what, got, want)
			}
		}
		see("the token", laptop, "[dev]")
		h.directory.Groups = []string{"sales"}
		see("the token, at once", laptop, "[dev]")
		h.clock.add(10 * time.Second)
		see("the token, ten seconds later", laptop, "[sales]")
		h.directory.Groups = nil
		see("the refresh token, at once", kept, "[]")
		delete(h.directory.People, "dora")
		see("the token of who left", laptop, "[]")
		see("the refresh token of who left", kept, identity.ErrRejected.Error())
		see("the token, now that it is known", laptop, identity.ErrRejected.Error())
	})
}

// Harbor GHSA-prh4-vhfh-24mj, zot CVE-2025-48374, Gitea CVE-2026-58511: secrets in logs, audit,
// API. Neither the database nor an error contains one.
func TestSecretsAreNowhere(t *testing.T) {
	storetest.Each(t, func(t *testing.T, d storetest.Database) {
		h := newHouse(t, d.Ready(t))
		var log bytes.Buffer
		h.options.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		h.guarded(ratelimit.Options{MaxFailuresPerPair: 2})
		tend := h.Tend(t.Context())
		h.user("ann")
		_, laptop := h.token("ann", "laptop")
		_, ci := h.robot("ci")
		setup, _, err := h.SetupSecret(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		secrets := []string{secretOf("ann"), laptop, ci, setup.Reveal(), h.refresh("ann", laptop), "canary-7f1e"}
		canary := identity.NewSecret(secrets[len(secrets)-1])
		var text []string
		says := func(_ any, err error) { text = append(text, fmt.Sprintf("%v %+v", err, err)) }
		says(h.AddUser(t.Context(), operator, accounts.NewUser{Name: "bob", Hash: canary}))
		says(h.SetUp(t.Context(), canary, accounts.NewUser{Name: "bob"}, shown("", "")))
		ann := h.as(shown("ann", laptop))
		for range 4 { // then it is rate limited
			says(h.ChangePassword(t.Context(), ann, canary, canary))
			says(h.chain.Authenticate(t.Context(), shown("ann", canary.Reveal()+"0")))
			says(h.chain.Authenticate(t.Context(), shown("twp_"+canary.Reveal(), canary.Reveal()+"1")))
			says(h.chain.Authenticate(t.Context(), refreshing(canary.Reveal())))
		}
		says(h.SetPassword(t.Context(), operator, "nobody", canary, 0))
		tend()
		text = append(text, strings.Join(h.changes(), "\n"))
		for e, err := range h.journal.Read(t.Context(), 0) {
			text = append(text, fmt.Sprintf("%+v %+v %v", e, e.Change, err))
		}
		text = append(text, h.everything()...)
		h.db.Close()
		says(h.chain.Authenticate(t.Context(), shown("eve", canary.Reveal())))
		tend()
		text = append(text, log.String())
		if log.Len() == 0 {
			t.Error("nothing was logged of a database that is gone")
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

// everything returns all contents of the database: its files, or the rows of all tables.
func (h *house) everything() (text []string) {
	h.t.Helper()
	if path, ok := strings.CutPrefix(h.url, "sqlite:"); ok {
		for _, name := range []string{"", "-wal"} {
			file, err := os.ReadFile(path + name)
			if err != nil {
				h.t.Fatal(err)
			}
			text = append(text, string(file))
		}
		return text
	}
	column := func(query string) (list []string) {
		rows, err := h.db.Read().Query(query)
		if err != nil {
			h.t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var one string
			if err := rows.Scan(&one); err != nil {
				h.t.Fatal(err)
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

// artifact-keeper: rotating docker's refresh token broke every pull. Here one token works from
// two clients until it is revoked.
func TestARefreshTokenLastsUntilItIsRevoked(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ctx := t.Context()
		h.Tend(ctx)
		h.user("ann")
		_, ci := h.robot("ci")
		first, robots := h.refresh("ann", secretOf("ann")), h.refresh("robot+ci", ci)
		other := refreshing(first)
		other.Client = "containers/image" // podman reads docker's credentials file
		for range 3 {
			for _, c := range []identity.Presented{refreshing(first), other} {
				if got := h.enters(c); got != "user:ann" {
					t.Errorf("a refresh token: %s", got)
				}
			}
			h.clock.add(80 * 24 * time.Hour) // each use keeps it valid
		}
		if got := h.enters(refreshing(robots)); got != "rejected" {
			t.Errorf("one that was not used for 240 days: %s", got)
		}
		elsewhere := refreshing(first)
		elsewhere.Registry = "other.example.com"
		if got := h.enters(elsewhere); got != "rejected" {
			t.Errorf("at another registry: %s", got)
		}
		// Clients without support for refresh tokens present one by Basic: with docker's user
		// name "<token>", without a name, or with the owner's.
		for name, want := range map[string]string{"<token>": "user:ann", "": "user:ann", "ann": "user:ann", "bob": "rejected", "robot+ci": "rejected"} {
			if got := h.enters(shown(name, first)); got != want {
				t.Errorf("as the password of %q: %s, want %s", name, got, want)
			}
			elsewhere := shown(name, first)
			elsewhere.Registry = "other.example.com"
			if got := h.enters(elsewhere); got != "rejected" {
				t.Errorf("as the password of %q at another registry: %s", name, got)
			}
		}
		if _, err := h.ChangePassword(ctx, h.as(shown("ann", secretOf("ann"))), identity.NewSecret(secretOf("ann")), identity.NewSecret("a whole new password")); err != nil {
			t.Fatal(err)
		}
		if got := h.enters(refreshing(first)); got != "rejected" {
			t.Errorf("after the password was changed: %s", got)
		}
		second := h.refresh("ann", "a whole new password")
		n, err := h.RevokeAll(ctx, operator, accounts.Owner{Name: "ann"}, accounts.Refresh)
		if err != nil || n != 1 {
			t.Errorf("revoking: %d, %v", n, err)
		}
		if got := h.enters(refreshing(second)); got != "rejected" {
			t.Errorf("a revoked one: %s", got)
		}
	})
}

// Principals that cannot be looked up, or that authenticate anew each time, get no refresh token.
func TestWhoGetsNoRefreshToken(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		job := &policy.Principal{Kind: policy.Workload, Name: "job", Source: "oidc:github", ID: "1"}
		gone := &policy.Principal{Kind: policy.User, Name: "gone", Source: "ldap:corp", ID: "id of gone"}
		for what, tt := range map[string]struct {
			shown identity.Presented
			who   *policy.Principal
		}{
			"a job":             {shown("", "eyJhbGciOiJFUzI1NiJ9.e30.c2ln"), job},
			"nobody":            {shown("", ""), &policy.Principal{}},
			"who is not there":  {shown("gone", "password of gone"), gone},
			"a token of others": {shown("gone", "twp_xyz"), gone},
		} {
			secret, err := h.IssueRefresh(t.Context(), tt.shown, identity.Verified{Principal: tt.who})
			if err != nil || secret.Reveal() != "" {
				t.Errorf("%s: %v, %v", what, secret.Reveal() != "", err)
			}
		}
	})
}

// A password that is changed during a sign-in with the old one leaves no token behind.
func TestAnOldPasswordMakesNoRefreshToken(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.user("ann")
		c := shown("ann", secretOf("ann"))
		v, err := h.chain.Authenticate(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.SetPassword(t.Context(), operator, "ann", identity.NewSecret("a whole new password"), 0); err != nil {
			t.Fatal(err)
		}
		if secret, err := h.IssueRefresh(t.Context(), c, v); err == nil && secret.Reveal() != "" {
			t.Error("the old password made one")
		}
	})
}

// Gitea CVE-2026-20779, -58426, -58421: code replay. Single use, in one transaction.
func TestASetUpSecretIsUsedOnce(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		secret, _, err := h.SetupSecret(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		var made atomic.Int32
		for i := range 6 {
			all.Go(func() {
				u := accounts.NewUser{Name: fmt.Sprintf("admin%d", i), Password: identity.NewSecret("correct horse battery")}
				switch _, err := h.SetUp(t.Context(), secret, u, shown("", "")); {
				case err == nil:
					made.Add(1)
				case !errors.Is(err, accounts.ErrForbidden) && !errors.Is(err, accounts.ErrExists):
					t.Error(err)
				}
			})
		}
		all.Wait()
		list, _, err := h.List(t.Context(), operator, policy.User, accounts.Page{})
		if err != nil || made.Load() != 1 || len(list) != 1 {
			t.Errorf("%d were made, %d are there: %v", made.Load(), len(list), err)
		}
	})
}

// The same holds if the refresh token is being written at that moment.
func TestAPasswordThatIsChangedVoidsWhatIsBeingMade(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		other, err := accounts.Open(h.options)
		if err != nil {
			t.Fatal(err)
		}
		h.user("ann")
		c := shown("ann", secretOf("ann"))
		v, err := h.chain.Authenticate(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		var changing sync.WaitGroup
		h.SetWrite(func(real accounts.Write) accounts.Write {
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
		if got := h.enters(refreshing(secret.Reveal())); got != "rejected" {
			t.Errorf("the refresh token of the old password: %s", got)
		}
	})
}

// Anyone who may change accounts can revoke a leaked token, also an administrator's. They gain
// nothing by it, and no administrator is kept from taking that right away from them.
func TestTheHelpdeskStopsALeakAndLocksNobodyOut(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ctx := t.Context()
		h.Tend(ctx)
		h.user("admin", accounts.Administrators)
		h.user("help", "helpdesk")
		help := h.as(shown("help", secretOf("help")))
		leaked, secret := h.token("admin", "leaked")
		_, s := h.session("admin", secretOf("admin"))
		h.as(shown("", secret))
		is(t, "revoking what has leaked", h.Revoke(ctx, help, leaked.ID), nil)
		if got := h.enters(shown("", secret)); got != "rejected" {
			t.Errorf("what has leaked: %s", got)
		}
		if got := h.enters(inSession(s)); got != "user:admin" {
			t.Errorf("what has not: %s", got)
		}
		_, err := h.RevokeAll(ctx, help, leaked.Owner, "")
		is(t, "revoking all", err, nil)
		if got := h.enters(inSession(s)); got != "rejected" {
			t.Errorf("the session: %s", got)
		}
		log := h.changes()
		if diff := cmp.Diff([]string{"user:help access.revoke user:admin", "user:help token.revoke-all user:admin"}, log[len(log)-2:]); diff != "" {
			t.Errorf("the journal (-want +got):\n%s", diff)
		}
		for what, err := range map[string]error{
			"disabling":  second(h.Disable(ctx, help, "admin", 0)),
			"a password": second(h.SetPassword(ctx, help, "admin", identity.NewSecret("a whole new password"), 0)),
			"an end":     second(h.SetExpiry(ctx, help, "admin", h.clock.Now().Add(time.Hour), 0)),
			"a token":    third(h.AddToken(ctx, help, accounts.NewToken{Owner: leaked.Owner, Name: "another"})),
			"deleting":   h.Delete(ctx, help, "admin", 0),
		} {
			is(t, what, err, accounts.ErrForbidden)
		}
		_, err = h.Leave(ctx, h.as(shown("admin", secretOf("admin"))), "helpdesk", "help", 0)
		is(t, "taking the right away, by the password", err, nil)
		_, err = h.RevokeAll(ctx, h.as(shown("help", secretOf("help"))), leaked.Owner, "")
		is(t, "once more", err, accounts.ErrForbidden)
	})
}
