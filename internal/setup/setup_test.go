package setup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"

	"github.com/tidewaiter/tidewaiter/internal/password"
	"github.com/tidewaiter/tidewaiter/token"
)

var all = []string{Key, Certificate, RootBundle, Notifications, Config, RegistryConfig, RegistryEnv, Users}

func TestTheFirstWriteCreatesEverything(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	r := write(t, dir, Options{})
	var made []string
	for _, f := range r.Files {
		if !f.Made {
			t.Errorf("%s was not created", f.Path)
		}
		made = append(made, f.Path)
	}
	if diff := cmp.Diff(all, made); diff != "" {
		t.Errorf("files in their order (-want +got):\n%s", diff)
	}
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		// The registry's user can read only the root's certificate.
		mine := map[string]fs.FileMode{dir: 0o711, r.Path(RootBundle): 0o644}
		if open, want := info.Mode().Perm()&0o077, mine[path]&0o077; open != want {
			t.Errorf("%s: other users have the mode %v, want %v", path, open, want)
		}
		if strings.HasPrefix(d.Name(), ".") {
			t.Errorf("%s was not removed", path)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	name, hash, _ := strings.Cut(strings.TrimSpace(read(t, r, Users)), ":")
	if name != Admin {
		t.Errorf("the account is %q", name)
	}
	if err := password.New(password.Options{}).Compare(context.Background(), hash, r.Password.Reveal()); err != nil {
		t.Errorf("the returned password is not the account's: %v", err)
	}
	root(t, r)
}

// Three files must have the same settings: the two files for a registry, and Tidewaiter's config.
func TestConfigAndRegistryAgree(t *testing.T) {
	for _, o := range []Options{
		{},
		{Service: "registry.example.com", PublicURL: "https://auth.example.com/papers/"},
		{Service: `odd"name: {x} #1`[:8], PublicURL: "http://[::1]:5001"},
		{Service: "registry:5000", PublicURL: "https://auth.example.com", Listen: ":8443", TLSCertificate: `/tls/a "b": #c.pem`, TLSKey: "key.pem"},
	} {
		r := write(t, t.TempDir(), o)
		var ours struct {
			PublicURL string `yaml:"public_url"`
			Listen    []struct {
				Address string
				TLS     *struct{ Certificate, Key string }
			}
			Database string
			Signing  struct {
				Root struct{ Certificate, Key string }
			}
			Token struct {
				Issuer   string
				Lifetime string
			}
			Proxies    []string `yaml:"trusted_proxies"`
			Registries []struct {
				Service       string
				Notifications struct {
					SecretFile string `yaml:"secret_file"`
				}
			}
			Identity []any
			Policy   any
		}
		if err := yaml.Load([]byte(read(t, r, Config)), &ours, yaml.WithKnownFields()); err != nil {
			t.Fatalf("%+v: %v", o, err)
		}
		secret := strings.TrimSpace(read(t, r, ours.Registries[0].Notifications.SecretFile))
		type endpoint struct {
			Name, URL, Timeout, Backoff string
			Threshold                   int
			Headers                     map[string][]string
		}
		type registry struct {
			Realm, Service, Issuer, RootCertBundle string
			Endpoints                              []endpoint
		}
		want := registry{
			Realm: ours.PublicURL + "/token", Service: ours.Registries[0].Service, Issuer: ours.Token.Issuer,
			RootCertBundle: r.Path(RootBundle),
			Endpoints: []endpoint{{
				Name: "tidewaiter", URL: ours.PublicURL + "/notifications", Timeout: "5s", Backoff: "5s", Threshold: 5,
				Headers: map[string][]string{"Authorization": {"Bearer " + secret}},
			}},
		}
		if r.Realm != want.Realm || r.Events != want.Endpoints[0].URL || r.Service != want.Service {
			t.Errorf("%+v: the result differs from the config: %+v", o, r)
		}

		var theirs struct {
			Auth          struct{ Token registry }
			Notifications struct{ Endpoints []endpoint }
		}
		if err := yaml.Load([]byte(read(t, r, RegistryConfig)), &theirs); err != nil {
			t.Fatalf("%+v: %v", o, err)
		}
		got := theirs.Auth.Token
		got.Endpoints = theirs.Notifications.Endpoints
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%+v: %s (-want +got):\n%s", o, RegistryConfig, diff)
		}

		env := map[string]string{}
		for line := range strings.Lines(read(t, r, RegistryEnv)) {
			name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
			env[name] = value
		}
		got = registry{
			Realm: env["REGISTRY_AUTH_TOKEN_REALM"], Service: env["REGISTRY_AUTH_TOKEN_SERVICE"],
			Issuer: env["REGISTRY_AUTH_TOKEN_ISSUER"], RootCertBundle: env["REGISTRY_AUTH_TOKEN_ROOTCERTBUNDLE"],
		}
		if err := yaml.Load([]byte(env["REGISTRY_NOTIFICATIONS_ENDPOINTS"]), &got.Endpoints); err != nil {
			t.Fatalf("%+v: %v", o, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%+v: %s (-want +got):\n%s", o, RegistryEnv, diff)
		}
	}
}

func TestTheDefaultAddressToListenOn(t *testing.T) {
	for _, tt := range []struct{ url, listen, at string }{
		{"", "", "localhost:5001"},
		{"http://localhost:7000", "", "localhost:7000"},
		{"http://127.0.0.1:7000", "", "127.0.0.1:7000"},
		{"http://[::1]:7000", "", "[::1]:7000"},
		{"https://auth.example.com", "", "localhost:5001"}, // behind a proxy
		{"http://10.1.2.3:7000", "", "localhost:5001"},     // other machines can reach this address
		{"https://localhost:7000", "", "localhost:5001"},   // the proxy at this address has TLS
		{"https://auth.example.com", ":8443", ":8443"},     // with the option Listen
		{"http://localhost", "", "localhost:5001"},         // only the user root may listen on port 80
		{"http://localhost.example.com:80", "", "localhost:5001"},
	} {
		p, err := Options{PublicURL: tt.url, Listen: tt.listen}.plan()
		if err != nil || p.Listen != tt.at {
			t.Errorf("%q, %q: listens at %q, %v; want %q", tt.url, tt.listen, p.Listen, err, tt.at)
		}
	}
}

func TestInvalidOptionsCreateNoFile(t *testing.T) {
	for _, tt := range []struct {
		o    Options
		says string
	}{
		{Options{Service: "https://registry.example.com"}, `is a URL`},
		{Options{Service: "registry.example.com/team"}, `a space or a slash`},
		{Options{Service: "a b"}, `a space or a slash`},
		{Options{Service: "a\nb"}, `cannot be printed`},
		{Options{Service: "a\x00"}, `cannot be printed`},
		{Options{Service: "a\xff"}, `cannot be printed`},
		{Options{Service: strings.Repeat("a", 2000)}, `longer than 1024 bytes`},
		{Options{PublicURL: "auth.example.com"}, `not a URL such as https://auth.example.com`},
		{Options{PublicURL: "ftp://auth.example.com"}, `not a URL such as`},
		{Options{PublicURL: "https://"}, `not a URL such as`},
		{Options{PublicURL: "https://auth.example.com?x=1"}, `more than a host and a path`},
		{Options{PublicURL: "https://auth.example.com#x"}, `more than a host and a path`},
		{Options{PublicURL: "https://bob:canary@auth.example.com"}, `more than a host and a path`},
		{Options{PublicURL: "https://bob:canary@auth.example.com:x"}, `the public URL is not valid`},
		{Options{Listen: "8443"}, `not host:port`},
		{Options{Listen: "localhost:"}, `not host:port`},
		{Options{TLSCertificate: "cert.pem"}, `must be given together`},
		{Options{TLSKey: "key.pem"}, `must be given together`},
	} {
		dir := t.TempDir()
		_, err := Write(dir, tt.o)
		if err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%+v: %v; want %q", tt.o, err, tt.says)
		} else if strings.Contains(err.Error(), "canary") {
			t.Errorf("the error has a password: %v", err)
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("%+v: %v was written", tt.o, left)
		}
	}
}

