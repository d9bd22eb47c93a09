package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/store"
)

// A test of kill -9 needs two processes. The child process runs workers, which make all kinds of
// writes without end. The workers print each write before it starts and after it is done. The test
// process kills the child during a given kind of write, and checks the content of the database.

// Worker makes writes, one after the other, in the child process.
type Worker struct {
	// Name is unique. Everything that the worker writes must contain it, so that WorkerOf finds
	// its entries in the journal.
	Name string
	N    int   // number of the worker in its process, from 0
	Err  error // error of the first failed write
}

// Environment variables that Kill sets in the process: the database's URL and the process's number.
const (
	killedURL  = "STORETEST_KILLED_URL"
	killedLife = "STORETEST_KILLED_LIFE"
)

// Killed reports whether Kill started this process. If so, Killed opens the database and runs n
// workers until the process is killed. The function open returns the function work, which each
// worker runs. If an error occurs, the process ends before it is killed.
func Killed(n int, open func(context.Context, *store.DB) (work func(Worker) error, err error)) bool {
	url := os.Getenv(killedURL)
	if url == "" {
		return false
	}
	if err := runWorkers(context.Background(), url, n, open); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return true
}

func runWorkers(ctx context.Context, url string, n int, open func(context.Context, *store.DB) (func(Worker) error, error)) error {
	db, err := store.Open(ctx, url)
	if err != nil {
		return err
	}
	work, err := open(ctx, db)
	if err != nil {
		return err
	}
	failed := make(chan error, n)
	for i := range n {
		go func() { failed <- work(Worker{Name: fmt.Sprintf("l%sw%d", os.Getenv(killedLife), i), N: i}) }()
	}
	return <-failed
}

var workerName = regexp.MustCompile(`l\d+w\d+`)

// WorkerOf returns the first name of a worker that occurs in texts, or "".
func WorkerOf(texts ...string) string {
	for _, text := range texts {
		if name := workerName.FindString(text); name != "" {
			return name
		}
	}
	return ""
}

// Write makes one write of a kind. It does nothing if an earlier write failed.
func (w *Worker) Write(kind string, f func() error) {
	if w.Err != nil {
		return
	}
	fmt.Println("?", w.Name, kind) // one write call, because workers share the output
	if err := f(); err != nil {
		w.Err = fmt.Errorf("%s: %s: %w", w.Name, kind, err)
		return
	}
	fmt.Println("!", w.Name, kind)
}

// Acknowledged has the kinds of the acknowledged writes of each worker, in order.
type Acknowledged map[string][]string

// Kill starts the test binary again. The TestMain of the binary must call Killed. Kill kills the
// process a moment after a worker has begun a write of the kind. It records the acknowledged
// writes. Each call in a test needs a new number, so that the names of workers are unique.
func (a Acknowledged) Kill(t testing.TB, url, during string, number int) {
	t.Helper()
	// Kill at the first or second write of this kind by any worker.
	begun, killed := 1+rand.IntN(2), false
	RunChild(t, []string{killedURL + "=" + url, fmt.Sprintf("%s=%d", killedLife, number)}, func(line string, kill func()) {
		sign, rest, _ := strings.Cut(line, " ")
		worker, kind, ok := strings.Cut(rest, " ")
		switch {
		case !ok:
			t.Errorf("the process printed %q", line)
		case sign == "!":
			a[worker] = append(a[worker], kind)
		case sign == "?" && kind == during && !killed:
			if begun--; begun > 0 {
				return
			}
			killed = true
			time.AfterFunc(time.Duration(rand.Int64N(int64(8*time.Millisecond))), kill)
		}
	})
	if !killed {
		t.Errorf("the process ended before it was killed during %s", during)
	}
}

// Compare compares the acknowledged writes with the writes in the database. The database must
// have all acknowledged writes in order. For each worker, it may have one more write, which was in
// progress when the process was killed.
func (a Acknowledged) Compare(t testing.TB, when string, kept map[string][]string) {
	t.Helper()
	for worker, list := range kept {
		done := a[worker]
		if len(list) < len(done) || len(list) > len(done)+1 || !slices.Equal(done, list[:len(done)]) {
			t.Errorf("%s: %s: the database has\n\t%v\nbut the acknowledged writes are\n\t%v", when, worker, list, done)
		}
	}
	for worker, done := range a {
		if kept[worker] == nil {
			t.Errorf("%s: the database has none of the %d writes of %s", when, len(done), worker)
		}
	}
}
