package config

import (
	"fmt"
	"io/fs"
	"slices"

	"go.yaml.in/yaml/v4"

	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
)

// OnlyPolicy is what files say of policy, without all else that a service needs: no key, secret or source of
// identity is looked at.
type OnlyPolicy struct {
	Policy   *policy.Policy
	Rules    policy.Source // what Policy was compiled from
	Services []string      // the names of registries; nil: it is not said which there are
	Files    []string      // all YAML files that were read
	Database string        // where a database may have rules beside; "": that was not asked
}

// LoadPolicy reads the policy of a config, and of the files that it names; with state, where its database is, too. The
// error is Problems.
func LoadPolicy(file string, state bool) (*OnlyPolicy, error) {
	return loadPolicy(osFS{}, policyOf(file, state))
}

// LoadRules reads files with roles and rules at their top, which are one policy. The error is Problems.
func LoadRules(files []string) (*OnlyPolicy, error) {
	return loadPolicy(osFS{}, rulesOf(files, "this is a config: use --config for it; --policy is for files with roles and rules at their top"))
}

func policyOf(file string, withState bool) func(*loader) *OnlyPolicy {
	return func(l *loader) *OnlyPolicy {
		l.report.files = []string{file}
		f := l.open(file)
		if f.err != nil {
			l.report.problem(Problem{Text: f.err.Error() + "; name another with --config, or a file of rules with --policy"})
			return nil
		}
		d, ok := l.take(f)
		if !ok || !d.is(f.node, yaml.MappingNode, "a section") {
			return nil
		}
		if !has(f.node, "policy") && (!withState || has(f.node, "rules") || has(f.node, "roles")) {
			d.problem(f.node, "the config has no policy; use --policy for a file with roles and rules at its top")
			return nil
		}
		var p writtenPolicy
		if has(f.node, "policy") { // else all rules are in the database
			p, _ = section(policyKeys()).read(d, value(f.node, "policy"))
		}
		policies := append([]writtenPolicy{p}, l.policies(d, f.node, p.files)...)
		only := l.only(policies, crossChecks{d: d, root: f.node}.services())
		if withState {
			only.Database = databaseOf(d, f.node)
		}
		return only
	}
}

// databaseOf is where a config keeps its state.
func databaseOf(d *decoder, root *yaml.Node) string {
	k := databaseKey()
	node, into := k.fallback, written{}
	if has(root, "database") {
		node = value(root, "database")
	}
	k.read(d, node, &into)
	return into.Database
}

// File is the text of a file, and what problems call it.
type File struct {
	Name string
	Text []byte
}

// ReadRules reads the texts of files with roles and rules at their top, which are one policy. The
// warnings are about what is allowed and probably not meant. The error is Problems.
func ReadRules(files []File) (source policy.Source, warnings Problems, err error) {
	l := newLoader(Options{}, given(files))
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = f.Name
		if slices.Contains(names[:i], f.Name) {
			l.report.problem(Problem{Text: fmt.Sprintf("there are two files with the name %s", text.QuoteShort(f.Name))})
			return policy.Source{}, nil, l.report.err()
		}
	}
	only := rulesOf(names, "this is a config of Tidewaiter: give a file with only its roles and rules at the top")(l)
	if err := l.report.err(); err != nil {
		return policy.Source{}, nil, err
	}
	return only.Rules, l.report.sorted(l.report.warnings), nil
}

// given is the disk of a program that has read its files.
type given []File

func (g given) read(name string, most int64) ([]byte, access, error) {
	for _, f := range g {
		if f.Name == name && int64(len(f.Text)) <= most {
			return f.Text, 0, nil
		}
	}
	return nil, 0, opening(name, fmt.Errorf("it is larger than %d bytes", most))
}

func (given) look(name string) (access, error) { return 0, opening(name, fs.ErrNotExist) }

func (given) list(folder string) ([]string, error) { return nil, opening(folder, fs.ErrNotExist) }

// rulesOf reads files of rules. For a config, the problem is notThis.
func rulesOf(files []string, notThis string) func(*loader) *OnlyPolicy {
	return func(l *loader) *OnlyPolicy {
		var policies []writtenPolicy
		for d, node := range l.each(files) {
			if has(node, "policy") {
				d.problem(node, "%s", notThis)
				continue
			}
			p, _ := section(policyFileKeys()).read(d, node)
			policies = append(policies, p)
		}
		return l.only(policies, nil)
	}
}

func loadPolicy(disk disk, read func(*loader) *OnlyPolicy) (*OnlyPolicy, error) {
	l := newLoader(Options{}, disk)
	p := read(l)
	if err := l.report.err(); err != nil {
		return nil, err
	}
	return p, nil
}

func (l *loader) only(policies []writtenPolicy, services []string) *OnlyPolicy {
	p := &OnlyPolicy{Services: services, Files: l.report.files}
	p.Rules, p.Policy, _ = compile(policies, services, l.report, nil)
	return p
}
