package rulebook_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// filesWith returns the content of files, with its digest.
func filesWith(t testing.TB, roles map[string]policy.Role, rules ...policy.Rule) rulebook.Files {
	t.Helper()
	source := policy.Source{Roles: roles, Rules: rules}
	p := must[*policy.Policy](t)(policy.Compile(source))
	return rulebook.Files{Services: []string{"registry.example.com"}, Source: source, ID: p.ID()}
}

// ruleInFile returns a rule for a repository, in a file.
func ruleInFile(file string, line int, name, repository string) policy.Rule {
	return policy.Rule{Name: name, Subjects: []string{"anyone"}, Names: []string{repository}, Actions: scope.Pull, Origin: policy.Origin{File: file, Line: line}}
}

// loadEntries returns the journal entries about rules of files, without their digests.
func (d *harness) loadEntries() (list []journal.Change) {
	d.t.Helper()
	for e, err := range d.journal.Read(d.t.Context(), 0) {
		if err != nil {
			d.t.Fatal(err)
		}
		if e.Change != nil && e.Change.Action == "policy.load" {
			c := *e.Change
			for _, side := range []map[string]any{c.From, c.To} {
				delete(side, "policy")
				delete(side, "in_force")
			}
			list = append(list, c)
		}
	}
	return list
}

// When the rules of files take effect, the journal gets a change. The entry names the rules that
// differ, and the files of these rules. There is only one entry, even if several processes read
// the files several times.
func TestRulesOfFilesThatComeIntoForceAreJournaled(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, d *harness) {
		ctx := t.Context()
		reader := map[string]policy.Role{"reader": {Actions: scope.Pull}}
		named := ruleInFile("tidewaiter.yaml", 7, "b", "b/**")
		named.Actions, named.Role = 0, "reader"
		first := filesWith(t, reader, ruleInFile("tidewaiter.yaml", 6, "a", "a/**"), named, ruleInFile("policy/c.yaml", 1, "c", "c/**"))
		change := func(target string, to map[string]any) journal.Change {
			return journal.Change{Actor: "tidewaiter", Action: "policy.load", Target: target, From: map[string]any{}, To: to}
		}
		names := func(list ...any) []any { return list }
		start := change("policy/c.yaml, tidewaiter.yaml", map[string]any{
			"rules": float64(3), "added": names("a", "b", "c"), "roles_added": names("reader"), "files": names("policy/c.yaml", "tidewaiter.yaml"),
		})
		start.From = nil
		var want []journal.Change
		for _, step := range []struct {
			what  string
			files rulebook.Files
			wants *journal.Change
		}{
			{"the first start", first, &start},
			{"a reload of the same files", first, nil},
			{"lines that moved", filesWith(t, reader, ruleInFile("tidewaiter.yaml", 16, "a", "a/**"), named, ruleInFile("policy/other.yaml", 1, "c", "c/**")), nil},
			{
				"a new rule, a changed rule and a removed rule", filesWith(t, reader, ruleInFile("tidewaiter.yaml", 6, "a", "a/**"), ruleInFile("tidewaiter.yaml", 7, "b", "other/**"), ruleInFile("policy/d.yaml", 1, "d", "d/**")),
				new(change("policy/c.yaml, policy/d.yaml, tidewaiter.yaml", map[string]any{
					"rules": float64(3), "added": names("d"), "changed": names("b"), "removed": names("c"), "files": names("policy/c.yaml", "policy/d.yaml", "tidewaiter.yaml"),
				})),
			},
			{
				"a role that changed", filesWith(t, map[string]policy.Role{"reader": {Actions: scope.Pull | scope.Push}}, ruleInFile("tidewaiter.yaml", 6, "a", "a/**"), ruleInFile("tidewaiter.yaml", 7, "b", "other/**"), ruleInFile("policy/d.yaml", 1, "d", "d/**")),
				new(change("files", map[string]any{"rules": float64(3), "roles_changed": names("reader")})),
			},
			{
				"another order", filesWith(t, map[string]policy.Role{"reader": {Actions: scope.Pull | scope.Push}}, ruleInFile("tidewaiter.yaml", 6, "b", "other/**"), ruleInFile("tidewaiter.yaml", 7, "a", "a/**"), ruleInFile("policy/d.yaml", 1, "d", "d/**")),
				new(change("files", map[string]any{"rules": float64(3), "reordered": true})),
			},
			{
				"no rules", filesWith(t, nil),
				new(change("policy/d.yaml, tidewaiter.yaml", map[string]any{
					"rules": float64(0), "removed": names("a", "b", "d"), "roles_removed": names("reader"), "files": names("policy/d.yaml", "tidewaiter.yaml"),
				})),
			},
		} {
			if err := d.Reload(ctx, step.files, func(*policy.Policy) {}); err != nil {
				t.Fatal(err)
			}
			// The same files are recorded again: by this process, by another process that
			// starts, and by several processes at the same time.
			d.RecordFiles(ctx)
			var replicas sync.WaitGroup
			for range 2 {
				other := openHarness(t, d.url, step.files)
				replicas.Go(func() {
					if err := other.Load(ctx); err != nil {
						t.Error(err)
					}
					other.RecordFiles(ctx)
				})
			}
			replicas.Wait()
			if step.wants != nil {
				want = append(want, *step.wants)
			}
			if diff := cmp.Diff(want, d.loadEntries()); diff != "" {
				t.Fatalf("%s (-want +got):\n%s", step.what, diff)
			}
		}
	})
}

