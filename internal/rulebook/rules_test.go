package rulebook_test

import (
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/ruleset"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/when"
	"github.com/tidewaiter/tidewaiter/scope"
)

func freeze() rulebook.Content {
	return rulebook.Content{Name: "freeze", Effect: ruleset.Deny, Repositories: []string{"library/**"}, Actions: []string{"pull"}}
}

// A deny rule of the database overrides an allow rule of a file, and its origin is the database.
func TestDenyOfTheDatabaseOverridesFiles(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, d *harness) {
		ctx := t.Context()
		d.requireGrant(user("ann"), "repository:library/app:pull", "pull")
		made := must[rulebook.Rule](t)(d.AddRule(ctx, operator, freeze()))
		got, rule := d.grantedActions(user("ann"), "repository:library/app:pull")
		if got != "" || rule != `"freeze" (the database)` {
			t.Errorf("got %q by %s", got, rule)
		}
		changed := freeze()
		changed.Repositories = []string{"library/old/**"}
		set := must[rulebook.Rule](t)(d.SetRule(ctx, operator, "freeze", changed, made.Version))
		d.requireGrant(user("ann"), "repository:library/app:pull", "pull")
		d.requireGrant(user("ann"), "repository:library/old/app:pull", "")

		_, err := d.SetRule(ctx, operator, "freeze", freeze(), made.Version)
		wants(t, err, admin.ErrChanged)
		wants(t, d.DeleteRule(ctx, operator, "freeze", made.Version), admin.ErrChanged)
		if found := must[rulebook.Rule](t)(d.Rule(ctx, operator, "freeze")); !cmp.Equal(found, set) {
			t.Error(cmp.Diff(set, found))
		}
		if err := d.DeleteRule(ctx, operator, "freeze", set.Version); err != nil {
			t.Fatal(err)
		}
		d.requireGrant(user("ann"), "repository:library/old/app:pull", "pull")
		wants(t, d.DeleteRule(ctx, operator, "freeze", 0), admin.ErrNotFound)
	})
}

