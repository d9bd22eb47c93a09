package journal_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/internal/clock/clocktest"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/journal/retention"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// runSteps calls Step until the maintainer has no more work.
func runSteps(t testing.TB, k *journal.Maintainer) (n int) {
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
			t.Fatal("the maintainer always has more work")
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

// After any sequence of writes, merges and removals, the entries beyond their limits are gone. All
// other entries are unchanged, and the tree verifies.
func TestPropertyMergingAndRemovingKeepTheRest(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		clock := clocktest.New(noon)
		j, _ := open(t, storetest.SQLite().Ready(t), journal.Options{Now: clock.Now})
		rules := rapid.SliceOfN(rapid.Custom(drawRule), 1, 4).Draw(rt, "rules")
		principals := rapid.SliceOfN(rapid.Custom(drawPrincipal), 1, 4).Draw(rt, "principals")
		age := func(label string) retention.Limit {
			return retention.Limit{Age: time.Duration(rapid.SampledFrom([]int{0, 1, 3, 24, 200}).Draw(rt, label)) * time.Hour}
		}
		limits := retention.Limits{Decisions: age("decisions"), Refused: age("refused"), Events: age("events"), Changes: age("changes"), Service: age("service")}
		of := map[string]retention.Limit{"decision": limits.Decisions, "refused": limits.Refused, "event": limits.Events, "change": limits.Changes, "service": limits.Service}
		k := journal.NewMaintainer(j, limits)
		for range rapid.IntRange(1, 4).Draw(rt, "batches") {
			n := rapid.SampledFrom([]int{1, 3, 100, 255, 256, 300}).Draw(rt, "entries")
			entries := make([]journal.Entry, n)
			for i := range entries {
				entries[i] = draftEntry(rt, i, rules, principals)
			}
			for chunk := range slices.Chunk(entries, rapid.SampledFrom([]int{3, 17, 300}).Draw(rt, "at once")) {
				if err := j.Append(t.Context(), chunk...); err != nil {
					rt.Fatal(err)
				}
				if len(chunk) == 3 {
					clock.Pass(time.Second)
				}
			}
			before := readAll(t, j)
			clock.Pass(time.Duration(rapid.SampledFrom([]int{0, 10, 100, 5000}).Draw(rt, "minutes")) * time.Minute)
			runSteps(t, k)
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
}

// draftEntry returns an entry of any kind. Drawing all of its content would take too long.
func draftEntry(rt *rapid.T, i int, rules []*policy.Rule, principals []*policy.Principal) journal.Entry {
	e := journal.Entry{Registry: "r"}
	switch kind := (i*7 + i/5) % 6; kind {
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
	case 4:
		e.Service = &journal.Service{Action: "service.start", Target: fmt.Sprint(i)}
	default:
		e.Text = fmt.Append(nil, "text ", i)
	}
	return e
}

// checkKept checks that only entries beyond their limits are gone.
func checkKept(rt *rapid.T, before, after []journal.Entry, limits map[string]retention.Limit, now time.Time) {
	rt.Helper()
	left := make(map[journal.Position]journal.Entry, len(after))
	for _, e := range after {
		left[e.Position] = e
	}
	for _, e := range before {
		limit := limits[journal.RetentionKind(&e)]
		got, ok := left[e.Position]
		switch old := limit.Age > 0 && now.Sub(e.Time) > max(limit.Age, journal.MinAge); {
		case !ok && !old:
			rt.Fatalf("entry %d of %s was removed at %s, its limit is %s", e.Position, e.Time, now, limit.Age)
		case ok && e.Change != nil && e.Change.Action == "journal.remove": // never removed
		case ok && limit.Age > 0 && now.Sub(e.Time) > max(limit.Age, journal.MinAge)+25*time.Hour:
			rt.Fatalf("entry %d of %s is still there at %s, its limit is %s", e.Position, e.Time, now, limit.Age)
		case ok:
			if diff := cmp.Diff(e, got, asKept); diff != "" {
				rt.Fatalf("entry %d has changed (-before +after):\n%s", e.Position, diff)
			}
		}
	}
}

// fill appends entries one at a time, with a pause between them.
func fill(t testing.TB, j *journal.Journal, c *clocktest.Clock, pause time.Duration, entries ...journal.Entry) {
	t.Helper()
	for _, e := range entries {
		if err := j.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		c.Pass(pause)
	}
}

func pushes(from, to int) (entries []journal.Entry) {
	for i := from; i < to; i++ {
		entries = append(entries, push(fmt.Sprint("e", i)))
	}
	return entries
}

// blocks returns the number of rows and the bytes of their contents.
func blocks(t testing.TB, db *store.DB) (rows, bytes int64) {
	t.Helper()
	if err := db.Read().QueryRow(`SELECT count(*), coalesce(sum(length(content)), 0) FROM journal_blocks`).Scan(&rows, &bytes); err != nil {
		t.Fatal(err)
	}
	return rows, bytes
}

func TestOldBlocksAreMergedAndCompressed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, d storetest.Database) {
		clock := clocktest.New(noon)
		j, db := open(t, d.Ready(t), journal.Options{Now: clock.Now})
		fill(t, j, clock, 0, pushes(0, 600)...)
		k := journal.NewMaintainer(j, retention.Limits{})
		if n := runSteps(t, k); n != 0 {
			t.Errorf("%d steps for new blocks, want 0", n)
		}
		_, before := blocks(t, db)
		clock.Pass(10 * time.Minute)
		if n := runSteps(t, k); n != 2 {
			t.Errorf("%d steps, want 2 merged groups", n)
		}
		// Leaf 0 is not an entry, so the two groups have 255 and 256 entries.
		rows, bytes := blocks(t, db)
		if rows != 2+600-511 || bytes > before/3 {
			t.Errorf("%d rows with %d bytes, want %d rows with much less than %d bytes", rows, bytes, 2+600-511, before)
		}
		if n := len(read(t, j, 300)); n != 300 {
			t.Errorf("%d entries after 300, want 300", n)
		}
	})
}

