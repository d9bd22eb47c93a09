package client

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/e2e/engine"
	"github.com/tidewaiter/tidewaiter/e2e/image"
	"github.com/tidewaiter/tidewaiter/e2e/process"
)

// Docker is the docker command line. The function get returns the Engine, and is called when the
// first client is created.
func Docker(get func(testing.TB) *engine.Engine) Kind {
	return Kind{
		Name: "docker",
		New: func(t testing.TB) Client {
			return &dockerClient{engine: get(t), config: t.TempDir()}
		},
		Version: func(t testing.TB) string {
			out, err := process.Run(t.Context(), get(t).Command(t.Context(), t.TempDir(),
				"version", "--format", "Docker CLI {{.Client.Version}}, Engine {{.Server.Version}}"))
			if err != nil {
				t.Fatal(err)
			}
			return strings.TrimSpace(out)
		},
	}
}

type dockerClient struct {
	engine *engine.Engine
	config string // configuration folder
}

func (d *dockerClient) run(ctx context.Context, stdin []byte, args ...string) (string, error) {
	cmd := d.engine.Command(ctx, d.config, args...)
	cmd.Stdin = bytes.NewReader(stdin)
	return process.Run(ctx, cmd)
}

func (d *dockerClient) Login(ctx context.Context, host, name, password string) error {
	_, err := d.run(ctx, []byte(password), "login", "--username", name, "--password-stdin", host)
	return err
}

func (d *dockerClient) Keep(host, name, refreshToken string) error {
	return writeToken(filepath.Join(d.config, "config.json"), host, name, refreshToken)
}

// Kept returns the refresh token in the file that docker login wrote.
func (d *dockerClient) Kept(host string) (string, error) {
	return readToken(filepath.Join(d.config, "config.json"), host)
}

// After the push, Push removes the image from the Engine, so that a later pull downloads the image
// again.
func (d *dockerClient) Push(ctx context.Context, to Ref, img *image.Image) (string, error) {
	if _, err := d.run(ctx, img.RootFS, "import", "-", to.String()); err != nil {
		return "", err
	}
	out, pushErr := d.run(ctx, nil, "push", to.String())
	if _, err := d.run(ctx, nil, "rmi", to.String()); err != nil {
		return "", err
	}
	if pushErr != nil {
		return "", pushErr
	}
	return printedDigest(out)
}

func (d *dockerClient) Pull(ctx context.Context, from Ref) (string, error) {
	out, err := d.run(ctx, nil, "pull", from.String())
	if err != nil {
		return "", err
	}
	return printedDigest(out)
}

// Copy pulls, tags and pushes. If the Engine knows that another repository of the registry has a
// blob, the push mounts that blob.
func (d *dockerClient) Copy(ctx context.Context, from, to Ref) error {
	for _, args := range [][]string{{"pull", from.String()}, {"tag", from.String(), to.String()}, {"push", to.String()}} {
		if _, err := d.run(ctx, nil, args...); err != nil {
			return err
		}
	}
	return nil
}

func (d *dockerClient) Tags(context.Context, Ref) ([]string, error)       { return nil, ErrUnsupported }
func (d *dockerClient) Delete(context.Context, Ref) error                 { return ErrUnsupported }
func (d *dockerClient) Catalog(context.Context, string) ([]string, error) { return nil, ErrUnsupported }

func printedDigest(out string) (string, error) {
	if m := regexp.MustCompile(`(?i)digest: (sha256:[0-9a-f]{64})`).FindStringSubmatch(out); m != nil {
		return m[1], nil
	}
	return "", fmt.Errorf("no digest in docker's output: %s", out)
}
