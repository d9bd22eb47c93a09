// Package tidewaiter answers: what is tested?
//
// Start compiles the tidewaiter command, as anybody would, and runs it with a config that has one of
// each: a person who may push, one who may only pull, an administrator, and what is open to everybody.
package tidewaiter

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/tidewaiter/tidewaiter/e2e/part"
	"github.com/tidewaiter/tidewaiter/token"
)

// Issuer is what tokens say, and registries demand.
const Issuer = "tidewaiter.example.com"

// Password is everybody's way in: the names are alice, who may pull and push team/ and public/, bob, who may
// pull team/, and admin, who may do everything and see the catalog. Anybody may pull public/.
func Password(name string) string { return name + "'s password" }

const policy = `
  roles: { reader: [pull], writer: [pull, push], maintainer: [pull, push, delete] }
  rules:
    - { name: what is public, subjects: [anyone], repositories: ["public/**"], role: reader }
    - { name: the team writes, subjects: ["user:alice"], repositories: ["team/**", "public/**"], role: writer }
    - { name: the team reads, subjects: ["user:bob"], repositories: ["team/**"], role: reader }
    - { name: administrators, subjects: ["group:administrators"], repositories: ["**"], role: maintainer }
    - { name: the catalog, subjects: ["group:administrators"], catalog: true }
`

// Tidewaiter is a service that runs until the test ends.
type Tidewaiter struct {
	*part.Process
	URL    string // http://localhost:port
	Roots  string // PEM file for rootcertbundle
	Config string // the file
}

// Program compiles the command and returns its path.
func Program(t testing.TB) string {
	t.Helper()
	return part.Build(t, "tidewaiter", "../cmd/tidewaiter")
}

// Start starts a Tidewaiter for registries with these service names, and waits until it is ready.
func Start(t testing.TB, services ...string) *Tidewaiter {
	t.Helper()
	return StartWith(t, Identity(t)+"policy:"+policy, services...)
}

// Identity is the part of the config by which alice, bob and admin are known.
func Identity(t testing.TB) string {
	t.Helper()
	var people strings.Builder
	for _, name := range []string{"alice", "bob", "admin"} {
		hash, err := bcrypt.GenerateFromPassword([]byte(Password(name)), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&people, "%s:%s\n", name, hash)
	}
	htpasswd := filepath.Join(t.TempDir(), "users.htpasswd")
	write(t, htpasswd, []byte(people.String()))
	return fmt.Sprintf("identity:\n  - htpasswd: { file: %q, groups: { administrators: [admin] } }\n", htpasswd)
}

// StartBrief is Start with tokens that live for a minute, which is as short as they can be.
func StartBrief(t testing.TB, services ...string) *Tidewaiter {
	t.Helper()
	return start(t, Identity(t)+"policy:"+policy, ", lifetime: 1m, push_lifetime: 1m", services)
}

// StartWith is Start with the end of the config, `identity` and `policy`, as it is given.
func StartWith(t testing.TB, end string, services ...string) *Tidewaiter {
	t.Helper()
	return start(t, end, "", services)
}

// start starts a Tidewaiter with the end of its config, and with more keys for each of its registries.
func start(t testing.TB, end, more string, services []string) *Tidewaiter {
	t.Helper()
	folder := t.TempDir()
	port := part.Port(t)
	url, config, roots := fmt.Sprintf("http://localhost:%d", port), filepath.Join(folder, "tidewaiter.yaml"), filepath.Join(folder, "cert.pem")

	now := time.Now()
	root, err := token.NewRoot("a root for tests", token.ES256, now.Add(-time.Hour), now.Add(48*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	key, err := root.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	write(t, roots, root.Bundle())
	write(t, filepath.Join(folder, "privatekey.pem"), key)

	var registries strings.Builder
	for _, s := range services {
		fmt.Fprintf(&registries, "  - { service: %q, notifications: { secret: %q }%s }\n", s, secret(s), more)
	}
	write(t, config, fmt.Appendf(nil, `public_url: %q
listen: [{ address: "127.0.0.1:%d" }]
database: "sqlite:state.db"
signing: { root: { folder: "." } }
token: { issuer: %q }
limits: { throttle: false } # all clients are at one address here, and several have the same wrong password
registries:
%s%s`, url, port, Issuer, registries.String(), end))

	tw := Serve(t, config, url)
	tw.Roots = roots
	return tw
}

// Serve starts a Tidewaiter with a config by which it is found at url, and waits until it is ready.
func Serve(t testing.TB, config, url string) *Tidewaiter {
	t.Helper()
	tw := &Tidewaiter{URL: url, Config: config}
	tw.Process = part.Start(t, exec.Command(Program(t), "serve", "--config", config))
	tw.Await(t, "Tidewaiter", func(ctx context.Context) error { return get(ctx, url+"/readyz") })
	return tw
}

// Authorization is the header by which a registry with this service name is known when it posts events.
func (tw *Tidewaiter) Authorization(service string) string { return "Bearer " + secret(service) }

func secret(service string) string {
	return "the-secret-of-" + base64.RawURLEncoding.EncodeToString([]byte(service)) // a secret has no spaces
}

// get returns nil if an address answers 200.
func get(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, res.Status)
	}
	return nil
}

func write(t testing.TB, file string, data []byte) {
	t.Helper()
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
