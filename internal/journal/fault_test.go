package journal_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/clock/clocktest"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
)

var errDisk = errors.New("the disk is on fire")

// failWrites makes writes fail while the value of broken is true. If afterCommit is true, a write
// fails after its commit. Otherwise it fails before it writes anything.
func failWrites(broken *atomic.Bool, afterCommit bool) func(journal.Write) journal.Write {
	return func(real journal.Write) journal.Write {
		return func(ctx context.Context, topic string, f func(*sql.Tx) error) error {
			if !broken.Load() {
				return real(ctx, topic, f)
			}
			if afterCommit {
				if err := real(ctx, topic, f); err != nil {
					return err
				}
				return errDisk
			}
			return real(ctx, topic, func(tx *sql.Tx) error {
				if err := f(tx); err != nil {
					return err
				}
				return errDisk
			})
		}
	}
}

func TestAFailedWrite(t *testing.T) { storetest.Each(t, testAFailedWrite) }

func testAFailedWrite(t *testing.T, d storetest.Database) {
	for _, tt := range []struct {
		what string
		kept bool
		want []string // events after the second try
	}{
		{"nothing was written", false, []string{"before", "failed", "after"}},
		{"committed, but an error was returned", true, []string{"before", "failed", "after"}},
	} {
		t.Run(tt.what, func(t *testing.T) {
			var broken atomic.Bool
			url := d.Ready(t)
			j, _ := open(t, url, journal.Options{})
			j.SetWrite(failWrites(&broken, tt.kept))

			if err := j.Append(t.Context(), push("before")); err != nil {
				t.Fatal(err)
			}
			broken.Store(true)
			if err := j.Append(t.Context(), push("failed"), journal.Entry{Decision: decision(alice)}); !errors.Is(err, errDisk) {
				t.Errorf("Append on a failing disk: %v", err)
			}
			if err := j.Stats().LastError; !errors.Is(err, errDisk) {
				t.Errorf("Stats has no failure: %v", err)
			}
			broken.Store(false)
			// The registry sends the event again. The next block is written.
			if err := j.Append(t.Context(), push("failed")); err != nil {
				t.Fatal(err)
			}
			if err := j.Append(t.Context(), push("after"), journal.Entry{Decision: decision(alice)}); err != nil {
				t.Fatal(err)
			}
			if err := j.Close(t.Context()); err != nil {
				t.Fatal(err)
			}

			j, _ = open(t, url, journal.Options{}) // reopen and check
			var got []string
			for _, entry := range read(t, j, 0) {
				if entry.Event != nil {
					got = append(got, entry.Event.ID)
				} else if entry.Decision.Principal.Name != "alice" {
					t.Errorf("a decision has no principal: %s", entry.Summary())
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if v, err := j.Verify(t.Context(), 0); err != nil {
				t.Errorf("Verify: %+v, %v", v, err)
			}
		})
	}
}

// Lost entries are counted, logged and recorded in the journal.
func TestLostEntriesAreCountedLoggedAndRecorded(t *testing.T) {
	storetest.Each(t, testLostEntriesAreCountedLoggedAndRecorded)
}

func testLostEntriesAreCountedLoggedAndRecorded(t *testing.T, d storetest.Database) {
	var broken atomic.Bool
	var log bytes.Buffer
	url := d.Ready(t)
	c := clocktest.New(noon)
	j, _ := open(t, url, journal.Options{Now: c.Now, Linger: -1, Log: slog.New(slog.NewTextHandler(&log, nil))})
	j.SetWrite(failWrites(&broken, false))

	broken.Store(true)
	for range 3 {
		if err := j.Record(journal.Entry{Decision: decision(alice)}); err != nil {
			t.Fatal(err)
		}
	}
	// This Append returns after the writer has tried to write the three entries.
	if err := j.Append(t.Context(), push("e1")); !errors.Is(err, errDisk) {
		t.Fatal(err)
	}
	broken.Store(false)
	c.Pass(journal.ReportEvery)
	if err := j.Append(t.Context(), push("e2")); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := j.Stats().Lost; got != 3 {
		t.Errorf("Stats counts %d lost entries, want 3", got)
	}
	var noted []string
	for _, entry := range read(t, j, 0) {
		noted = append(noted, entry.Summary())
		if entry.Change != nil {
			noted = append(noted, fmt.Sprint(entry.Change.To))
		}
	}
	slices.Sort(noted) // the entry about the loss may come before or after the event
	want := []string{
		"change journal.lost by tidewaiter: entries lost: 3",
		"event push team/app:v1 by alice at registry.example.com",
		"map[entries:3]",
	}
	if diff := cmp.Diff(want, noted); diff != "" {
		t.Error(diff)
	}
	for _, line := range []string{`level=ERROR msg="writing the journal failed"`, `level=WARN msg="the journal lost entries`, "entries=3"} {
		if !strings.Contains(log.String(), line) {
			t.Errorf("the log has no %s:\n%s", line, &log)
		}
	}
}

// Thousands of failures do not log thousands of lines.
func TestALongOutageIsLoggedRarely(t *testing.T) {
	storetest.Each(t, testALongOutageIsLoggedRarely)
}

func testALongOutageIsLoggedRarely(t *testing.T, d storetest.Database) {
	var broken atomic.Bool
	broken.Store(true)
	var log bytes.Buffer
	c := clocktest.New(noon)
	j, _ := open(t, d.Ready(t), journal.Options{Now: c.Now, Log: slog.New(slog.NewTextHandler(&log, nil))})
	j.SetWrite(failWrites(&broken, false))
	for i := range 50 {
		if i == 49 {
			c.Pass(journal.ReportEvery)
		}
		if err := j.Append(t.Context(), push("e1")); !errors.Is(err, errDisk) {
			t.Fatal(err)
		}
	}
	if err := j.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The writer returns each failure to the caller before it logs the failure. So the clock can
	// advance before the 49th failure is logged.
	counted := strings.Contains(log.String(), "lines_not_logged=48") || strings.Contains(log.String(), "lines_not_logged=47")
	if n := strings.Count(log.String(), "\n"); n != 2 || !counted {
		t.Errorf("the log has %d lines:\n%s", n, &log)
	}
}

// stallWrites makes each write send a value to the first channel, and then wait until it
// receives a value from the second channel.
func stallWrites(begun chan<- struct{}, release <-chan struct{}) func(journal.Write) journal.Write {
	return func(real journal.Write) journal.Write {
		return func(ctx context.Context, topic string, f func(*sql.Tx) error) error {
			begun <- struct{}{}
			select {
			case <-release:
			case <-ctx.Done():
				return ctx.Err()
			}
			return real(ctx, topic, f)
		}
	}
}

func TestAFullQueueRejectsRecordsAndBlocksAppends(t *testing.T) {
	storetest.Each(t, testAFullQueueRejectsRecordsAndBlocksAppends)
}

func testAFullQueueRejectsRecordsAndBlocksAppends(t *testing.T, d storetest.Database) {
	waiting, release := make(chan struct{}, 100), make(chan struct{})
	c := clocktest.New(noon)
	j, _ := open(t, d.Ready(t), journal.Options{MaxEntries: 10, Linger: -1, Now: c.Now})
	j.SetWrite(stallWrites(waiting, release))

	first := make(chan error)
	go func() { first <- j.Append(t.Context(), push("first")) }()
	<-waiting // the writer has taken the entry and blocks
	for i := range 10 {
		if err := j.Record(journal.Entry{Decision: decision(nil)}); err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
	}
	for range 5 {
		if err := j.Record(journal.Entry{Decision: decision(nil)}); !errors.Is(err, journal.ErrFull) {
			t.Fatalf("Record on a full queue: %v", err)
		}
	}
	if s := j.Stats(); s.Queued != 10 || s.Lost != 5 {
		t.Errorf("queued %d, lost %d, want 10 and 5", s.Queued, s.Lost)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := j.Append(ctx, push("impatient")); !errors.Is(err, context.Canceled) {
		t.Errorf("Append on a full queue with a context that ended: %v", err)
	}
	patient := make(chan error)
	go func() { patient <- j.Append(t.Context(), push("patient")) }()

	close(release)
	if err := <-first; err != nil {
		t.Error(err)
	}
	if err := <-patient; err != nil {
		t.Error(err)
	}
	if err := j.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	var events []string
	decisions := 0
	for _, entry := range read(t, j, 0) {
		if entry.Event != nil {
			events = append(events, entry.Event.ID)
		} else if entry.Decision != nil {
			decisions++
		}
	}
	if diff := cmp.Diff([]string{"first", "patient"}, events); diff != "" || decisions != 10 {
		t.Errorf("%s; %d decisions, want 10", diff, decisions)
	}
}

func TestMemoryIsBounded(t *testing.T) { storetest.Each(t, testMemoryIsBounded) }

func testMemoryIsBounded(t *testing.T, d storetest.Database) {
	// Even a few entries can be large, so the queue has a limit in bytes, too.
	waiting, release := make(chan struct{}, 100), make(chan struct{})
	j, _ := open(t, d.Ready(t), journal.Options{MaxBytes: 1 << 20, Linger: -1})
	j.SetWrite(stallWrites(waiting, release))
	done := make(chan error)
	go func() { done <- j.Append(t.Context(), push("first")) }()
	<-waiting
	large := decision(nil)
	large.Client = strings.Repeat("c", 100_000)
	taken := 0
	for j.Record(journal.Entry{Decision: large}) == nil {
		taken++
	}
	if taken < 9 || taken > 10 {
		t.Errorf("a queue of 1 MiB took %d entries of 100 kB", taken)
	}
	close(release)
	if err := <-done; err != nil {
		t.Error(err)
	}

	// The writer gets many names, each name only one time.
	long := strings.Repeat("n", 1000)
	if n := journal.Remembered(func(i int) string { return fmt.Sprint(long, i) }, 50_000); n > 20_500 {
		t.Errorf("a writer has %d cache entries after 50,000 principals", n)
	}
}

func TestCloseGivesUpWhenItsContextEnds(t *testing.T) {
	storetest.Each(t, testCloseGivesUpWhenItsContextEnds)
}

func testCloseGivesUpWhenItsContextEnds(t *testing.T, d storetest.Database) {
	waiting := make(chan struct{}, 1)
	j, _ := open(t, d.Ready(t), journal.Options{})
	j.SetWrite(stallWrites(waiting, nil)) // a database that never answers
	done := make(chan error)
	go func() { done <- j.Append(t.Context(), push("e1")) }()
	<-waiting
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := j.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Close with a context that ended: %v", err)
	}
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("the Append that was waiting: %v", err)
	}
	if err := j.Close(t.Context()); err != nil {
		t.Errorf("the second Close: %v", err)
	}
}

// If a backup is restored under a running process, or a lagging standby takes over, the journal
// records the loss. No later entry refers to a principal that is gone.
func TestADatabaseThatIsAnOlderCopyOfItself(t *testing.T) {
	storetest.Each(t, testADatabaseThatIsAnOlderCopyOfItself)
}

func testADatabaseThatIsAnOlderCopyOfItself(t *testing.T, d storetest.Database) {
	var log bytes.Buffer
	j, db := open(t, d.Ready(t), journal.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err := j.Append(t.Context(), push("first")); err != nil {
		t.Fatal(err)
	}
	var next, principal int64
	var sum, frontier []byte
	if err := db.Read().QueryRow("SELECT next, principal, hash, frontier FROM journal_head").Scan(&next, &principal, &sum, &frontier); err != nil {
		t.Fatal(err)
	}
	for range 3 { // alice is cached from here on
		if err := j.Append(t.Context(), journal.Entry{Decision: decision(alice)}); err != nil {
			t.Fatal(err)
		}
	}
	err := db.Write(t.Context(), "", func(tx *sql.Tx) error {
		for _, s := range []string{
			fmt.Sprintf("DELETE FROM journal_blocks WHERE first >= %d", next), fmt.Sprintf("DELETE FROM journal_principals WHERE number >= %d", principal),
		} {
			if _, err := tx.Exec(s); err != nil {
				return err
			}
		}
		_, err := tx.Exec("UPDATE journal_head SET next = $1, principal = $2, hash = $3, frontier = $4", next, principal, sum, frontier)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := j.Append(t.Context(), journal.Entry{Decision: decision(alice)}); err != nil {
			t.Fatal(err)
		}
	}
	if v, err := j.Verify(t.Context(), 0); err != nil || v.Entries != 4 {
		t.Errorf("Verify: %+v, %v", v, err)
	}
	var got []string
	for _, e := range read(t, j, 0) {
		switch {
		case e.Change != nil:
			got = append(got, fmt.Sprint(e.Change.Action, e.Change.To))
		case e.Decision != nil:
			got = append(got, e.Decision.Principal.Name)
		default:
			got = append(got, e.Event.ID)
		}
	}
	if diff := cmp.Diff([]string{"first", "alice", "journal.rewoundmap[entries:3]", "alice"}, got); diff != "" {
		t.Error(diff)
	}
	// Wait for the log line, which follows the acknowledgement.
	if err := j.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(log.String(), "journal entries are gone"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, &log)
	}
}
