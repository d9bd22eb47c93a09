package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tidewaiter/tidewaiter/internal/api"
	"github.com/tidewaiter/tidewaiter/internal/app"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/scope"
)

// book is what commands share that look after rules, roles and namespaces in the database. They open the state that the
// service has open.
type book struct {
	source *source
	output *format
}

func bookFlags(cmd *cobra.Command) book { return book{configFlags(cmd), outputFlag(cmd)} }

// shelf is where they are looked after.
type shelf struct {
	*rulebook.Rulebook
	by  rulebook.Actor
	cfg *config.Config
}

type bookOpening func(context.Context, *config.Config) (*rulebook.Rulebook, func() error, error)

func (k book) change(cmd *cobra.Command, do func(context.Context, shelf) error) error {
	return k.open(cmd, app.OpenRulebook, do)
}

func (k book) read(cmd *cobra.Command, do func(context.Context, shelf) error) error {
	return k.open(cmd, app.ReadRulebook, do)
}

func (k book) open(cmd *cobra.Command, open bookOpening, do func(context.Context, shelf) error) (err error) {
	cfg, err := k.source.load()
	if err != nil {
		return err
	}
	ctx, stop := untilStopped(cmd.Context())
	defer stop()
	b, closing, err := open(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closing()) }()
	return do(ctx, shelf{b, rulebook.Operator(operator()), cfg})
}

// says writes a line for people, or v for programs.
func (k book) says(cmd *cobra.Command, v any, format string, args ...any) error {
	if *k.output == asJSON {
		return writeJSON(cmd.OutOrStdout(), v)
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), format+"\n", args...)
	return err
}

// gone is what a command that deletes says to programs.
type gone struct {
	Name string `json:"name"`
}

// actionsFlag is a flag: a list of actions.
type actionsFlag scope.Actions

func (a *actionsFlag) String() string { return scope.Actions(*a).String() }

func (a *actionsFlag) Type() string { return "actions" }

func (a *actionsFlag) Set(s string) error {
	for word := range strings.SplitSeq(s, ",") {
		action, ok := scope.ParseAction(strings.TrimSpace(word))
		if !ok {
			return fmt.Errorf("%q is no action: there are pull, push, delete, read and write", word)
		}
		*a |= actionsFlag(action)
	}
	return nil
}

// roleCommands are set, list and delete, of roles for all, or of those of a namespace, which is their first argument then.
type roleCommands struct {
	path             string // "role", "namespace role"
	argument, sample string // "", or "NAMESPACE " and "team "
	more             int    // arguments before the others
}

var (
	rolesForAll      = roleCommands{path: "role"}
	rolesOfNamespace = roleCommands{"namespace role", "NAMESPACE ", "team ", 1}
)

func (o roleCommands) addTo(cmd *cobra.Command) {
	cmd.AddCommand(o.newSet(), o.newList(), o.newDelete())
}

// cut takes the namespace from the arguments, if there is one.
func (o roleCommands) cut(args []string) (namespace string, rest []string) {
	if o.more == 0 {
		return "", args
	}
	return args[0], args[1:]
}

func (o roleCommands) newSet() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "set " + o.argument + "NAME ACTIONS",
		Short: "Add a role, or change what it can do",
		Long: `Add a role, or change what it can do. What names the role changes with it: what would make a mistake of a rule is
refused.`,
		Example: "  tidewaiter " + o.path + " set " + o.sample + "cleaner pull,delete",
		Args:    cobra.ExactArgs(2 + o.more),
	}
	k := bookFlags(cmd)
	life := cmd.Flags().Duration("lifetime", 0, "how long tokens with a grant by it are good for at most: 2m, 1h")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		namespace, args := o.cut(args)
		var actions actionsFlag
		if err := actions.Set(args[1]); err != nil {
			return misused(cmd, "%v", err)
		}
		role := rulebook.Role{Name: args[0], Actions: scope.Actions(actions), Lifetime: *life}
		return k.change(cmd, func(ctx context.Context, s shelf) error {
			r, err := s.SetRole(ctx, s.by, namespace, role, 0)
			verb := "changed"
			if errors.Is(err, rulebook.ErrNotFound) {
				r, err = s.AddRole(ctx, s.by, namespace, role)
				verb = "added"
			}
			if err != nil {
				return err
			}
			return k.says(cmd, api.NewRole(&r, namespace), "%s role %s: %s", verb, r.Name, r.Actions)
		})
	}
	return cmd
}

func (o roleCommands) newList() *cobra.Command {
	cmd := &cobra.Command{
		Use:     strings.TrimSpace("list " + o.argument),
		Short:   "List the roles",
		Long:    "List the roles of the database. Those of files are in the files.",
		Example: strings.TrimRight("  tidewaiter "+o.path+" list "+o.sample, " "),
	}
	if o.more > 0 {
		cmd.Args = cobra.ExactArgs(o.more)
		cmd.Long = "List the roles that a namespace has of its own. Beside them every namespace has owner, maintainer, writer and reader."
	}
	k := bookFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		namespace, _ := o.cut(args)
		return k.read(cmd, func(ctx context.Context, s shelf) error {
			list, err := all(func(p rulebook.Page) ([]rulebook.Role, string, error) { return s.Roles(ctx, s.by, namespace, p) })
			if err != nil {
				return err
			}
			if *k.output == asJSON {
				found := make([]api.Role, len(list))
				for i := range list {
					found[i] = api.NewRole(&list[i], namespace)
				}
				return writeJSON(cmd.OutOrStdout(), found)
			}
			rows := [][]string{{"NAME", "ACTIONS", "LIFETIME", "CHANGED"}}
			for _, r := range list {
				life := ""
				if r.Lifetime > 0 {
					life = r.Lifetime.String()
				}
				rows = append(rows, []string{r.Name, r.Actions.String(), or(life, "-"), minute(r.Changed)})
			}
			return table(cmd.OutOrStdout(), rows)
		})
	}
	return cmd
}

func (o roleCommands) newDelete() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "delete " + o.argument + "NAME",
		Short:   "Delete a role that nothing names",
		Example: "  tidewaiter " + o.path + " delete " + o.sample + "cleaner",
		Args:    cobra.ExactArgs(1 + o.more),
	}
	k := bookFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		namespace, args := o.cut(args)
		return k.change(cmd, func(ctx context.Context, s shelf) error {
			if err := s.DeleteRole(ctx, s.by, namespace, args[0], 0); err != nil {
				return err
			}
			return k.says(cmd, gone{args[0]}, "deleted role %s", args[0])
		})
	}
	return cmd
}

func newRole() *cobra.Command {
	cmd := &cobra.Command{Use: "role", Short: "Look after roles in the database: names for sets of actions"}
	rolesForAll.addTo(cmd)
	return cmd
}