// A rule that does not compile is refused before it is stored, and the error lists all problems
// with their fields.
func TestDatabaseStoresNoInvalidRule(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, d *harness) {
		ctx := t.Context()
		for _, tt := range []struct {
			name string
			rule rulebook.Content
			want []string
		}{
			{"nothing", rulebook.Content{}, []string{
				"name: name is missing",
				"subjects: subjects is missing: an allow rule must have subjects",
				"repositories: repositories is missing, or catalog: true, or tidewaiter",
				"actions: give actions or role",
			}},
			{"a pattern, a subject, a registry", rulebook.Content{
				Name: "a", Subjects: []string{"usr:ann"}, Repositories: []string{"a", "team//app"}, Actions: []string{"pull"}, Registries: []string{"other"},
			}, []string{
				`subjects: "usr:ann" is not a subject; there are anyone, signed-in, anonymous, user:NAME, group:NAME, robot:NAME and workload:NAME (did you mean "user:ann"?)`,
				`registries: no registry has the service "other"; there is registry.example.com`,
				`repositories: the pattern "team//app" has an empty path part (did you mean "team/app"?)`,
			}},
			{"an unknown right", rulebook.Content{
				Name: "a", Subjects: []string{"user:ann"}, Tidewaiter: []string{"policies"}, Actions: []string{"read"}, Lifetime: "1m",
			}, []string{
				`tidewaiter: "policies" is not a right over Tidewaiter: use accounts, administrators, journal, policy, namespaces, namespace/NAME, or "**" for all`,
				"lifetime: lifetime applies only to registries, and the rule is for Tidewaiter itself",
			}},
			{"a role that does not exist", rulebook.Content{
				Name: "a", Subjects: []string{"user:ann"}, Repositories: []string{"a"}, Role: "publishr",
			}, []string{`role: there is no role "publishr" (did you mean "publisher"?)`}},
			{"actions", rulebook.Content{
				Name: "a", Effect: "permit", Subjects: []string{"user:ann"}, Repositories: []string{"a"}, Actions: []string{"pull", "pull", "pul"},
			}, []string{
				`effect: "permit" is not one of allow, deny (did you mean "allow"?)`,
				"actions: pull is listed twice",
				`actions: "pul" is not one of pull, push, delete, read, write, * (did you mean "pull"?)`,
			}},
			{"empty lists", rulebook.Content{
				Name: "a", Effect: ruleset.Deny, Subjects: []string{}, Registries: []string{}, Repositories: []string{"a"}, Actions: []string{"pull"}, Empty: []string{"when"},
			}, []string{
				"subjects: the list is empty, which could mean none or all; add items, or leave out the key",
				"registries: the list is empty, which could mean none or all; add items, or leave out the key",
				"when: 1:1: the condition is empty",
			}},
			{"a condition", rulebook.Content{
				Name: "a", Subjects: []string{"user:ann"}, Repositories: []string{"a"}, Actions: []string{"pull"}, When: "true",
			}, []string{"when: conditions are not supported here"}},
		} {
			_, err := d.AddRule(ctx, operator, tt.rule)
			problems, _ := errors.AsType[ruleset.Problems](err)
			var got []string
			for _, p := range problems {
				got = append(got, p.String())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s\n%v", tt.name, diff, err)
			}
		}

		// If the database has an invalid rule nevertheless, Load reports the rule by its name. No
		// policy without this rule takes effect.
		_ = must[rulebook.Rule](t)(d.AddRule(ctx, operator, freeze()))
		err := d.db.Write(ctx, "rulebook", func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "UPDATE rulebook_rules SET content = $1", `{"name":"freeze","effect":"deny","repositories":["library/**"],"registries":[],"actions":["pull"]}`)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := openHarness(t, d.url, file()).Load(ctx); err == nil || !strings.Contains(err.Error(), `reading the rule "freeze" of the database: registries: the list is empty`) {
			t.Errorf("loading a rule for an unknown registry: %v", err)
		}
		if err := d.DeleteRule(ctx, operator, "freeze", 0); err != nil {
			t.Fatal(err)
		}

		// A condition that another version of Tidewaiter has stored cannot be compiled. An allow
		// rule with such a condition never matches, and a deny rule with such a condition always
		// matches.
		_ = must[rulebook.Rule](t)(d.AddRule(ctx, operator, freeze()))
		_ = must[rulebook.Rule](t)(d.AddRule(ctx, operator, rulebook.Content{Name: "open", Subjects: []string{"anyone"}, Repositories: []string{"old/**"}, Actions: []string{"pull"}}))
		err = d.db.Write(ctx, "rulebook", func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, `UPDATE rulebook_rules SET content = replace(content, '"actions"', '"when":"claims.ip == request.ip","actions"')`)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		book, err := rulebook.New(rulebook.Options{DB: d.db, When: when.NewCompiler().Compile}, file())
		if err != nil {
			t.Fatal(err)
		}
		late := &harness{Rulebook: book, t: t}
		if err := late.Load(ctx); err != nil {
			t.Fatalf("loading conditions of another version: %v", err)
		}
		late.requireGrant(user("ann"), "repository:library/app:pull", "")
		late.requireGrant(user("ann"), "repository:old/app:pull", "")
		for _, r := range late.Policy().Rules() {
			if bad := rulebook.Unreadable(r.When); (bad != nil) != (r.Name == "freeze" || r.Name == "open") {
				t.Errorf("the rule %q: %v", r.Name, bad)
			}
		}
		for _, name := range []string{"freeze", "open"} {
			if err := d.DeleteRule(ctx, operator, name, 0); err != nil {
				t.Fatal(err)
			}
		}
		taken := freeze()
		taken.Name = "public images"
		_, err = d.AddRule(ctx, operator, taken)
		wants(t, err, admin.ErrExists)
		must[rulebook.Rule](t)(d.AddRule(ctx, operator, freeze()))
		_, err = d.AddRule(ctx, operator, freeze())
		wants(t, err, admin.ErrExists)
		if n := d.Policy().Len(); n != 3 {
			t.Errorf("%d rules", n)
		}
	})
}

