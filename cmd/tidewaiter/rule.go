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
	"github.com/tidewaiter/tidewaiter/internal/ruleset"
)

func newRule() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rule",
		Short: "Manage rules in the database",
		Long: `Manage rules in the database. They are like rules in files, and both together are one policy: a deny in
either place wins. A running service applies changes within two seconds.`,
	}
	cmd.AddCommand(newRuleAdd(), newRuleSet(), newRuleList(), newRuleShow(), newRuleDelete())
	return cmd
}

// flagOf maps the fields of a rule to flags.
var flagOf = map[string]string{
	"name": "NAME", "effect": "--deny", "subjects": "--subject", "registries": "--registry", "repositories": "--repository", "catalog": "--catalog",
	"tidewaiter": "--right", "role": "--role", "actions": "--actions", "when": "--when", "lifetime": "--lifetime", "comment": "--comment",
}

// valueOf maps the fields of a rule to the names of flag values in help.
var valueOf = map[string]string{
	"subjects": "who", "registries": "service", "repositories": "pattern", "tidewaiter": "right", "role": "role", "actions": "actions",
	"when": "condition", "lifetime": "duration", "comment": "text",
}

// contentFlags adds the flags for the fields of a rule.
func contentFlags(f *pflag.FlagSet) func(name string) rulebook.Content {
	c := new(rulebook.Content)
	deny := f.Bool("deny", false, "deny instead of allow: a deny beats any allow")
	for _, field := range ruleset.Fields {
		if flag, ok := strings.CutPrefix(flagOf[field.Name], "--"); ok && field.Name != "effect" {
			addField(f, flag, field.Name, field.Help, field.Of(c))
		}
	}
	return func(name string) rulebook.Content {
		c.Name = name
		if *deny {
			c.Effect = rulebook.Deny
		}
		for _, field := range ruleset.Fields {
			text, isText := field.Of(c).(*string)
			if isText && *text == "" && (field.Name == "name" || f.Changed(strings.TrimPrefix(flagOf[field.Name], "--"))) {
				c.Empty = append(c.Empty, field.Name)
			}
		}
		return *c
	}
}

// addField adds a flag for a field of a rule or a role.
func addField(f *pflag.FlagSet, flag, field, help string, into any) {
	usage := strings.ToLower(help[:1]) + strings.TrimSuffix(strings.ReplaceAll(help[1:], "`", ""), ".")
	switch v := into.(type) {
	case *[]string:
		if field != "actions" {
			usage += " (may be repeated)"
		}
		f.Var(&wordsFlag{v, valueOf[field], field == "actions"}, flag, usage)
	case *string:
		f.Var(&textFlag{v, valueOf[field]}, flag, usage)
	case *bool:
		f.BoolVar(v, flag, false, usage)
	}
}

// textFlag is a flag that takes any text.
type textFlag struct {
	text *string
	kind string
}

func (t *textFlag) String() string { return *t.text }

func (t *textFlag) Type() string { return t.kind }

func (t *textFlag) Set(s string) error {
	*t.text = s
	return nil
}

// wordsFlag is a flag that lists words: one each time it is given, or several separated by commas. It
// does not check the words.
type wordsFlag struct {
	words  *[]string
	kind   string
	commas bool
}

func (w *wordsFlag) String() string { return strings.Join(*w.words, ",") }

func (w *wordsFlag) Type() string { return w.kind }

func (w *wordsFlag) Set(s string) error {
	if !w.commas {
		*w.words = append(*w.words, s)
		return nil
	}
	*w.words = slices.Concat(*w.words, splitWords(s))
	if *w.words == nil {
		*w.words = []string{}
	}
	return nil
}

// splitWords splits a comma-separated list. The result is never nil: an empty list differs from one
// that is not given.
func splitWords(s string) []string {
	words := []string{}
	for word := range strings.SplitSeq(s, ",") {
		if word = strings.TrimSpace(word); word != "" {
			words = append(words, word)
		}
	}
	return words
}

// printRuleProblems prints the problems of a rule with the names of its flags.
func printRuleProblems(cmd *cobra.Command, err error) error {
	return printFieldProblems(cmd, err, flagOf)
}

