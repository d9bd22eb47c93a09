package rulebook_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/clock/clocktest"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/ruleset"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/when"
	"github.com/tidewaiter/tidewaiter/scope"
)

// openWithClock opens a rulebook that uses the given clock, compiles conditions and has no
// cooldown.
func openWithClock(t *testing.T, d *harness, clock *clocktest.Clock, files rulebook.Files) *rulebook.Rulebook {
	t.Helper()
	b := must[*rulebook.Rulebook](t)(rulebook.New(rulebook.Options{
		DB: d.db, Journal: d.journal, Now: clock.Now, When: when.NewCompiler().Compile,
	}, files))
	b.SetWait(func(context.Context, time.Duration) error { return nil }) // no cooldown
	if err := b.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b
}

// The test restores the policy of a recorded decision and decides the request again. The result
// must be the same. This must hold after changes of files, rules, roles and namespaces, after a
// time in which nothing could be stored, and in another process.
func TestRestoredPoliciesDecideAsTheyDid(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, d *harness) {
		type decision struct {
			at      time.Time
			id      string
			request *policy.Request
			results []policy.Result
		}
		ctx, clock, random := t.Context(), clocktest.Noon(), rand.New(rand.NewPCG(1, 2))
		b := openWithClock(t, d, clock, file())
		repository := func() string { return fmt.Sprintf("%c/x", 'a'+random.IntN(4)) }
		actions := func() []string { return [][]string{{"pull"}, {"push"}, {"pull", "push"}}[random.IntN(3)] }
		var decisions []decision
		decide := func() {
			r := &policy.Request{Principal: user([]string{"ann", "bob"}[random.IntN(2)]), Registry: "registry.example.com", Now: clock.Now()}
			r.Scopes, _, _ = scope.Parse([]string{"repository:" + repository() + ":pull,push,delete"})
			decisions = append(decisions, decision{r.Now, b.Policy().ID(), r, b.Policy().Decide(r).Results})
		}
		steps := []func() error{
			func() error {
				c := rulebook.Content{
					Name: repository(), Effect: []ruleset.Effect{ruleset.Allow, ruleset.Deny}[random.IntN(2)], Subjects: []string{"user:ann"},
					Repositories: []string{repository()[:1] + "/**"}, Actions: actions(), When: []string{"", "now.getMinutes() % 2 == 0"}[random.IntN(2)],
				}
				_, err := b.SetRule(ctx, operator, c.Name, c, 0)
				if errors.Is(err, admin.ErrNotFound) {
					_, err = b.AddRule(ctx, operator, c)
				}
				return err
			},
			func() error {
				err := b.DeleteRule(ctx, operator, repository(), 0)
				if errors.Is(err, admin.ErrNotFound) {
					err = nil
				}
				return err
			},
			func() error {
				_, err := b.AddNamespace(ctx, operator, rulebook.NewNamespace{Name: repository()[:1], Owners: []string{"user:bob"}})
				if errors.Is(err, admin.ErrExists) {
					err = nil
				}
				return err
			},
			func() error {
				files := filesWith(t, nil, ruleInFile("a.yaml", random.IntN(9), "in a file", repository()), ruleInFile("a.yaml", 20, "another", repository()))
				return b.Reload(ctx, files, func(*policy.Policy) {})
			},
			func() error { return b.StoreActivations(ctx) },
		}
		for i := range 120 {
			clock.Pass(time.Millisecond) // the resolution of times in the journal
			if err := steps[random.IntN(len(steps))](); err != nil {
				t.Fatalf("step %d: %v", i, err)
			}
			decide()
			clock.Pass(time.Duration(1+random.IntN(90_000)) * time.Millisecond)
			decide()
		}
		check := func(who string, b *rulebook.Rulebook) {
			for _, was := range decisions {
				past, err := b.At(ctx, was.at)
				if err != nil || past.Policy != was.id || past.Compiled.ID() != was.id {
					t.Fatalf("%s: at %s: policy %s, %v; want %s", who, was.at, past.Policy, err, was.id)
				}
				if diff := cmp.Diff(was.results, past.Compiled.Decide(was.request).Results, cmp.Comparer(sameCause)); diff != "" {
					t.Fatalf("%s: at %s (-recorded +now):\n%s", who, was.at, diff)
				}
				if found := must[rulebook.Period](t)(b.Find(ctx, was.id)); found.Compiled.ID() != was.id {
					t.Errorf("%s: found %s by %s", who, found.Compiled.ID(), was.id)
				}
			}
		}
		check("before it is stored", b)
		if err := b.StoreActivations(ctx); err != nil {
			t.Fatal(err)
		}
		clock.Pass(time.Minute)
		other := openWithClock(t, d, clock, filesWith(t, nil))
		check("another process", other)

		// Each period of the history ends where the next period begins, and no period is on two
		// pages.
		var all []rulebook.Period
		for page := (admin.Page{Limit: 7}); ; {
			list, next, err := other.History(ctx, page)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, list...)
			if page.After = next; next == "" {
				break
			}
		}
		for i, p := range all {
			if i > 0 && !p.Until.Equal(all[i-1].Since) || i == 0 && !p.Until.IsZero() || p.Policy == "" {
				t.Errorf("period %d of %d: %+v", i, len(all), p)
			}
			if (p.Changed == "first") != (i == len(all)-1) {
				t.Errorf("period %d of %d has changed %s", i, len(all), p.Changed)
			}
		}
		if len(all) < 20 {
			t.Errorf("only %d periods", len(all))
		}
	})
}

