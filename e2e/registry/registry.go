// Package registry runs real registries for tests.
//
// Start runs a distribution registry on a free loopback port. Its storage is in a temporary
// folder, so that tests can check the stored objects.
package registry

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/e2e/process"
)

// Version is a release line of the registry.
type Version string

// The versions. V28 is Debian's package docker-registry. The others are compiled from their
// modules at the versions in the go.mod files.
const (
	V28 Version = "2.8"
	V30 Version = "3.0"
	V31 Version = "3.1"
)

// Options are the token server that a registry trusts, and the URL to which the registry posts
// events.
type Options struct {
	Realm         string // URL of the token endpoint
	Service       string // audience of the registry's tokens
	Issuer        string
	Roots         string // PEM file: rootcertbundle
	JWKS          string // JSON file; registry 3 only
	Notifications string // URL to post events to; "": no events
	Secret        string // Authorization header of the events
}

// Registry is a registry that runs until the test ends.
type Registry struct {
	Version Version
	// Host is localhost:port. It is not an address, because some clients reject realms with an
	// address such as 127.0.0.1. Some clients also compare the host names of realm and registry.
	Host string
	*process.Process
	storage string
}

// Start starts a registry with these options and waits until it answers.
func Start(t testing.TB, v Version, o Options) *Registry {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, `version: 0.1
log: { level: info }
storage:
  filesystem: { rootdirectory: %q }
  delete: { enabled: true }
http: { addr: %q }
auth:
  token: { realm: %q, service: %q, issuer: %q`, Storage, Address, o.Realm, o.Service, o.Issuer)
	if o.Roots != "" {
		fmt.Fprintf(&b, ", rootcertbundle: %q", o.Roots)
	}
	if o.JWKS != "" {
		fmt.Fprintf(&b, ", jwks: %q", o.JWKS)
	}
	b.WriteString(" }\n")
	if o.Notifications != "" {
		// With a short backoff, an event arrives soon after the receiver starts to listen.
		fmt.Fprintf(&b, `notifications:
  endpoints:
    - { name: tidewaiter, url: %q, timeout: 5s, threshold: 3, backoff: 100ms, headers: { Authorization: [%q] } }
`, o.Notifications, o.Secret)
	}
	return StartConfig(t, v, b.String())
}

// Placeholders in a config for values that StartConfig chooses.
const (
	Storage = "/var/lib/registry" // storage folder
	Address = ":5000"             // listening address
)

// StartConfig starts a registry with a config and additional environment variables. It replaces
// the placeholders Storage and Address in the config.
func StartConfig(t testing.TB, v Version, config string, environment ...string) *Registry {
	t.Helper()
	program := Program(t, v)
	folder := t.TempDir()
	port := process.Port(t)
	r := &Registry{
		Version: v,
		Host:    fmt.Sprintf("localhost:%d", port),
		storage: filepath.Join(folder, "storage"),
	}
	for _, fixed := range []string{Storage, Address} {
		if !strings.Contains(config, fixed) {
			t.Fatalf("a registry's config without %s:\n%s", fixed, config)
		}
	}
	config = strings.NewReplacer(Storage, r.storage, Address, fmt.Sprintf("127.0.0.1:%d", port)).Replace(config)
	file := filepath.Join(folder, "config.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "serve", file)
	// Without this variable, registry 3 tries to connect to a collector.
	cmd.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	cmd.Env = append(cmd.Env, environment...)
	// If a variable is set twice, the last value is used.
	cmd.Env = append(cmd.Env, fmt.Sprintf("REGISTRY_HTTP_ADDR=127.0.0.1:%d", port))
	r.Process = process.Start(t, cmd)
	t.Cleanup(r.Kill) // registry 3 takes a second to stop after SIGTERM
	r.Await(t, "registry "+string(v), func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.Host+"/v2/", nil)
		if err != nil {
			return err
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		return res.Body.Close()
	})
	return r
}

// Program returns the path of a registry's program. Registries that are not from Debian are
// compiled once, into bin/e2e.
func Program(t testing.TB, v Version) string {
	t.Helper()
	if v == V28 {
		return process.Need(t, "docker-registry", "docker-registry")
	}
	return process.Build(t, "registry-"+string(v), "registry/v"+string(v))
}

// VersionText returns the version that a registry prints.
func VersionText(t testing.TB, v Version) string {
	t.Helper()
	out, err := process.Run(t.Context(), exec.Command(Program(t, v), "--version"))
	if err != nil {
		t.Fatal(err)
	}
	// The output is "PROGRAM MODULE VERSION". A registry that the tests compiled appends
	// "+unknown".
	fields := strings.Fields(out)
	return strings.TrimSuffix(fields[len(fields)-1], "+unknown")
}

// Tag returns the digest of a tag, or "" if the tag does not exist.
func (r *Registry) Tag(repository, tag string) string {
	text, err := os.ReadFile(filepath.Join(r.repository(repository), "_manifests", "tags", tag, "current", "link"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// Manifest reports whether a repository has a manifest.
func (r *Registry) Manifest(repository, digest string) bool {
	return exists(filepath.Join(r.repository(repository), "_manifests", "revisions", strings.Replace(digest, ":", "/", 1), "link"))
}

// Blob reports whether a repository has a blob. It does not matter whether the blob was pushed or
// mounted.
func (r *Registry) Blob(repository, digest string) bool {
	return exists(filepath.Join(r.repository(repository), "_layers", strings.Replace(digest, ":", "/", 1), "link"))
}

// Touched reports whether a repository exists in the storage, even with only an incomplete upload.
func (r *Registry) Touched(repository string) bool {
	return exists(r.repository(repository))
}

// Remove removes a repository from the storage.
func (r *Registry) Remove(t testing.TB, repository string) {
	t.Helper()
	if err := os.RemoveAll(r.repository(repository)); err != nil {
		t.Fatal(err)
	}
}

func (r *Registry) repository(name string) string {
	return filepath.Join(r.storage, "docker", "registry", "v2", "repositories", name)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