// A block that is not merged yet can have entries of two groups.
func TestABlockOfTwoGroupsIsSplit(t *testing.T) {
	clock := clocktest.New(noon)
	j, db := open(t, storetest.SQLite().Ready(t), journal.Options{Now: clock.Now})
	if err := j.Append(t.Context(), pushes(0, 300)...); err != nil {
		t.Fatal(err)
	}
	want := read(t, j, 0)
	clock.Pass(time.Hour)
	runSteps(t, journal.NewMaintainer(j, retention.Limits{}))
	if rows, _ := blocks(t, db); rows != 2 {
		t.Errorf("%d rows, want 2", rows)
	}
	if diff := cmp.Diff(want, read(t, j, 0), asKept); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
	if _, err := j.Verify(t.Context(), 0); err != nil {
		t.Error(err)
	}
}

// Removed entries are recorded: the journal gets an entry about the removal, and Verify counts the
// removed entries.
func TestRemovedEntriesAreRecordedAndCounted(t *testing.T) {
	storetest.Each(t, func(t *testing.T, d storetest.Database) {
		clock := clocktest.New(noon)
		j, db := open(t, d.Ready(t), journal.Options{Now: clock.Now})
		fill(t, j, clock, 0, pushes(0, 600)...)
		clock.Pass(100 * 24 * time.Hour)
		fill(t, j, clock, 0, push("last"))
		runSteps(t, journal.NewMaintainer(j, retention.Limits{Events: retention.Limit{Age: 90 * 24 * time.Hour}}))

		got := read(t, j, 0)
		if len(got) != 2 || got[0].Event == nil || got[0].Event.ID != "last" || got[1].Change == nil || got[1].Change.Action != "journal.remove" {
			t.Fatalf("the remaining entries are %v", got)
		}
		want := map[string]any{"event": map[string]any{"entries": 600.0, "total": 600.0, "before": "2026-12-03T12:00:00Z"}}
		if diff := cmp.Diff(want, got[1].Change.To); diff != "" {
			t.Errorf("the recorded change (-want +got):\n%s", diff)
		}
		v, err := j.Verify(t.Context(), 0)
		if err != nil || v.Removed != 600 || v.Entries != 2 {
			t.Errorf("verified %+v, %v, want 600 removed and 2 entries", v, err)
		}
		if rows, _ := blocks(t, db); rows > 100 {
			t.Errorf("%d rows for 2 entries and the rest of a group", rows)
		}
		// An attacker deletes more entries, and pretends that they were too old.
		fill(t, j, clock, 0, pushes(1000, 1400)...)
		if err := db.Write(t.Context(), "", run("DELETE FROM journal_blocks WHERE first >= 512 AND first < 768")); err != nil {
			t.Fatal(err)
		}
		if _, err := j.Verify(t.Context(), 0); err == nil || !strings.Contains(err.Error(), "767 entries are missing, but only") {
			t.Errorf("Verify after entries were deleted: %v", err)
		}
	})
}

