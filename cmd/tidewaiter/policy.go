package main

import (
	"cmp"
	"fmt"

	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/explain"
	"github.com/tidewaiter/tidewaiter/internal/offline"
	"github.com/tidewaiter/tidewaiter/internal/policyfile"
	"github.com/tidewaiter/tidewaiter/internal/ruleset"
	"github.com/tidewaiter/tidewaiter/internal/setup"
	"github.com/tidewaiter/tidewaiter/scope"
)

func policyCommand() command {
	return command{
		use:   "policy",
		short: "Test and print the policy, and compare it with former policies and decisions",
		sub: []command{{
			use:   "test FILE...",
			short: "Run tests of the policy",
			long: `Run tests of the policy. Test files state who may and may not do what. The
tested policy is the policy that the service would use, including the rules in the database. With
--files-only or --policy, the tests need no keys, no database and no network, and can run in CI.
Exits 0 if all tests pass, and 1 if a test fails or a file is invalid.

A warning is printed if a result depends on a value that the test does not set, such as the
time, the client's address or a claim. The warning names the key to add. With --strict such a
warning is a failure, so that a test that passes today passes on any day and any machine.

docs/policy.md has an example. docs/configuration.md lists all keys.`,
			example: `  tidewaiter policy test tests.yaml
  tidewaiter policy test --files-only --strict tests.yaml
  tidewaiter policy test --policy policy/base.yaml --policy policy/search.yaml tests/*.yaml
  tidewaiter policy test tests.yaml --output junit > report.xml`,
			flags: policyTest,
		}, {
			use:   "show",
			short: "Print all rules, each with its place",
			long: `Print all rules, each with its place: the rules of all files, of the
database and of its namespaces, and the built-in rules as comments. Roles are written out as
actions. No key or secret is read. Before the first start, only the files are printed.
--files-only and --policy leave the database out.`,
			example: `  tidewaiter policy show
  tidewaiter policy show --files-only
  tidewaiter policy show --policy policy/base.yaml --policy policy/search.yaml --output json`,
			output: true,
			flags: func(f *flags) action {
				load := policyFlags(f)
				return func(s *session) error {
					p, err := load(s)
					switch {
					case err != nil:
						return err
					case s.printsJSON():
						return s.writeJSON(p.json())
					}
					p.print(s)
					return nil
				}
			},
		}, policyHistory(), policyDiff(), policyReplay(), policyAdvise()},
	}
}

// wholePolicy is the policy of the given files. If there is a database, the policy also has the
// rules of the database.
type wholePolicy struct {
	*policyfile.Compiled
	database bool // true if the policy includes the rules of a database
}

// policyFlags adds the flags that select the files and the database with the rules. The function
// load reads the selected policy. An error of load has the type strictyaml.Problems, or is a usage
// error or an error of the database.
func policyFlags(f *flags) (load func(*session) (wholePolicy, error)) {
	var file string
	f.file(&file, "config", "c", setup.Config, "the config `file`; only its policy and its database are read", "yaml", "yml")
	rules := f.list("policy", "a `file` with roles and rules at its top, instead of a config")
	f.completeFiles("policy", "yaml", "yml")
	filesOnly := filesOnlyFlag(f)
	return func(s *session) (p wholePolicy, err error) {
		switch {
		case len(*rules) == 0:
			p.Compiled, err = config.LoadPolicy(file, !*filesOnly)
		case f.Changed("config"):
			return p, s.usageErrorf("--policy and --config cannot be combined")
		default:
			p.Compiled, err = policyfile.LoadRules(*rules)
		}
		if err == nil {
			p.database, err = offline.Complete(s.ctx, p.Compiled)
			err = hintFilesOnly(err)
		}
		return p, err
	}
}

// policyJSON is the JSON form of a policy.
type policyJSON struct {
	ID       string     `json:"id"`
	Files    []string   `json:"files"`
	Database bool       `json:"database"` // the rules of the database are included
	Rules    []ruleJSON `json:"rules"`
}

type ruleJSON struct {
	explain.RuleName
	Effect     string   `json:"effect"`
	Subjects   []string `json:"subjects"`
	Registries []string `json:"registries,omitempty"`
	Type       string   `json:"type"`
	Names      []string `json:"names"`
	Actions    []string `json:"actions"`
	Lifetime   string   `json:"lifetime,omitempty"`
}

func (p *wholePolicy) json() policyJSON {
	j := policyJSON{ID: p.Policy.ID(), Files: p.Files, Database: p.database, Rules: []ruleJSON{}}
	for r, has := range p.Policy.Effective() {
		row := ruleJSON{
			RuleName: explain.NewRuleName(r), Effect: "allow", Subjects: r.Subjects, Registries: r.Registries,
			Type: cmp.Or(r.Type, scope.TypeRepository), Names: r.Names, Actions: explain.ActionNames(has.Actions),
		}
		if r.Deny {
			row.Effect = "deny"
		}
		if r.Lifetime > 0 {
			row.Lifetime = r.Lifetime.String()
		}
		j.Rules = append(j.Rules, row)
	}
	return j
}

// print prints a policy as a file of rules. Built-in rules are printed as comments, because
// every service has them without the file.
func (p *wholePolicy) print(s *session) {
	from := count(len(p.Files), "file", "files")
	if p.database {
		from += " and the database"
	}
	fmt.Fprintf(s.out, "# policy %s, %s of %s\nrules:\n", p.Policy.ID(), count(p.Policy.Len(), "rule", "rules"), from)
	for r, has := range p.Policy.Effective() {
		mark := ""
		if r.Origin.BuiltIn {
			mark = "#"
		}
		for k, line := range ruleset.Written(r, has.Actions).Lines(nil) {
			if k == 0 {
				fmt.Fprintf(s.out, "%s  - %s # %s\n", mark, line, r.Origin)
				continue
			}
			fmt.Fprintf(s.out, "%s    %s\n", mark, line)
		}
	}
}
