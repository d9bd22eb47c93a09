package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// processes is the key under which a script stores the processes that it has started.
type processes struct{}

// process is a command that a script has started. The field text has the command's standard output
// and standard error.
type process struct {
	cmd *exec.Cmd

	mu     sync.Mutex
	grown  *sync.Cond
	text   bytes.Buffer
	read   int // the number of bytes of text that waitForLine has searched
	err    error
	exited bool
}

func (p *process) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.grown.Broadcast()
	return p.text.Write(text)
}

func findProcess(ts *testscript.TestScript, name string) *process {
	p := ts.Value(processes{}).(map[string]*process)[name]
	if p == nil {
		ts.Fatalf("no process is called %s", name)
	}
	return p
}

func startProcess(ts *testscript.TestScript, neg bool, args []string) {
	checkCount(ts, neg, args, 2, 99)
	p := &process{}
	p.grown = sync.NewCond(&p.mu)
	p.cmd = exec.Command(findProgram(ts, args[1]), args[2:]...)
	p.cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "TZ", "GOCOVERDIR"} {
		p.cmd.Env = append(p.cmd.Env, name+"="+ts.Getenv(name))
	}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	ts.Check(p.cmd.Start())
	go func() {
		err := p.cmd.Wait()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.err, p.exited = err, true
		p.grown.Broadcast()
	}()
	ts.Defer(func() { _ = p.cmd.Process.Kill() })
	ts.Value(processes{}).(map[string]*process)[args[0]] = p
}

// findProgram finds a command in the script's PATH.
func findProgram(ts *testscript.TestScript, name string) string {
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode()&0o111 != 0 {
			return path
		}
	}
	ts.Fatalf("there is no command %s", name)
	return ""
}

// contextKey is the key under which a script stores a context that ends shortly before the timeout
// of go test. When the context ends, the process for which a script waits is killed. Then the
// script fails and prints the output of the process.
type contextKey struct{}

// silence is how long a script waits for a process that writes nothing. No line of the product
// comes later than this, even on a slow machine. So a script that waits for a line that was
// already written fails after this time, and not at the timeout of go test.
const silence = 2 * time.Minute

// killAtEnd kills the process when the context under contextKey ends, or when the process is
// silent. The caller calls wrote each time that the process wrote something, and stop after it has
// waited.
func (p *process) killAtEnd(ts *testscript.TestScript) (wrote, stop func()) {
	kill := func() { _ = p.cmd.Process.Kill() }
	end := context.AfterFunc(ts.Value(contextKey{}).(context.Context), kill)
	quiet := time.AfterFunc(silence, func() {
		_, _ = fmt.Fprintf(p, "[the script waited, and nothing was written for %s]\n", silence)
		kill()
	})
	return func() { quiet.Reset(silence) }, func() { end(); quiet.Stop() }
}

// waitForLine waits for a line that matches the pattern. It searches only lines after the previous
// match.
func waitForLine(ts *testscript.TestScript, neg bool, args []string) {
	checkCount(ts, neg, args, 2, 2)
	p, pattern := findProcess(ts, args[0]), regexp.MustCompile("(?m)"+args[1])
	wrote, stop := p.killAtEnd(ts)
	defer stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		whole := bytes.LastIndexByte(p.text.Bytes(), '\n') + 1
		if whole > p.read {
			text := p.text.Bytes()[p.read:whole]
			if at := pattern.FindIndex(text); at != nil {
				p.read += at[1] + bytes.IndexByte(text[at[1]:], '\n') + 1
				_, _ = ts.Stdout().Write(text[:at[1]])
				return
			}
		}
		if p.exited {
			earlier := ""
			if pattern.Match(p.text.Bytes()[:p.read]) {
				earlier = " (a line up to the previous match has it)"
			}
			ts.Fatalf("%s ended (%v) without %s%s:\n%s", args[0], p.err, args[1], earlier, p.text.String())
		}
		p.grown.Wait()
		wrote()
	}
}

func sendSignal(ts *testscript.TestScript, neg bool, args []string) {
	checkCount(ts, neg, args, 2, 2)
	known := map[string]syscall.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "HUP": syscall.SIGHUP, "KILL": syscall.SIGKILL}
	ts.Check(findProcess(ts, args[0]).cmd.Process.Signal(known[args[1]]))
}

func ended(ts *testscript.TestScript, neg bool, args []string) {
	checkCount(ts, neg, args, 2, 2)
	p := findProcess(ts, args[0])
	wrote, stop := p.killAtEnd(ts)
	defer stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	for !p.exited {
		p.grown.Wait()
		wrote()
	}
	writeFile(ts, args[0], p.text.String())
	if code := strconv.Itoa(p.cmd.ProcessState.ExitCode()); code != args[1] {
		ts.Fatalf("the exit code is %s, not %s:\n%s", code, args[1], p.text.String())
	}
}

func httpRequest(ts *testscript.TestScript, neg bool, args []string) {
	checkCount(ts, neg, args, 3, 5)
	status, text := request(ts, args)
	_, _ = fmt.Fprintf(ts.Stdout(), "%s\n", bytes.TrimSpace(text))
	if status != args[0] {
		ts.Fatalf("the status is %s, not %s: %s", status, args[0], text)
	}
}

// httpUntil repeats the request until the response has the status.
func httpUntil(ts *testscript.TestScript, neg bool, args []string) {
	checkCount(ts, neg, args, 3, 5)
	ctx := ts.Value(contextKey{}).(context.Context)
	retry := time.NewTicker(100 * time.Millisecond)
	defer retry.Stop()
	for {
		status, text := request(ts, args)
		if status == args[0] {
			_, _ = fmt.Fprintf(ts.Stdout(), "%s\n", bytes.TrimSpace(text))
			return
		}
		select {
		case <-ctx.Done():
			ts.Fatalf("the status is still %s, not %s: %s", status, args[0], text)
		case <-retry.C:
		}
	}
}

// request sends the request once.
func request(ts *testscript.TestScript, args []string) (status string, text []byte) {
	var body io.Reader
	if len(args) == 5 {
		body = strings.NewReader(ts.ReadFile(args[4]))
	}
	req, err := http.NewRequest(args[1], args[2], body)
	ts.Check(err)
	if len(args) > 3 {
		switch name, secret, _ := strings.Cut(args[3], ":"); name {
		case "": // anonymous
		case "Bearer":
			req.Header.Set("Authorization", "Bearer "+secret)
		default:
			req.SetBasicAuth(name, secret)
		}
	}
	if agent := ts.Getenv("agent"); agent != "" { // a script sets this variable to act as a client
		req.Header.Set("User-Agent", agent)
	}
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // self-signed
	}}
	answer, err := client.Do(req)
	ts.Check(err)
	text, err = io.ReadAll(answer.Body)
	ts.Check(errors.Join(err, answer.Body.Close()))
	return strconv.Itoa(answer.StatusCode), text
}

func writeFile(ts *testscript.TestScript, name, text string) {
	ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o600))
}
