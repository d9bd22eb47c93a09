package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tidewaiter/tidewaiter/internal/api"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
)

func newRule() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rule",
		Short: "Look after rules in the database, beside those of files",
		Long: `Look after rules in the database. They say what rules in files say, and together with those they are one policy,
in which a deny wins wherever it stands. A service that runs beside this notices within two seconds.`,
	}
	cmd.AddCommand(newRuleAdd(), newRuleSet(), newRuleList(), newRuleShow(), newRuleDelete())
	return cmd
}

// contentFlags are the flags that say what a rule says.
func contentFlags(f *pflag.FlagSet) func(name string) rulebook.Content {
	var c rulebook.Content
	var actions wordsFlag
	deny := f.Bool("deny", false, "refuse it: this beats any rule that allows it")
	f.StringArrayVar(&c.Subjects, "subject", nil, "`who`: anyone, signed-in, anonymous, user:NAME, group:NAME, robot:NAME, workload:NAME (may be repeated; a deny without any is for anyone)")
	f.StringArrayVar(&c.Repositories, "repository", nil, "a `pattern` of repositories, as team/** (may be repeated)")
	f.StringArrayVar(&c.Registries, "registry", nil, "the `service` of a registry that it is for (may be repeated; default: all)")
	f.BoolVar(&c.Catalog, "catalog", false, "in place of repositories: the list of all repositories")
	f.StringArrayVar(&c.Tidewaiter, "right", nil, "in place of repositories: a `right` over Tidewaiter itself, as journal or namespace/team (may be repeated)")
	f.StringVar(&c.Role, "role", "", "a `role`, of files or of the database")
	f.Var(&actions, "actions", "actions, or more of them beside the role's: pull,push,delete; of rights: read,write")
	f.StringVar(&c.When, "when", "", "a `condition` that has to hold")
	f.DurationVar(&c.Lifetime, "lifetime", 0, "how long tokens with a grant by it are good for at most: 2m, 1h")
	f.StringVar(&c.Comment, "comment", "", "whatever there is to `say` of it")
	return func(name string) rulebook.Content {
		c.Name = name
		if *deny {
			c.Effect = rulebook.Deny
		}
		c.Actions = actions
		for _, field := range []string{"role", "when", "lifetime"} {
			if f.Changed(field) && (f.Lookup(field).Value.String() == "" || field == "lifetime" && c.Lifetime == 0) {
				c.Empty = append(c.Empty, field)
			}
		}
		if name == "" {
			c.Empty = append(c.Empty, "name")
		}
		return c
	}
}

// wordsFlag is a flag that lists words, with commas between them. What they may be is for others to say.
type wordsFlag []string

func (w *wordsFlag) String() string { return strings.Join(*w, ",") }

func (w *wordsFlag) Type() string { return "actions" }

func (w *wordsFlag) Set(s string) error {
	if *w == nil {
		*w = wordsFlag{}
	}
	for word := range strings.SplitSeq(s, ",") {
		if word = strings.TrimSpace(word); word != "" {
			*w = append(*w, word)
		}
	}
	return nil
}

// flagOf are the flags that stand for fields of a rule.
var flagOf = map[string]string{
	"name": "NAME", "effect": "--deny", "subjects": "--subject", "registries": "--registry", "repositories": "--repository", "catalog": "--catalog",
	"tidewaiter": "--right", "role": "--role", "actions": "--actions", "when": "--when", "lifetime": "--lifetime", "comment": "--comment",
}

// toldRule tells all that is wrong with a rule, by the flags that say it.
func toldRule(cmd *cobra.Command, err error) error {
	problems, ok := errors.AsType[rulebook.Problems](err)
	if !ok {
		return err
	}
	for _, p := range problems {
		p.Field = flagOf[p.Field]
		fmt.Fprintf(cmd.ErrOrStderr(), "tidewaiter: %s\n", p)
	}
	return errTold
}

