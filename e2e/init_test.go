package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/e2e/client"
	"github.com/tidewaiter/tidewaiter/e2e/image"
	"github.com/tidewaiter/tidewaiter/e2e/process"
	"github.com/tidewaiter/tidewaiter/e2e/registry"
	"github.com/tidewaiter/tidewaiter/e2e/tidewaiter"
	"github.com/tidewaiter/tidewaiter/notification"
)

// TestInit uses the output of `tidewaiter init` unchanged, because a new user has nothing else.
// The output is a config for Tidewaiter, and a config file or environment variables for the
// registry.
func TestInit(t *testing.T) {
	for _, v := range []registry.Version{registry.V28, registry.V30, registry.V31} {
		t.Run("registry "+string(v)+" with the config", func(t *testing.T) {
			n := begin(t)
			n.firstPush(t, registry.StartConfig(t, v, n.read(t, "registry-config.yml")))
		})
		t.Run("registry "+string(v)+" with the environment", func(t *testing.T) {
			n := begin(t)
			environment := strings.Split(strings.TrimSpace(n.read(t, "registry.env")), "\n")
			n.firstPush(t, registry.StartConfig(t, v, fmt.Sprintf(
				"version: 0.1\nstorage: { filesystem: { rootdirectory: %s } }\nhttp: { addr: %q }\n",
				registry.Storage, registry.Address), environment...))
		})
	}
}

// TestInitForARegistryThatExists migrates a registry with a password file to Tidewaiter. The
// output of init is used unchanged. After the migration, the registry's users can still push to
// the same repositories.
func TestInitForARegistryThatExists(t *testing.T) {
	for _, v := range []registry.Version{registry.V28, registry.V31} {
		t.Run("registry "+string(v), func(t *testing.T) {
			const secret = "correct horse battery"
			line, err := process.Run(t.Context(), exec.Command(process.Need(t, "htpasswd", "apache2-utils"), "-nbBC", "5", "bob", secret))
			if err != nil {
				t.Fatal(err)
			}
			folder := t.TempDir()
			passwords, file := filepath.Join(folder, "htpasswd"), filepath.Join(folder, "config.yml")
			config := fmt.Sprintf("version: 0.1\nstorage: { filesystem: { rootdirectory: %s } }\nhttp: { addr: %q }\nauth: { htpasswd: { realm: ours, path: %q } }\n",
				registry.Storage, registry.Address, passwords)
			for path, text := range map[string]string{passwords: strings.TrimSpace(line) + "\n", file: config} {
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			n := begin(t, "--registry-config", file)
			r := registry.StartConfig(t, v, n.read(t, "registry-config.yml"))
			oras := client.Oras.New(t)
			if err := oras.Login(t.Context(), r.Host, "bob", secret); err != nil {
				t.Fatal(err)
			}
			to := client.Ref{Host: r.Host, Repository: "team/app", Tag: image.Tag}
			digest, err := oras.Push(t.Context(), to, image.New(t, image.OCI))
			if err != nil {
				t.Fatal(err)
			}
			if stored := r.Tag(to.Repository, to.Tag); stored != digest {
				t.Errorf("pushed %s, the registry has %q", digest, stored)
			}
			n.awaitPush(t, "bob", digest)
			n.firstPush(t, r) // as the administrator, with the password in the output of init
		})
	}
}

// newcomer is a new user with a folder that init created.
type newcomer struct {
	folder   string
	password string
	tw       *tidewaiter.Tidewaiter
}

func begin(t *testing.T, more ...string) newcomer {
	t.Helper()
	n := newcomer{folder: t.TempDir()}
	url := fmt.Sprintf("http://localhost:%d", process.Port(t))
	args := []string{"init", "--output", "json", "--dir", n.folder, "--service", "registry.example.com", "--public-url", url}
	out, err := process.Run(t.Context(), exec.Command(tidewaiter.Program(t), append(args, more...)...))
	if err != nil {
		t.Fatal(err)
	}
	var made struct{ Password string }
	if err := json.Unmarshal([]byte(out), &made); err != nil || made.Password == "" {
		t.Fatalf("init printed %s", out)
	}
	n.password = made.Password
	n.tw = tidewaiter.Serve(t, filepath.Join(n.folder, "tidewaiter.yaml"), url)
	return n
}

func (n newcomer) read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(n.folder, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// firstPush logs in, pushes, and waits for the event.
func (n newcomer) firstPush(t *testing.T, r *registry.Registry) {
	t.Helper()
	oras := client.Oras.New(t)
	if err := oras.Login(t.Context(), r.Host, "admin", n.password); err != nil {
		t.Fatal(err)
	}
	to := client.Ref{Host: r.Host, Repository: "public/app", Tag: image.Tag}
	digest, err := oras.Push(t.Context(), to, image.New(t, image.OCI))
	if err != nil {
		t.Fatal(err)
	}
	if stored := r.Tag(to.Repository, to.Tag); stored != digest {
		t.Errorf("pushed %s, the registry has %q", digest, stored)
	}
	if _, err := client.Oras.New(t).Pull(t.Context(), to); err != nil {
		t.Errorf("an anonymous pull below public/: %v", err)
	}
	n.awaitPush(t, "admin", digest)
}

// awaitPush waits for the event of a push in the journal.
func (n newcomer) awaitPush(t *testing.T, user, digest string) {
	t.Helper()
	journal := n.tw.Journal(t)
	process.Await(t, "the push in the journal", func(context.Context) error {
		if !slices.ContainsFunc(journal.Entries(), func(e tidewaiter.Entry) bool {
			return e.Registry == "registry.example.com" && e.Event != nil &&
				e.Event.Action == notification.Push && e.Event.Digest == digest && e.Event.Actor == user
		}) {
			return errors.New("no such event")
		}
		return nil
	})
}
