package accounts_test

import (
	"errors"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/accounts"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/policy"
)

// withNamespaces uses the policy of a rulebook with the namespaces team, owned by olga, and
// other, owned by otto.
func (h *house) withNamespaces() *rulebook.Rulebook {
	h.t.Helper()
	book, err := rulebook.New(rulebook.Options{DB: h.db, Journal: h.journal, Now: h.clock.Now, DeleteOwned: accounts.Release, OnNamespaceDeleted: func() { h.Forget() }}, rulebook.Files{})
	if err == nil {
		err = book.Load(h.t.Context())
	}
	if err != nil {
		h.t.Fatal(err)
	}
	for name, owner := range map[string]string{"team": "olga", "other": "otto"} {
		if _, err := book.AddNamespace(h.t.Context(), operator, rulebook.NewNamespace{Name: name, Owners: []string{"user:" + owner}}); err != nil {
			h.t.Fatal(err)
		}
	}
	h.options.Judge = func(r *policy.Request) policy.Decision { return book.Policy().Decide(r) }
	if h.Accounts, err = accounts.Open(h.options); err != nil {
		h.t.Fatal(err)
	}
	return book
}

func owner(name string) accounts.Actor {
	return accounts.Actor{Principal: &policy.Principal{Kind: policy.User, Name: name, Source: accounts.Source, ID: "id-of-" + name}}
}

// Owners manage the robots of their namespace, and no others.
func TestOwnersLookAfterTheRobotsOfTheirNamespace(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ctx, olga, otto := t.Context(), owner("olga"), owner("otto")
		// This robot exists before its namespace.
		if _, _, err := h.AddRobot(ctx, operator, accounts.NewRobot{Name: "team.old"}); err != nil {
			t.Fatal(err)
		}
		h.withNamespaces()
		if _, err := h.AddGroup(ctx, operator, "deployers"); err != nil {
			t.Fatal(err)
		}
		if _, _, err := h.AddRobot(ctx, operator, accounts.NewRobot{Name: "team.deploy", Groups: []string{"deployers"}}); err != nil {
			t.Fatal(err)
		}
		_, secret, err := h.AddRobot(ctx, olga, accounts.NewRobot{Name: "team.ci"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.Authenticate(ctx, identity.Presented{Kind: identity.AccessToken, Name: "robot+team.ci", Secret: secret}); err != nil {
			t.Errorf("its robot does not sign in: %v", err)
		}
		for name, n := range map[string]accounts.NewRobot{
			"of another namespace": {Name: "other.ci"}, "of none": {Name: "ci"}, "of one that is not there": {Name: "nowhere.ci"},
			"of one inside": {Name: "team.a.ci"}, "in a group": {Name: "team.grouped", Groups: []string{"deployers"}},
			"that is an administrator": {Name: "team.admin", Groups: []string{accounts.Administrators}},
		} {
			if _, _, err := h.AddRobot(ctx, olga, n); !errors.Is(err, accounts.ErrForbidden) {
				t.Errorf("a robot %s: %v", name, err)
			}
		}
		narrowed := olga
		narrowed.Principal = &policy.Principal{Kind: policy.User, Name: "olga", Source: accounts.Source, ID: "id-of-olga", Limits: []policy.Limit{{Names: []string{"**"}}}}
		for name, try := range map[string]struct {
			by    accounts.Actor
			login string
		}{
			"by the owner of another namespace": {otto, "robot+team.ci"},
			"by a narrowed credential":          {narrowed, "robot+team.ci"},
			"that was there before":             {olga, "robot+team.old"},
			"that is in a group":                {olga, "robot+team.deploy"},
		} {
			for call, err := range map[string]error{
				"Rotate":    third(h.Rotate(ctx, try.by, try.login, 0)),
				"Disable":   second(h.Disable(ctx, try.by, try.login, 0)),
				"SetExpiry": second(h.SetExpiry(ctx, try.by, try.login, time.Time{}, 0)),
				"Delete":    h.Delete(ctx, try.by, try.login, 0),
				"Join":      second(h.Join(ctx, try.by, "deployers", try.login, 0)),
			} {
				if !errors.Is(err, accounts.ErrForbidden) {
					t.Errorf("%s of a robot %s: %v", call, name, err)
				}
			}
		}
		if err := second(h.Join(ctx, olga, "deployers", "robot+team.ci", 0)); !errors.Is(err, accounts.ErrForbidden) {
			t.Errorf("into a group: %v", err)
		}
		for call, err := range map[string]error{
			"Rotate":  third(h.Rotate(ctx, olga, "robot+team.ci", 0)),
			"Account": second(h.Account(ctx, olga, "robot+team.ci")),
		} {
			if err != nil {
				t.Errorf("%s: %v", call, err)
			}
		}
		list, _, err := h.Robots(ctx, olga, "team", accounts.Page{})
		if err != nil || len(list) != 2 || list[0].Name != "team.ci" || list[1].Name != "team.deploy" {
			t.Errorf("got %v, %v", list, err)
		}
		if _, _, err := h.Robots(ctx, otto, "team", accounts.Page{}); !errors.Is(err, accounts.ErrNotFound) {
			t.Errorf("robots of a foreign namespace: %v", err)
		}
		if err := h.Delete(ctx, olga, "robot+team.ci", 0); err != nil {
			t.Error(err)
		}
	})
}

