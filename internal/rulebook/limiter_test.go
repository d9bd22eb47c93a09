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

// hold lets nobody make a policy until the test says so.
func (d *harness) block() (release func()) {
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

// However many changes come while nobody may make a policy, one is made of them; and whoever
// changed something is answered when it is in force.
func TestChangesAreCollected(t *testing.T) {
	each(t, func(t *testing.T, d *harness) {
		team(t, d, "team", "user:olga")
		before, release := d.policies(), d.block()
		const many = 20
		var changing sync.WaitGroup
		for i := range many {
			changing.Go(func() {
				name := fmt.Sprintf("u%d", i)
				if _, err := d.SetMember(t.Context(), actor("olga"), "team", "user:"+name, rulebook.Reader, 0); err != nil {
					t.Error(err)
				}
				d.grants(user(name), "repository:team/app:pull", "pull")
			})
		}
		soon(t, "all that was written", func() bool {
			n, err := d.Namespace(t.Context(), operator, "team")
			return err == nil && n.Size == many+1
		})
		if n := d.policies() - before; n != 0 {
			t.Errorf("%d policies were made before it was time", n)
		}
		release()
		changing.Wait()
		if n := d.policies() - before; n != 1 {
			t.Errorf("%d policies were made of %d changes", n, many)
		}
	})
}

// One change is in force at once. After it there is a rest, which is short for a small policy,
// and never so long that others learn of a change too late.
func TestARestIsAsLongAsTheWorkAsksFor(t *testing.T) {
	d := newHarness(t, storetest.SQLite().Ready(t))
	var rests []time.Duration
	d.SetWait(func(_ context.Context, rest time.Duration) error { rests = append(rests, rest); return nil })
	team(t, d, "team", "user:olga")
	if len(rests) != 1 || rests[0] > 0 {
		t.Errorf("the first change waits %v", rests)
	}
	for took, want := range map[time.Duration]time.Duration{
		time.Millisecond: 2 * time.Millisecond, 200 * time.Millisecond: 400 * time.Millisecond, 10 * time.Second: 500 * time.Millisecond,
	} {
		if got := rulebook.CooldownAfter(took); got != want {
			t.Errorf("after %s nobody makes a policy for %s, want %s", took, got, want)
		}
	}
}

// What is already as it is wanted is no change, for nobody: an owner who says the same thing in a
// loop costs no policy anywhere.
func TestWhatChangesNothingMakesNoPolicy(t *testing.T) {
	each(t, func(t *testing.T, d *harness) {
		ctx := t.Context()
		team(t, d, "team", "user:olga")
		ok[rulebook.Namespace](t)(d.SetMember(ctx, operator, "team", "user:bob", rulebook.Reader, 0))
		policies, counted := d.policies(), d.counted("rulebook")
		ok[rulebook.Namespace](t)(d.SetMember(ctx, operator, "team", "user:bob", rulebook.Reader, 0))
		ok[rulebook.Namespace](t)(d.SetVisibility(ctx, operator, "team", rulebook.Private, 0))
		ok[rulebook.Namespace](t)(d.RemoveMember(ctx, operator, "team", "user:nobody", 0))
		if p, c := d.policies(), d.counted("rulebook"); p != policies || c != counted {
			t.Errorf("%d policies and %d changes more", p-policies, c-counted)
		}
	})
}

// counted is how often the database counted a change.
func (d *harness) counted(topic string) (n int) {
	d.t.Helper()
	if err := d.db.Read().QueryRowContext(d.t.Context(), "SELECT coalesce(max(counter), 0) FROM changes WHERE topic = $1", topic).Scan(&n); err != nil {
		d.t.Fatal(err)
	}
	return n
}

// Whoever is judged waits for the policy only if others may have rights since it was made.
// Everything else that is changed, readers of a namespace before all, keeps nobody from working.
func TestOnlyWhatAltersRightsIsWaitedFor(t *testing.T) {
	each(t, func(t *testing.T, d *harness) {
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
			{"one that becomes one about Tidewaiter", true, func() error { return second(d.SetRule(ctx, operator, "plain", content("plain", "journal"), 0)) }},
			{"one that is none any more", true, func() error { return second(d.SetRule(ctx, operator, "plain", content("plain"), 0)) }},
			{"one that is deleted", false, func() error { return d.DeleteRule(ctx, operator, "plain", 0) }},
			{"a rule about Tidewaiter", true, func() error { return second(d.AddRule(ctx, operator, content("right", "policy"))) }},
			{"one that goes", true, func() error { return d.DeleteRule(ctx, operator, "right", 0) }},
			{"a member who is no more", true, func() error {
				err := second(d.SetMember(ctx, operator, "team", "user:eve", rulebook.Reader, 0))
				if err == nil {
					err = d.db.Write(ctx, "accounts", func(tx *sql.Tx) error { return rulebook.RemoveMember(ctx, d.db, tx, "user:eve") })
				}
				return err
			}},
			{"a namespace that is deleted", true, func() error { return d.DeleteNamespace(ctx, operator, "team", 0) }},
		} {
			before := d.counted(rulebook.RightsTopic)
			wants(t, tt.change(), nil)
			if altered := d.counted(rulebook.RightsTopic) != before; altered != tt.alters {
				t.Errorf("%s: altered rights: %t, want %t", tt.what, altered, tt.alters)
			}
		}
	})
}

// While readers come and go by the word of another replica, and nobody may make a policy, an
// owner goes on working.
func TestAnOwnerNeedNotKnowOfOthersReaders(t *testing.T) {
	each(t, func(t *testing.T, d *harness) {
		ctx := t.Context()
		team(t, d, "team", "user:olga")
		other := openHarness(t, d.url, file())
		ok[rulebook.Namespace](t)(other.SetMember(ctx, operator, "team", "user:bob", rulebook.Reader, 0))
		release := d.block()
		done := make(chan error)
		go func() { done <- second(d.SetVisibility(ctx, actor("olga"), "team", rulebook.Public, 0)) }()
		soon(t, "what she wrote", func() bool {
			n, err := d.Namespace(ctx, operator, "team")
			return err == nil && n.Visibility == rulebook.Public
		})
		release()
		wants(t, <-done, nil)
		d.grants(user("bob"), "repository:team/app:pull", "pull")
	})
}

// Who cannot be judged by the latest policy, because others change rights faster than it is made,
// changes nothing.
func TestWhoCannotBeJudgedChangesNothing(t *testing.T) {
	each(t, func(t *testing.T, d *harness) {
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
		d.grants(&policy.Principal{}, "repository:team/app:pull", "")
		if n < 2 {
			t.Error("it was not tried again")
		}
		_, err = d.SetVisibility(ctx, operator, "team", rulebook.Public, 0) // whom nobody judges
		wants(t, err, nil)
	})
}

// What changed in the database while the files were being read, which are broken, is not lost: it
// comes into force beside the files of before.
func TestAReloadThatFailsLosesNoChange(t *testing.T) {
	each(t, func(t *testing.T, d *harness) {
		other := openHarness(t, d.url, file())
		ok[rulebook.Rule](t)(other.AddRule(t.Context(), operator, freeze()))
		broken := file()
		broken.Source.Rules[0].Actions = 0
		if err := d.Reload(t.Context(), broken, func(*policy.Policy) { t.Error("it came into force") }); err == nil {
			t.Error("broken files were taken")
		}
		d.run()
		soon(t, "the freeze", func() bool { got, _ := d.may(user("ann"), "repository:library/app:pull"); return got == "" })
	})
}