// If rules use a role, the role cannot be deleted, and cannot be changed in a way that makes a
// rule invalid.
func TestRolesInUseAreProtected(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, d *harness) {
		ctx := t.Context()
		_, err := d.AddRole(ctx, operator, "", rulebook.Role{Name: "publisher", Actions: scope.Pull})
		wants(t, err, admin.ErrExists) // the name is in the file
		role := must[rulebook.Role](t)(d.AddRole(ctx, operator, "", rulebook.Role{Name: "cleaner", Actions: scope.Pull | scope.Delete}))
		must[rulebook.Rule](t)(d.AddRule(ctx, operator, rulebook.Content{Name: "clean", Subjects: []string{"robot:broom"}, Repositories: []string{"**"}, Role: "cleaner"}))
		broom := &policy.Principal{Kind: policy.Robot, Name: "broom", ID: "1"}
		d.requireGrant(broom, "repository:a/b:pull,delete", "pull,delete")

		requireInvalid(t, d.DeleteRole(ctx, operator, "", "cleaner", 0), "name")
		_, err = d.SetRole(ctx, operator, "", rulebook.Role{Name: "cleaner", Actions: scope.Read}, 0)
		requireInvalid(t, err, "actions")
		must[rulebook.Role](t)(d.SetRole(ctx, operator, "", rulebook.Role{Name: "cleaner", Actions: scope.Delete}, role.Version))
		d.requireGrant(broom, "repository:a/b:pull,delete", "delete")
		_, err = d.SetRole(ctx, operator, "", rulebook.Role{Name: "cleaner", Actions: scope.Pull}, role.Version)
		wants(t, err, admin.ErrChanged)

		if err := d.DeleteRule(ctx, operator, "clean", 0); err != nil {
			t.Fatal(err)
		}
		if err := d.DeleteRole(ctx, operator, "", "cleaner", 0); err != nil {
			t.Fatal(err)
		}
		list, next, err := d.Roles(ctx, operator, "", admin.Page{})
		if err != nil || len(list) != 0 || next != "" {
			t.Errorf("got %v, %q, %v", list, next, err)
		}
	})
}

// Actors with the right to write rules cannot use this right to become administrators.
func TestNobodyPromotesThemselvesByARule(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, d *harness) {
		ctx, pat := t.Context(), actor("pat", "policy")
		must[rulebook.Rule](t)(d.AddRule(ctx, pat, freeze()))
		own := rulebook.Content{Name: "own", Subjects: []string{"user:pat"}, Tidewaiter: []string{"**"}, Actions: []string{"read", "write"}}
		_, err := d.AddRule(ctx, pat, own)
		wants(t, err, admin.ErrForbidden)
		_, err = d.SetRule(ctx, pat, "freeze", own, 0)
		wants(t, err, admin.ErrForbidden)
		_, err = d.AddRole(ctx, pat, "", rulebook.Role{Name: "keeper", Actions: scope.Write})
		wants(t, err, admin.ErrForbidden)

		root := actor("root", admin.Administrators)
		must[rulebook.Rule](t)(d.AddRule(ctx, root, rulebook.Content{Name: "not eve", Effect: ruleset.Deny, Subjects: []string{"user:eve"}, Tidewaiter: []string{"**"}, Actions: []string{"*"}}))
		wants(t, d.DeleteRule(ctx, pat, "not eve", 0), admin.ErrForbidden)
		_, err = d.AddRule(ctx, actor("eve", admin.Administrators), own)
		wants(t, err, admin.ErrForbidden)
		for name, by := range map[string]admin.Actor{"nobody": {}, "an auditor": actor("aud", admin.Auditors), "a user": actor("ann")} {
			_, err := d.AddRule(ctx, by, own)
			if !errors.Is(err, admin.ErrForbidden) {
				t.Errorf("%s: %v", name, err)
			}
		}
		narrowed := actor("root", admin.Administrators)
		narrowed.Principal.Limits = []policy.Limit{{Type: scope.TypeTidewaiter, Names: []string{"**"}, Actions: scope.Read | scope.Write}}
		wants(t, d.DeleteRule(ctx, narrowed, "freeze", 0), admin.ErrForbidden)
	})
}

