package journal_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
)

// Two replicas append at the same time, and the commit of the first is delayed. The entry of the
// second replica becomes visible only after the entry of the first. So a reader can continue after
// the last entry that it has seen, and skips no entry.
func TestNoReaderSkipsADelayedCommit(t *testing.T) {
	url := storetest.PostgreSQL().Ready(t)
	slow, slowDB := open(t, url, journal.Options{})
	fast, _ := open(t, url, journal.Options{})
	reader, watching := open(t, url, journal.Options{})

	if err := fast.Append(t.Context(), push("before")); err != nil {
		t.Fatal(err)
	}
	appended := make(chan error, 1)
	err := slowDB.Write(t.Context(), "", func(tx *sql.Tx) error {
		held := journal.Entry{Change: &journal.Change{Actor: "root", Action: "test", Target: "delayed"}}
		if err := slow.AppendTx(t.Context(), tx, held); err != nil {
			return err
		}
		go func() { appended <- fast.Append(context.Background(), push("after")) }()
		awaitLock(t, watching) // the other replica waits for the lock
		select {
		case err := <-appended:
			t.Errorf("an entry was acknowledged before the preceding entry was committed (%v)", err)
		default:
		}
		if got := summaries(t, reader, 0); len(got) != 1 {
			t.Errorf("before the commit a reader sees %q", got)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-appended; err != nil {
		t.Fatal(err)
	}
	want := []string{"2 change test of delayed by root", "3 event push team/app:v1 by alice at registry.example.com"}
	// Continue after the last entry that the reader has seen.
	if diff := cmp.Diff(want, summaries(t, reader, 1)); diff != "" {
		t.Error(diff)
	}
	if v, err := reader.Verify(t.Context(), 0); err != nil || v.Entries != 3 {
		t.Errorf("%+v, %v", v, err)
	}
}

// A delayed commit that is rolled back leaves no gap.
func TestARollbackLeavesNoGap(t *testing.T) {
	url := storetest.PostgreSQL().Ready(t)
	slow, slowDB := open(t, url, journal.Options{})
	fast, _ := open(t, url, journal.Options{})
	failure := errors.New("on purpose")
	err := slowDB.Write(t.Context(), "", func(tx *sql.Tx) error {
		if err := slow.AppendTx(t.Context(), tx, push("given up")); err != nil {
			return err
		}
		return failure
	})
	if !errors.Is(err, failure) {
		t.Fatal(err)
	}
	// The key of the event was rolled back, so the event is not a duplicate.
	if err := fast.Append(t.Context(), push("given up")); err != nil {
		t.Fatal(err)
	}
	if got := summaries(t, fast, 0); len(got) != 1 || got[0][0] != '1' {
		t.Errorf("%q", got)
	}
}

func summaries(t *testing.T, j *journal.Journal, after journal.Position) (list []string) {
	t.Helper()
	for _, entry := range read(t, j, after) {
		list = append(list, fmt.Sprint(entry.Position, " ", entry.Summary()))
	}
	return list
}

// awaitLock returns when a session waits for a lock.
func awaitLock(t *testing.T, db *store.DB) {
	t.Helper()
	for waiting := 0; waiting == 0; {
		err := db.Read().QueryRowContext(t.Context(), `
			SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`).Scan(&waiting)
		if err != nil {
			t.Fatal(err)
		}
	}
}

// PostgreSQL stops under load and comes back. Every acknowledged entry is in the journal
// exactly once. All remaining entries failed with a clear error or were counted. After the outage
// everything works again.
func TestAnOutageOfPostgreSQLUnderLoad(t *testing.T) {
	server := storetest.NewServer(t)
	j, db := open(t, server.Database(t, "template0"), journal.Options{MaxEntries: 100, Linger: -1})

	const workers = 4
	type outcome struct {
		kept   []string
		failed int
		wrong  error
	}
	down, back := make(chan struct{}, 2*workers), make(chan struct{}, 2*workers)
	outcomes := make(chan outcome, workers)
	for worker := range workers {
		go func() {
			var o outcome
			// Run until ten appends have succeeded after the outage.
			for i, after := 0, 0; after < 10 && o.wrong == nil; i++ {
				if i == 20 {
					down <- struct{}{}
				}
				id := fmt.Sprintf("%d-%d", worker, i)
				_ = j.Record(journal.Entry{Decision: decision(alice)}) // accepted or counted
				switch err := j.Append(context.Background(), push(id)); {
				case err == nil:
					o.kept = append(o.kept, id)
					if o.failed > 0 {
						after++
					}
				case store.Unavailable(err):
					if o.failed++; o.failed == 3 {
						back <- struct{}{}
					}
					// A registry sends the event again, too.
					if err := j.Append(context.Background(), push(id)); err == nil {
						o.kept = append(o.kept, id)
					}
				default:
					o.wrong = err
				}
			}
			// A goroutine that ended early must send its signal, too.
			down <- struct{}{}
			back <- struct{}{}
			outcomes <- o
		}()
	}
	for range workers {
		<-down
	}
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	for range workers {
		<-back
	}
	if err := j.Stats().LastError; !errors.Is(err, store.ErrDown) {
		t.Errorf("the last error is %v", err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	kept := make(map[string]int)
	for range workers {
		o := <-outcomes
		if o.wrong != nil {
			t.Errorf("during the outage Append failed with %v", o.wrong)
		}
		for _, id := range o.kept {
			kept[id] = 0
		}
	}
	if err := db.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if err := j.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, entry := range read(t, j, 0) {
		if entry.Event != nil {
			kept[entry.Event.ID]++
		}
	}
	for id, n := range kept {
		if n != 1 {
			t.Errorf("the event %s is in the journal %d times", id, n)
		}
	}
	if s := j.Stats(); s.Lost == 0 || s.LastError != nil {
		t.Errorf("%+v", s)
	}
	if v, err := j.Verify(t.Context(), 0); err != nil {
		t.Errorf("%+v, %v", v, err)
	}
}
