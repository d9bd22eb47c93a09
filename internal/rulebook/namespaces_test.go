package rulebook_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

func team(t testing.TB, d *harness, name string, owners ...string) rulebook.Namespace {
	t.Helper()
	return must[rulebook.Namespace](t)(d.AddNamespace(t.Context(), operator, rulebook.NewNamespace{Name: name, Owners: owners}))
}

// Owners manage their namespace without being administrators.
func TestOwnersManageTheirNamespace(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, d *harness) {
		ctx, olga := t.Context(), actor("olga")
		team(t, d, "team", "user:olga")
		d.requireGrant(user("olga"), "repository:team/app:pull,push,delete", "pull,push,delete")
		d.requireGrant(user("olga"), "repository:team:pull", "")
		d.requireGrant(user("olga"), "repository:teams/app:pull", "")
		d.requireGrant(user("bob"), "repository:team/app:pull", "")

		must[rulebook.Namespace](t)(d.SetMember(ctx, olga, "team", "user:bob", rulebook.Writer, 0))
		got, rule := d.grantedActions(user("bob"), "repository:team/a/b:pull,push,delete")
		if got != "pull,push" || rule != `"namespace team: writer" (namespace team)` {
			t.Errorf("got %q by %s", got, rule)
		}
		must[rulebook.Namespace](t)(d.SetMember(ctx, olga, "team", "group:dev", rulebook.Reader, 0))
		d.requireGrant(user("carl", "dev"), "repository:team/app:pull,push", "pull")

		must[rulebook.Role](t)(d.AddRole(ctx, olga, "team", rulebook.Role{Name: "cleaner", Actions: scope.Delete}))
		must[rulebook.Namespace](t)(d.SetMember(ctx, olga, "team", "robot:broom", "cleaner", 0))
		broom := &policy.Principal{Kind: policy.Robot, Name: "broom", ID: "1"}
		d.requireGrant(broom, "repository:team/app:pull,delete", "delete")
		requireInvalid(t, d.DeleteRole(ctx, olga, "team", "cleaner", 0), "name")

		must[rulebook.Namespace](t)(d.SetVisibility(ctx, olga, "team", rulebook.Internal, 0))
		d.requireGrant(user("dan"), "repository:team/app:pull,push", "pull")
		d.requireGrant(&policy.Principal{}, "repository:team/app:pull", "")
		n := must[rulebook.Namespace](t)(d.SetVisibility(ctx, olga, "team", rulebook.Public, 0))
		d.requireGrant(&policy.Principal{}, "repository:team/app:pull,push", "pull")

		must[rulebook.Namespace](t)(d.RemoveMember(ctx, olga, "team", "user:bob", n.Version))
		d.requireGrant(user("bob"), "repository:team/app:push", "")
		_, err := d.RemoveMember(ctx, olga, "team", "group:dev", n.Version)
		wants(t, err, admin.ErrChanged)

		list, next, err := d.Members(ctx, olga, "team", admin.Page{Limit: 2})
		var subjects []string
		for _, m := range list {
			subjects = append(subjects, m.Subject+" "+m.Role)
		}
		if diff := cmp.Diff([]string{"group:dev reader", "robot:broom cleaner"}, subjects); diff != "" || next != "robot:broom" || err != nil {
			t.Error(diff, next, err)
		}

		// As soon as the call returns, Olga is no longer an owner.
		must[rulebook.Namespace](t)(d.SetMember(ctx, olga, "team", "user:olga", rulebook.Reader, 0))
		_, err = d.SetMember(ctx, olga, "team", "user:olga", rulebook.Owner, 0)
		wants(t, err, admin.ErrNotFound)
	})
}

// If another replica has just removed an owner, the owner has no rights in this replica.
func TestOwnerIsCheckedByTheLatestPolicy(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, d *harness) {
		ctx := t.Context()
		team(t, d, "team", "user:olga")
		other := openHarness(t, d.url, file())
		if err := other.Load(ctx); err != nil { // without Run, so it notices no changes
			t.Fatal(err)
		}
		must[rulebook.Namespace](t)(d.RemoveMember(ctx, operator, "team", "user:olga", 0))
		_, err := other.SetMember(ctx, actor("olga"), "team", "user:olga", rulebook.Owner, 0)
		wants(t, err, admin.ErrNotFound)
	})
}