// A file that is in conflict with the database does not take effect. It takes effect when the file
// or the database is corrected.
func TestLastValidPolicyStays(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, d *harness) {
		ctx := t.Context()
		must[rulebook.Rule](t)(d.AddRule(ctx, operator, freeze()))
		must[rulebook.Rule](t)(d.AddRule(ctx, operator, rulebook.Content{Name: "publish", Subjects: []string{"user:ann"}, Repositories: []string{"a/**"}, Role: "publisher"}))
		before := d.Policy()

		broken := file()
		broken.Source.Rules[0].Name = "freeze"
		broken.Source.Roles = nil
		swap := func(*policy.Policy) { t.Error("an invalid policy came into force") }
		err := d.Reload(ctx, broken, swap)
		conflicts, _ := errors.AsType[rulebook.Conflicts](err)
		if diff := cmp.Diff(rulebook.Conflicts{`tidewaiter.yaml:7: the rule "freeze" is also in the database`}, conflicts); diff != "" {
			t.Error(diff, err)
		}
		broken.Source.Rules[0].Name = "public images"
		err = d.Reload(ctx, broken, swap)
		conflicts, _ = errors.AsType[rulebook.Conflicts](err)
		if diff := cmp.Diff(rulebook.Conflicts{`the database: rule "publish": there is no role "publisher"`}, conflicts); diff != "" {
			t.Error(diff, err)
		}
		if d.Policy() != before {
			t.Error("the policy has changed")
		}
		mended := file()
		mended.Source.Rules = mended.Source.Rules[:1]
		swapped := 0
		if err := d.Reload(ctx, mended, func(*policy.Policy) { swapped++ }); err != nil || swapped != 1 || d.Policy().Len() != 3 {
			t.Errorf("%v, %d, %d rules", err, swapped, d.Policy().Len())
		}
	})
}

// Two processes may have different files for a while. A change by one process can be in
// conflict with the file of the other process, until the change is undone.
func TestConflictWithTheFileOfAnotherReplica(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, d *harness) {
		ctx := t.Context()
		other := openHarness(t, d.url, rulebook.Files{Source: policy.Source{Rules: []policy.Rule{
			{Name: "freeze", Subjects: []string{"anyone"}, Names: []string{"b/**"}, Actions: scope.Pull},
		}}})
		if err := other.Load(ctx); err != nil {
			t.Fatal(err)
		}
		other.run()
		before := other.Policy()
		must[rulebook.Rule](t)(d.AddRule(ctx, operator, freeze()))
		waitFor(t, "the contradiction", func() bool { return other.Status().Problem != nil })
		if other.Policy() != before {
			t.Error("the policy has changed")
		}
		if err := d.DeleteRule(ctx, operator, "freeze", 0); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the conflict ends", func() bool { return other.Status().Problem == nil })
	})
}

// A change by one process takes effect in other processes.
func TestReplicasApplyChanges(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, d *harness) {
		ctx := t.Context()
		other := openHarness(t, d.url, file())
		if err := other.Load(ctx); err != nil {
			t.Fatal(err)
		}
		other.run()
		must[rulebook.Rule](t)(d.AddRule(ctx, operator, freeze()))
		waitFor(t, "the freeze", func() bool {
			got, _ := other.grantedActions(user("ann"), "repository:library/app:pull")
			return got == ""
		})
		if d.Policy().ID() != other.Policy().ID() {
			t.Error("two replicas with the same files and database have different policies")
		}
	})
}

// Before the database is read, there is no policy. If the database is unavailable later, the rules
// that were read before stay in force.
func TestNoPolicyWithoutTheDatabase(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, d *harness) {
		ctx := t.Context()
		must[rulebook.Rule](t)(d.AddRule(ctx, operator, freeze()))
		fresh := openHarness(t, d.url, file())
		for _, one := range []*harness{fresh, d} {
			if err := one.db.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if err := fresh.Load(ctx); err == nil {
			t.Error("loaded without a database")
		}
		if err := fresh.Reload(ctx, file(), func(*policy.Policy) { t.Error("a policy without the database") }); err == nil {
			t.Error("Reload succeeded although the database was never read")
		}
		// There is no policy at all.
		fresh.requireGrant(user("ann"), "repository:library/app:pull", "")
		if err := d.Reload(ctx, file(), func(*policy.Policy) {}); err != nil {
			t.Error(err)
		}
		d.requireGrant(user("ann"), "repository:library/app:pull", "")
	})
}

