package accounts_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/identity"
)

// A change that finds nothing to change leaves no trace: no journal entry, no new version, and no
// cleared cache. Scripts and controllers repeat their changes all the time.
func TestUnchangedObjectsAreNotWritten(t *testing.T) {
	eachDatabase(t, func(t *testing.T, h *harness) {
		ctx := t.Context()
		h.AddTestUser("root", admin.Administrators)
		h.AddTestUser("ann", "dev")
		h.AddTestRobot("ci")
		end := h.Clock.Now().Add(24 * time.Hour)
		account := func(a accounts.Account, err error) (int64, bool, error) { return a.Version, a.Unchanged, err }
		group := func(g accounts.Group, err error) (int64, bool, error) { return g.Version, g.Unchanged, err }
		place := netip.MustParsePrefix("203.0.113.0/24")
		for _, tt := range []struct {
			what string
			do   func() (version int64, unchanged bool, err error)
		}{
			{"disable a user", func() (int64, bool, error) { return account(h.Disable(ctx, operator, "ann", 0)) }},
			{"enable a user", func() (int64, bool, error) { return account(h.Enable(ctx, operator, "ann", 0)) }},
			{"set an expiry", func() (int64, bool, error) { return account(h.SetExpiry(ctx, operator, "ann", end, 0)) }},
			{"remove the expiry", func() (int64, bool, error) { return account(h.SetExpiry(ctx, operator, "ann", time.Time{}, 0)) }},
			{"disable a robot", func() (int64, bool, error) { return account(h.Disable(ctx, operator, "robot+ci", 0)) }},
			{"set a robot's expiry", func() (int64, bool, error) { return account(h.SetExpiry(ctx, operator, "robot+ci", end, 0)) }},
			{"enable a robot", func() (int64, bool, error) { return account(h.Enable(ctx, operator, "robot+ci", 0)) }},
			{"allow a place", func() (int64, bool, error) { return account(h.AllowPlace(ctx, operator, "ann", place)) }},
			{"leave a group", func() (int64, bool, error) { return group(h.Leave(ctx, operator, "dev", "ann", 0)) }},
			{"join a group", func() (int64, bool, error) { return group(h.Join(ctx, operator, "dev", "ann", 0)) }},
			{"join Auditors, which creates the group", func() (int64, bool, error) { return group(h.Join(ctx, operator, admin.Auditors, "ann", 0)) }},
		} {
			before := len(h.Changes())
			version, unchanged, err := tt.do()
			if got := len(h.Changes()) - before; err != nil || unchanged || got != 1 {
				t.Errorf("%s: unchanged %t, %d entries, %v", tt.what, unchanged, got, err)
			}
			counter := h.counter()
			again, unchanged, err := tt.do()
			if got := len(h.Changes()) - before; err != nil || !unchanged || again != version || got != 1 {
				t.Errorf("%s again: unchanged %t, version %d after %d, %d entries, %v", tt.what, unchanged, again, version, got, err)
			}
			if h.counter() != counter {
				t.Errorf("%s again: the caches of other processes were cleared", tt.what)
			}
		}
		if _, err := h.Disable(ctx, operator, "ann", 1000); !errors.Is(err, admin.ErrChanged) {
			t.Errorf("a change with another version: %v", err)
		}
	})
}

// counter returns the change counter of the topic accounts.
func (h *harness) counter() (n int64) {
	h.T.Helper()
	err := h.DB.Read().QueryRowContext(h.T.Context(), "SELECT coalesce(max(counter), 0) FROM changes WHERE topic = 'accounts'").Scan(&n)
	if err != nil {
		h.T.Fatal(err)
	}
	return n
}

// If two sources each have a principal with the same name, rules cannot distinguish these
// principals. If a new account could have the name of a user in another source, the account would
// get that user's rights, or that user could no longer sign in.
func TestNameOfAnotherSourceIsRefused(t *testing.T) {
	eachDatabase(t, func(t *testing.T, h *harness) {
		ctx := t.Context()
		h.Options.Elsewhere = otherSourcesStub
		all := h.Open()
		taken := func(what string, err error) {
			t.Helper()
			if e, ok := errors.AsType[*accounts.TakenError](err); !ok || e.Source != "htpasswd" || !errors.Is(err, admin.ErrExists) {
				t.Errorf("%s: %v", what, err)
			}
		}
		secret, _, err := all.SetupSecret(ctx)
		if err != nil {
			t.Fatal(err)
		}
		password := identity.NewSecret(passwordOf("admin"))
		_, err = all.SetUp(ctx, secret, accounts.NewUser{Name: "admin", Password: password}, identity.Presented{})
		taken("set-up", err)
		if _, err = all.SetUp(ctx, secret, accounts.NewUser{Name: "root", Password: password}, identity.Presented{}); err != nil {
			t.Errorf("setting up with another name: %v", err)
		}
		before := len(h.Changes())
		_, err = all.AddUser(ctx, operator, accounts.NewUser{Name: "admin"})
		taken("a user", err)
		_, _, err = all.AddRobot(ctx, operator, accounts.NewRobot{Name: "ci"})
		taken("a robot", err)
		if got := h.Changes()[before:]; len(got) != 0 {
			t.Errorf("the journal has %v", got)
		}
		if a, err := all.AddUser(ctx, operator, accounts.NewUser{Name: "admin", Moved: true}); err != nil || a.Unchecked != nil {
			t.Errorf("a moved user: %v, %v", a, err)
		}

		// A retry after a lost response succeeds, even if another source knows the name in the
		// meantime.
		by := operator
		by.Key = "key"
		if _, err := h.AddUser(ctx, by, accounts.NewUser{Name: "late"}); err != nil {
			t.Fatal(err)
		}
		if a, err := all.AddUser(ctx, by, accounts.NewUser{Name: "late"}); err != nil || a.Name != "late" {
			t.Errorf("with the same key: %v, %v", a, err)
		}

		// During an outage of a directory, accounts can still be added. The answer names the
		// directory.
		want := []string{"ldap:corp: it is down"}
		a, err := all.AddUser(ctx, operator, accounts.NewUser{Name: "zoe"})
		if err != nil || !slices.Equal(a.Unchecked, want) {
			t.Errorf("the directory is down: %v, %v", a.Unchecked, err)
		}
		for e, err := range h.Journal.Read(ctx, 0) {
			if err != nil {
				t.Fatal(err)
			}
			if c := e.Change; c != nil && c.Action == "user.add" && c.Target == "zoe" {
				if got, _ := c.To["unchecked"].([]any); len(got) != 1 || got[0] != want[0] {
					t.Errorf("the journal has %v", c.To)
				}
			}
		}
	})
}

// otherSourcesStub stands for two other sources: an htpasswd file with admin, late and robot+ci,
// and a directory that is down.
func otherSourcesStub(_ context.Context, login string) accounts.Elsewhere {
	if slices.Contains([]string{"admin", "late", "robot+ci"}, login) {
		return accounts.Elsewhere{Source: "htpasswd"}
	}
	return accounts.Elsewhere{Unchecked: []string{"ldap:corp: it is down"}}
}
