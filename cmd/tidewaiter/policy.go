package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tidewaiter/tidewaiter/internal/api"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/scope"
)

func newPolicy() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Test and show the policy",
	}
	cmd.AddCommand(newPolicyTest(), newPolicyShow())
	return cmd
}

// policyFiles is where the rules are: the flags --config and --policy.
type policyFiles struct {
	config string
	rules  []string
}

func policyFlags(cmd *cobra.Command) *policyFiles {
	f := new(policyFiles)
	cmd.Flags().StringVarP(&f.config, "config", "c", "tidewaiter.yaml", "the config `file`, of which only the policy is read")
	cmd.Flags().StringArrayVar(&f.rules, "policy", nil, "a `file` with roles and rules at its top, in place of a config (may be repeated)")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml") // fails only for a flag that is not there
	_ = cmd.MarkFlagFilename("policy", "yaml", "yml")
	return f
}

// load reads the rules. The error is config.Problems, or one of usage.
func (f *policyFiles) load(cmd *cobra.Command) (*config.OnlyPolicy, error) {
	if len(f.rules) > 0 {
		if cmd.Flags().Changed("config") {
			return nil, misused(cmd, "--policy is in place of --config")
		}
		return config.LoadRules(f.rules)
	}
	return config.LoadPolicy(f.config)
}

func newPolicyShow() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Show the rules of all files together, and where each is written",
		Long: `Show the rules of all files together, with their roles written out as actions, and where each is written.
Neither keys nor secrets nor the state are looked at, and rules of the database are not among them.`,
		Example: `  tidewaiter policy show
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

// policyJSON is a policy for programs.
type policyJSON struct {
	ID    string     `json:"id"`
	Files []string   `json:"files"`
	Rules []wholeRow `json:"rules"`
}

// wholeRow is a rule with all that it says.
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

func policyForPrograms(p *config.OnlyPolicy) policyJSON {
	j := policyJSON{ID: p.Policy.ID(), Files: p.Files, Rules: []wholeRow{}}
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

// showPolicy writes a policy as a file of rules.
func showPolicy(w io.Writer, p *config.OnlyPolicy) error {
	fmt.Fprintf(w, "# policy %s, %s of %s\nrules:\n", p.Policy.ID(), count(p.Policy.Len(), "rule", "rules"), count(len(p.Files), "file", "files"))
	for i, r := range p.Policy.Rules() {
		actions := p.Policy.RuleActions(i)
		fmt.Fprintf(w, "  - name: %s # %s\n", quotedYAML(r.Name), r.Origin)
		if r.Deny {
			fmt.Fprintln(w, "    effect: deny")
		}
		fmt.Fprintf(w, "    subjects: %s\n", listYAML(r.Subjects))
		if len(r.Registries) > 0 {
			fmt.Fprintf(w, "    registries: %s\n", listYAML(r.Registries))
		}
		switch r.Type {
		case scope.TypeRegistry:
			fmt.Fprintln(w, "    catalog: true")
			actions = 0
		case scope.TypeTidewaiter:
			fmt.Fprintf(w, "    tidewaiter: %s\n", listYAML(r.Names))
		default:
			fmt.Fprintf(w, "    repositories: %s\n", listYAML(r.Names))
		}
		if actions != 0 {
			fmt.Fprintf(w, "    actions: [%s]\n", strings.Join(actions.Names(), ", "))
		}
		if r.When != nil {
			fmt.Fprintf(w, "    when: %s\n", quotedYAML(r.When.String()))
		}
		if r.Lifetime > 0 {
			fmt.Fprintf(w, "    lifetime: %s\n", r.Lifetime)
		}
	}
	return nil
}

// quotedYAML writes text as JSON has it, which YAML reads as well.
func quotedYAML(text string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // a condition is full of < and &
	_ = e.Encode(text)     // which no text fails
	return strings.TrimSuffix(b.String(), "\n")
}

func listYAML(texts []string) string {
	quoted := make([]string, len(texts))
	for i, text := range texts {
		quoted[i] = quotedYAML(text)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