// A merged block stays compressed when some of its entries are removed.
func TestRemovalLeavesBlocksCompressed(t *testing.T) {
	clock := clocktest.New(noon)
	j, db := open(t, storetest.SQLite().Ready(t), journal.Options{Now: clock.Now})
	for _, event := range pushes(0, 128) {
		fill(t, j, clock, 0, event, journal.Entry{Change: &journal.Change{Actor: "user:ann", Action: "user.add", Target: "bob"}})
	}
	clock.Pass(100 * 24 * time.Hour)
	runSteps(t, journal.NewMaintainer(j, retention.Limits{Events: retention.Limit{Age: 90 * 24 * time.Hour}}))
	if n := len(read(t, j, 0)); n != 129 { // one of them records the removal
		t.Errorf("%d entries are left, want 129", n)
	}
	var plain int
	if err := db.Read().QueryRow(`SELECT count(*) FROM journal_blocks WHERE entries = 255 AND substr(content, 1, 1) = X'7B'`).Scan(&plain); err != nil || plain > 0 {
		t.Errorf("%d merged blocks are not compressed, %v", plain, err)
	}
}

// When the entries of a kind exceed the size limit, the entries of the oldest hours are removed.
func TestTheSizeOfAKindIsLimited(t *testing.T) {
	storetest.Each(t, func(t *testing.T, d storetest.Database) {
		clock := clocktest.New(noon)
		j, _ := open(t, d.Ready(t), journal.Options{Now: clock.Now})
		change := journal.Entry{Change: &journal.Change{Actor: "user:ann", Action: "user.add", Target: "bob"}}
		for hour := range 20 {
			fill(t, j, clock, time.Minute, pushes(60*hour, 60*hour+59)...)
			fill(t, j, clock, time.Minute, change)
		}
		clock.Pass(time.Hour)
		k := journal.NewMaintainer(j, retention.Limits{})
		runSteps(t, k)
		total, err := k.SizeOf(t.Context(), "event")
		if err != nil || total == 0 {
			t.Fatalf("the events take %d bytes, %v", total, err)
		}
		runSteps(t, journal.NewMaintainer(j, retention.Limits{Events: retention.Limit{Size: total / 2}}))
		left := make(map[string]int)
		var oldest time.Time
		for _, e := range read(t, j, 0) {
			left[journal.RetentionKind(&e)]++
			if e.Event != nil && oldest.IsZero() {
				oldest = e.Time
			}
		}
		if left["change"] != 21 { // one of them records the removal
			t.Errorf("%d changes are left, want 21", left["change"])
		}
		if n := left["event"]; n < 400 || n > 700 {
			t.Errorf("%d of 1180 events are left, want about half", n)
		}
		if oldest.Before(noon.Add(8 * time.Hour)) {
			t.Errorf("the oldest remaining event has the time %s", oldest)
		}
	})
}

