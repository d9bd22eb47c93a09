// Package engine answers: does it work with Docker itself?
//
// Start runs a Docker Engine of the test's own: its images, its socket and its containerd are in a
// temporary folder, it makes no network, and nothing of it outlives the test.
package engine

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tidewaiter/tidewaiter/e2e/part"
)

// Engine is a Docker Engine that runs until the test ends.
type Engine struct {
	Host string // for DOCKER_HOST
	*part.Process
	cli string
}

// Start starts an Engine and waits until it answers. It needs root.
func Start(t testing.TB) *Engine {
	t.Helper()
	Need(t)
	daemon := part.Need(t, "dockerd", "docker.io")
	// A unix socket's path has room for 107 bytes: t.TempDir(), which holds the test's name, may be longer.
	folder, err := os.MkdirTemp("", "engine")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unmount(t, folder)
		if err := os.RemoveAll(folder); err != nil {
			t.Errorf("removing what the Engine left: %v", err)
		}
	})
	e := &Engine{Host: "unix://" + filepath.Join(folder, "docker.sock"), cli: part.Need(t, "docker", "docker.io")}
	e.Process = part.Start(t, exec.Command(daemon,
		"--data-root", filepath.Join(folder, "data"),
		"--exec-root", filepath.Join(folder, "exec"),
		"--pidfile", filepath.Join(folder, "pid"),
		"--host", e.Host,
		"--iptables=false", "--ip6tables=false", "--bridge=none", // the machine's network is not ours to change
		"--storage-driver=vfs", // works on any file system
	))
	e.Await(t, "the Docker Engine", func(ctx context.Context) error {
		_, err := part.Run(ctx, e.Command(ctx, folder, "version"))
		return err
	})
	return e
}

// unmount unmounts what the Engine left mounted below its folder: the network namespace of containers
// with the machine's network.
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

// Need ends the test if no Engine can run here.
func Need(t testing.TB) {
	t.Helper()
	part.Need(t, "dockerd", "docker.io")
	part.Need(t, "docker", "docker.io")
	if os.Geteuid() != 0 {
		part.Missing(t, "a Docker Engine of the test's own needs root")
	}
}

// Shared is one Engine for the subtests of t, started by the first that calls the returned function. Where
// none can run, that ends the subtest.
func Shared(t testing.TB) func(testing.TB) *Engine {
	var mu sync.Mutex
	var shared *Engine
	return func(sub testing.TB) *Engine {
		sub.Helper()
		Need(sub)
		mu.Lock()
		defer mu.Unlock()
		if shared == nil {
			shared = Start(lasting{sub, t})
		}
		return shared
	}
}

// lasting fails as a subtest does, since only that may be ended from its goroutine, and is cleaned up with
// the whole test.
type lasting struct {
	testing.TB
	whole testing.TB
}

func (l lasting) Cleanup(f func())          { l.whole.Cleanup(f) }
func (l lasting) TempDir() string           { return l.whole.TempDir() }
func (l lasting) Context() context.Context  { return l.whole.Context() }
func (l lasting) Failed() bool              { return l.whole.Failed() }
func (l lasting) Logf(f string, a ...any)   { l.whole.Logf(f, a...) }
func (l lasting) Errorf(f string, a ...any) { l.whole.Errorf(f, a...) }

// BuildKit is `docker build` by the Engine's own BuildKit. Newer command lines leave that to a plugin, which Debian does
// not have; the one of the Engine's package does it by itself.
func (e *Engine) BuildKit(ctx context.Context, config string, args ...string) *exec.Cmd {
	const packaged = "/usr/bin/docker"
	cmd := e.Command(ctx, config, append([]string{"build"}, args...)...)
	if _, err := os.Stat(packaged); err == nil {
		cmd.Path = packaged
	}
	cmd.Env = append(cmd.Env, "DOCKER_BUILDKIT=1")
	return cmd
}

// Command is the docker command line with a folder for its configuration, talking to this Engine.
func (e *Engine) Command(ctx context.Context, config string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, e.cli, append([]string{"--config", config}, args...)...)
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+e.Host, "DOCKER_BUILDKIT=0", "DOCKER_CLI_HINTS=false")
	return cmd
}
