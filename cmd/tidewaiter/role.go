package main

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tidewaiter/tidewaiter/internal/api"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/ruleset"
)

// roleCommands has the commands set, list and delete for global roles, or for the roles of a namespace,
// which is then the first argument.
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

// cut splits the namespace from the arguments, if there is one.
func (o roleCommands) cut(args []string) (namespace string, rest []string) {
	if o.more == 0 {
		return "", args
	}
	return args[0], args[1:]
}

func (o roleCommands) newSet() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "set " + o.argument + "NAME ACTIONS",
		Short: "Add or change a role",
		Long: `Add or change a role. All rules and members with the role change with it. A change that would make a
rule invalid is rejected.`,
		Example: "  tidewaiter " + o.path + " set " + o.sample + "cleaner pull,delete",
		Args:    cobra.ExactArgs(2 + o.more),
	}
	k := newRulebookFlags(cmd)
	var written ruleset.Role
	lifetime := ruleset.RoleFields[1]
	addField(cmd.Flags(), lifetime.Name, lifetime.Name, lifetime.Help, lifetime.Of(&written))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		namespace, args := o.cut(args)
		written.Actions = splitWords(args[1])
		can, err := written.Policy()
		if err != nil {
			return printFieldProblems(cmd, err, map[string]string{"actions": "ACTIONS", "lifetime": "--lifetime"})
		}
		role := rulebook.Role{Name: args[0], Actions: can.Actions, Lifetime: can.Lifetime}
		return k.change(cmd, func(ctx context.Context, s rulebookSession) error {
			r, err := s.SetRole(ctx, s.by, namespace, role, 0)
			verb := "changed"
			if errors.Is(err, rulebook.ErrNotFound) {
				r, err = s.AddRole(ctx, s.by, namespace, role)
				verb = "added"
			}
			if err != nil {
				return err
			}
			if r.Unchanged {
				return k.says(cmd, api.NewRole(&r, namespace), "role %s already has that: %s", r.Name, r.Actions)
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
		Long:    "List the roles in the database. Roles in files are not listed.",
		Example: strings.TrimRight("  tidewaiter "+o.path+" list "+o.sample, " "),
	}
	if o.more > 0 {
		cmd.Args = cobra.ExactArgs(o.more)
		cmd.Long = "List the roles of a namespace. Every namespace also has the roles owner, maintainer, writer and reader."
	}
	k := newRulebookFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		namespace, _ := o.cut(args)
		return k.read(cmd, func(ctx context.Context, s rulebookSession) error {
			return printList(cmd, *k.output,
				func(p rulebook.Page) ([]rulebook.Role, string, error) { return s.Roles(ctx, s.by, namespace, p) },
				func(r *rulebook.Role) api.Role { return api.NewRole(r, namespace) },
				[]string{"NAME", "ACTIONS", "LIFETIME", "CHANGED"},
				func(r *rulebook.Role) []string {
					return []string{r.Name, r.Actions.String(), or(life(r.Lifetime), "-"), minute(r.Changed)}
				})
		})
	}
	return cmd
}

func (o roleCommands) newDelete() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "delete " + o.argument + "NAME",
		Short:   "Delete a role that is not in use",
		Example: "  tidewaiter " + o.path + " delete " + o.sample + "cleaner",
		Args:    cobra.ExactArgs(1 + o.more),
	}
	k := newRulebookFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		namespace, args := o.cut(args)
		return k.change(cmd, func(ctx context.Context, s rulebookSession) error {
			if err := s.DeleteRole(ctx, s.by, namespace, args[0], 0); err != nil {
				return err
			}
			return k.says(cmd, deleted{args[0]}, "deleted role %s", args[0])
		})
	}
	return cmd
}

func newRole() *cobra.Command {
	cmd := &cobra.Command{Use: "role", Short: "Manage roles in the database: names for sets of actions"}
	rolesForAll.addTo(cmd)
	return cmd
}