// A block can have old entries that are kept forever, and none that are beyond their limits. Such
// a block does not stop the removal of entries of later blocks.
func TestABlockWithNothingToRemoveDoesNotStopRemoval(t *testing.T) {
	const day = 24 * time.Hour
	clock := clocktest.New(noon)
	j, _ := open(t, storetest.SQLite().Ready(t), journal.Options{Now: clock.Now})
	k := journal.NewMaintainer(j, retention.Limits{Events: retention.Limit{Age: 30 * day}, Changes: retention.Limit{Age: 100 * day}})
	fill(t, j, clock, 3*day, journal.Entry{Service: &journal.Service{Action: "service.start"}})
	change := journal.Entry{Change: &journal.Change{Actor: "user:ann", Action: "user.add", Target: "bob"}}
	fill(t, j, clock, 0, slices.Repeat([]journal.Entry{change}, 254)...)
	clock.Pass(40 * day)
	runSteps(t, k) // merges the restart and the changes, and finds no event among them
	fill(t, j, clock, 59*day, push("e"))
	runSteps(t, k)
	for _, e := range read(t, j, 0) {
		if e.Event != nil {
			t.Errorf("event %s is still there after %s", e.Event.ID, clock.Now().Sub(e.Time))
		}
	}
}

// If a removal fails, the next step tries it again.
func TestARemovalThatFailedIsRepeated(t *testing.T) {
	const day = 24 * time.Hour
	clock := clocktest.New(noon)
	j, _ := open(t, storetest.SQLite().Ready(t), journal.Options{Now: clock.Now})
	fill(t, j, clock, 10*day, push("old"))
	fill(t, j, clock, 0, pushes(0, 254)...)
	clock.Pass(time.Hour)
	runSteps(t, journal.NewMaintainer(j, retention.Limits{}))
	fails := true
	j.SetWrite(func(real journal.Write) journal.Write {
		return func(ctx context.Context, topic string, f func(*sql.Tx) error) error {
			if fails {
				return errors.New("on purpose")
			}
			return real(ctx, topic, f)
		}
	})
	k := journal.NewMaintainer(j, retention.Limits{Events: retention.Limit{Age: 5 * day}})
	if _, err := k.Remove(t.Context()); err == nil {
		t.Fatal("a removal that cannot write succeeded")
	}
	fails = false
	if did, err := k.Remove(t.Context()); !did || err != nil {
		t.Fatalf("the second removal: %t, %v", did, err)
	}
	if entries := read(t, j, 0); len(entries) != 254 || entries[0].Event.ID != "e0" {
		t.Errorf("%d entries are left, want 254", len(entries))
	}
}

// decisionOf returns a decision about a user.
func decisionOf(name string) journal.Entry {
	return journal.Entry{Decision: decision(&policy.Principal{Kind: policy.User, Name: name, ID: name, Source: "test"})}
}

