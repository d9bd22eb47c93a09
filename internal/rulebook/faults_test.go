package rulebook_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/ruleset"
	"github.com/tidewaiter/tidewaiter/scope"
)

var errFault = errors.New("on purpose")

// Each write fails in two ways: it is not stored, or it is stored but reported as failed. Then
// either the whole change and its journal entry are stored, and the change is in force, or no part
// of the change is stored. Deletions come last, because the other changes need the deleted
// objects.
func TestWritesAreAtomic(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, d *harness) {
		ctx := t.Context()
		team(t, d, "team", "user:olga")
		must[rulebook.Rule](t)(d.AddRule(ctx, operator, freeze()))
		for _, in := range []string{"", "team"} {
			must[rulebook.Role](t)(d.AddRole(ctx, operator, in, rulebook.Role{Name: "cleaner", Actions: scope.Delete}))
		}
		var kept, failing bool
		d.SetWrite(func(real rulebook.Write) rulebook.Write {
			return func(ctx context.Context, topic string, f func(*sql.Tx) error) error {
				switch {
				case !failing:
					return real(ctx, topic, f)
				case kept:
					return errors.Join(errFault, real(ctx, topic, f))
				}
				return real(ctx, topic, func(tx *sql.Tx) error { return errors.Join(f(tx), errFault) })
			}
		})
		thawed := freeze()
		thawed.Repositories = []string{"library/old/**"}
		for _, write := range []struct {
			name   string
			policy bool // whether the change results in another policy
			do     func() error
		}{
			{"AddRule", true, func() error {
				return second(d.AddRule(ctx, operator, rulebook.Content{Name: "new", Effect: ruleset.Deny, Repositories: []string{"a"}, Actions: []string{"pull"}}))
			}},
			{"SetRule", true, func() error { return second(d.SetRule(ctx, operator, "freeze", thawed, 0)) }},
			{"AddRole", true, func() error {
				return second(d.AddRole(ctx, operator, "", rulebook.Role{Name: "new", Actions: scope.Pull}))
			}},
			{"SetRole", true, func() error {
				return second(d.SetRole(ctx, operator, "", rulebook.Role{Name: "cleaner", Actions: scope.Pull, Lifetime: time.Hour}, 0))
			}},
			{"AddNamespace", true, func() error {
				return second(d.AddNamespace(ctx, operator, rulebook.NewNamespace{Name: "new", Owners: []string{"user:ann"}}))
			}},
			{"SetVisibility", true, func() error { return second(d.SetVisibility(ctx, operator, "team", rulebook.Public, 0)) }},
			{"SetMember", true, func() error { return second(d.SetMember(ctx, operator, "team", "user:ann", "cleaner", 0)) }},
			{"SetRole of a namespace", true, func() error {
				return second(d.SetRole(ctx, operator, "team", rulebook.Role{Name: "cleaner", Actions: scope.Push}, 0))
			}},
			{"AddRole of a namespace", false, func() error {
				return second(d.AddRole(ctx, operator, "team", rulebook.Role{Name: "new", Actions: scope.Pull}))
			}},
			{"RemoveMember", true, func() error { return second(d.RemoveMember(ctx, operator, "team", "user:ann", 0)) }},
			{"DeleteRole of a namespace", false, func() error { return d.DeleteRole(ctx, operator, "team", "cleaner", 0) }},
			{"DeleteNamespace", true, func() error { return d.DeleteNamespace(ctx, operator, "team", 0) }},
			{"DeleteRole", true, func() error { return d.DeleteRole(ctx, operator, "", "cleaner", 0) }},
			{"DeleteRule", true, func() error { return d.DeleteRule(ctx, operator, "freeze", 0) }},
		} {
			for _, kept = range []bool{false, true} {
				lines, entries, before := d.lines(), d.entries(), d.Policy().ID()
				failing = true
				err := write.do()
				failing = false
				wants(t, err, errFault)
				n, diff := d.entries()-entries, cmp.Diff(lines, d.lines())
				if !kept && (diff != "" || n != 0) {
					t.Errorf("%s failed with %d entries, but a part of it is stored (-before +after):\n%s", write.name, n, diff)
				}
				if kept && (diff == "" || n != 1) {
					t.Errorf("%s was stored, with %d entries:\n%s", write.name, n, diff)
				}
				if other := d.Policy().ID() != before; other != (kept && write.policy) {
					t.Errorf("%s, stored: %t: the policy in force has changed: %t", write.name, kept, other)
				}
			}
		}
		again := openHarness(t, d.url, file())
		wants(t, again.Load(ctx), nil)
		if diff := cmp.Diff(again.Policy().Rules(), d.Policy().Rules()); diff != "" {
			t.Errorf("the policy in force (-after loading +after the changes):\n%s", diff)
		}
	})
}

// entries returns the number of entries in the journal.
func (d *harness) entries() (n int) {
	d.t.Helper()
	for _, err := range d.journal.Read(d.t.Context(), 0) {
		if err != nil {
			d.t.Fatal(err)
		}
		n++
	}
	return n
}
