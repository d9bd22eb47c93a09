// Package process runs the external programs that tests need: registries, engines, command-line
// clients.
//
// Start runs a program for the duration of a test, in its own process group, so that none of
// its processes outlives the test. Run runs a program to its end. If the test fails, the output
// of the program is logged.
package process

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

// Need returns the path of a program. It searches for the program like a shell. If the program is
// not installed, the test is skipped with the name of the package to install, or fails if CI=true.
func Need(t testing.TB, program, debianPackage string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err == nil {
		return path
	}
	if strings.HasPrefix(program, "docker") { // sbin is not in every PATH
		if path, err := exec.LookPath(filepath.Join("/usr/sbin", program)); err == nil {
			return path
		}
	}
	Missing(t, fmt.Sprintf("there is no program %s here; install it with: apt-get install %s", program, debianPackage))
	return ""
}

// Missing skips the test because something is missing, or fails it if CI=true.
func Missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// Process is a program that runs until the test ends.
type Process struct {
	Log  string // file with its output
	cmd  *exec.Cmd
	done chan struct{} // closed when the program has ended and err is set
	err  error
}

// Start starts a program. At the end of the test the program gets SIGTERM, then SIGKILL if
// necessary. Then the other processes of its process group get SIGKILL.
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
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL // in case the test binary is killed
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

// Stop stops the program and returns when it has ended.
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

// Kill kills the program immediately. It is for programs that end slowly after SIGTERM and whose
// data is no longer needed.
func (p *Process) Kill() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.done
}

// Ended reports whether the program has ended, and returns the error with which it ended.
func (p *Process) Ended() (bool, error) {
	select {
	case <-p.done:
		return true, p.err
	default:
		return false, nil
	}
}

// Text returns the program's output so far.
func (p *Process) Text() string {
	text, _ := os.ReadFile(p.Log)
	return string(text)
}

// Await waits until the function check returns nil. Await fails the test if the program ends
// before that.
func (p *Process) Await(t testing.TB, what string, check func(context.Context) error) {
	t.Helper()
	Await(t, what, func(ctx context.Context) error {
		if ended, err := p.Ended(); ended {
			t.Fatalf("waiting for %s: the program ended: %v", what, err)
		}
		return check(ctx)
	})
}

// Await calls the function ready until ready returns nil. The only time limit is that of go test,
// because the machine can be slow.
func Await(t testing.TB, what string, ready func(context.Context) error) {
	t.Helper()
	await.Until(t, what, ready)
}

// Run runs a program to its end and returns its standard output. The error contains the text that
// a user sees on standard error.
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

// Error is the failure of a program.
type Error struct {
	Args []string
	Text string // its output
	Err  error
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s: %v: %s", filepath.Base(e.Args[0]), e.Err, e.Text)
}
func (e *Error) Unwrap() error { return e.Err }

// Port returns a loopback port that is reserved until the test ends.
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