// printFieldProblems prints the problems of a rule or a role with the flags for its fields.
func printFieldProblems(cmd *cobra.Command, err error, flags map[string]string) error {
	problems, ok := errors.AsType[rulebook.Problems](err)
	if !ok {
		return err
	}
	for _, p := range problems {
		p.Field = flags[p.Field]
		fmt.Fprintf(cmd.ErrOrStderr(), "tidewaiter: %s\n", p)
	}
	return errReported
}

func newRuleAdd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Add a rule",
		Long: `Add a rule. A running service applies it within two seconds. Its name must be unique among the rules of
files and database. A rule that would be invalid in a file is rejected with all its errors.`,
		Example: `  tidewaiter rule add contractors --subject group:contractors --repository 'shop/**' --actions pull
  tidewaiter rule add freeze --deny --repository 'prod/**' --actions push,delete --comment audit
  tidewaiter rule add watchers --subject group:security --right journal --actions read`,
		Args: cobra.ExactArgs(1),
	}
	k, content := newRulebookFlags(cmd), contentFlags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return k.change(cmd, func(ctx context.Context, s rulebookSession) error {
			r, err := s.AddRule(ctx, s.by, content(args[0]))
			if err != nil {
				return printRuleProblems(cmd, err)
			}
			return k.says(cmd, api.NewRule(&r), "added rule %s", r.Name)
		})
	}
	return cmd
}

func newRuleSet() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "set NAME",
		Short:   "Replace a rule",
		Long:    "Replace a rule. The flags describe the whole new rule.",
		Example: "  tidewaiter rule set freeze --deny --repository 'prod/**' --actions push",
		Args:    cobra.ExactArgs(1),
	}
	k, content := newRulebookFlags(cmd), contentFlags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return k.change(cmd, func(ctx context.Context, s rulebookSession) error {
			r, err := s.SetRule(ctx, s.by, args[0], content(args[0]), 0)
			if err != nil {
				return printRuleProblems(cmd, err)
			}
			if r.Unchanged {
				return k.says(cmd, api.NewRule(&r), "rule %s already says that", r.Name)
			}
			return k.says(cmd, api.NewRule(&r), "changed rule %s", r.Name)
		})
	}
	return cmd
}

func newRuleList() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the rules in the database",
		Long:    "List the rules in the database. Use \"tidewaiter policy show\" to list all rules.",
		Example: "  tidewaiter rule list\n  tidewaiter rule list --output json | jq -r '.[] | select(.effect == \"deny\") | .name'",
	}
	k := newRulebookFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return k.read(cmd, func(ctx context.Context, s rulebookSession) error {
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

// about returns the resources of a rule.
func about(c *rulebook.Content) string {
	switch {
	case c.Catalog:
		return "the catalog"
	case len(c.Tidewaiter) > 0:
		return "tidewaiter: " + strings.Join(c.Tidewaiter, ", ")
	}
	return strings.Join(c.Repositories, ", ")
}

// may returns what a rule allows or denies.
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
		Short:   "Show a rule in the database",
		Example: "  tidewaiter rule show freeze",
		Args:    cobra.ExactArgs(1),
	}
	k := newRulebookFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return k.read(cmd, func(ctx context.Context, s rulebookSession) error {
			r, err := s.Rule(ctx, s.by, args[0])
			if err != nil {
				return err
			}
			if *k.output == asJSON {
				return writeJSON(cmd.OutOrStdout(), api.NewRule(&r))
			}
			return fields(cmd.OutOrStdout(), "name", r.Name, "effect", effectOf(&r.Content), "subjects", or(strings.Join(r.Subjects, ", "), "anyone"),
				"registries", strings.Join(r.Registries, ", "), "about", about(&r.Content), "may", may(&r.Content), "when", r.When, "lifetime", r.Lifetime,
				"comment", r.Comment, "created", minute(r.Created), "changed", minute(r.Changed), "id", r.ID)
		})
	}
	return cmd
}

func newRuleDelete() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "delete NAME",
		Short:   "Delete a rule from the database",
		Example: "  tidewaiter rule delete freeze",
		Args:    cobra.ExactArgs(1),
	}
	k := newRulebookFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return k.change(cmd, func(ctx context.Context, s rulebookSession) error {
			if err := s.DeleteRule(ctx, s.by, args[0], 0); err != nil {
				return err
			}
			return k.says(cmd, deleted{args[0]}, "deleted rule %s", args[0])
		})
	}
	return cmd
}