// The source of a policy that was in force is stored, and compiles to the same policy.
func TestVersionsAreStored(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, d *harness) {
		ctx := t.Context()
		must[rulebook.Role](t)(d.AddRole(ctx, operator, "", rulebook.Role{Name: "cleaner", Actions: scope.Delete}))
		must[rulebook.Rule](t)(d.AddRule(ctx, operator, freeze()))
		d.run()
		id := d.Policy().ID()
		var source policy.Source
		waitFor(t, "the version", func() bool {
			var err error
			source, err = d.Version(ctx, id)
			return err == nil
		})
		again, err := policy.Compile(source)
		if err != nil || again.ID() != id {
			t.Errorf("got %v, %v; wanted %s", again, err, id)
		}
		if diff := cmp.Diff(d.Policy().Rules(), again.Rules()); diff != "" {
			t.Error(diff)
		}
		_, err = d.Version(ctx, "0123456789abcdef")
		wants(t, err, admin.ErrNotFound)
	})
}

// Harbor 2026: a later object can have the name and the version of a deleted object. So a change
// of one object must not change a later object of the same name.
func TestChangesApplyToTheObjectThatWasSeen(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, d *harness) {
		ctx := t.Context()
		made := func() map[string]string {
			cleaner := rulebook.Role{Name: "cleaner", Actions: scope.Delete}
			return map[string]string{
				"rule":             must[rulebook.Rule](t)(d.AddRule(ctx, operator, freeze())).ID,
				"role":             must[rulebook.Role](t)(d.AddRole(ctx, operator, "", cleaner)).ID,
				"namespace":        team(t, d, "team", "user:olga").ID,
				"namespace's role": must[rulebook.Role](t)(d.AddRole(ctx, operator, "team", rulebook.Role{Name: "sweeper", Actions: scope.Delete})).ID,
			}
		}
		changes := []struct {
			what, of string
			do       func(by admin.Actor, version int64) error
		}{
			{"a rule is changed", "rule", func(by admin.Actor, v int64) error { return second(d.SetRule(ctx, by, "freeze", freeze(), v)) }},
			{"a role is changed", "role", func(by admin.Actor, v int64) error {
				return second(d.SetRole(ctx, by, "", rulebook.Role{Name: "cleaner", Actions: scope.Pull}, v))
			}},
			{"a namespace's role is changed", "namespace's role", func(by admin.Actor, v int64) error {
				return second(d.SetRole(ctx, by, "team", rulebook.Role{Name: "sweeper", Actions: scope.Pull}, v))
			}},
			{"a member is added", "namespace", func(by admin.Actor, v int64) error {
				return second(d.SetMember(ctx, by, "team", "user:bob", rulebook.Reader, v))
			}},
			{"a member is removed", "namespace", func(by admin.Actor, v int64) error { return second(d.RemoveMember(ctx, by, "team", "user:bob", v)) }},
			{"a namespace is shown", "namespace", func(by admin.Actor, v int64) error {
				return second(d.SetVisibility(ctx, by, "team", rulebook.Public, v))
			}},
			{"a namespace's role is deleted", "namespace's role", func(by admin.Actor, v int64) error { return d.DeleteRole(ctx, by, "team", "sweeper", v) }},
			{"a namespace is deleted", "namespace", func(by admin.Actor, v int64) error { return d.DeleteNamespace(ctx, by, "team", v) }},
			{"a role is deleted", "role", func(by admin.Actor, v int64) error { return d.DeleteRole(ctx, by, "", "cleaner", v) }},
			{"a rule is deleted", "rule", func(by admin.Actor, v int64) error { return d.DeleteRule(ctx, by, "freeze", v) }},
		}
		seen := made()
		for _, c := range changes[len(changes)-4:] {
			if err := c.do(operator, 0); err != nil {
				t.Fatalf("%s: %v", c.what, err)
			}
		}
		now := made()
		for _, c := range changes {
			by := operator
			by.Seen = seen[c.of]
			for _, version := range []int64{1, 0} {
				if err := c.do(by, version); !errors.Is(err, admin.ErrChanged) {
					t.Errorf("%s, although another object was seen: %v", c.what, err)
				}
			}
		}
		for _, c := range changes {
			by := operator
			by.Seen = now[c.of]
			if err := c.do(by, 0); err != nil {
				t.Errorf("%s: %v", c.what, err)
			}
		}
	})
}