func TestASecondWriteChangesNothing(t *testing.T) {
	dir := t.TempDir()
	first := write(t, dir, Options{})
	before := contents(t, first)
	second := write(t, dir, Options{})
	if diff := cmp.Diff(before, contents(t, second)); diff != "" {
		t.Errorf("contents (-first +second):\n%s", diff)
	}
	for _, f := range second.Files {
		if f.Made {
			t.Errorf("%s was created again", f.Path)
		}
	}
	if second.Password.Reveal() != "" {
		t.Error("a password is returned although no account was created")
	}
}

func TestMissingFilesAreCreated(t *testing.T) {
	for _, missing := range []string{Config, RegistryConfig, RegistryEnv, Users} {
		dir := t.TempDir()
		before := contents(t, write(t, dir, Options{}))
		if err := os.Remove(filepath.Join(dir, missing)); err != nil {
			t.Fatal(err)
		}
		r := write(t, dir, Options{})
		after := contents(t, r)
		if missing == Users {
			if before[Users] == after[Users] {
				t.Error("the new account has the old password")
			}
			before[Users] = after[Users]
		}
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("after losing %s (-before +after):\n%s", missing, diff)
		}
		for _, f := range r.Files {
			if f.Made != (f.Path == missing) {
				t.Errorf("after losing %s: %+v", missing, f)
			}
		}
		if (r.Password.Reveal() != "") != (missing == Users) {
			t.Errorf("after losing %s: there is a password: %v", missing, r.Password.Reveal() != "")
		}
	}
}

