package rulebook_test

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// blockCompiling blocks compiling until the test calls the function release.
func (d *harness) blockCompiling() (release func()) {
	held := make(chan struct{})
	release = sync.OnceFunc(func() { close(held) })
	d.t.Cleanup(release)
	d.SetWait(func(ctx context.Context, _ time.Duration) error {
		select {
		case <-held:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	return release
}

func (d *harness) policies() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.changed
}

// All changes during a cooldown are compiled into one policy. Each call returns when its change is
// in force.
func TestChangesAreCollected(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, d *harness) {
		team(t, d, "team", "user:olga")
		before, release := d.policies(), d.blockCompiling()
		const many = 20
		var changing sync.WaitGroup
		for i := range many {
			changing.Go(func() {
				name := fmt.Sprintf("u%d", i)
				if _, err := d.SetMember(t.Context(), actor("olga"), "team", "user:"+name, rulebook.Reader, 0); err != nil {
					t.Error(err)
				}
				d.requireGrant(user(name), "repository:team/app:pull", "pull")
			})
		}
		waitFor(t, "all changes are in force", func() bool {
			n, err := d.Namespace(t.Context(), operator, "team")
			return err == nil && n.Size == many+1
		})
		if n := d.policies() - before; n != 0 {
			t.Errorf("%d policies were compiled during the cooldown", n)
		}
		release()
		changing.Wait()
		if n := d.policies() - before; n != 1 {
			t.Errorf("%d policies were compiled for %d changes", n, many)
		}
	})
}

// The first change is in force at once. The following cooldown is short for a small policy. The
// cooldown is always short enough for replicas to apply a change in time.
func TestCooldownDependsOnCompileTime(t *testing.T) {
	d := newHarness(t, storetest.SQLite().Ready(t))
	var rests []time.Duration
	d.SetWait(func(_ context.Context, rest time.Duration) error { rests = append(rests, rest); return nil })
	team(t, d, "team", "user:olga")
	if len(rests) != 1 || rests[0] > 0 {
		t.Errorf("the first change waited %v", rests)
	}
	for took, want := range map[time.Duration]time.Duration{
		time.Millisecond: 2 * time.Millisecond, 200 * time.Millisecond: 400 * time.Millisecond, 10 * time.Second: 500 * time.Millisecond,
	} {
		if got := rulebook.CooldownAfter(took); got != want {
			t.Errorf("the cooldown after %s is %s, want %s", took, got, want)
		}
	}
}

// A call that changes nothing compiles no policy in any process, even if an owner repeats the
// call in a loop.
func TestUnchangedObjectsCompileNoPolicy(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, d *harness) {
		ctx := t.Context()
		team(t, d, "team", "user:olga")
		must[rulebook.Namespace](t)(d.SetMember(ctx, operator, "team", "user:bob", rulebook.Reader, 0))
		policies, counted := d.policies(), d.changeCounter("rulebook")
		must[rulebook.Namespace](t)(d.SetMember(ctx, operator, "team", "user:bob", rulebook.Reader, 0))
		must[rulebook.Namespace](t)(d.SetVisibility(ctx, operator, "team", rulebook.Private, 0))
		must[rulebook.Namespace](t)(d.RemoveMember(ctx, operator, "team", "user:nobody", 0))
		if p, c := d.policies(), d.changeCounter("rulebook"); p != policies || c != counted {
			t.Errorf("%d more policies and %d more changes", p-policies, c-counted)
		}
	})
}

// changeCounter returns the database's counter of changes.
func (d *harness) changeCounter(topic string) (n int) {
	d.t.Helper()
	if err := d.db.Read().QueryRowContext(d.t.Context(), "SELECT coalesce(max(counter), 0) FROM changes WHERE topic = $1", topic).Scan(&n); err != nil {
		d.t.Fatal(err)
	}
	return n
}