// A call that changes nothing writes no journal entry and no new version, and compiles no
// policy.
func TestUnchangedObjectsAreNotWritten(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, d *harness) {
		ctx := t.Context()
		must[rulebook.Rule](t)(d.AddRule(ctx, operator, freeze()))
		must[rulebook.Role](t)(d.AddRole(ctx, operator, "", rulebook.Role{Name: "cleaner", Actions: scope.Delete}))
		team(t, d, "team", "user:olga")
		must[rulebook.Role](t)(d.AddRole(ctx, operator, "team", rulebook.Role{Name: "sweeper", Actions: scope.Delete}))
		other := freeze()
		other.Comment = "another"
		open := rulebook.Content{Name: "open", Subjects: []string{"anyone"}, Repositories: []string{"public/**"}, Actions: []string{"pull"}}
		must[rulebook.Rule](t)(d.AddRule(ctx, operator, open))
		open.Comment = "for all"
		written := open
		written.Effect = ruleset.Allow
		brief := rulebook.Role{Name: "cleaner", Actions: scope.Delete, Lifetime: time.Minute}
		rule := func(r rulebook.Rule, err error) (int64, bool, error) { return r.Version, r.Unchanged, err }
		role := func(r rulebook.Role, err error) (int64, bool, error) { return r.Version, r.Unchanged, err }
		namespace := func(n rulebook.Namespace, err error) (int64, bool, error) { return n.Version, n.Unchanged, err }
		for _, tt := range []struct {
			what  string
			do    func() (version int64, unchanged bool, err error)
			again func() (version int64, unchanged bool, err error) // nil: repeat the first call
		}{
			{"set a rule", func() (int64, bool, error) { return rule(d.SetRule(ctx, operator, "freeze", other, 0)) }, nil},
			{"set a rule, written in another way", func() (int64, bool, error) { return rule(d.SetRule(ctx, operator, "open", open, 0)) },
				func() (int64, bool, error) { return rule(d.SetRule(ctx, operator, "open", written, 0)) }},
			{"set a role", func() (int64, bool, error) { return role(d.SetRole(ctx, operator, "", brief, 0)) }, nil},
			{"set a namespace's role", func() (int64, bool, error) {
				return role(d.SetRole(ctx, operator, "team", rulebook.Role{Name: "sweeper", Actions: scope.Pull}, 0))
			}, nil},
			{"show a namespace", func() (int64, bool, error) {
				return namespace(d.SetVisibility(ctx, operator, "team", rulebook.Public, 0))
			}, nil},
			{"add a member", func() (int64, bool, error) {
				return namespace(d.SetMember(ctx, operator, "team", "user:bob", rulebook.Reader, 0))
			}, nil},
			{"change a member", func() (int64, bool, error) {
				return namespace(d.SetMember(ctx, operator, "team", "user:bob", rulebook.Writer, 0))
			}, nil},
			{"remove a member", func() (int64, bool, error) { return namespace(d.RemoveMember(ctx, operator, "team", "user:bob", 0)) }, nil},
		} {
			before := d.count()
			version, unchanged, err := tt.do()
			if got := d.count() - before; err != nil || unchanged || got != 1 {
				t.Errorf("%s: unchanged %t, %d entries, %v", tt.what, unchanged, got, err)
			}
			counter, id := d.changeCounter("rulebook"), d.Policy().ID()
			if tt.again == nil {
				tt.again = tt.do
			}
			again, unchanged, err := tt.again()
			if got := d.count() - before; err != nil || !unchanged || again != version || got != 1 {
				t.Errorf("%s again: unchanged %t, version %d after %d, %d entries, %v", tt.what, unchanged, again, version, got, err)
			}
			if d.changeCounter("rulebook") != counter || d.Policy().ID() != id {
				t.Errorf("%s again: a new policy was compiled", tt.what)
			}
		}
	})
}

// count returns the number of entries in the journal.
func (d *harness) count() int64 {
	d.t.Helper()
	last, err := d.journal.Last(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	return int64(last)
}
