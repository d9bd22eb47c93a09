package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tidewaiter/tidewaiter/internal/setup"
)

func newInit() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make a working config, a root, an account, and the registry's config",
		Long: `Make all that is needed to begin: a config with a policy in it, a root that signs, the account admin with a
password that is shown once, and the config that a registry needs to trust it.

For a registry that exists, --registry-config names its config file. The service name and the port come from it; if
it does not name its host (http.host), --service does. If it has a password file (auth: htpasswd), its users come along
and may do what they could. The merged config is written to registry-config.yml in the folder; the registry's own file
is not changed.

For zot, --preset zot writes zot-config.json in place of the registry's config.

Nothing is overwritten: what is there is kept, and what is missing is made.`,
		Example: `  tidewaiter init
  tidewaiter init --dir /etc/tidewaiter --service registry.example.com --public-url https://auth.example.com
  tidewaiter init --dir /etc/tidewaiter --registry-config /etc/docker/registry/config.yml --service registry.example.com --public-url https://auth.example.com`,
	}
	var o setup.Options
	dir := cmd.Flags().String("dir", ".", "the `folder` to set up")
	cmd.Flags().StringVar(&o.Preset, "preset", "", "what the registry is, if it is not distribution's: `zot`")
	cmd.Flags().StringVar(&o.Service, "service", "", "the registry's service `name`: its host, as clients type it (default localhost:5000)")
	cmd.Flags().StringVar(&o.PublicURL, "public-url", "", "the `URL` at which clients reach Tidewaiter (default http://localhost:5001)")
	cmd.Flags().StringVar(&o.Listen, "listen", "", "the `address` to listen at (default: that of a --public-url on this machine)")
	cmd.Flags().StringVar(&o.TLSCertificate, "tls-certificate", "", "a PEM `file`, to speak TLS without a proxy in front")
	cmd.Flags().StringVar(&o.TLSKey, "tls-key", "", "the certificate's key, a PEM `file`")
	cmd.Flags().StringVar(&o.RegistryConfig, "registry-config", "", "the config `file` of a registry that exists")
	cmd.Flags().StringVar(&o.RegistryUsers, "registry-users", "", "the registry's password `file` (default: the one that --registry-config names)")
	cmd.Flags().StringVar(&o.Admin, "admin", "", "the `name` of the administrator (default admin)")
	_ = cmd.MarkFlagDirname("dir") // fails only for a flag that is not there
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if o.RegistryUsers != "" && o.RegistryConfig == "" {
			return misused(cmd, "--registry-users goes with --registry-config")
		}
		for _, path := range []*string{&o.TLSCertificate, &o.TLSKey, &o.RegistryConfig, &o.RegistryUsers} {
			if *path == "" {
				continue
			}
			absolute, err := filepath.Abs(*path) // the config's folder may be another
			if err != nil {
				return fmt.Errorf("finding %s: %w", *path, err)
			}
			*path = absolute
		}
		there, ok, err := setup.Found(*dir)
		if err != nil {
			return err
		}
		if ok {
			if err := agree(there, o); err != nil {
				return err
			}
			there.RegistryConfig, there.RegistryUsers = o.RegistryConfig, o.RegistryUsers
			o = there
		}
		result, err := setup.Write(*dir, o)
		if err != nil {
			return err
		}
		if *output == asJSON {
			return writeJSON(cmd.OutOrStdout(), initialized(result))
		}
		welcome(cmd.OutOrStdout(), result, o)
		return nil
	}
	return cmd
}

// agree refuses flags that say otherwise than the config that is there: they would have no effect.
func agree(there, asked setup.Options) error {
	for _, s := range []struct{ what, is, asked string }{
		{"preset", there.Preset, asked.Preset},
		{"service", there.Service, asked.Service},
		{"public URL", there.PublicURL, strings.TrimSuffix(asked.PublicURL, "/")},
		{"address to listen at", there.Listen, asked.Listen},
		{"TLS certificate", there.TLSCertificate, asked.TLSCertificate},
		{"TLS key", there.TLSKey, asked.TLSKey},
		{"administrator", there.Admin, asked.Admin},
	} {
		if s.asked != "" && s.asked != s.is {
			return fmt.Errorf("%s is there, and its %s is %q: change it there, or name another folder (--dir)", setup.Config, s.what, s.is)
		}
	}
	return nil
}