// A group of a directory is one member, even if the DN is added and removed in different
// spellings.
func TestSpellingsOfAMemberAreOneMember(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, d *harness) {
		ctx := t.Context()
		team(t, d, "team", `group:CN=Ops\2C EU,DC=example,DC=com`)
		ann := user("ann")
		ann.Groups = []string{`cn=ops\, eu,dc=example,dc=com`}
		d.requireGrant(ann, "repository:team/app:pull,push", "pull,push")
		must[rulebook.Namespace](t)(d.SetMember(ctx, operator, "team", `group:cn="OPS, EU", dc=example, dc=com`, rulebook.Reader, 0))
		d.requireGrant(ann, "repository:team/app:pull,push", "pull")
		n := must[rulebook.Namespace](t)(d.RemoveMember(ctx, operator, "team", `group:cn=ops\, EU,dc=example,dc=com`, 0))
		d.requireGrant(ann, "repository:team/app:pull,push", "")
		if n.Size != 0 {
			t.Errorf("%d members are left", n.Size)
		}
		_, err := d.AddNamespace(ctx, operator, rulebook.NewNamespace{Name: "x", Owners: []string{"group:CN=a,DC=b", "group:cn=a,dc=b"}})
		requireInvalid(t, err, "owners")
	})
}

// No namespace is inside another namespace, and the names of namespaces are canonical.
func TestNamespacesDoNotOverlap(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, d *harness) {
		ctx := t.Context()
		team(t, d, "shop/web", "group:web")
		team(t, d, "shop-2", "group:two")
		team(t, d, "shop/webs", "group:webs")
		add := func(name string) error {
			_, err := d.AddNamespace(ctx, operator, rulebook.NewNamespace{Name: name})
			return err
		}
		wants(t, add("shop/web"), admin.ErrExists)
		for _, name := range []string{"shop", "shop/web/api", "shop/web/api/v1"} {
			requireInvalid(t, add(name), "name")
		}
		for _, name := range []string{
			"", "/", "Team", "team/", "/team", "a//b", "a.b", "a b", "*", "**", "a/*", "a/**", "${user}", "a_/b", "-a", "a--b", "тeam", "host:5000/a", "..", strings.Repeat("a", 65), strings.Repeat("a/", 70) + "a",
		} {
			requireInvalid(t, add(name), "name")
		}
		_, err := d.AddNamespace(ctx, operator, rulebook.NewNamespace{Name: "x", Visibility: "secret"})
		requireInvalid(t, err, "visibility")
		_, err = d.AddNamespace(ctx, operator, rulebook.NewNamespace{Name: "x", Owners: []string{"anyone"}})
		requireInvalid(t, err, "owners")
		_, err = d.AddNamespace(ctx, operator, rulebook.NewNamespace{Name: "x", Owners: []string{"user:a", "user:a"}})
		requireInvalid(t, err, "owners")
	})
}

// Harbor: a token outlived its deleted and re-created project. A namespace inherits nothing
// from a deleted namespace of the same name. Members of the deleted namespace have no rights in
// the new one.
func TestNamespaceInheritsNothingFromADeletedOne(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, d *harness) {
		ctx := t.Context()
		before := team(t, d, "team", "user:olga")
		team(t, d, "other", "user:otto")
		must[rulebook.Role](t)(d.AddRole(ctx, operator, "team", rulebook.Role{Name: "cleaner", Actions: scope.Delete}))
		must[rulebook.Namespace](t)(d.SetMember(ctx, operator, "team", "user:bob", "cleaner", 0))
		must[rulebook.Namespace](t)(d.SetMember(ctx, operator, "other", "robot:team.ci", rulebook.Writer, 0))
		must[rulebook.Namespace](t)(d.SetMember(ctx, operator, "other", "robot:teams.ci", rulebook.Writer, 0))
		must[rulebook.Namespace](t)(d.SetVisibility(ctx, operator, "team", rulebook.Public, 0))
		if err := d.DeleteNamespace(ctx, operator, "team", 0); err != nil {
			t.Fatal(err)
		}
		d.requireGrant(user("olga"), "repository:team/app:pull", "")
		after := team(t, d, "team", "user:olivia")
		if after.ID == before.ID {
			t.Error("an id was reused")
		}
		d.requireGrant(user("olivia"), "repository:team/app:delete", "delete")
		d.requireGrant(user("olga"), "repository:team/app:pull", "")
		d.requireGrant(user("bob"), "repository:team/app:delete", "")
		d.requireGrant(&policy.Principal{}, "repository:team/app:pull", "")
		_, err := d.SetMember(ctx, actor("olga"), "team", "user:olga", rulebook.Owner, 0)
		wants(t, err, admin.ErrNotFound)
		_, err = d.Role(ctx, operator, "team", "cleaner")
		wants(t, err, admin.ErrNotFound)
		list, _, err := d.Members(ctx, operator, "other", admin.Page{})
		if err != nil || len(list) != 2 || list[0].Subject != "robot:teams.ci" {
			t.Errorf("the robots of the deleted namespace: %v, %v", list, err)
		}
	})
}