// A check of rights waits for a new policy only if a change could have altered rights. Other
// changes, such as new readers of a namespace, do not delay a check.
func TestOnlyChangesOfRightsDelayOthers(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, d *harness) {
		ctx := t.Context()
		content := func(name string, rights ...string) rulebook.Content {
			c := rulebook.Content{Name: name, Subjects: []string{"user:bob"}, Tidewaiter: rights, Actions: []string{"read"}}
			if len(rights) == 0 {
				c.Repositories, c.Actions = []string{"bob/**"}, []string{"pull"}
			}
			return c
		}
		for _, tt := range []struct {
			what   string
			alters bool
			change func() error
		}{
			{"a namespace", true, func() error {
				return second(d.AddNamespace(ctx, operator, rulebook.NewNamespace{Name: "team", Owners: []string{"user:olga"}}))
			}},
			{"a reader", false, func() error { return second(d.SetMember(ctx, operator, "team", "user:bob", rulebook.Reader, 0)) }},
			{"a reader who becomes a maintainer", false, func() error { return second(d.SetMember(ctx, operator, "team", "user:bob", rulebook.Maintainer, 0)) }},
			{"a maintainer who becomes an owner", true, func() error { return second(d.SetMember(ctx, operator, "team", "user:bob", rulebook.Owner, 0)) }},
			{"an owner who becomes a writer", true, func() error { return second(d.SetMember(ctx, operator, "team", "user:bob", rulebook.Writer, 0)) }},
			{"a writer who leaves", false, func() error { return second(d.RemoveMember(ctx, operator, "team", "user:bob", 0)) }},
			{"an owner who leaves", true, func() error { return second(d.RemoveMember(ctx, operator, "team", "user:olga", 0)) }},
			{"a visibility", false, func() error { return second(d.SetVisibility(ctx, operator, "team", rulebook.Public, 0)) }},
			{"a role of a namespace", false, func() error {
				return second(d.AddRole(ctx, operator, "team", rulebook.Role{Name: "cleaner", Actions: scope.Delete}))
			}},
			{"a role for all", true, func() error {
				return second(d.AddRole(ctx, operator, "", rulebook.Role{Name: "keeper", Actions: scope.Read}))
			}},
			{"a rule about repositories", false, func() error { return second(d.AddRule(ctx, operator, content("plain"))) }},
			{"a rule that is changed to be about Tidewaiter", true, func() error { return second(d.SetRule(ctx, operator, "plain", content("plain", "journal"), 0)) }},
			{"a rule that is no longer about Tidewaiter", true, func() error { return second(d.SetRule(ctx, operator, "plain", content("plain"), 0)) }},
			{"a rule about Tidewaiter that is deleted", false, func() error { return d.DeleteRule(ctx, operator, "plain", 0) }},
			{"a rule about Tidewaiter", true, func() error { return second(d.AddRule(ctx, operator, content("right", "policy"))) }},
			{"a rule about repositories that is deleted", true, func() error { return d.DeleteRule(ctx, operator, "right", 0) }},
			{"a member who is deleted", true, func() error {
				err := second(d.SetMember(ctx, operator, "team", "user:eve", rulebook.Reader, 0))
				if err == nil {
					err = d.db.Write(ctx, "accounts", func(tx *sql.Tx) error { return rulebook.RemoveMember(ctx, d.db, tx, "user:eve") })
				}
				return err
			}},
			{"a namespace that is deleted", true, func() error { return d.DeleteNamespace(ctx, operator, "team", 0) }},
		} {
			before := d.changeCounter(rulebook.RightsTopic)
			wants(t, tt.change(), nil)
			if altered := d.changeCounter(rulebook.RightsTopic) != before; altered != tt.alters {
				t.Errorf("%s: altered rights: %t, want %t", tt.what, altered, tt.alters)
			}
		}
	})
}

// An owner can make changes even if no policy can be compiled in this process and another
// replica adds and removes readers at the same time.
func TestReadersOfOtherReplicasDelayNoOwner(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, d *harness) {
		ctx := t.Context()
		team(t, d, "team", "user:olga")
		other := openHarness(t, d.url, file())
		must[rulebook.Namespace](t)(other.SetMember(ctx, operator, "team", "user:bob", rulebook.Reader, 0))
		release := d.blockCompiling()
		done := make(chan error)
		go func() { done <- second(d.SetVisibility(ctx, actor("olga"), "team", rulebook.Public, 0)) }()
		waitFor(t, "her change is in force", func() bool {
			n, err := d.Namespace(ctx, operator, "team")
			return err == nil && n.Visibility == rulebook.Public
		})
		release()
		wants(t, <-done, nil)
		d.requireGrant(user("bob"), "repository:team/app:pull", "pull")
	})
}

// If others change rights faster than a policy is compiled, a change fails, because the actor
// cannot be checked with the newest policy.
func TestChangeFailsWithoutTheLatestPolicy(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, d *harness) {
		ctx := t.Context()
		team(t, d, "team", "user:olga")
		other, n := openHarness(t, d.url, file()), 0
		d.SetWrite(func(real rulebook.Write) rulebook.Write {
			return func(ctx context.Context, topic string, f func(*sql.Tx) error) error {
				n++
				_, err := other.SetMember(ctx, operator, "team", fmt.Sprintf("user:u%d", n), rulebook.Owner, 0)
				wants(t, err, nil)
				return real(ctx, topic, f)
			}
		})
		_, err := d.SetVisibility(ctx, actor("olga"), "team", rulebook.Public, 0)
		wants(t, err, store.ErrBusy)
		d.requireGrant(&policy.Principal{}, "repository:team/app:pull", "")
		if n < 2 {
			t.Error("the check of rights was not repeated")
		}
		_, err = d.SetVisibility(ctx, operator, "team", rulebook.Public, 0) // needs no policy
		wants(t, err, nil)
	})
}

// A change of the database during a failed reload is not lost. It takes effect with the previous
// files.
func TestFailedReloadLosesNoChange(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, d *harness) {
		other := openHarness(t, d.url, file())
		must[rulebook.Rule](t)(other.AddRule(t.Context(), operator, freeze()))
		broken := file()
		broken.Source.Rules[0].Actions = 0
		if err := d.Reload(t.Context(), broken, func(*policy.Policy) { t.Error("the policy came into force") }); err == nil {
			t.Error("Reload accepted invalid files")
		}
		d.run()
		waitFor(t, "the freeze", func() bool { got, _ := d.grantedActions(user("ann"), "repository:library/app:pull"); return got == "" })
	})
}
