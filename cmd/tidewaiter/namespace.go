package main

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/tidewaiter/tidewaiter/internal/api"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
)

func newNamespace() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "namespace",
		Short: "Manage namespaces: repositories that a team owns",
		Long: `Manage namespaces. The namespace team contains all repositories below team/. Its owners manage it in the
console or with the API. These commands are for administrators.`,
	}
	member := &cobra.Command{Use: "member", Short: "Manage the members of namespaces"}
	member.AddCommand(newMemberAdd(), newMemberRemove(), newMemberList())
	role := &cobra.Command{Use: "role", Short: "Manage the roles of a namespace"}
	rolesOfNamespace.addTo(role)
	cmd.AddCommand(newNamespaceAdd(), newNamespaceList(), newNamespaceShow(), newNamespaceSet(), newNamespaceDelete(), member, role)
	return cmd
}

// visibilityFlag is the flag --visibility.
type visibilityFlag rulebook.Visibility

func (v *visibilityFlag) String() string { return string(*v) }

func (v *visibilityFlag) Type() string { return "private|internal|public" }

func (v *visibilityFlag) Set(s string) error {
	*v = visibilityFlag(s) // the rulebook checks it
	return nil
}

const visibilities = "who may pull without being a member: nobody (private), users who are signed in (internal), anyone (public)"

func newNamespaceAdd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Create a namespace",
		Long: `Create a namespace: all repositories below NAME/. A name may have several parts, as in shop/web. A
namespace cannot contain another namespace.`,
		Example: `  tidewaiter namespace add team --owner group:team-leads
  tidewaiter namespace add shop/web --owner user:alice --owner user:bob --visibility internal`,
		Args: cobra.ExactArgs(1),
	}
	k := newRulebookFlags(cmd)
	owners := cmd.Flags().StringArray("owner", nil, "an `owner`: user:NAME, group:NAME, robot:NAME or workload:NAME (may be repeated)")
	visibility := visibilityFlag(rulebook.Private)
	cmd.Flags().Var(&visibility, "visibility", visibilities)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return k.change(cmd, func(ctx context.Context, s rulebookSession) error {
			n, err := s.AddNamespace(ctx, s.by, rulebook.NewNamespace{Name: args[0], Owners: *owners, Visibility: rulebook.Visibility(visibility)})
			if err != nil {
				return err
			}
			return k.says(cmd, api.NewNamespace(&n), "added %[2]s namespace %[1]s", n.Name, n.Visibility)
		})
	}
	return cmd
}

func newNamespaceList() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the namespaces",
		Example: "  tidewaiter namespace list\n  tidewaiter namespace list --output json | jq -r '.[] | select(.visibility == \"public\") | .name'",
	}
	k := newRulebookFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return k.read(cmd, func(ctx context.Context, s rulebookSession) error {
			return printList(cmd, *k.output,
				func(p rulebook.Page) ([]rulebook.Namespace, string, error) { return s.Namespaces(ctx, s.by, p) },
				api.NewNamespace,
				[]string{"NAME", "VISIBILITY", "MEMBERS", "CREATED"},
				func(n *rulebook.Namespace) []string {
					return []string{n.Name, string(n.Visibility), strconv.Itoa(n.Size), minute(n.Created)}
				})
		})
	}
	return cmd
}

func newNamespaceShow() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "show NAME",
		Short:   "Show a namespace",
		Example: "  tidewaiter namespace show team",
		Args:    cobra.ExactArgs(1),
	}
	k := newRulebookFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return k.read(cmd, func(ctx context.Context, s rulebookSession) error {
			n, err := s.Namespace(ctx, s.by, args[0])
			if err != nil {
				return err
			}
			if *k.output == asJSON {
				return writeJSON(cmd.OutOrStdout(), api.NewNamespace(&n))
			}
			return fields(cmd.OutOrStdout(), "name", n.Name, "visibility", string(n.Visibility), "members", strconv.Itoa(n.Size),
				"created", minute(n.Created), "changed", minute(n.Changed), "id", n.ID)
		})
	}
	return cmd
}

