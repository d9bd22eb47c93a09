package main

import (
	_ "embed"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"github.com/tidewaiter/tidewaiter/internal/setup"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

func initCommand() command {
	return command{
		use:   "init",
		short: "Create a working config, a root, an account, and the registry's config",
		long: `Create everything that is needed to start. This includes a config with a policy, a
signing root, and a registry config that trusts Tidewaiter. It also includes the account admin, whose
password is printed only once.

For an existing registry, name its config file with --registry-config. The service name and the
port are read from this file. If the file does not name the registry's host (http.host), give
--service. If the file names a password file (auth: htpasswd), the users of the password file are
imported and keep their rights. The merged config is written to registry-config.yml in the folder.
The registry's own file is not changed.

For zot, --preset zot writes zot-config.json instead of the registry's config.

Existing files are never overwritten. Only missing files are created.`,
		example: `  tidewaiter init
  tidewaiter init --dir /etc/tidewaiter --service registry.example.com --public-url https://auth.example.com
  tidewaiter init --dir /etc/tidewaiter --registry-config /etc/docker/registry/config.yml --service registry.example.com --public-url https://auth.example.com`,
		output: true,
		flags: func(f *flags) action {
			var o setup.Options
			var dir string
			f.folder(&dir, "dir", ".", "the `folder` to set up")
			f.StringVar(&o.Preset, "preset", "", "the kind of registry, `zot` (default: registry:2 and registry:3)")
			f.StringVar(&o.Service, "service", "", "the registry's service `name`: its host, as clients type it (default localhost:5000)")
			f.StringVar(&o.PublicURL, "public-url", "", "the `URL` at which clients reach Tidewaiter (default http://localhost:5001)")
			f.StringVar(&o.Listen, "listen", "", "the `address` to listen at (default: the address of --public-url, if it is on this machine)")
			f.StringVar(&o.TLSCertificate, "tls-certificate", "", "a PEM certificate `file`, to serve TLS without a proxy")
			f.StringVar(&o.TLSKey, "tls-key", "", "the certificate's key, a PEM `file`")
			f.StringVar(&o.RegistryConfig, "registry-config", "", "the config `file` of an existing registry")
			f.StringVar(&o.RegistryUsers, "registry-users", "", "the registry's password `file` (default: the file that --registry-config names)")
			f.StringVar(&o.Admin, "admin", "", "the `name` of the administrator (default admin)")
			f.addCheck(func(s *session) error {
				if o.RegistryUsers != "" && o.RegistryConfig == "" {
					return s.usageErrorf("--registry-users requires --registry-config")
				}
				return nil
			})
			return func(s *session) error { return s.init(dir, o) }
		},
	}
}

func (s *session) init(dir string, o setup.Options) error {
	for _, path := range []*string{&o.TLSCertificate, &o.TLSKey, &o.RegistryConfig, &o.RegistryUsers} {
		if *path == "" {
			continue
		}
		absolute, err := filepath.Abs(*path) // the config can be in another folder
		if err != nil {
			return fmt.Errorf("finding %s: %w", *path, err)
		}
		*path = absolute
	}
	existing, ok, err := setup.Found(dir)
	if err != nil {
		return err
	}
	if ok {
		if err := checkSame(existing, o); err != nil {
			return err
		}
		existing.RegistryConfig, existing.RegistryUsers = o.RegistryConfig, o.RegistryUsers
		o = existing
	}
	result, err := setup.Write(dir, o)
	if err != nil {
		return err
	}
	if s.printsJSON() {
		return s.writeJSON(initJSON(result))
	}
	return printNextSteps(s.out, result, o)
}

// checkSame rejects flags that differ from an existing config. The command init does not change an
// existing config, so such flags would have no effect.
func checkSame(existing, given setup.Options) error {
	for _, o := range []struct{ name, existing, given string }{
		{"preset", existing.Preset, given.Preset},
		{"service", existing.Service, given.Service},
		{"public URL", existing.PublicURL, strings.TrimSuffix(given.PublicURL, "/")},
		{"address to listen at", existing.Listen, given.Listen},
		{"TLS certificate", existing.TLSCertificate, given.TLSCertificate},
		{"TLS key", existing.TLSKey, given.TLSKey},
		{"administrator", existing.Admin, given.Admin},
	} {
		if o.given != "" && o.given != o.existing {
			return fmt.Errorf("%s exists, and its %s is %q: change that value in the file, or use another folder (--dir)", setup.Config, o.name, o.existing)
		}
	}
	return nil
}

// initJSON returns the JSON form of the result, which contains the password. The password is
// printed only once.
func initJSON(r setup.Result) any {
	r.Files, r.Notes = slices.Clone(r.Files), append([]string{}, r.Notes...)
	for i := range r.Files {
		r.Files[i].Path = r.Path(r.Files[i].Path)
	}
	return struct {
		setup.Result
		Password string `json:"password,omitempty"`
	}{r, r.Password.Reveal()}
}

//go:embed next_steps.txt
var nextSteps string

// printNextSteps prints what was created and which commands come next.
func printNextSteps(w io.Writer, r setup.Result, o setup.Options) error {
	p := paintFor(w)
	t := template.Must(template.New("").Funcs(template.FuncMap{
		"bold": p.bold, "faint": p.faint, "green": p.green, "shell": text.Shell,
		"here": func(path string) string { return relativePath(r.Path(path)) },
		"path": func(path string) string { return text.Shell(r.Path(path)) },
	}).Parse(nextSteps))
	return t.Execute(w, map[string]any{
		"Result": r, "Options": o, "Password": r.Password.Reveal(), "Zot": o.Preset == setup.Zot,
		"Proxy":       strings.HasPrefix(r.Realm, "https:") && o.TLSCertificate == "",
		"ProxyEvents": strings.HasPrefix(r.Events, "https:") && o.Preset != setup.Zot,
		"Config":      setup.Config, "Users": setup.Users, "ZotConfig": setup.ZotConfig, "RootBundle": setup.RootBundle,
		"RegistryConfig": setup.RegistryConfig, "RegistryEnv": setup.RegistryEnv,
	})
}

// relativePath returns a path relative to the current folder, quoted for a shell.
func relativePath(path string) string {
	here, err := os.Getwd()
	if err == nil && filepath.Dir(here) != here { // in the folder /, the absolute path is clearer
		if short, err := filepath.Rel(here, path); err == nil && !strings.HasPrefix(short, "..") {
			path = short
		}
	}
	return text.Shell(path)
}