// Harbor, Quay: object ids without an owner check. Every call returns ErrNotFound to an actor
// without a right to the namespace.
func TestForeignNamespaceIsNotFound(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, d *harness) {
		ctx, otto := t.Context(), actor("otto")
		team(t, d, "team", "user:olga")
		team(t, d, "other", "user:otto")
		for _, name := range []string{"team", "nowhere"} {
			for call, err := range map[string]error{
				"Namespace":     second(d.Namespace(ctx, otto, name)),
				"SetVisibility": second(d.SetVisibility(ctx, otto, name, rulebook.Public, 0)),
				"SetMember":     second(d.SetMember(ctx, otto, name, "user:otto", rulebook.Owner, 0)),
				"RemoveMember":  second(d.RemoveMember(ctx, otto, name, "user:olga", 0)),
				"AddRole":       second(d.AddRole(ctx, otto, name, rulebook.Role{Name: "x", Actions: scope.Pull})),
				"SetRole":       second(d.SetRole(ctx, otto, name, rulebook.Role{Name: "x", Actions: scope.Pull}, 0)),
				"DeleteRole":    d.DeleteRole(ctx, otto, name, "x", 0),
				"Role":          second(d.Role(ctx, otto, name, "x")),
			} {
				if !errors.Is(err, admin.ErrNotFound) {
					t.Errorf("%s of %s: %v", call, name, err)
				}
			}
			if _, _, err := d.Members(ctx, otto, name, admin.Page{}); !errors.Is(err, admin.ErrNotFound) {
				t.Errorf("Members of %s: %v", name, err)
			}
		}
		wants(t, second(d.AddNamespace(ctx, otto, rulebook.NewNamespace{Name: "third", Owners: []string{"user:otto"}})), admin.ErrForbidden)
		wants(t, d.DeleteNamespace(ctx, otto, "other", 0), admin.ErrForbidden)
		list, next, err := d.Namespaces(ctx, otto, admin.Page{Limit: 1})
		if err != nil || len(list) != 1 || list[0].Name != "other" || next != "" {
			t.Errorf("got %v, %q, %v", list, next, err)
		}
		narrowed := otto
		narrowed.Principal = user("otto")
		narrowed.Principal.Limits = []policy.Limit{{Type: scope.TypeTidewaiter, Names: []string{"**"}, Actions: scope.Write}}
		wants(t, second(d.SetVisibility(ctx, narrowed, "other", rulebook.Public, 0)), admin.ErrForbidden)
	})
}

func second[T any](_ T, err error) error { return err }

// randomWrite makes a random change of the members or roles of a namespace. Most of these changes
// are invalid.
func (d *harness) randomWrite(t *rapid.T, by admin.Actor, namespace string) error {
	ctx := d.t.Context()
	subject := rapid.SampledFrom([]string{
		"user:ann", "user:bob", "group:dev", "group:" + admin.Administrators, "robot:ci", "robot:team.ci", "robot:other.ci", "workload:job",
		"anyone", "signed-in", "user:*", "user:${user}", "group:", "user:ann ", "",
	}).Draw(t, "subject")
	role := rapid.SampledFrom([]string{"owner", "maintainer", "writer", "reader", "own", "global", "publisher", "**", ""}).Draw(t, "role")
	actions := scope.Actions(rapid.Uint8().Draw(t, "actions"))
	switch rapid.IntRange(0, 5).Draw(t, "what") {
	case 0:
		return second(d.SetMember(ctx, by, namespace, subject, role, 0))
	case 1:
		return second(d.RemoveMember(ctx, by, namespace, subject, 0))
	case 2:
		return second(d.AddRole(ctx, by, namespace, rulebook.Role{Name: role, Actions: actions}))
	case 3:
		return second(d.SetRole(ctx, by, namespace, rulebook.Role{Name: role, Actions: actions}, 0))
	case 4:
		return d.DeleteRole(ctx, by, namespace, role, 0)
	}
	return second(d.SetVisibility(ctx, by, namespace, rapid.SampledFrom([]rulebook.Visibility{"public", "internal", "private", "**"}).Draw(t, "visibility"), 0))
}