// Harbor: a token outlived its deleted and re-created project. Robots are deleted with their
// namespace, and memberships with the account.
func TestRobotsGoWithTheirNamespace(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ctx, olga := t.Context(), owner("olga")
		book := h.withNamespaces()
		_, secret, err := h.AddRobot(ctx, olga, accounts.NewRobot{Name: "team.ci"})
		if err != nil {
			t.Fatal(err)
		}
		other, err := accounts.Open(h.options)
		if err != nil {
			t.Fatal(err)
		}
		tend := other.Tend(ctx)
		h.Tend(ctx)
		ci := shown("robot+team.ci", secret.Reveal())
		for _, a := range []*accounts.Accounts{h.Accounts, other} {
			if _, err := a.Authenticate(ctx, ci); err != nil || a.Warm() != 1 {
				t.Errorf("the robot: %v, and %d are warm", err, a.Warm())
			}
		}
		if err := book.DeleteNamespace(ctx, operator, "team", 0); err != nil {
			t.Fatal(err)
		}
		if _, err := book.AddNamespace(ctx, operator, rulebook.NewNamespace{Name: "team", Owners: []string{"user:olivia"}}); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Authenticate(ctx, ci); !errors.Is(err, identity.ErrRejected) {
			t.Errorf("the robot of the namespace before: %v", err)
		}
		tend()
		if _, err := other.Authenticate(ctx, ci); !errors.Is(err, identity.ErrRejected) {
			t.Errorf("elsewhere, when that process looks: %v", err)
		}
		if _, _, err := h.AddRobot(ctx, olga, accounts.NewRobot{Name: "team.ci"}); !errors.Is(err, accounts.ErrForbidden) {
			t.Errorf("the owner before: %v", err)
		}
		if _, _, err := h.AddRobot(ctx, owner("olivia"), accounts.NewRobot{Name: "team.ci"}); err != nil {
			t.Error(err)
		}

		h.user("ann")
		if _, err := book.SetMember(ctx, operator, "team", "user:ann", rulebook.Writer, 0); err != nil {
			t.Fatal(err)
		}
		if err := h.Delete(ctx, operator, "ann", 0); err != nil {
			t.Fatal(err)
		}
		h.user("ann")
		members, _, err := book.Members(ctx, operator, "team", rulebook.Page{})
		if err != nil || len(members) != 1 || members[0].Subject != "user:olivia" {
			t.Errorf("who is deleted and made again is a member still: %v, %v", members, err)
		}
	})
}

func second[T any](_ T, err error) error        { return err }
func third[A, B any](_ A, _ B, err error) error { return err }

// Gitea CVE-2026-56654, variant: a robot that may change accounts is not managed by the owners of
// its namespace. They would get its rights with its secret.
func TestOwnersDoNotBecomeTheirRobots(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ctx, olga := t.Context(), owner("olga")
		_, err := h.withNamespaces().AddRule(ctx, operator, rulebook.Content{
			Name: "robots that help", Subjects: []string{"robot:team.help"}, Tidewaiter: []string{"accounts"}, Actions: []string{"read", "write"},
		})
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = h.AddRobot(ctx, olga, accounts.NewRobot{Name: "team.help"})
		is(t, "adding it", err, accounts.ErrForbidden)
		if _, _, err = h.AddRobot(ctx, operator, accounts.NewRobot{Name: "team.help"}); err != nil {
			t.Fatal(err)
		}
		is(t, "replacing its secret", third(h.Rotate(ctx, olga, "robot+team.help", 0)), accounts.ErrForbidden)
		is(t, "letting it in again", second(h.Enable(ctx, olga, "robot+team.help", 0)), accounts.ErrForbidden)
		is(t, "deleting it", h.Delete(ctx, olga, "robot+team.help", 0), accounts.ErrForbidden)
		_, _, err = h.AddRobot(ctx, olga, accounts.NewRobot{Name: "team.ci"})
		is(t, "adding another", err, nil)
	})
}