// sameCause compares causes by the names of their rules, because compiled conditions cannot be
// compared.
func sameCause(a, b policy.Cause) bool {
	name := func(c policy.Cause) string {
		if c.Rule == nil {
			return ""
		}
		return c.Rule.Name
	}
	return a.Actions == b.Actions && a.Reason == b.Reason && name(a) == name(b)
}

// A query for a time before the history, or for a policy whose rules were deleted, returns an
// error with this reason.
func TestPoliciesThatWereNotRecorded(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, d *harness) {
		ctx, clock := t.Context(), clocktest.Noon()
		begin := clock.Now()
		b := openWithClock(t, d, clock, file())
		text := func(at time.Time) string {
			_, err := b.At(ctx, at)
			wants(t, err, admin.ErrNotFound)
			return fmt.Sprint(err)
		}
		if got := text(begin.Add(-time.Hour)); got != "no policy is recorded for 2026-11-23T11:00:00Z: the history is empty" {
			t.Error(got)
		}
		if err := b.StoreActivations(ctx); err != nil {
			t.Fatal(err)
		}
		if got := text(begin.Add(-time.Hour)); got != "no policy is recorded for 2026-11-23T11:00:00Z: the history begins at 2026-11-23T12:00:00Z" {
			t.Error(got)
		}
		first := b.Policy().ID()
		clock.Pass(time.Hour)
		must[rulebook.Rule](t)(b.AddRule(ctx, operator, freeze()))
		if err := b.StoreActivations(ctx); err != nil {
			t.Fatal(err)
		}
		if err := d.db.Write(ctx, "", rulebook.DeleteVersion(ctx, first)); err != nil {
			t.Fatal(err)
		}
		if got, want := text(begin.Add(time.Minute)), "policy "+first+" was in force at 2026-11-23T12:01:00Z, and its rules are not stored"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
		_, err := b.Find(ctx, first)
		wants(t, err, admin.ErrNotFound)
	})
}

// Replicas and restarts with the same policy add nothing to the history. If a clock is set back,
// the order does not change.
func TestHistoryHasEachChangeOnce(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, d *harness) {
		ctx, clock := t.Context(), clocktest.Noon()
		begin := clock.Now()
		one, two := filesWith(t, nil, ruleInFile("a.yaml", 1, "a", "a")), filesWith(t, nil, ruleInFile("a.yaml", 1, "a", "b"))
		var ids []string
		for i, files := range []rulebook.Files{one, one, two, two, one} {
			if i == 4 {
				clock.Set(-24 * time.Hour)
			}
			b := openWithClock(t, d, clock, files)
			if err := b.StoreActivations(ctx); err != nil {
				t.Fatal(err)
			}
			ids = append(ids, b.Policy().ID())
			clock.Pass(time.Minute)
		}
		b := openWithClock(t, d, clock, one)
		list, next, err := b.History(ctx, admin.Page{})
		if err != nil || next != "" {
			t.Fatal(next, err)
		}
		type row struct {
			Policy  string
			Since   time.Duration
			Changed string
		}
		var got []row
		for _, p := range list {
			got = append(got, row{p.Policy, p.Since.Sub(begin), p.Changed})
		}
		want := []row{
			{ids[4], 2*time.Minute + time.Millisecond, "files"},
			{ids[2], 2 * time.Minute, "files"},
			{ids[0], 0, "first"},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		_, _, err = b.History(ctx, admin.Page{After: "x"})
		requireInvalid(t, err, "after")
	})
}