// No change by an owner alters a decision about a name outside the namespace, or a right over
// Tidewaiter except the rights over this namespace. Nobody has more rights in the namespace
// than its owners.
func TestOwnersChangeOnlyTheirNamespace(t *testing.T) {
	d := newHarness(t, storetest.SQLite().Ready(t))
	team(t, d, "team", "user:olga")
	team(t, d, "other", "user:otto", "robot:team.ci")
	must[rulebook.Role](t)(d.AddRole(t.Context(), operator, "", rulebook.Role{Name: "global", Actions: scope.Pull | scope.Read | scope.Write}))
	people := []*policy.Principal{
		{}, user("ann"), user("bob", "dev"), user("otto"), user("root", admin.Administrators),
		{Kind: policy.Robot, Name: "ci", ID: "1"}, {Kind: policy.Robot, Name: "team.ci", ID: "2"}, {Kind: policy.Robot, Name: "other.ci", ID: "3"},
		{Kind: policy.Workload, Name: "job", ID: "4"},
	}
	asks := []string{
		"repository:team:pull,push,delete", "repository:teams/app:pull,push,delete", "repository:other/app:pull,push,delete", "repository:library/app:pull,push,delete",
		"repository:host:5000/team/app:pull,push,delete",
		"registry:catalog:*", "tidewaiter:accounts:read,write", "tidewaiter:administrators:read,write", "tidewaiter:policy:read,write",
		"tidewaiter:namespaces:read,write", "tidewaiter:namespace/other:read,write", "tidewaiter:namespace/teams:read,write", "tidewaiter:journal:read,write",
	}
	outside := func() string {
		var all strings.Builder
		for _, who := range people {
			for _, ask := range asks {
				granted, rule := d.grantedActions(who, ask)
				fmt.Fprintln(&all, who, ask, granted, rule)
			}
		}
		return all.String()
	}
	before := outside()
	rapid.Check(t, func(t *rapid.T) {
		// Olga may always make this change, so there is at least one valid change.
		visibility := rapid.SampledFrom([]rulebook.Visibility{rulebook.Public, rulebook.Private}).Draw(t, "at first")
		must[rulebook.Namespace](d.t)(d.SetVisibility(d.t.Context(), actor("olga"), "team", visibility, 0))
		for range 5 {
			_ = d.randomWrite(t, actor("olga"), "team")
		}
		if after := outside(); after != before {
			t.Fatal(cmp.Diff(before, after))
		}
		for _, who := range people {
			if granted, rule := d.grantedActions(who, "repository:team/app:pull,push,delete"); granted != "" && !strings.HasSuffix(rule, "(namespace team)") {
				t.Fatalf("%s has %s in the namespace by %s", who, granted, rule)
			}
		}
		if d.Status().Problem != nil {
			t.Fatal(d.Status().Problem)
		}
		must[rulebook.Namespace](d.t)(d.SetMember(d.t.Context(), operator, "team", "user:olga", rulebook.Owner, 0))
	})
}

// A file can have a rule with the name of a rule of a namespace. Both rules are then in force.
func TestNoNameOfARuleCanBreakThePolicy(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, d *harness) {
		team(t, d, "team", "user:olga")
		files := file()
		files.Source.Rules = append(files.Source.Rules, policy.Rule{Name: "namespace team: owner", Subjects: []string{"user:x"}, Names: []string{"x"}, Actions: scope.Pull})
		if err := d.Reload(t.Context(), files, func(*policy.Policy) {}); err != nil {
			t.Fatal(err)
		}
		if got, rule := d.grantedActions(user("olga"), "repository:team/app:pull"); got != "pull" || rule != `"namespace team: owner (2)" (namespace team)` {
			t.Errorf("got %q by %s", got, rule)
		}
	})
}
