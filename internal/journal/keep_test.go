package journal_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/internal/clock/clocktest"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// steps makes a keeper work until it has nothing to do.
func steps(t testing.TB, k *journal.Keeper) (n int) {
	t.Helper()
	for {
		did, err := k.Step(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !did {
			return n
		}
		if n++; n > 10_000 {
			t.Fatal("the keeper does not come to an end")
		}
	}
}

func readAll(t testing.TB, j *journal.Journal) (all []journal.Entry) {
	t.Helper()
	for e, err := range j.Read(context.Background(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

// However entries were written, merged and removed: exactly the entries beyond their limits are
// gone, the others are what they were, and the tree verifies.
func TestPropertyMergingAndRemovingKeepTheRest(t *testing.T) {
	storetest.Each(t, func(t *testing.T, d storetest.Database) {
		rapid.Check(t, func(rt *rapid.T) {
			clock := clocktest.New(noon)
			j, _ := open(t, d.Ready(t), journal.Options{Now: clock.Now})
			rules := rapid.SliceOfN(rapid.Custom(drawRule), 1, 4).Draw(rt, "rules")
			principals := rapid.SliceOfN(rapid.Custom(drawPrincipal), 1, 4).Draw(rt, "principals")
			age := func(label string) journal.Limit {
				return journal.Limit{Age: time.Duration(rapid.SampledFrom([]int{0, 1, 3, 24, 200}).Draw(rt, label)) * time.Hour}
			}
			limits := journal.Limits{Decisions: age("decisions"), Refused: age("refused"), Events: age("events"), Changes: age("changes")}
			of := map[string]journal.Limit{"decision": limits.Decisions, "refused": limits.Refused, "event": limits.Events, "change": limits.Changes}
			k := journal.NewKeeper(j, limits)
			for range rapid.IntRange(1, 6).Draw(rt, "batches") {
				n := rapid.SampledFrom([]int{1, 3, 100, 255, 256, 300, 700}).Draw(rt, "entries")
				entries := make([]journal.Entry, n)
				for i := range entries {
					entries[i] = draftEntry(rt, i, rules, principals)
				}
				for chunk := range slices.Chunk(entries, rapid.SampledFrom([]int{1, 7, 300}).Draw(rt, "at once")) {
					if err := j.Append(t.Context(), chunk...); err != nil {
						rt.Fatal(err)
					}
					if n > 100 && len(chunk) == 1 {
						clock.Pass(time.Second)
					}
				}
				before := readAll(t, j)
				clock.Pass(time.Duration(rapid.SampledFrom([]int{0, 10, 100, 5000}).Draw(rt, "minutes")) * time.Minute)
				steps(t, k)
				after := readAll(t, j)
				checkKept(rt, before, after, of, clock.Now())
			}
			v, err := j.Verify(t.Context(), 0)
			if err != nil {
				rt.Fatal(err)
			}
			if n := int64(len(readAll(t, j))); v.Entries != n {
				rt.Errorf("verified %d entries, want %d", v.Entries, n)
			}
		})
	})
}

// draftEntry returns an entry of any kind. Drawing all of its content would take too long.
func draftEntry(rt *rapid.T, i int, rules []*policy.Rule, principals []*policy.Principal) journal.Entry {
	e := journal.Entry{Registry: "r"}
	switch kind := (i*7 + i/5) % 5; kind {
	case 0, 1:
		asked := scope.Scope{Type: scope.TypeRepository, Name: "app", Actions: scope.Push}
		e.Decision = &journal.Decision{
			Principal: principals[i%len(principals)], Credential: "password", Client: fmt.Sprint("docker/", i%3),
			Results: []policy.Result{{
				Asked: asked, Granted: asked.Actions * scope.Actions(kind),
				Causes: []policy.Cause{{Actions: asked.Actions, Reason: policy.Allowed, Rule: rules[i%len(rules)]}},
			}},
		}
	case 2:
		return push(fmt.Sprint("event ", i, rapid.Uint64().Draw(rt, "id")))
	case 3:
		e.Change = &journal.Change{Actor: "user:ann", Action: "rule.add", Target: fmt.Sprint(i)}
	default:
		e.Text = fmt.Append(nil, "text ", i)
	}
	return e
}

// checkKept checks that nothing but entries beyond their limits is gone.
func checkKept(rt *rapid.T, before, after []journal.Entry, limits map[string]journal.Limit, now time.Time) {
	rt.Helper()
	left := make(map[journal.Position]journal.Entry, len(after))
	for _, e := range after {
		left[e.Position] = e
	}
	for _, e := range before {
		limit := limits[journal.Kept(&e)]
		got, ok := left[e.Position]
		switch old := limit.Age > 0 && now.Sub(e.Time) > max(limit.Age, journal.MinKept); {
		case !ok && !old:
			rt.Fatalf("entry %d of %s was removed at %s, its limit is %s", e.Position, e.Time, now, limit.Age)
		case ok && limit.Age > 0 && now.Sub(e.Time) > max(limit.Age, journal.MinKept)+25*time.Hour:
			rt.Fatalf("entry %d of %s is still there at %s, its limit is %s", e.Position, e.Time, now, limit.Age)
		case ok:
			if diff := cmp.Diff(e, got, asKept); diff != "" {
				rt.Fatalf("entry %d has changed (-before +after):\n%s", e.Position, diff)
			}
		}
	}
}