func newRuleAdd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Add a rule",
		Long: `Add a rule. It takes effect at once, in a service that runs beside this too. What could not be a rule in a file
is refused, with all that is wrong; and no two rules have one name, in files and database together.`,
		Example: `  tidewaiter rule add contractors --subject group:contractors --repository 'shop/**' --actions pull
  tidewaiter rule add freeze --deny --repository 'prod/**' --actions push,delete --comment audit
  tidewaiter rule add watchers --subject group:security --right journal --actions read`,
		Args: cobra.ExactArgs(1),
	}
	k, content := bookFlags(cmd), contentFlags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return k.change(cmd, func(ctx context.Context, s shelf) error {
			r, err := s.AddRule(ctx, s.by, content(args[0]))
			if err != nil {
				return toldRule(cmd, err)
			}
			return k.says(cmd, api.NewRule(&r), "added rule %s", r.Name)
		})
	}
	return cmd
}

func newRuleSet() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "set NAME",
		Short:   "Replace what a rule says",
		Long:    "Replace all that a rule says by what the flags say.",
		Example: "  tidewaiter rule set freeze --deny --repository 'prod/**' --actions push",
		Args:    cobra.ExactArgs(1),
	}
	k, content := bookFlags(cmd), contentFlags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return k.change(cmd, func(ctx context.Context, s shelf) error {
			r, err := s.SetRule(ctx, s.by, args[0], content(args[0]), 0)
			if err != nil {
				return toldRule(cmd, err)
			}
			return k.says(cmd, api.NewRule(&r), "changed rule %s", r.Name)
		})
	}
	return cmd
}

func newRuleList() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the rules of the database",
		Long:    "List the rules of the database. Those of files are in the files.",
		Example: "  tidewaiter rule list\n  tidewaiter rule list --output json | jq -r '.[] | select(.effect == \"deny\") | .name'",
	}
	k := bookFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return k.read(cmd, func(ctx context.Context, s shelf) error {
			return printList(cmd, *k.output,
				func(p rulebook.Page) ([]rulebook.Rule, string, error) { return s.Rules(ctx, s.by, p) },
				api.NewRule,
				[]string{"NAME", "EFFECT", "SUBJECTS", "WHAT", "MAY"},
				func(r *rulebook.Rule) []string {
					c := &r.Content
					return []string{c.Name, effectOf(c), or(strings.Join(c.Subjects, ", "), "anyone"), about(c), may(c)}
				})
		})
	}
	return cmd
}

func effectOf(c *rulebook.Content) string { return or(string(c.Effect), string(rulebook.Allow)) }

// about is what a rule is about.
func about(c *rulebook.Content) string {
	switch {
	case c.Catalog:
		return "the catalog"
	case len(c.Tidewaiter) > 0:
		return "tidewaiter: " + strings.Join(c.Tidewaiter, ", ")
	}
	return strings.Join(c.Repositories, ", ")
}

// may is what a rule allows or denies.
func may(c *rulebook.Content) string {
	words := slices.Clone(c.Actions)
	if c.Role != "" {
		words = slices.Insert(words, 0, "role "+c.Role)
	}
	return strings.Join(words, ", ")
}

func newRuleShow() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "show NAME",
		Short:   "Show a rule of the database",
		Example: "  tidewaiter rule show freeze",
		Args:    cobra.ExactArgs(1),
	}
	k := bookFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return k.read(cmd, func(ctx context.Context, s shelf) error {
			r, err := s.Rule(ctx, s.by, args[0])
			if err != nil {
				return err
			}
			if *k.output == asJSON {
				return writeJSON(cmd.OutOrStdout(), api.NewRule(&r))
			}
			return fields(cmd.OutOrStdout(), "name", r.Name, "effect", effectOf(&r.Content), "subjects", or(strings.Join(r.Subjects, ", "), "anyone"),
				"registries", strings.Join(r.Registries, ", "), "about", about(&r.Content), "may", may(&r.Content), "when", r.When, "lifetime", life(r.Lifetime),
				"comment", r.Comment, "created", minute(r.Created), "changed", minute(r.Changed), "id", r.ID)
		})
	}
	return cmd
}

func newRuleDelete() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "delete NAME",
		Short:   "Delete a rule of the database",
		Example: "  tidewaiter rule delete freeze",
		Args:    cobra.ExactArgs(1),
	}
	k := bookFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return k.change(cmd, func(ctx context.Context, s shelf) error {
			if err := s.DeleteRule(ctx, s.by, args[0], 0); err != nil {
				return err
			}
			return k.says(cmd, gone{args[0]}, "deleted rule %s", args[0])
		})
	}
	return cmd
}
