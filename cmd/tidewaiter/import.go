package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/dockerauth"
	"github.com/tidewaiter/tidewaiter/internal/durable"
	"github.com/tidewaiter/tidewaiter/internal/setup"
	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

func importCommand() command {
	return command{
		use:   "import",
		short: "Import from docker_auth or an htpasswd file",
		sub:   []command{importDockerAuth(), importHTPasswd()},
	}
}

func importDockerAuth() command {
	return command{
		use:     "docker-auth CONFIG.YML",
		aliases: []string{"docker_auth"},
		short:   "Convert a config of docker_auth",
		long: `Convert a config of docker_auth into one that makes the same decisions. The rules
of docker_auth are an ordered list, but the rules of Tidewaiter have no order. If a rule has no
exact equivalent, its line is reported and nothing is written. The report lists your remaining
tasks, behavior of docker_auth with this config that is rarely intended (traps), and the parts that
were changed or left out. The report is also at the top of the written file. Only you can read that file,
because it contains password hashes.`,
		example: `  tidewaiter import docker-auth auth_config.yml --service registry.example.com -o tidewaiter.yaml
  tidewaiter check --config tidewaiter.yaml`,
		flags: func(f *flags) action {
			var o dockerauth.Options
			var file string
			f.file(&file, "out", "o", setup.Config, "the `file` to write", "yaml", "yml")
			force := f.Bool("force", false, "overwrite an existing file")
			f.StringArrayVar(&o.Services, "service", nil, "the service `name` of a registry (may be repeated)")
			f.StringArrayVar(&o.TrustedProxies, "trusted-proxy", nil, "a `network` of trusted proxies (may be repeated)")
			output := outputFlag(f, "")
			f.addCheck(func(s *session) error {
				s.output = output
				return s.checkDockerAuth(o)
			})
			return func(s *session) error { return s.importDockerAuth(o, file, *force) }
		},
	}
}

// checkDockerAuth rejects options that would make the config invalid.
func (s *session) checkDockerAuth(o dockerauth.Options) error {
	for _, p := range o.TrustedProxies {
		_, notNetwork := netip.ParsePrefix(p)
		_, notAddress := netip.ParseAddr(p)
		if notNetwork != nil && notAddress != nil {
			return s.usageErrorf("--trusted-proxy: %s is not a network like 10.0.0.0/8", text.Escape(p))
		}
	}
	for _, name := range o.Services {
		if strings.TrimSpace(name) != name || name == "" {
			return s.usageErrorf("--service must be a name without white space around it")
		}
	}
	return nil
}

// importReport is the JSON form of the report of import docker-auth.
type importReport struct {
	File     string              `json:"file,omitempty"`
	Rules    int                 `json:"rules"`
	Notes    []dockerauth.Note   `json:"notes"`
	Problems strictyaml.Problems `json:"problems"`
}

func (s *session) importDockerAuth(o dockerauth.Options, file string, force bool) error {
	src, err := os.ReadFile(s.args[0])
	if err != nil {
		return fmt.Errorf("reading the config of docker_auth: %w", err)
	}
	result, err := dockerauth.Import(s.args[0], src, o)
	if problems, ok := errors.AsType[strictyaml.Problems](err); ok {
		if s.printsJSON() {
			return errors.Join(s.writeJSON(importReport{Notes: []dockerauth.Note{}, Problems: problems}), errReported)
		}
		printProblems(s.errs, problems)
		s.printNote("Nothing was written. Change these lines in a copy of the file and import the copy.")
		return errReported
	}
	if err != nil {
		return err
	}
	err = durable.WriteFile(file, result.Text, 0o600, force) // it contains password hashes
	if errors.Is(err, fs.ErrExist) {
		err = errors.New("the file exists; use --force to overwrite it")
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	if !s.printsJSON() {
		for _, n := range result.Notes {
			s.printNote("%s", n)
		}
	}
	return s.print(importReport{file, result.Rules, append([]dockerauth.Note{}, result.Notes...), strictyaml.Problems{}},
		"wrote %s: %s\nNext: tidewaiter check --config %s", file, count(result.Rules, "rule", "rules"), text.Shell(file))
}
