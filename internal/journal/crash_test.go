package journal_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/policy"
)

// isChild reports whether this process is a child process. In a child process, isChild does not
// return, unless there is an error. It appends events from several goroutines until the process
// is killed, and prints the id of each acknowledged event.
func isChild() bool {
	url, prefix := os.Getenv("JOURNAL_TEST_URL"), os.Getenv("JOURNAL_TEST_PREFIX")
	if url == "" {
		return false
	}
	db, err := store.Open(context.Background(), url)
	if err != nil {
		fmt.Println(err)
		return true
	}
	j, err := journal.New(db, journal.Options{})
	if err != nil {
		fmt.Println(err)
		return true
	}
	var mu sync.Mutex
	var workers sync.WaitGroup
	for worker := range 8 {
		workers.Go(func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%s-%d-%d", prefix, worker, i)
				if err := errors.Join(
					j.Record(journal.Entry{Decision: decision(&policy.Principal{Name: id})}),
					j.Append(context.Background(), push(id)),
				); err != nil {
					fmt.Println(err)
					return
				}
				mu.Lock()
				fmt.Println(id) // one write call
				mu.Unlock()
			}
		})
	}
	workers.Wait() // until the parent kills it
	return true
}

// Under kill -9 and event load, every acknowledged event is in the journal exactly once.
func TestAcknowledgedEventsSurviveKill(t *testing.T) {
	storetest.Each(t, testAcknowledgedEventsSurviveKill)
}

func testAcknowledgedEventsSurviveKill(t *testing.T, d storetest.Database) {
	url := d.Ready(t)
	acknowledged := make(map[string]int)
	for life := range 8 {
		// The child is killed after this number of acknowledgements, while other appends are in
		// progress.
		deathAt, n := 1+rand.IntN(400), 0
		environment := []string{"JOURNAL_TEST_URL=" + url, fmt.Sprintf("JOURNAL_TEST_PREFIX=life%d", life)}
		storetest.RunChild(t, environment, func(id string, kill func()) {
			if !strings.HasPrefix(id, "life") {
				t.Errorf("the process printed %q", id)
			}
			acknowledged[id]++
			if n++; n == deathAt {
				kill()
			}
		})
	}

	j, _ := open(t, url, journal.Options{})
	kept := make(map[string]int)
	next := journal.Position(1)
	for entry, err := range j.Read(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if entry.Position != next {
			t.Fatalf("position %d follows %d", entry.Position, next-1)
		}
		next++
		if entry.Event != nil {
			kept[entry.Event.ID]++
		}
	}
	for id := range acknowledged {
		if kept[id] != 1 {
			t.Errorf("the acknowledged event %s is in the journal %d times", id, kept[id])
		}
	}
	for id, n := range kept {
		if n != 1 {
			t.Errorf("the event %s is in the journal %d times", id, n)
		}
		// A registry sends an event again if it got no acknowledgement. Then the event is a
		// repeat.
		if acknowledged[id] == 0 {
			if err := j.Append(t.Context(), push(id)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if last, err := j.Last(t.Context()); err != nil || last != next-1 {
		t.Errorf("repeats were stored: the last position is %d (%v), want %d", last, err, next-1)
	}
	if v, err := j.Verify(t.Context(), 0); err != nil || v.Last != next-1 {
		t.Errorf("Verify: %+v, %v", v, err)
	}
}
