// Package part answers: what has to run beside a test?
//
// A part is a program of somebody else: a registry, an engine, a command-line client. Start runs it for
// the length of a test, in a process group of its own, so that nothing which it started outlives the
// test; Run runs it to its end. What it wrote is shown when the test fails.
package part

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/await"
	"github.com/tidewaiter/tidewaiter/internal/loopback"
)

// Need returns the path of a program, looked up like a shell does. Without it the test is skipped, with
// the package that has it; where CI=true it fails, since there nothing may be left out.
func Need(t testing.TB, program, debianPackage string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err == nil {
		return path
	}
	if strings.HasPrefix(program, "docker") { // sbin is not on everybody's PATH
		if path, err := exec.LookPath(filepath.Join("/usr/sbin", program)); err == nil {
			return path
		}
	}
	Missing(t, fmt.Sprintf("there is no program %s here; install it with: apt-get install %s", program, debianPackage))
	return ""
}

// Missing ends the test for want of something: skipped on somebody's machine, failed where CI=true.
func Missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// Process is a program that runs until the test ends.
type Process struct {
	Log  string // the file with all that it wrote
	cmd  *exec.Cmd
	done chan struct{} // closed when it ended, after err was set
	err  error
}

// Start starts a program. It is ended with the test: by SIGTERM, then, if that does not help, by
// SIGKILL, then whatever is left of its process group by SIGKILL.
func Start(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	name := filepath.Base(cmd.Path)
	file, err := os.Create(filepath.Join(t.TempDir(), name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd.Stdout, cmd.Stderr = file, file
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL // when the test binary itself is killed
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting %s: %v", name, err)
	}
	p := &Process{Log: file.Name(), cmd: cmd, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.Stop()
		if t.Failed() {
			text, _ := os.ReadFile(p.Log)
			t.Logf("what %s wrote:\n%s", strings.Join(cmd.Args, " "), tail(text, 4<<10))
		}
	})
	return p
}

// Stop ends the program, and returns when it is gone.
func (p *Process) Stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
}

// Kill ends the program at once, for those that take their time over a SIGTERM and keep nothing that
// anybody looks at afterwards.
func (p *Process) Kill() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.done
}

// Ended says whether the program has ended, and how.
func (p *Process) Ended() (bool, error) {
	select {
	case <-p.done:
		return true, p.err
	default:
		return false, nil
	}
}

// Text is what the program has written so far.
func (p *Process) Text() string {
	text, _ := os.ReadFile(p.Log)
	return string(text)
}

// Await waits until ready returns nil. It gives up when the program ends.
func (p *Process) Await(t testing.TB, what string, ready func(context.Context) error) {
	t.Helper()
	Await(t, what, func(ctx context.Context) error {
		if ended, err := p.Ended(); ended {
			t.Fatalf("waiting for %s: it ended: %v", what, err)
		}
		return ready(ctx)
	})
}

// Await asks again and again until ready returns nil. A slow machine has to get through: there is no limit but that
// of go test.
func Await(t testing.TB, what string, ready func(context.Context) error) {
	t.Helper()
	await.Until(t, what, ready)
}

// Run runs a program to its end and returns what it wrote to standard output. The error holds what it
// wrote to standard error: the words that a person would see.
func Run(ctx context.Context, cmd *exec.Cmd) (string, error) {
	var out, bad strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &bad
	if err := cmd.Start(); err != nil {
		return "", err
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer stop()
	if err := cmd.Wait(); err != nil {
		return out.String(), &Error{Args: cmd.Args, Text: strings.TrimSpace(bad.String() + out.String()), Err: err}
	}
	return out.String(), nil
}

// Error is a program that ended badly.
type Error struct {
	Args []string
	Text string // what it wrote
	Err  error
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s: %v: %s", filepath.Base(e.Args[0]), e.Err, e.Text)
}
func (e *Error) Unwrap() error { return e.Err }

// Port is a port of loopback, which is nobody else's until the test ends.
func Port(t testing.TB) int {
	t.Helper()
	return loopback.Port(t)
}

func tail(text []byte, most int) []byte {
	if len(text) > most {
		return append([]byte("…"), text[len(text)-most:]...)
	}
	return text
}