// principals returns the number of stored principals.
func principals(t testing.TB, db *store.DB) (n int) {
	t.Helper()
	if err := db.Read().QueryRow(`SELECT count(*) FROM journal_principals`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// A principal is deleted together with the last entry that refers to it, but not earlier.
func TestPrincipalsAreRemovedWithTheirEntries(t *testing.T) {
	storetest.Each(t, func(t *testing.T, d storetest.Database) {
		clock := clocktest.New(noon)
		j, db := open(t, d.Ready(t), journal.Options{Now: clock.Now})
		for i := range 300 {
			fill(t, j, clock, 0, decisionOf(fmt.Sprint("job", i)))
		}
		clock.Pass(10 * 24 * time.Hour)
		for range 300 {
			fill(t, j, clock, 0, decisionOf("job7"))
		}
		clock.Pass(24 * time.Hour)
		limit := retention.Limit{Age: 2 * 24 * time.Hour}
		k := journal.NewMaintainer(j, retention.Limits{Decisions: limit, Refused: limit})
		runSteps(t, k)
		// One block had the entries of the last 45 jobs and of job7. The entries of the last 45
		// jobs are removed, but the principals of this block are left.
		if n := principals(t, db); n != 46 {
			t.Errorf("%d principals are left, want 46", n)
		}
		for range 256 {
			clock.Pass(time.Hour)
			fill(t, j, clock, 0, decisionOf("job7"))
			runSteps(t, k)
		}
		// Before each daily sweep, job7 got a new row.
		if n := principals(t, db); n < 1 || n > 5 {
			t.Errorf("%d principals are left, want those of job7", n)
		}
		// The writer still has job8 in its cache, but the row is gone.
		fill(t, j, clock, 0, decisionOf("job8"), decisionOf("job7"))
		entries := read(t, j, 0)
		if last := entries[len(entries)-2]; last.Decision.Principal.Name != "job8" {
			t.Errorf("the principal is %v, want job8", last.Decision.Principal)
		}
		if _, err := j.Verify(t.Context(), 0); err != nil {
			t.Error(err)
		}
	})
}

// Maintainers of several processes can work at the same time. Readers still see each entry exactly
// once.
func TestReadersAndWritersDoNotNoticeMaintenance(t *testing.T) {
	storetest.Each(t, func(t *testing.T, d storetest.Database) {
		url := d.Ready(t)
		clock := clocktest.New(noon)
		j, _ := open(t, url, journal.Options{Now: clock.Now})
		other, _ := open(t, url, journal.Options{Now: clock.Now})
		fill(t, j, clock, 0, pushes(0, 300)...)
		var working sync.WaitGroup
		ctx, end := context.WithCancel(t.Context())
		for _, of := range []*journal.Journal{j, other} {
			k := journal.NewMaintainer(of, retention.Limits{Changes: retention.Limit{Age: time.Hour}})
			working.Go(func() {
				for ctx.Err() == nil {
					if _, err := k.Step(ctx); err != nil && !errors.Is(err, journal.ErrRewritten) && ctx.Err() == nil {
						t.Error(err)
						return
					}
				}
			})
		}
		for i := range 10 {
			clock.Pass(10 * time.Minute)
			fill(t, j, clock, 0, pushes(300+40*i, 340+40*i)...)
			want := journal.Position(340 + 40*i)
			next := journal.Position(1)
			for _, e := range read(t, j, 0) {
				if e.Position != next {
					t.Fatalf("entry %d is followed by entry %d", next-1, e.Position)
				}
				next++
			}
			if next <= want {
				t.Fatalf("%d entries, want at least %d", next-1, want)
			}
			before := journal.Position(0)
			for last := journal.Position(0); ; {
				page, err := j.Search(t.Context(), journal.Query{Kind: journal.KindEvent}, before, 100, func(int) bool { return false })
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range page.Entries {
					if last != 0 && e.Position >= last {
						t.Fatalf("entry %d was found after entry %d", e.Position, last)
					}
					last = e.Position
				}
				if before = page.Next; before == 0 {
					break
				}
			}
		}
		end()
		working.Wait()
		if _, err := j.Verify(t.Context(), 0); err != nil {
			t.Error(err)
		}
	})
}

// If a clock was ahead for some time, later entries are removed as usual.
func TestEntriesOfTheFutureDoNotStopRemoval(t *testing.T) {
	clock := clocktest.New(noon)
	j, _ := open(t, storetest.SQLite().Ready(t), journal.Options{Now: clock.Now})
	ahead := func(id string) journal.Entry {
		e := push(id)
		e.Time = noon.AddDate(10, 0, 0)
		return e
	}
	fill(t, j, clock, time.Second, pushes(0, 20)...)
	fill(t, j, clock, time.Second, ahead("a"), ahead("b"))
	fill(t, j, clock, time.Second, pushes(20, 300)...)
	fill(t, j, clock, time.Second, ahead("c"))
	clock.Pass(100 * 24 * time.Hour)
	fill(t, j, clock, time.Second, push("new"))
	runSteps(t, journal.NewMaintainer(j, retention.Limits{Events: retention.Limit{Age: 90 * 24 * time.Hour}}))
	var left []string
	for _, e := range read(t, j, 0) {
		if e.Event != nil {
			left = append(left, e.Event.ID)
		}
	}
	// The age of c is unknown, because no block after c is beyond the limit.
	if want := []string{"c", "new"}; !slices.Equal(left, want) {
		t.Errorf("%v are left, want %v", left, want)
	}
}

func TestEntriesOfTheFutureDoNotStopMerging(t *testing.T) {
	clock := clocktest.New(noon)
	j, db := open(t, storetest.SQLite().Ready(t), journal.Options{Now: clock.Now})
	ahead := push("ahead")
	ahead.Time = noon.AddDate(10, 0, 0)
	fill(t, j, clock, 0, ahead)
	fill(t, j, clock, 0, pushes(0, 510)...)
	clock.Pass(time.Hour)
	runSteps(t, journal.NewMaintainer(j, retention.Limits{}))
	if rows, _ := blocks(t, db); rows != 2 {
		t.Errorf("%d blocks, want 2", rows)
	}
}

// If all entries of a group are removed before the group is merged, the group has no blocks.
func TestAGroupCanBeRemovedBeforeItIsMerged(t *testing.T) {
	clock := clocktest.New(noon)
	j, db := open(t, storetest.SQLite().Ready(t), journal.Options{Now: clock.Now})
	for _, batch := range [][]journal.Entry{pushes(0, 255), pushes(255, 300)} {
		if err := j.Append(t.Context(), batch...); err != nil {
			t.Fatal(err)
		}
	}
	clock.Pass(3 * time.Hour)
	k := journal.NewMaintainer(j, retention.Limits{Events: retention.Limit{Age: time.Hour}})
	for _, work := range []func(context.Context) (bool, error){k.Remove, k.Merge} {
		if _, err := work(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if rows, _ := blocks(t, db); rows != 1 {
		t.Errorf("%d blocks, want 1", rows)
	}
	if n := len(read(t, j, 0)); n != 45 {
		t.Errorf("%d entries, want 45", n)
	}
	if v, err := j.Verify(t.Context(), 0); err != nil || v.Removed != 255 {
		t.Errorf("%+v, %v", v, err)
	}
}

// A block without entries must not cause a reader to read that block forever.
func TestABlockWithoutEntriesIsAnError(t *testing.T) {
	j, db := open(t, storetest.SQLite().Ready(t), journal.Options{})
	if err := j.Append(t.Context(), push("1")); err != nil {
		t.Fatal(err)
	}
	err := db.Write(t.Context(), "", func(tx *sql.Tx) error {
		_, err := tx.Exec(`UPDATE journal_blocks SET entries = 0, content = '{"form":2}' || char(10)`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range j.Read(t.Context(), 0) {
		if err == nil {
			t.Fatal("a block without entries returned an entry")
		}
	}
	if _, err := j.Verify(t.Context(), 0); err == nil {
		t.Error("Verify accepts a block without entries")
	}
}

// A principal that a replica uses is not deleted, even if the clocks of the replicas differ.
func TestClocksOfReplicasDoNotMatterForPrincipals(t *testing.T) {
	storetest.Each(t, func(t *testing.T, d storetest.Database) {
		url := d.Ready(t)
		slow, fast := clocktest.New(noon), clocktest.New(noon)
		writer, _ := open(t, url, journal.Options{Now: slow.Now})
		reader, _ := open(t, url, journal.Options{Now: fast.Now})
		ann := journal.Entry{Decision: decision(&policy.Principal{Kind: policy.User, Name: "ann", ID: "1", Source: "test"})}
		if err := writer.Append(t.Context(), slices.Repeat([]journal.Entry{ann}, 256)...); err != nil {
			t.Fatal(err)
		}
		fast.Pass(65 * time.Minute)
		limit := retention.Limit{Age: time.Hour}
		runSteps(t, journal.NewMaintainer(reader, retention.Limits{Decisions: limit, Refused: limit}))
		if err := writer.Append(t.Context(), ann); err != nil {
			t.Fatal(err)
		}
		entries := read(t, reader, 256)
		if last := entries[len(entries)-1]; last.Decision.Principal.Name != "ann" {
			t.Errorf("the principal is %v, want ann", last.Decision.Principal)
		}
		if _, err := reader.Verify(t.Context(), 0); err != nil {
			t.Error(err)
		}
	})
}

// Principals are removed even if many blocks are not merged yet.
func TestABusyJournalRemovesPrincipals(t *testing.T) {
	clock := clocktest.New(noon)
	j, db := open(t, storetest.SQLite().Ready(t), journal.Options{Now: clock.Now})
	for i := range 255 {
		fill(t, j, clock, 0, decisionOf(fmt.Sprint("job", i)))
	}
	clock.Pass(10 * 24 * time.Hour)
	for range 2100 {
		fill(t, j, clock, 0, decisionOf("ann"))
	}
	limit := retention.Limit{Age: 24 * time.Hour}
	runSteps(t, journal.NewMaintainer(j, retention.Limits{Decisions: limit, Refused: limit}))
	if n := principals(t, db); n != 1 {
		t.Errorf("%d principals are left, want 1", n)
	}
}

// If blocks are merged during a search for an id, the entry is still found exactly once.
func TestAnEntryIsFoundOnceInMergedBlocks(t *testing.T) {
	clock := clocktest.New(noon)
	j, _ := open(t, storetest.SQLite().Ready(t), journal.Options{Now: clock.Now})
	fill(t, j, clock, 0, pushes(0, 255)...)
	clock.Pass(time.Hour)
	runSteps(t, journal.NewMaintainer(j, retention.Limits{}))
	id := read(t, j, 100)[0].ID
	if found, err := j.FindIn(t.Context(), []journal.Position{1, 100, 101}, id.String()); err != nil || len(found) != 1 {
		t.Errorf("found %d entries, want 1 (%v)", len(found), err)
	}
}

// If the clock of a replica is far behind, the age of its entries is the age of the entries before
// them.
func TestEntriesOfAClockThatIsBehindAreKept(t *testing.T) {
	clock := clocktest.New(noon)
	j, _ := open(t, storetest.SQLite().Ready(t), journal.Options{Now: clock.Now})
	behind := func(id string) journal.Entry {
		e := push(id)
		e.Time = noon.AddDate(-1, 0, 0)
		return e
	}
	fill(t, j, clock, time.Second, push("first"), behind("a"), push("second"), behind("b"))
	limits := retention.Limits{Events: retention.Limit{Age: 90 * 24 * time.Hour}}
	runSteps(t, journal.NewMaintainer(j, limits))
	if n := len(read(t, j, 0)); n != 4 {
		t.Errorf("%d entries are left after the first run, want 4", n)
	}
	clock.Pass(100 * 24 * time.Hour)
	runSteps(t, journal.NewMaintainer(j, limits))
	for _, e := range read(t, j, 0) {
		if e.Event != nil {
			t.Errorf("event %s is still there after a hundred days", e.Event.ID)
		}
	}
}

// Entries are removed only after the clock has run without a jump for some time. After a jump,
// this time begins again.
func TestNothingIsRemovedWhileTheClockJumps(t *testing.T) {
	clock := clocktest.New(noon)
	j, _ := open(t, storetest.SQLite().Ready(t), journal.Options{Now: clock.Now})
	fill(t, j, clock, 0, pushes(0, 300)...)
	k := journal.NewMaintainer(j, retention.Limits{Events: retention.Limit{Age: 24 * time.Hour}})
	k.SetSettle(time.Hour)
	for range 5 {
		clock.Pass(100 * 24 * time.Hour)
		runSteps(t, k)
		if n := len(read(t, j, 0)); n != 300 {
			t.Fatalf("%d entries are left after a jump, want 300", n)
		}
	}
	k.SetSettle(time.Nanosecond) // now the clock has run without a jump for long enough
	runSteps(t, k)
	if n := len(read(t, j, 0)); n != 1 {
		t.Errorf("%d entries are left, want only the report", n)
	}
}