func TestHalfAPairIsNotCompleted(t *testing.T) {
	for _, missing := range []string{Key, Certificate} {
		dir := t.TempDir()
		write(t, dir, Options{})
		if err := os.Remove(filepath.Join(dir, missing)); err != nil {
			t.Fatal(err)
		}
		_, err := Write(dir, Options{})
		if err == nil || !strings.Contains(err.Error(), "exists without "+missing) {
			t.Errorf("without %s: %v", missing, err)
		}
		if there, _ := pathExists(filepath.Join(dir, missing)); there {
			t.Errorf("%s was created", missing)
		}
	}
}

// If Write created a new secret, Tidewaiter would refuse the events of a registry that has the old
// secret.
func TestNoSecretIsCreatedBesideAConfigWithTheOldOne(t *testing.T) {
	for _, names := range []string{RegistryConfig, RegistryEnv} {
		dir := t.TempDir()
		write(t, dir, Options{})
		for _, gone := range []string{Notifications, RegistryConfig, RegistryEnv} {
			if gone == names {
				continue
			}
			if err := os.Remove(filepath.Join(dir, gone)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Write(dir, Options{}); err == nil || !strings.Contains(err.Error(), names+" contains the same secret") {
			t.Errorf("with %s: %v", names, err)
		}
	}
}

func TestNothingIsWrittenThroughALink(t *testing.T) {
	dir, elsewhere := t.TempDir(), filepath.Join(t.TempDir(), "elsewhere")
	if err := os.Symlink(elsewhere, filepath.Join(dir, Users)); err != nil {
		t.Fatal(err)
	}
	write(t, dir, Options{})
	if there, _ := pathExists(elsewhere); there {
		t.Error("the account was written through a link")
	}
}

func TestAnEmptySecretIsNotUsed(t *testing.T) {
	for content, says := range map[string]string{"": "is empty", " \n": "is empty", "a\nb\n": "more than one line"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, Notifications), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Write(dir, Options{}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", content, err)
		}
	}
}

// Concurrent calls for the same folder may fail, but the files that they create must fit together.
func TestConcurrentWritesLeaveOneSetUp(t *testing.T) {
	for range 3 {
		dir := t.TempDir()
		var running sync.WaitGroup
		for range 3 {
			running.Go(func() {
				if _, err := Write(dir, Options{}); err != nil && !errors.Is(err, ErrTaken) &&
					!strings.Contains(err.Error(), "exists") {
					t.Error(err)
				}
			})
		}
		running.Wait()
		r := write(t, dir, Options{})
		root(t, r)
		secret := strings.TrimSpace(read(t, r, Notifications))
		for _, name := range []string{RegistryConfig, RegistryEnv} {
			if !strings.Contains(read(t, r, name), "Bearer "+secret) {
				t.Errorf("%s has another secret", name)
			}
		}
	}
}

func TestPlaceNeverOverwrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := createFile(path, []byte("first"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := createFile(path, []byte("second"), 0o600); !errors.Is(err, ErrTaken) {
		t.Errorf("a second file: %v", err)
	}
	if content, _ := os.ReadFile(path); string(content) != "first" {
		t.Errorf("the content is %q", content)
	}
}

// Each set-up has its own secrets, and no format verb prints a secret.
func TestSecretsAreRandomAndHidden(t *testing.T) {
	a, b := write(t, t.TempDir(), Options{}), write(t, t.TempDir(), Options{})
	if a.Password.Reveal() == b.Password.Reveal() || read(t, a, Notifications) == read(t, b, Notifications) {
		t.Error("two set-ups share a secret")
	}
	if n := len(a.Password.Reveal()); n != 23 {
		t.Errorf("the password has %d characters", n)
	}
	if text := fmt.Sprintf("%v %+v %#v", a, a, a); strings.Contains(text, a.Password.Reveal()) {
		t.Errorf("the password is in %s", text)
	}
}

func TestWriteRootRejectsAFolderWithARoot(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	certificate, key, err := WriteRoot(dir, token.ES256, now)
	if err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(certificate)
	for _, remove := range []string{"", certificate} {
		if remove != "" {
			_ = os.Remove(remove)
		}
		if _, _, err := WriteRoot(dir, token.ES256, now); err == nil || !strings.Contains(err.Error(), "is not overwritten") {
			t.Errorf("again: %v", err)
		}
	}
	secret, _ := os.ReadFile(key)
	r, err := token.ParseRoot(before, secret)
	if err != nil {
		t.Fatal(err)
	}
	if problems := r.Problems(token.X5C, now); len(problems) > 0 {
		t.Errorf("problems: %+v", problems)
	}
}

func write(t *testing.T, dir string, o Options) Result {
	t.Helper()
	r, err := Write(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func read(t *testing.T, r Result, name string) string {
	t.Helper()
	content, err := os.ReadFile(r.Path(name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func contents(t *testing.T, r Result) map[string]string {
	t.Helper()
	m := make(map[string]string)
	for _, name := range all {
		m[name] = read(t, r, name)
	}
	return m
}

func root(t *testing.T, r Result) {
	t.Helper()
	parsed, err := token.ParseRoot([]byte(read(t, r, Certificate)), []byte(read(t, r, Key)))
	if err != nil {
		t.Fatal(err)
	}
	if !parsed.IssuesLeaves() || !bytes.Equal(parsed.Bundle(), []byte(read(t, r, Certificate))) {
		t.Error("the root cannot issue leaf certificates")
	}
}

// If a user of the registry has the administrator's name, this user becomes the administrator. A
// note reports that.
func TestANoteNamesAUserWhoBecomesTheAdministrator(t *testing.T) {
	const hash = ":$2y$10$Au2Nbi/zEVdWzQeFXFZr6.aWgpHIWVlyGfEuBgyNOLB6iOHiHlOaC\n"
	for users, told := range map[string]bool{"admin" + hash + "ann" + hash: true, "ann" + hash: false, "# admin" + hash + "admins" + hash: false} {
		from := t.TempDir()
		config, passwords := filepath.Join(from, "config.yml"), filepath.Join(from, "htpasswd")
		for file, text := range map[string]string{config: "http: {addr: \":5000\"}\nauth: {htpasswd: {realm: r, path: htpasswd}}\n", passwords: users} {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		result, err := Write(filepath.Join(t.TempDir(), "new"), Options{RegistryConfig: config})
		if err != nil {
			t.Fatal(err)
		}
		named := slices.ContainsFunc(result.Notes, func(n string) bool { return strings.HasPrefix(n, "The user admin in the registry's password file") })
		if named != told || told == (result.Password.Reveal() != "") {
			t.Errorf("%q: %q, with a new password: %v", users, result.Notes, result.Password.Reveal() != "")
		}
	}
}