func newNamespaceSet() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "set NAME VISIBILITY",
		Short:   "Set the visibility of a namespace",
		Long:    "Set " + visibilities + ". Rules still apply: they can deny this or allow more.",
		Example: "  tidewaiter namespace set team public",
		Args:    cobra.ExactArgs(2),
	}
	k := newRulebookFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return k.change(cmd, func(ctx context.Context, s rulebookSession) error {
			n, err := s.SetVisibility(ctx, s.by, args[0], rulebook.Visibility(args[1]), 0)
			if err != nil {
				return err
			}
			if n.Unchanged {
				return k.says(cmd, api.NewNamespace(&n), "namespace %s is already %s", n.Name, n.Visibility)
			}
			return k.says(cmd, api.NewNamespace(&n), "changed namespace %s to %s", n.Name, n.Visibility)
		})
	}
	return cmd
}

func newNamespaceDelete() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "delete NAME",
		Short: "Delete a namespace",
		Long: `Delete a namespace with its members, roles and robots. This cannot be undone. A namespace that is
created later under the same name inherits nothing. The images stay in the registry.`,
		Example: "  tidewaiter namespace delete team",
		Args:    cobra.ExactArgs(1),
	}
	k := newRulebookFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return k.change(cmd, func(ctx context.Context, s rulebookSession) error {
			if err := s.DeleteNamespace(ctx, s.by, args[0], 0); err != nil {
				return err
			}
			return k.says(cmd, deleted{args[0]}, "deleted namespace %s", args[0])
		})
	}
	return cmd
}

func newMemberAdd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "add NAMESPACE WHO ROLE",
		Short: "Give a role in a namespace",
		Long: `Give a subject a role in a namespace. It replaces the role that the subject has there. Every namespace
has the roles owner, maintainer, writer and reader, its own roles, and the roles in the database.`,
		Example: `  tidewaiter namespace member add team user:alice writer
  tidewaiter namespace member add team group:developers reader`,
		Args: cobra.ExactArgs(3),
	}
	k := newRulebookFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return k.change(cmd, func(ctx context.Context, s rulebookSession) error {
			n, err := s.SetMember(ctx, s.by, args[0], args[1], args[2], 0)
			if err != nil {
				return err
			}
			already := ""
			if n.Unchanged {
				already = "already "
			}
			return k.says(cmd, api.NewNamespace(&n), "%s is %s%s of %s", args[1], already, args[2], n.Name)
		})
	}
	return cmd
}

func newMemberRemove() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "remove NAMESPACE WHO",
		Short:   "Remove a member from a namespace",
		Example: "  tidewaiter namespace member remove team user:alice",
		Args:    cobra.ExactArgs(2),
	}
	k := newRulebookFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return k.change(cmd, func(ctx context.Context, s rulebookSession) error {
			n, err := s.RemoveMember(ctx, s.by, args[0], args[1], 0)
			if err != nil {
				return err
			}
			return k.says(cmd, api.NewNamespace(&n), "removed %s from %s", args[1], n.Name)
		})
	}
	return cmd
}

func newMemberList() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list NAMESPACE",
		Short:   "List the members of a namespace",
		Example: "  tidewaiter namespace member list team",
		Args:    cobra.ExactArgs(1),
	}
	k := newRulebookFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return k.read(cmd, func(ctx context.Context, s rulebookSession) error {
			return printList(cmd, *k.output,
				func(p rulebook.Page) ([]rulebook.Member, string, error) { return s.Members(ctx, s.by, args[0], p) },
				api.NewNamespaceMember,
				[]string{"WHO", "ROLE", "SINCE"},
				func(m *rulebook.Member) []string { return []string{m.Subject, m.Role, minute(m.Created)} })
		})
	}
	return cmd
}
