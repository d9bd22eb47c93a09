package accounts_test

import (
	"errors"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/accounts/accountstest"
	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/policy"
)

// Owners can manage the robots of their namespace, but no other robots.
func TestOwnersManageTheRobotsOfTheirNamespace(t *testing.T) {
	eachDatabase(t, func(t *testing.T, h *harness) {
		ctx, olga, otto := t.Context(), accountstest.NamespaceOwner("olga"), accountstest.NamespaceOwner("otto")
		// This robot exists before its namespace.
		if _, _, err := h.AddRobot(ctx, operator, accounts.NewRobot{Name: "team.old"}); err != nil {
			t.Fatal(err)
		}
		h.WithNamespaces()
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
			t.Errorf("the robot cannot sign in: %v", err)
		}
		for name, n := range map[string]accounts.NewRobot{
			"of another namespace": {Name: "other.ci"}, "without a namespace": {Name: "ci"}, "of a namespace that does not exist": {Name: "nowhere.ci"},
			"with a longer prefix": {Name: "team.a.ci"}, "in a group": {Name: "team.grouped", Groups: []string{"deployers"}},
			"that is an administrator": {Name: "team.admin", Groups: []string{admin.Administrators}},
		} {
			if _, _, err := h.AddRobot(ctx, olga, n); !errors.Is(err, admin.ErrForbidden) {
				t.Errorf("a robot %s: %v", name, err)
			}
		}
		narrowed := olga
		narrowed.Principal = &policy.Principal{Kind: policy.User, Name: "olga", Source: accounts.Source, ID: "id-of-olga", Limits: []policy.Limit{{Names: []string{"**"}}}}
		for name, try := range map[string]struct {
			by    admin.Actor
			login string
		}{
			"by the owner of another namespace": {otto, "robot+team.ci"},
			"by a restricted credential":        {narrowed, "robot+team.ci"},
			"that is older than the namespace":  {olga, "robot+team.old"},
			"that is in a group":                {olga, "robot+team.deploy"},
		} {
			for call, err := range map[string]error{
				"Rotate":    third(h.Rotate(ctx, try.by, try.login, 0)),
				"Disable":   second(h.Disable(ctx, try.by, try.login, 0)),
				"SetExpiry": second(h.SetExpiry(ctx, try.by, try.login, time.Time{}, 0)),
				"Delete":    h.Delete(ctx, try.by, try.login, 0),
				"Join":      second(h.Join(ctx, try.by, "deployers", try.login, 0)),
			} {
				if !errors.Is(err, admin.ErrForbidden) {
					t.Errorf("%s of a robot %s: %v", call, name, err)
				}
			}
		}
		if err := second(h.Join(ctx, olga, "deployers", "robot+team.ci", 0)); !errors.Is(err, admin.ErrForbidden) {
			t.Errorf("adding a robot to a group: %v", err)
		}
		for call, err := range map[string]error{
			"Rotate":  third(h.Rotate(ctx, olga, "robot+team.ci", 0)),
			"Account": second(h.Account(ctx, olga, "robot+team.ci")),
		} {
			if err != nil {
				t.Errorf("%s: %v", call, err)
			}
		}
		list, _, err := h.Robots(ctx, olga, "team", admin.Page{})
		if err != nil || len(list) != 2 || list[0].Name != "team.ci" || list[1].Name != "team.deploy" {
			t.Errorf("got %v, %v", list, err)
		}
		if _, _, err := h.Robots(ctx, otto, "team", admin.Page{}); !errors.Is(err, admin.ErrNotFound) {
			t.Errorf("robots of a namespace that the actor does not own: %v", err)
		}
		if err := h.Delete(ctx, olga, "robot+team.ci", 0); err != nil {
			t.Error(err)
		}
	})
}

// Gitea CVE-2026-56654, variant: owners of a namespace do not manage a robot that may change
// accounts. With the robot's secret, they would get the robot's rights.
func TestOwnersGetNoRightsOfTheirRobots(t *testing.T) {
	eachDatabase(t, func(t *testing.T, h *harness) {
		ctx, olga := t.Context(), accountstest.NamespaceOwner("olga")
		_, err := h.WithNamespaces().AddRule(ctx, operator, rulebook.Content{
			Name: "robots that help", Subjects: []string{"robot:team.help"}, Tidewaiter: []string{"accounts"}, Actions: []string{"read", "write"},
		})
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = h.AddRobot(ctx, olga, accounts.NewRobot{Name: "team.help"})
		is(t, "adding a robot that may change accounts", err, admin.ErrForbidden)
		if _, _, err = h.AddRobot(ctx, operator, accounts.NewRobot{Name: "team.help"}); err != nil {
			t.Fatal(err)
		}
		is(t, "replacing its secret", third(h.Rotate(ctx, olga, "robot+team.help", 0)), admin.ErrForbidden)
		is(t, "enabling it again", second(h.Enable(ctx, olga, "robot+team.help", 0)), admin.ErrForbidden)
		is(t, "deleting it", h.Delete(ctx, olga, "robot+team.help", 0), admin.ErrForbidden)
		_, _, err = h.AddRobot(ctx, olga, accounts.NewRobot{Name: "team.ci"})
		is(t, "adding a robot without rights", err, nil)
	})
}