// The entry has the digests of the old and the new files, and the version of the policy that
// decisions refer to.
func TestRecordOfFilesHasTheDigests(t *testing.T) {
	d := openHarness(t, storetest.SQLite().Ready(t), filesWith(t, nil, ruleInFile("a.yaml", 1, "a", "a")))
	if err := d.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.RecordFiles(t.Context())
	one, two := filesWith(t, nil, ruleInFile("a.yaml", 1, "a", "a")), filesWith(t, nil, ruleInFile("a.yaml", 1, "a", "b"))
	if err := d.Reload(t.Context(), two, func(*policy.Policy) {}); err != nil {
		t.Fatal(err)
	}
	d.RecordFiles(t.Context())
	var last *journal.Change
	for e, err := range d.journal.Read(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		last = e.Change
	}
	if last == nil {
		t.Fatal("the journal has no change")
	}
	want := []any{one.ID, two.ID, d.Policy().ID()}
	if diff := cmp.Diff(want, []any{last.From["policy"], last.To["policy"], last.To["in_force"]}); diff != "" {
		t.Errorf("the files before, the files after, and what is in force (-want +got):\n%s", diff)
	}
	if two.ID == d.Policy().ID() {
		t.Error("the policy in force has only the rules of files")
	}
}

// An entry names a limited number of rules, even if many rules are new. A service whose rules are
// all in the database writes no entry.
func TestRecordOfFilesIsBounded(t *testing.T) {
	var many []policy.Rule
	for i := range 500 {
		many = append(many, ruleInFile(fmt.Sprintf("%03d%s.yaml", i, strings.Repeat("f", 200)), 1, fmt.Sprintf("%03d%s", i, strings.Repeat("n", 100)), "a"))
	}
	d := openHarness(t, storetest.SQLite().Ready(t), filesWith(t, nil))
	if err := d.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.RecordFiles(t.Context())
	if loads := d.loadEntries(); len(loads) > 0 {
		t.Errorf("no files, and %+v", loads)
	}
	if err := d.Reload(t.Context(), filesWith(t, nil, many...), func(*policy.Policy) {}); err != nil {
		t.Fatal(err)
	}
	d.RecordFiles(t.Context())
	loads := d.loadEntries()
	if len(loads) != 1 {
		t.Fatalf("%d entries", len(loads))
	}
	to := loads[0].To
	if added, _ := to["added"].([]any); len(added) != 50 || to["added_more"] != float64(450) || !strings.HasSuffix(loads[0].Target, " and 497 more") {
		t.Errorf("%d named, %v more, target %.20s", len(added), to["added_more"], loads[0].Target)
	}
}

// A failed write is repeated until it succeeds. There is only one entry, even if the write was
// stored but reported as failed.
func TestRecordOfFilesIsRepeated(t *testing.T) {
	for _, kept := range []bool{false, true} {
		d := openHarness(t, storetest.SQLite().Ready(t), filesWith(t, nil, ruleInFile("a.yaml", 1, "a", "a")))
		if err := d.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		var failing atomic.Bool
		failing.Store(true)
		d.SetWrite(func(real rulebook.Write) rulebook.Write {
			return func(ctx context.Context, topic string, f func(*sql.Tx) error) error {
				switch {
				case !failing.Load():
					return real(ctx, topic, f)
				case kept:
					_ = real(ctx, topic, f)
				}
				return errFault
			}
		})
		d.RecordFiles(t.Context())
		if n := len(d.loadEntries()); kept != (n == 1) {
			t.Errorf("stored %v: %d entries", kept, n)
		}
		failing.Store(false)
		d.run()
		waitFor(t, "the entry", func() bool { return len(d.loadEntries()) == 1 })
		d.RecordFiles(t.Context())
		if n := len(d.loadEntries()); n != 1 {
			t.Errorf("stored %v: %d entries in the end", kept, n)
		}
	}
}