// initialized is a set-up for programs. The password is in it, once.
func initialized(r setup.Result) any {
	type file struct {
		Path string `json:"path"`
		What string `json:"what"`
		Made bool   `json:"made"`
	}
	files := make([]file, len(r.Files))
	for i, f := range r.Files {
		files[i] = file{r.Path(f.Path), f.What, f.Made}
	}
	return struct {
		Dir           string   `json:"dir"`
		Files         []file   `json:"files"`
		Service       string   `json:"service"`
		Realm         string   `json:"realm"`
		Notifications string   `json:"notifications"`
		Account       string   `json:"account"`
		Password      string   `json:"password,omitempty"`
		Login         string   `json:"login"`
		Notes         []string `json:"notes"`
	}{r.Dir, files, r.Service, r.Realm, r.Events, r.Admin, r.Password.Reveal(), r.Login, append([]string{}, r.Notes...)}
}

// welcome says what was made, and what to type next.
func welcome(w io.Writer, r setup.Result, o setup.Options) {
	p := painted(w)
	fmt.Fprintf(w, "%s\n\n", p.bold(r.Dir))
	for _, f := range r.Files {
		state := p.green("made")
		if !f.Made {
			state = p.faint("kept")
		}
		fmt.Fprintf(w, "  %s  %-22s %s\n", state, f.Path, p.faint(f.What))
	}
	if password := r.Password.Reveal(); password != "" {
		fmt.Fprintf(w, "\nThe account, shown this once; only its hash is kept:\n\n  user      %s\n  password  %s\n", r.Admin, p.bold(password))
	} else {
		fmt.Fprintf(w, "\nThe accounts were there already. To have a new password for %s, put the line that this prints\nin place of theirs in %s:\n\n  tidewaiter hash-password --name %s\n", r.Admin, setup.Users, shell(r.Admin))
	}
	for _, note := range r.Notes {
		fmt.Fprintf(w, "\n%s\n", note)
	}
	if strings.HasPrefix(r.Realm, "https:") && o.TLSCertificate == "" {
		passed := r.Realm
		if strings.HasPrefix(r.Events, "https:") && o.Preset != setup.Zot {
			passed += "\nand " + r.Events
		}
		fmt.Fprintf(w, `
Tidewaiter listens at %s without TLS: a proxy there has to pass
%s on to it,
with the client's address in X-Forwarded-For. Caddy adds that by itself; nginx needs the line

  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
`, r.Listen, passed)
	}
	config := shown(r.Path(setup.Config))
	fmt.Fprintf(w, "\nNext, start Tidewaiter:\n\n  tidewaiter serve --config %s\n", config)
	if o.Preset == setup.Zot {
		fmt.Fprintf(w, `
And zot; for one that you have, take over the section http.auth:

  zot serve %s
`, shown(r.Path(setup.ZotConfig)))
	} else if merged := shown(r.Path(setup.RegistryConfig)); o.RegistryConfig != "" {
		theirs := shell(o.RegistryConfig)
		fmt.Fprintf(w, `
Then give the registry the merged config, which holds a secret, and restart it. This keeps the file's
owner and mode:

  cp -p %[1]s %[1]s.before
  cat %[2]s > %[1]s

If the registry runs in a container, mount %[3]s there
at the same path.
`, theirs, merged, shell(r.Path(setup.RootBundle)))
	} else {
		root := r.Path(setup.RootBundle)
		fmt.Fprintf(w, `
And a registry that trusts it; for a registry that you have, %s
says what its config needs:

  docker run -d --network host --env-file %s -v %s:%s:ro registry:3
`, merged, shown(r.Path(setup.RegistryEnv)), shell(root), shell(root))
	}
	fmt.Fprintf(w, `
Then:

  docker login %s -u %s
  tidewaiter journal tail --follow --config %s
`, r.Login, shell(r.Admin), config)
}

// shown is a path as it is typed from here.
func shown(path string) string {
	here, err := os.Getwd()
	if err == nil && filepath.Dir(here) != here { // in / a relative path would look like a name
		if short, err := filepath.Rel(here, path); err == nil && !strings.HasPrefix(short, "..") {
			path = short
		}
	}
	return shell(path)
}

// shell quotes a path where a shell would take it for something else.
func shell(path string) string {
	if strings.Trim(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+@:") == "" {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
