package journal_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/internal/clock/clocktest"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/journal/dedup"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Several journals on one database act like several processes: each has its own connections.
func TestJournalsThatShareADatabaseInterleaveWithoutGaps(t *testing.T) {
	storetest.Each(t, testJournalsThatShareADatabaseInterleaveWithoutGaps)
}

func testJournalsThatShareADatabaseInterleaveWithoutGaps(t *testing.T, d storetest.Database) {
	const writers, each = 4, 25
	url := d.Ready(t)
	done := make(chan error, writers*3)
	for n := range writers {
		j, db := open(t, url, journal.Options{Linger: -1})
		principal := &policy.Principal{Kind: policy.User, Name: fmt.Sprint("user", n)}
		go func() {
			for i := range each {
				// All journals append each event, but each event is written once.
				if err := j.Append(t.Context(), push(fmt.Sprint("e", i)), journal.Entry{Decision: decision(principal)}); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
		go func() {
			for i := range each {
				change := journal.Entry{Change: &journal.Change{Actor: fmt.Sprint(n), Action: "test", Target: fmt.Sprint(i)}}
				if err := db.Write(t.Context(), "", func(tx *sql.Tx) error { return j.AppendTx(t.Context(), tx, change) }); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
		go func() {
			for range each {
				if err := j.Record(journal.Entry{Decision: decision(principal)}); err != nil {
					done <- err
					return
				}
			}
			done <- j.Append(t.Context(), journal.Entry{Text: []byte("done")})
		}()
	}
	for range writers * 3 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	j, _ := open(t, url, journal.Options{})
	got := make(map[string]int)
	for i, entry := range read(t, j, 0) {
		if entry.Position != journal.Position(i+1) {
			t.Fatalf("position %d is entry %d", entry.Position, i+1)
		}
		switch {
		case entry.Event != nil:
			got["events"]++
		case entry.Decision != nil:
			got["decisions of "+entry.Decision.Principal.Name]++
		case entry.Change != nil:
			got["changes by "+entry.Change.Actor]++
		}
	}
	want := map[string]int{"events": each}
	for n := range writers {
		want[fmt.Sprint("decisions of user", n)] = 2 * each
		want[fmt.Sprint("changes by ", n)] = each
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if v, err := j.Verify(t.Context(), 0); err != nil {
		t.Errorf("Verify: %+v, %v", v, err)
	}
}

func TestAppendTxIsKeptWithItsTransactionOrNotAtAll(t *testing.T) {
	storetest.Each(t, testAppendTxIsKeptWithItsTransactionOrNotAtAll)
}

func testAppendTxIsKeptWithItsTransactionOrNotAtAll(t *testing.T, d storetest.Database) {
	j, db := open(t, d.Ready(t), journal.Options{})
	change := func(target string) journal.Entry {
		return journal.Entry{Change: &journal.Change{Actor: "root", Action: "user.disable", Target: target}}
	}
	failure := errors.New("on purpose")
	err := db.Write(t.Context(), "", func(tx *sql.Tx) error {
		if err := j.AppendTx(t.Context(), tx, change("ann"), journal.Entry{Decision: decision(alice)}); err != nil {
			return err
		}
		return failure
	})
	if !errors.Is(err, failure) {
		t.Fatal(err)
	}
	// The insert of alice was rolled back.
	if err := j.Append(t.Context(), journal.Entry{Decision: decision(alice)}); err != nil {
		t.Fatal(err)
	}
	err = db.Write(t.Context(), "", func(tx *sql.Tx) error {
		if err := j.AppendTx(t.Context(), tx); err != nil { // no entries
			return err
		}
		return j.AppendTx(t.Context(), tx, change("bob"), journal.Entry{Decision: decision(alice)})
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, entry := range read(t, j, 0) {
		if entry.Change != nil {
			got = append(got, entry.Change.Target)
		} else {
			got = append(got, entry.Decision.Principal.Name)
		}
	}
	if diff := cmp.Diff([]string{"alice", "bob", "alice"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestFollowSeesWhatOtherProcessesAppend(t *testing.T) {
	storetest.Each(t, testFollowSeesWhatOtherProcessesAppend)
}

func testFollowSeesWhatOtherProcessesAppend(t *testing.T, d storetest.Database) {
	url := d.Ready(t)
	writer, _ := open(t, url, journal.Options{})
	if err := writer.Append(t.Context(), push("old"), push("e0")); err != nil {
		t.Fatal(err)
	}

	db, err := store.OpenReadOnly(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	n := 0
	reader, err := journal.New(db, journal.Options{Wait: func(ctx context.Context) error {
		n++ // each Wait appends an entry
		return writer.Append(ctx, push(fmt.Sprint("e", n)))
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close(t.Context())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var got []string
	for entry, err := range reader.Follow(ctx, 1) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, entry.Event.ID)
		if len(got) == 4 {
			cancel()
		}
	}
	if diff := cmp.Diff([]string{"e0", "e1", "e2", "e3"}, got); diff != "" {
		t.Error(diff)
	}
	if err := reader.Append(t.Context(), push("x")); err == nil {
		t.Error("a read-only journal was written")
	}
}

func TestReadEndsWithItsCaller(t *testing.T) { storetest.Each(t, testReadEndsWithItsCaller) }

func testReadEndsWithItsCaller(t *testing.T, d storetest.Database) {
	j, _ := open(t, d.Ready(t), journal.Options{})
	if err := j.Append(t.Context(), push("a"), push("b"), push("c")); err != nil {
		t.Fatal(err)
	}
	for range j.Read(t.Context(), 0) {
		break
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var failed error
	for _, err := range j.Read(ctx, 0) {
		failed = err
	}
	if !errors.Is(failed, context.Canceled) {
		t.Errorf("Read with a context that ended: %v", failed)
	}
	if got := read(t, j, 3); len(got) != 0 {
		t.Errorf("reading after the end returned %v", got)
	}
	if got := read(t, j, 1000); len(got) != 0 {
		t.Errorf("reading long after the end returned %v", got)
	}
	if got := read(t, j, -5); len(got) != 3 {
		t.Errorf("reading from before the beginning returned %d entries", len(got))
	}
}

// An append that fills several blocks is one transaction. Each of its entries can be found.
func TestManyEntriesAtOnce(t *testing.T) { storetest.Each(t, testManyEntriesAtOnce) }

func testManyEntriesAtOnce(t *testing.T, d storetest.Database) {
	j, _ := open(t, d.Ready(t), journal.Options{MaxEntries: 100})
	entries := make([]journal.Entry, 2000)
	for i := range entries {
		entries[i] = push(fmt.Sprint("e", i))
		entries[i].ID = journal.NewID(noon.Add(time.Duration(i) * time.Hour)) // spread over weeks
	}
	if err := j.Append(t.Context(), entries...); err != nil {
		t.Fatal(err)
	}
	if s := j.Stats(); s.Commits != 1 || s.Blocks < 3 || s.Written != 2000 {
		t.Errorf("%+v", s)
	}
	for _, i := range []int{0, 511, 512, 1024, 1999} {
		entry, err := j.Find(t.Context(), entries[i].ID)
		if err != nil || entry.Event.ID != fmt.Sprint("e", i) || entry.Position != journal.Position(i+1) {
			t.Errorf("entry %d: %d %s, %v", i, entry.Position, entry.Summary(), err)
		}
	}
	if v, err := j.Verify(t.Context(), 0); err != nil || v.Entries != 2000 {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestRepeatsAreRecognizedForThirtyDays(t *testing.T) {
	storetest.Each(t, testRepeatsAreRecognizedForThirtyDays)
}

func testRepeatsAreRecognizedForThirtyDays(t *testing.T, d storetest.Database) {
	c := clocktest.New(noon)
	j, db := open(t, d.Ready(t), journal.Options{Now: c.Now})
	known := func() (n int) {
		t.Helper()
		if err := db.Read().QueryRow("SELECT count(*) FROM journal_events").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	add := func(ids ...string) (kept int64) {
		t.Helper()
		before := j.Stats().Written
		for _, id := range ids {
			if err := j.Append(t.Context(), push(id)); err != nil {
				t.Fatal(err)
			}
		}
		return j.Stats().Written - before
	}
	if add("old") != 1 {
		t.Fatal("the first event was not written")
	}
	c.Pass(30 * 24 * time.Hour)
	if add("old") != 0 {
		t.Error("after 30 days, the event still counts as a repeat")
	}
	c.Set(-31 * 24 * time.Hour) // the clock is corrected
	c.Pass(dedup.RecognizedFor / 2)
	if add("old") != 0 {
		t.Error("after the clock was set back, a repeat was written")
	}
	c.Pass(90 * 24 * time.Hour)
	if add("new") != 1 || known() != 1 {
		t.Errorf("%d event keys are stored, want only that of the new event", known())
	}
}

// A replica whose clock is ahead records an event in the next epoch. The same event is
// recognized as a repeat by a replica with a correct clock, and by the first replica after its
// clock is corrected.
func TestARepeatIsRecognizedAfterAClockWasAhead(t *testing.T) {
	storetest.Each(t, testARepeatIsRecognizedAfterAClockWasAhead)
}

func testARepeatIsRecognizedAfterAClockWasAhead(t *testing.T, d storetest.Database) {
	begin := time.Unix(0, 0).UTC().Add(1000 * dedup.RecognizedFor) // the start of an epoch
	c := clocktest.New(begin.Add(time.Minute))
	j, _ := open(t, d.Ready(t), journal.Options{Now: c.Now})
	if err := j.Append(t.Context(), push("e1")); err != nil {
		t.Fatal(err)
	}
	c.Pass(-2 * time.Minute)
	if err := j.Append(t.Context(), push("e1")); err != nil {
		t.Fatal(err)
	}
	if s := j.Stats(); s.Written != 1 || s.Duplicates != 1 {
		t.Errorf("%d written and %d duplicates, want one of each", s.Written, s.Duplicates)
	}
}

// The clock of a registry can be wrong by any amount, or the registry sends no time. Repeats are
// still recognized within 30 days, and keys are deleted after that.
func TestPropertyRepeatsAreRecognizedWhateverTheRegistrysClock(t *testing.T) {
	const day = 24 * time.Hour
	c := clocktest.New(noon)
	j, db := open(t, storetest.SQLite().Ready(t), journal.Options{Now: c.Now})
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		c.Set(noon.Sub(c.Now()))
		n++
		entry := push(fmt.Sprint("e", n))
		entry.Event.Time = rapid.SampledFrom([]time.Time{{}, noon.AddDate(-60, 0, 0), noon.AddDate(7000, 0, 0)}).Draw(t, "wrong")
		if rapid.Bool().Draw(t, "about right") {
			entry.Event.Time = noon.Add(time.Duration(rapid.Int64Range(int64(-70*day), int64(70*day)).Draw(t, "ahead")))
		}
		before := j.Stats().Written
		for _, later := range rapid.SliceOfN(rapid.Int64Range(0, int64(30*day)), 0, 5).Draw(t, "repeated") {
			if err := j.Append(context.Background(), entry); err != nil {
				t.Fatal(err)
			}
			c.Set(noon.Add(time.Duration(later)).Sub(c.Now()))
		}
		if err := j.Append(context.Background(), entry, entry); err != nil {
			t.Fatal(err)
		}
		if written := j.Stats().Written - before; written != 1 {
			t.Fatalf("written %d times", written)
		}
	})
	c.Set(noon.Add(200 * day).Sub(c.Now()))
	entry := push("new")
	entry.Event.Time = c.Now()
	for known, tries := 0, 0; known != 1; tries++ {
		entry.Event.ID += "."
		if err := j.Append(t.Context(), entry); err != nil {
			t.Fatal(err)
		}
		c.Pass(100 * day)
		entry.Event.Time = c.Now()
		if err := db.Read().QueryRow("SELECT count(*) FROM journal_events").Scan(&known); err != nil {
			t.Fatal(err)
		}
		if tries > 5 {
			t.Fatalf("%d event keys are stored, want only that of the new event", known)
		}
	}
}

// These numbers are stored, so their meaning must never change.
func TestStoredNumbersAreStable(t *testing.T) {
	if diff := cmp.Diff([]scope.Actions{1, 2, 4, 8, 16, 32},
		[]scope.Actions{scope.Pull, scope.Push, scope.Delete, scope.All, scope.Read, scope.Write}); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]policy.Reason{0, 1, 2, 3, 4},
		[]policy.Reason{policy.NoRule, policy.Allowed, policy.Denied, policy.Narrowed, policy.ConditionFailed}); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]policy.Kind{0, 1, 2, 3},
		[]policy.Kind{policy.Anonymous, policy.User, policy.Robot, policy.Workload}); diff != "" {
		t.Error(diff)
	}
}
