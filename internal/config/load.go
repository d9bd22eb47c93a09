package config

import (
	"errors"
	"io/fs"
	"path/filepath"

	"go.yaml.in/yaml/v4"

	"github.com/tidewaiter/tidewaiter/internal/policyfile"
	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
	"github.com/tidewaiter/tidewaiter/policy/when"
)

// Options are the settings of Load. The zero value is valid.
type Options struct {
	// Keys is a folder with cert.pem and privatekey.pem that overrides signing.root.
	Keys string
	// Env returns environment variables. nil: os.LookupEnv.
	Env func(string) (string, bool)

	ClaimUses bool // set Compiled.ClaimUses

	Parallel int // the maximum number of goroutines for parsing; 0: one per core

	// Seen is called with the folder and the name or pattern of each YAML file before the file
	// is read, even if the config has errors. Seen may be nil.
	Seen func(folder, name string)
}

// defaultKeys is the folder of the signing root by default.
const defaultKeys = "/keys"

// Load reads a config, and the policy files and secrets that the config names. It checks that
// keys, certificates and password files can be opened, but does not read these files. The error is
// strictyaml.Problems with all errors.
func Load(file string, o Options) (*Config, error) {
	r := strictyaml.NewReader()
	r.Parallel = o.Parallel
	if o.Env != nil {
		r.Env = o.Env
	}
	return load(r, file, o)
}

func load(r *strictyaml.Reader, file string, o Options) (*Config, error) {
	if o.Seen == nil {
		o.Seen = func(string, string) {}
	}
	o.Seen(filepath.Dir(file), filepath.Base(file))
	var c *Config
	for d, root := range r.Open([]string{file}, func(_ int, err error) {
		text := err.Error()
		if errors.Is(err, fs.ErrNotExist) {
			text += "; name another config with --config (make up writes data/tidewaiter.yaml), or create one with tidewaiter init"
		}
		r.Report(strictyaml.Problem{Text: text})
	}) {
		c = read(d, root, o)
	}
	if err := r.Err(); err != nil {
		return nil, err
	}
	c.Warnings = r.Warnings()
	return c, nil
}

// writtenConfig is a config as it is written in the file, before defaults and checks.
type writtenConfig struct {
	Config
	policy policyfile.Section
}

func read(d *strictyaml.Decoder, root *yaml.Node, o Options) *Config {
	conditions := when.NewCompiler()
	w, _ := strictyaml.Section(configKeys(conditions)).Read(d, root)

	c := &Config{}
	*c = w.Config // a copy: a pointer into w would keep all YAML nodes in memory
	c.File = d.File
	x := crossChecks{d: d, root: root, c: c, keys: o.Keys}
	x.fill()
	x.check()
	p := w.policy.Compile(d, policyfile.Options{Conditions: conditions, Services: x.services(), ClaimUses: o.ClaimUses, Seen: o.Seen})
	c.Compiled = *p
	if len(p.Rules.Rules) == 0 && (c.Authorizer == nil || !c.Authorizer.Replace) {
		d.Warn(nil, "there are no rules, so nothing is granted")
	}
	c.Watch = !w.policy.Unwatch
	return c
}

// LoadPolicy reads only the policy of a config, and the policy files that the config names. It
// does not check keys, secrets or identity sources. If withDatabase is true, the result has the
// URL of the database. In this case, a config without a policy is valid, because its rules can be
// in the database. The error is strictyaml.Problems.
func LoadPolicy(file string, withDatabase bool) (*policyfile.Compiled, error) {
	return loadPolicy(strictyaml.NewReader(), file, withDatabase)
}

func loadPolicy(r *strictyaml.Reader, file string, withDatabase bool) (p *policyfile.Compiled, err error) {
	for d, root := range r.Open([]string{file}, func(_ int, err error) {
		r.Report(strictyaml.Problem{Text: err.Error() + "; name another config with --config, or a file of rules with --policy"})
	}) {
		if !d.Is(root, yaml.MappingNode, "a section") {
			break
		}
		has := strictyaml.Has(root, "policy")
		if !has && (!withDatabase || strictyaml.Has(root, "rules") || strictyaml.Has(root, "roles")) {
			d.Problem(root, "the config has no policy; use --policy for a file with roles and rules at its top")
			break
		}
		conditions := when.NewCompiler()
		var s policyfile.Section
		if has { // otherwise all rules are in the database
			s, _ = policyfile.Sections(conditions).Read(d, strictyaml.At(root, "policy"))
		}
		p = s.Compile(d, policyfile.Options{Conditions: conditions, Services: crossChecks{d: d, root: root}.services()})
		if withDatabase {
			p.Database = databaseOf(d, root)
		}
	}
	if err := r.Err(); err != nil {
		return nil, err
	}
	return p, nil
}

// databaseOf returns the URL of the database of a config.
func databaseOf(d *strictyaml.Decoder, root *yaml.Node) string {
	k, into := databaseKey(), writtenConfig{}
	if strictyaml.Has(root, "database") {
		k.Read(d, strictyaml.At(root, "database"), &into)
	} else {
		k.Fallback(d, &into)
	}
	return into.Database
}
