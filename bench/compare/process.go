package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/loopback"
)

// programs are the binaries to run.
type programs struct {
	tidewaiter, limit string
}

// build compiles the program in a folder of the repository as for a release: static and stripped.
// The go.mod file for that folder defines the versions of the dependencies. The options are those
// of go build.
func build(ctx context.Context, folder, to string, options ...string) error {
	main, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/tidewaiter/tidewaiter").Output()
	if err != nil {
		return fmt.Errorf("finding the main module: %w", err)
	}
	command := exec.CommandContext(ctx, "go", append(append([]string{"build", "-trimpath", "-ldflags=-s -w", "-o", to}, options...), ".")...)
	command.Dir = filepath.Join(strings.TrimSpace(string(main)), folder)
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", folder, err, said)
	}
	return nil
}

// server is a running program that listens.
type server struct {
	address string        // http://127.0.0.1:…
	metrics string        // URL of /metrics; "" if it has none
	took    time.Duration // from start to listening
	config  string        // "": none
	command *exec.Cmd
	log     string // file with its output
	ended   chan error
}

// startLimit starts bench/limit, whose answers have the given number of bytes.
func startLimit(ctx context.Context, program, folder string, bytes int) (*server, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	return start(ctx, address, filepath.Join(folder, "limit.log"), program, "--listen", address, "--bytes", strconv.Itoa(bytes))
}

// startTidewaiter starts a deployment in its own folder. If the deployment has a database from
// an earlier start, the server uses that database.
func startTidewaiter(ctx context.Context, program, folder string, d deployment, k keys) (*server, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	metrics, err := freeAddress()
	if err != nil {
		return nil, err
	}
	folder = filepath.Join(folder, d.name)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("creating a folder for %s: %w", d.name, err)
	}
	config := filepath.Join(folder, "tidewaiter.yaml")
	if err := os.WriteFile(config, d.config(k, filepath.Join(folder, "state.db"), address, metrics), 0o600); err != nil {
		return nil, fmt.Errorf("writing the config of %s: %w", d.name, err)
	}
	s, err := start(ctx, address, filepath.Join(folder, "log"), program, "serve", "--config", config)
	if err != nil {
		return nil, err
	}
	s.metrics, s.config = "http://"+metrics, config
	return s, s.await(ctx, metrics)
}

// await waits until the server listens at the given address. A server opens its addresses one
// after the other, so call await for each of them.
func (s *server) await(ctx context.Context, address string) error {
	try := time.NewTicker(time.Millisecond)
	defer try.Stop()
	for {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case err := <-s.ended:
			return fmt.Errorf("the server ended before it listened at %s: %w\n%s", address, err, s.outputStart())
		case <-ctx.Done():
			return ctx.Err()
		case <-try.C:
		}
	}
}

// runCommand runs a Tidewaiter command with the server's config and returns its output.
func (s *server) runCommand(ctx context.Context, input string, arguments ...string) (string, error) {
	command := exec.CommandContext(ctx, s.command.Path, append(arguments, "--config", s.config)...)
	var errs bytes.Buffer
	command.Stdin, command.Stderr = strings.NewReader(input), &errs
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("tidewaiter %s: %w\n%s", strings.Join(arguments, " "), err, errs.Bytes())
	}
	return strings.TrimSpace(string(out)), nil
}

// freeAddress returns an address with a free port. The port stays reserved until this program
// ends: otherwise another program could take the port before the server listens.
func freeAddress() (string, error) {
	port, _, err := loopback.Hold()
	if err != nil {
		return "", err
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), nil
}

// patience is the maximum time to wait until a server listens, and until it has stopped.
const patience = 30 * time.Second

// start runs a program and waits until it listens.
func start(ctx context.Context, address, log, program string, arguments ...string) (*server, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("creating a log: %w", err)
	}
	defer out.Close() // the process has its own descriptor
	s := &server{address: "http://" + address, log: log, ended: make(chan error, 1)}
	s.command = exec.CommandContext(ctx, program, arguments...)
	s.command.Stdout, s.command.Stderr = out, out

	begin := time.Now()
	if err := s.command.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", program, err)
	}
	go func() { s.ended <- s.command.Wait() }()

	// Connecting shows when a client could use the server. The pause between two tries is short
	// in comparison with a start.
	try := time.NewTicker(200 * time.Microsecond)
	defer try.Stop()
	for {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			s.took = time.Since(begin)
			return s, conn.Close()
		}
		select {
		case err := <-s.ended:
			return nil, fmt.Errorf("%s ended before it listened: %w\n%s", program, err, s.outputStart())
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), s.stop())
		case <-try.C:
			if time.Since(begin) > patience {
				return nil, errors.Join(fmt.Errorf("%s does not listen after %s\n%s", program, patience, s.outputStart()), s.stop())
			}
		}
	}
}

func (s *server) process() int { return s.command.Process.Pid }

// outputStart returns the beginning of the server's output.
func (s *server) outputStart() string {
	file, err := os.Open(s.log)
	if err != nil {
		return err.Error()
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, 4096))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// stop asks the server to exit, and kills a server that does not exit in time. bench/limit has
// no graceful stop.
func (s *server) stop() error {
	if err := s.command.Process.Signal(syscall.SIGTERM); err != nil {
		return nil // it has exited already
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case err := <-s.ended:
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signal() == syscall.SIGTERM {
				return nil
			}
		}
		return err
	case <-timer.C:
		err := s.command.Process.Kill()
		<-s.ended
		return errors.Join(fmt.Errorf("%s did not stop within %s", s.command.Path, patience), err)
	}
}

// residentMemory returns the server's resident memory in bytes: VmRSS on Linux.
func (s *server) residentMemory() (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.process()))
	if err != nil {
		return 0, fmt.Errorf("reading the resident memory: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("reading the resident memory: %w", err)
			}
			return kib * 1024, nil
		}
	}
	return 0, errors.New("reading the resident memory: no VmRSS")
}

// count returns the value of one of the server's metrics.
func (s *server) count(ctx context.Context, name string) (float64, error) {
	text, err := get(ctx, s.metrics+"/metrics", "", "")
	if err != nil {
		return 0, err
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, fmt.Errorf("reading metrics: no %s", name)
}

// get fetches a URL and requires status 200.
func get(ctx context.Context, address, user, password string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	if user != "" {
		request.SetBasicAuth(user, password)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", address, err)
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s\n%s", address, answer.Status, body)
	}
	return body, nil
}
