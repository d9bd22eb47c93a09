// Package tidewaiter runs the program under test.
//
// Start compiles the tidewaiter command and runs it. The config has a user who may push, a user
// who may only pull, an administrator, and public repositories.
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

	"github.com/tidewaiter/tidewaiter/e2e/process"
	"github.com/tidewaiter/tidewaiter/token"
)

// Issuer is the issuer of tokens.
const Issuer = "tidewaiter.example.com"

// Password returns a user's password. alice may pull and push team/ and public/. bob may pull
// team/. admin may do everything, including the catalog. Everybody may pull public/.
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
	*process.Process
	URL    string // http://localhost:port
	Roots  string // PEM file for rootcertbundle
	Config string // path of the config file
}

// Program compiles the command and returns its path.
func Program(t testing.TB) string {
	t.Helper()
	return process.Build(t, "tidewaiter", "../cmd/tidewaiter")
}

// Start starts a Tidewaiter for registries with these service names and waits until it is
// ready.
func Start(t testing.TB, services ...string) *Tidewaiter {
	t.Helper()
	return StartWith(t, Identity(t)+"policy:"+policy, services...)
}

// Identity returns the part of the config with alice, bob and admin.
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

// StartBrief is like Start, but tokens live for only a minute, which is the minimum.
func StartBrief(t testing.TB, services ...string) *Tidewaiter {
	t.Helper()
	return start(t, Identity(t)+"policy:"+policy, ", lifetime: 1m, push_lifetime: 1m", services)
}

// StartWith is like Start, but the config ends with the given sections `identity` and `policy`.
func StartWith(t testing.TB, sections string, services ...string) *Tidewaiter {
	t.Helper()
	return start(t, sections, "", services)
}

// start starts a Tidewaiter, with the last lines of its config, and with additional keys for each
// registry.
func start(t testing.TB, lastLines, registryKeys string, services []string) *Tidewaiter {
	t.Helper()
	folder := t.TempDir()
	port := process.Port(t)
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
		fmt.Fprintf(&registries, "  - { service: %q, notifications: { secret: %q }%s }\n", s, secret(s), registryKeys)
	}
	write(t, config, fmt.Appendf(nil, `public_url: %q
listen: [{ address: "127.0.0.1:%d" }]
database: "sqlite:state.db"
signing: { root: { folder: "." } }
token: { issuer: %q }
limits: { throttle: false } # all clients have the same address, and several have the same wrong password
registries:
%s%s`, url, port, Issuer, registries.String(), lastLines))

	tw := Serve(t, config, url)
	tw.Roots = roots
	return tw
}

// Serve starts a Tidewaiter with a config. The service must listen at url; Serve waits until it
// is ready.
func Serve(t testing.TB, config, url string) *Tidewaiter {
	t.Helper()
	tw := &Tidewaiter{URL: url, Config: config}
	tw.Process = process.Start(t, exec.Command(Program(t), "serve", "--config", config))
	tw.Await(t, "Tidewaiter", func(ctx context.Context) error { return get(ctx, url+"/readyz") })
	return tw
}

// Authorization returns the Authorization header with which the registry of this service name
// posts events.
func (tw *Tidewaiter) Authorization(service string) string { return "Bearer " + secret(service) }

func secret(service string) string {
	// a secret may not contain spaces
	return "the-secret-of-" + base64.RawURLEncoding.EncodeToString([]byte(service))
}

// get returns nil if a URL answers with status 200.
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
