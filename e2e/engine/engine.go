// Package engine runs a Docker Engine for tests.
//
// The Engine of a test has its own images, socket and containerd in a temporary folder. It creates
// no network. When the test ends, everything of the Engine is removed.
package engine

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tidewaiter/tidewaiter/e2e/process"
)

// Engine is a Docker Engine that runs until the test ends.
type Engine struct {
	Host string // for DOCKER_HOST
	*process.Process
	cli string
}

// Start starts an Engine and waits until it answers. It needs root.
func Start(t testing.TB) *Engine {
	t.Helper()
	Need(t)
	daemon := process.Need(t, "dockerd", "docker.io")
	// The path of a Unix socket is limited to 107 bytes. The path of t.TempDir() can be longer,
	// because it contains the test's name.
	folder, err := os.MkdirTemp("", "engine")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unmount(t, folder)
		if err := os.RemoveAll(folder); err != nil {
			t.Errorf("removing the Engine's folder: %v", err)
		}
	})
	e := &Engine{Host: "unix://" + filepath.Join(folder, "docker.sock"), cli: process.Need(t, "docker", "docker.io")}
	e.Process = process.Start(t, exec.Command(daemon,
		"--data-root", filepath.Join(folder, "data"),
		"--exec-root", filepath.Join(folder, "exec"),
		"--pidfile", filepath.Join(folder, "pid"),
		"--host", e.Host,
		// Do not change the machine's network.
		"--iptables=false", "--ip6tables=false", "--bridge=none",
		"--storage-driver=vfs", // works on any file system
	))
	e.Await(t, "the Docker Engine", func(ctx context.Context) error {
		_, err := process.Run(ctx, e.Command(ctx, folder, "version"))
		return err
	})
	return e
}

// unmount unmounts the remaining mounts below the Engine's folder. These mounts are network
// namespaces of containers that use the host's network.
func unmount(t testing.TB, folder string) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Error(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > 1 && strings.HasPrefix(fields[1], folder+"/") {
			if out, err := exec.Command("umount", "--lazy", fields[1]).CombinedOutput(); err != nil {
				t.Errorf("unmounting %s: %v: %s", fields[1], err, out)
			}
		}
	}
}

// Need skips the test if no Engine can run here, or fails it if CI=true.
func Need(t testing.TB) {
	t.Helper()
	process.Need(t, "dockerd", "docker.io")
	process.Need(t, "docker", "docker.io")
	if os.Geteuid() != 0 {
		process.Missing(t, "a separate Docker Engine for the test needs root")
	}
}

// Shared returns a function that returns one Engine for all subtests of t. The first call of
// the function starts the Engine. If no Engine can run here, each call skips the subtest, or fails
// it if CI=true.
func Shared(t testing.TB) func(testing.TB) *Engine {
	var mu sync.Mutex
	var shared *Engine
	return func(sub testing.TB) *Engine {
		sub.Helper()
		Need(sub)
		mu.Lock()
		defer mu.Unlock()
		if shared == nil {
			shared = Start(lastingTB{sub, t})
		}
		return shared
	}
}

// lastingTB is the testing.TB of a subtest, but its temporary folders last until the whole test
// ends, and its cleanup runs then. FailNow and Skip end the subtest, because a goroutine can end
// only its own test.
type lastingTB struct {
	testing.TB
	whole testing.TB
}

func (l lastingTB) Cleanup(f func())          { l.whole.Cleanup(f) }
func (l lastingTB) TempDir() string           { return l.whole.TempDir() }
func (l lastingTB) Context() context.Context  { return l.whole.Context() }
func (l lastingTB) Failed() bool              { return l.whole.Failed() }
func (l lastingTB) Logf(f string, a ...any)   { l.whole.Logf(f, a...) }
func (l lastingTB) Errorf(f string, a ...any) { l.whole.Errorf(f, a...) }

// BuildKit returns a `docker build` command that uses the Engine's BuildKit. Newer docker
// commands need a plugin for BuildKit, which Debian does not have. The docker command in the
// Engine's package needs no plugin.
func (e *Engine) BuildKit(ctx context.Context, config string, args ...string) *exec.Cmd {
	const packaged = "/usr/bin/docker"
	cmd := e.Command(ctx, config, append([]string{"build"}, args...)...)
	if _, err := os.Stat(packaged); err == nil {
		cmd.Path = packaged
	}
	cmd.Env = append(cmd.Env, "DOCKER_BUILDKIT=1")
	return cmd
}

// Command returns a docker command for this Engine with a configuration folder.
func (e *Engine) Command(ctx context.Context, config string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, e.cli, append([]string{"--config", config}, args...)...)
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+e.Host, "DOCKER_BUILDKIT=0", "DOCKER_CLI_HINTS=false")
	return cmd
}
