package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/tidewaiter/tidewaiter/internal/api"
	"github.com/tidewaiter/tidewaiter/internal/app"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/ruleset"
	"github.com/tidewaiter/tidewaiter/scope"
)

func newPolicy() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Test and print the policy",
	}
	cmd.AddCommand(newPolicyTest(), newPolicyShow())
	return cmd
}

// policyFiles has the flags --config, --policy and --files-only.
type policyFiles struct {
	config    string
	rules     []string
	filesOnly *bool
}

// wholePolicy is the policy that a service uses.
type wholePolicy struct {
	*config.OnlyPolicy
	database bool // the policy includes the rules of a database
}

func policyFlags(cmd *cobra.Command) *policyFiles {
	f := new(policyFiles)
	cmd.Flags().StringVarP(&f.config, "config", "c", "tidewaiter.yaml", "the config `file`; only its policy and its database are read")
	cmd.Flags().StringArrayVar(&f.rules, "policy", nil, "a `file` with roles and rules at its top, instead of a config (may be repeated)")
	f.filesOnly = filesOnlyFlag(cmd)
	_ = cmd.MarkFlagFilename("config", "yaml", "yml") // fails only for an unknown flag
	_ = cmd.MarkFlagFilename("policy", "yaml", "yml")
	return f
}

// load reads the rules. Its error is config.Problems, a usage error, or an error of the database.
func (f *policyFiles) load(cmd *cobra.Command) (p wholePolicy, err error) {
	switch {
	case len(f.rules) == 0:
		p.OnlyPolicy, err = config.LoadPolicy(f.config, !*f.filesOnly)
	case cmd.Flags().Changed("config"):
		return p, usageErrorf(cmd, "--policy and --config cannot be combined")
	default:
		p.OnlyPolicy, err = config.LoadRules(f.rules)
	}
	if err == nil {
		p.database, err = app.Complete(cmd.Context(), p.OnlyPolicy)
		err = hintFilesOnly(err)
	}
	return p, err
}

func newPolicyShow() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Print all rules and where each is written",
		Long: `Print all rules and where each is written: the rules of all files, of the database and of its namespaces,
and the built-in rules as comments. Roles are written out as actions. No key or secret is read. Before
the first start, only the files are printed. --files-only and --policy leave the database out.`,
		Example: `  tidewaiter policy show
  tidewaiter policy show --files-only
  tidewaiter policy show --policy policy/base.yaml --policy policy/search.yaml --output json`,
	}
	files := policyFlags(cmd)
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		p, err := files.load(cmd)
		if err != nil {
			return err
		}
		if *output == asJSON {
			return writeJSON(cmd.OutOrStdout(), policyForPrograms(p))
		}
		return showPolicy(cmd.OutOrStdout(), p)
	}
	return cmd
}

// policyJSON is the JSON form of a policy.
type policyJSON struct {
	ID       string     `json:"id"`
	Files    []string   `json:"files"`
	Database bool       `json:"database"` // the rules of the database are included
	Rules    []wholeRow `json:"rules"`
}

// wholeRow is the JSON form of a rule with all its fields.
type wholeRow struct {
	api.RuleName
	Effect     string   `json:"effect"`
	Subjects   []string `json:"subjects"`
	Registries []string `json:"registries,omitempty"`
	Type       string   `json:"type"`
	Names      []string `json:"names"`
	Actions    []string `json:"actions"`
	Lifetime   string   `json:"lifetime,omitempty"`
}

func policyForPrograms(p wholePolicy) policyJSON {
	j := policyJSON{ID: p.Policy.ID(), Files: p.Files, Database: p.database, Rules: []wholeRow{}}
	for i, r := range p.Policy.Rules() {
		row := wholeRow{
			RuleName: api.NewRuleName(&r), Effect: "allow", Subjects: r.Subjects, Registries: r.Registries,
			Type: or(r.Type, scope.TypeRepository), Names: r.Names, Actions: words(p.Policy.RuleActions(i)),
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

// showPolicy writes a policy as a file of rules. Built-in rules are comments, because every service that
// reads the file has them.
func showPolicy(w io.Writer, p wholePolicy) error {
	from := count(len(p.Files), "file", "files")
	if p.database {
		from += " and the database"
	}
	fmt.Fprintf(w, "# policy %s, %s of %s\nrules:\n", p.Policy.ID(), count(p.Policy.Len(), "rule", "rules"), from)
	for i, r := range p.Policy.Rules() {
		mark := ""
		if r.Origin.BuiltIn {
			mark = "#"
		}
		for k, line := range ruleset.Written(&r, p.Policy.RuleActions(i)).Lines(nil) {
			if k == 0 {
				fmt.Fprintf(w, "%s  - %s # %s\n", mark, line, r.Origin)
				continue
			}
			fmt.Fprintf(w, "%s    %s\n", mark, line)
		}
	}
	return nil
}

// words returns the names of actions, never nil.
func words(a scope.Actions) []string {
	if names := a.Names(); names != nil {
		return names
	}
	return []string{}
}
