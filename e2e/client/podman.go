package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/e2e/image"
	"github.com/tidewaiter/tidewaiter/e2e/process"
)

// Podman is podman with its own storage in a temporary folder. It needs root.
var Podman = Kind{
	Name: "podman",
	New: func(t testing.TB) Client {
		program := process.Need(t, "podman", "podman")
		if os.Geteuid() != 0 {
			process.Missing(t, "podman with separate storage for the test needs root")
		}
		// podman limits its runroot to 50 characters. The path of t.TempDir() can be longer,
		// because it contains the test's name.
		run, err := os.MkdirTemp("", "podman")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(run) })
		p := &podmanClient{program: program, folder: t.TempDir(), runroot: run}
		// the credentials file must exist before a login
		if err := os.WriteFile(p.auth(), []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	},
	Version: func(t testing.TB) string { return firstLine(t, process.Need(t, "podman", "podman"), "--version") },
}

type podmanClient struct{ program, folder, runroot string }

func (p *podmanClient) auth() string { return filepath.Join(p.folder, "auth.json") }

func (p *podmanClient) run(ctx context.Context, stdin []byte, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, p.program, append([]string{
		"--root", filepath.Join(p.folder, "root"), "--runroot", p.runroot,
		"--storage-driver", "vfs", "--events-backend", "none", "--cgroup-manager", "cgroupfs",
	}, args...)...)
	cmd.Env = append(os.Environ(),
		"REGISTRY_AUTH_FILE="+p.auth(),
		"TMPDIR="+p.folder,
	)
	cmd.Stdin = bytes.NewReader(stdin)
	return process.Run(ctx, cmd)
}

func (p *podmanClient) Login(ctx context.Context, host, name, password string) error {
	_, err := p.run(ctx, []byte(password), "login", "--tls-verify=false", "--username", name, "--password-stdin", host)
	return err
}

func (p *podmanClient) Keep(host, name, refreshToken string) error {
	return writeToken(p.auth(), host, name, refreshToken)
}

func (p *podmanClient) Push(ctx context.Context, to Ref, img *image.Image) (string, error) {
	if _, err := p.run(ctx, img.RootFS, "import", "-", to.String()); err != nil {
		return "", err
	}
	digest, pushErr := p.push(ctx, to)
	if _, err := p.run(ctx, nil, "rmi", to.String()); err != nil {
		return "", err
	}
	return digest, pushErr
}

func (p *podmanClient) push(ctx context.Context, to Ref) (string, error) {
	file := filepath.Join(p.folder, "digest")
	if _, err := p.run(ctx, nil, "push", "--tls-verify=false", "--digestfile", file, to.String()); err != nil {
		return "", err
	}
	digest, err := os.ReadFile(file)
	return string(digest), err
}

func (p *podmanClient) Pull(ctx context.Context, from Ref) (string, error) {
	if _, err := p.run(ctx, nil, "pull", "--tls-verify=false", from.String()); err != nil {
		return "", err
	}
	out, err := p.run(ctx, nil, "image", "inspect", "--format", "{{.Digest}}", from.String())
	return strings.TrimSpace(out), err
}

// Copy pulls, tags and pushes. If podman knows that another repository of the registry has a blob,
// the push mounts that blob.
func (p *podmanClient) Copy(ctx context.Context, from, to Ref) error {
	if _, err := p.Pull(ctx, from); err != nil {
		return err
	}
	if _, err := p.run(ctx, nil, "tag", from.String(), to.String()); err != nil {
		return err
	}
	_, err := p.push(ctx, to)
	return err
}

func (p *podmanClient) Tags(ctx context.Context, of Ref) ([]string, error) {
	out, err := p.run(ctx, nil, "search", "--tls-verify=false", "--list-tags", "--format", "json", of.Host+"/"+of.Repository)
	if err != nil {
		return nil, err
	}
	var lists []struct{ Tags []string }
	if err := json.Unmarshal([]byte(out), &lists); err != nil || len(lists) != 1 {
		return nil, fmt.Errorf("reading %q: %w", out, err)
	}
	return lists[0].Tags, nil
}

func (p *podmanClient) Delete(context.Context, Ref) error { return ErrUnsupported }

// Catalog runs `podman search` for all repositories. podman then requests the registry's
// catalog.
func (p *podmanClient) Catalog(ctx context.Context, host string) ([]string, error) {
	out, err := p.run(ctx, nil, "search", "--tls-verify=false", "--limit", "1000", "--format", "{{.Name}}", host+"/")
	var repositories []string
	for _, name := range strings.Fields(out) {
		repositories = append(repositories, strings.TrimPrefix(name, host+"/"))
	}
	return repositories, err
}
