package storetest

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// A test of kill -9 needs two processes. One has workers that make every kind of write without end, and say before each which it is, and
// after it that it is done. The other, the test, kills it during one kind, and looks at what is left.

// Worker makes writes in a process that is killed, one after the other.
type Worker struct {
	Name string // of this worker alone. It belongs into all that it writes, so that WorkerOf finds its entries in the journal
	Err  error  // of the first write that failed
}

// NewWorker returns the nth worker of a life of a process.
func NewWorker(life string, n int) Worker { return Worker{Name: fmt.Sprintf("l%sw%d", life, n)} }

var workerName = regexp.MustCompile(`l\d+w\d+`)

// WorkerOf finds the name of a worker in texts, in the first that has one; "" if none has.
func WorkerOf(texts ...string) string {
	for _, text := range texts {
		if name := workerName.FindString(text); name != "" {
			return name
		}
	}
	return ""
}

// Write makes one write of a kind, unless one failed before.
func (w *Worker) Write(kind string, f func() error) {
	if w.Err != nil {
		return
	}
	fmt.Println("?", w.Name, kind) // in one write, as workers share the output
	if err := f(); err != nil {
		w.Err = fmt.Errorf("%s: %s: %w", w.Name, kind, err)
		return
	}
	fmt.Println("!", w.Name, kind)
}

// Acknowledged are the kinds of the writes that were said to be done, in their order, by worker.
type Acknowledged map[string][]string

// Kill starts the test binary once more, with something added to its environment, and kills it a moment after a worker has begun a
// kind of write. It notes what was acknowledged.
func (a Acknowledged) Kill(t testing.TB, during string, environment ...string) {
	t.Helper()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), environment...)
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	begun, killed := 1+rand.IntN(2), false // the first or second time that one is begun, by any worker
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if err != nil { // what it had written is read; a line without an end was not acknowledged in full
			break
		}
		sign, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		worker, kind, ok := strings.Cut(rest, " ")
		switch {
		case !ok:
			t.Errorf("the process said %q", line)
		case sign == "!":
			a[worker] = append(a[worker], kind)
		case sign == "?" && kind == during && !killed:
			if begun--; begun > 0 {
				continue
			}
			killed = true
			time.AfterFunc(time.Duration(rand.Int64N(int64(8*time.Millisecond))), func() { _ = command.Process.Kill() })
		}
	}
	_ = command.Wait()
	if !killed {
		t.Errorf("the process ended before anybody killed it during %s", during)
	}
}

// Compare holds what was acknowledged against what is kept: all of it in its order, and of each worker at most one write
// more, which was under way when its process was killed.
func (a Acknowledged) Compare(t testing.TB, when string, kept map[string][]string) {
	t.Helper()
	for worker, list := range kept {
		done := a[worker]
		if len(list) < len(done) || len(list) > len(done)+1 || !slices.Equal(done, list[:len(done)]) {
			t.Errorf("%s: of %s there is kept\n\t%v\nand was acknowledged\n\t%v", when, worker, list, done)
		}
	}
	for worker, done := range a {
		if kept[worker] == nil {
			t.Errorf("%s: nothing is kept of %d writes of %s", when, len(done), worker)
		}
	}
}
