// Package registry answers: what do the real registries do?
//
// Start runs a registry of distribution on a free port of loopback, with its storage in a temporary
// folder that can be looked into: what is stored there is what was really pushed, whoever says what.
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

	"github.com/tidewaiter/tidewaiter/e2e/part"
)

// Version is a release line of the registry.
type Version string

// The versions. V28 is Debian's package docker-registry; the others are compiled from their modules,
// at the versions that the go.mod files name.
const (
	V28 Version = "2.8"
	V30 Version = "3.0"
	V31 Version = "3.1"
)

// Options are how a registry trusts and reports.
type Options struct {
	Realm         string // the token endpoint's URL
	Service       string // the audience of its tokens
	Issuer        string
	Roots         string // PEM file: rootcertbundle
	JWKS          string // JSON file; registry 3 only
	Notifications string // URL that events are posted to; "": none are
	Secret        string // the Authorization header of those posts
}

// Registry is a registry that runs until the test ends.
type Registry struct {
	Version Version
	Host    string // localhost:port: clients refuse realms at literal loopback addresses, and go by the name
	*part.Process
	storage string
}

// Start starts a registry that trusts and reports as o says, and waits until it answers.
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
		// A backoff this short has an event there as soon as the receiver is.
		fmt.Fprintf(&b, `notifications:
  endpoints:
    - { name: tidewaiter, url: %q, timeout: 5s, threshold: 3, backoff: 100ms, headers: { Authorization: [%q] } }
`, o.Notifications, o.Secret)
	}
	return StartConfig(t, v, b.String())
}

// What stands in a config for what is only known when it starts.
const (
	Storage = "/var/lib/registry" // the folder with its storage
	Address = ":5000"             // where it listens
)

// StartConfig starts a registry with a config, in which Storage and Address are replaced by what is free,
// and more in its environment.
func StartConfig(t testing.TB, v Version, config string, environment ...string) *Registry {
	t.Helper()
	program := Program(t, v)
	folder := t.TempDir()
	port := part.Port(t)
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
	cmd.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none") // registry 3 would look for a collector
	cmd.Env = append(cmd.Env, environment...)
	cmd.Env = append(cmd.Env, fmt.Sprintf("REGISTRY_HTTP_ADDR=127.0.0.1:%d", port)) // the last one counts
	r.Process = part.Start(t, cmd)
	t.Cleanup(r.Kill) // registry 3 takes a second over a SIGTERM
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

// Program returns the path of a registry's program. It is compiled where it has to be, into
// bin/e2e, so that it is compiled once.
func Program(t testing.TB, v Version) string {
	t.Helper()
	if v == V28 {
		return part.Need(t, "docker-registry", "docker-registry")
	}
	return part.Build(t, "registry-"+string(v), "registry/v"+string(v))
}

// VersionText is what a registry says of its version.
func VersionText(t testing.TB, v Version) string {
	t.Helper()
	out, err := part.Run(t.Context(), exec.Command(Program(t, v), "--version"))
	if err != nil {
		t.Fatal(err)
	}
	// "PROGRAM MODULE VERSION"; a compiled one adds what it does not know
	fields := strings.Fields(out)
	return strings.TrimSuffix(fields[len(fields)-1], "+unknown")
}

// Tag returns the digest that a tag points to, or "" if there is no such tag.
func (r *Registry) Tag(repository, tag string) string {
	text, err := os.ReadFile(filepath.Join(r.repository(repository), "_manifests", "tags", tag, "current", "link"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// Manifest says whether a repository has a manifest.
func (r *Registry) Manifest(repository, digest string) bool {
	return exists(filepath.Join(r.repository(repository), "_manifests", "revisions", strings.Replace(digest, ":", "/", 1), "link"))
}

// Blob says whether a repository has a blob, be it pushed or mounted.
func (r *Registry) Blob(repository, digest string) bool {
	return exists(filepath.Join(r.repository(repository), "_layers", strings.Replace(digest, ":", "/", 1), "link"))
}

// Touched says whether anything was ever stored in a repository, be it an upload that did not end.
func (r *Registry) Touched(repository string) bool {
	return exists(r.repository(repository))
}

func (r *Registry) repository(name string) string {
	return filepath.Join(r.storage, "docker", "registry", "v2", "repositories", name)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
