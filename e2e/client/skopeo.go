package client

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/e2e/image"
	"github.com/tidewaiter/tidewaiter/e2e/process"
)

// Skopeo is the client skopeo.
var Skopeo = Kind{
	Name: "skopeo",
	New: func(t testing.TB) Client {
		return &skopeoClient{program: process.Need(t, "skopeo", "skopeo"), folder: t.TempDir()}
	},
	Version: func(t testing.TB) string { return firstLine(t, process.Need(t, "skopeo", "skopeo"), "--version") },
}

type skopeoClient struct{ program, folder string }

func (s *skopeoClient) run(ctx context.Context, stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, s.program, append([]string{"--insecure-policy"}, args...)...)
	cmd.Env = append(os.Environ(),
		"REGISTRY_AUTH_FILE="+filepath.Join(s.folder, "auth.json"),
		// The folder of skopeo's cache of blob locations. Without this variable, root's cache
		// in /var/lib/containers/cache would be used.
		"XDG_DATA_HOME="+s.folder,
	)
	cmd.Stdin = strings.NewReader(stdin)
	return process.Run(ctx, cmd)
}

func (s *skopeoClient) copy(ctx context.Context, from, to string) (string, error) {
	file := filepath.Join(s.folder, "digest")
	if _, err := s.run(ctx, "", "copy", "--src-tls-verify=false", "--dest-tls-verify=false", "--digestfile", file, from, to); err != nil {
		return "", err
	}
	digest, err := os.ReadFile(file)
	return string(digest), err
}

func (s *skopeoClient) Login(ctx context.Context, host, name, password string) error {
	_, err := s.run(ctx, password, "login", "--tls-verify=false", "--username", name, "--password-stdin", host)
	return err
}

func (s *skopeoClient) Keep(host, name, refreshToken string) error {
	return writeToken(filepath.Join(s.folder, "auth.json"), host, name, refreshToken)
}

func (s *skopeoClient) Push(ctx context.Context, to Ref, img *image.Image) (string, error) {
	return s.copy(ctx, "oci:"+img.Layout+":"+image.Tag, "docker://"+to.String())
}

func (s *skopeoClient) Pull(ctx context.Context, from Ref) (string, error) {
	to, err := os.MkdirTemp(s.folder, "pulled")
	if err != nil {
		return "", err
	}
	return s.copy(ctx, "docker://"+from.String(), "dir:"+to)
}

func (s *skopeoClient) Copy(ctx context.Context, from, to Ref) error {
	_, err := s.copy(ctx, "docker://"+from.String(), "docker://"+to.String())
	return err
}

func (s *skopeoClient) Tags(ctx context.Context, of Ref) ([]string, error) {
	out, err := s.run(ctx, "", "list-tags", "--tls-verify=false", "docker://"+of.Host+"/"+of.Repository)
	if err != nil {
		return nil, err
	}
	var list struct{ Tags []string }
	err = json.Unmarshal([]byte(out), &list)
	return list.Tags, err
}

// Delete requests the scope repository:name:*, unlike all other clients.
func (s *skopeoClient) Delete(ctx context.Context, what Ref) error {
	_, err := s.run(ctx, "", "delete", "--tls-verify=false", "docker://"+what.String())
	return err
}

func (s *skopeoClient) Catalog(context.Context, string) ([]string, error) { return nil, ErrUnsupported }
