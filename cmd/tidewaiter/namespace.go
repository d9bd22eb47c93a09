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
		Short: "Look after namespaces: repositories that a team owns",
		Long: `Look after namespaces. The namespace team is all repositories below team/. Its owners look after it themselves, in the
console or by the API; here, whoever runs Tidewaiter does.`,
	}
	member := &cobra.Command{Use: "member", Short: "Look after the members of namespaces"}
	member.AddCommand(newMemberAdd(), newMemberRemove(), newMemberList())
	role := &cobra.Command{Use: "role", Short: "Look after the roles that a namespace has of its own"}
	rolesOfNamespace.addTo(role)
	cmd.AddCommand(newNamespaceAdd(), newNamespaceList(), newNamespaceShow(), newNamespaceSet(), newNamespaceDelete(), member, role)
	return cmd
}

// visibilityFlag is a flag: who may pull without being a member.
type visibilityFlag rulebook.Visibility

func (v *visibilityFlag) String() string { return string(*v) }

func (v *visibilityFlag) Type() string { return "private|internal|public" }

func (v *visibilityFlag) Set(s string) error {
	*v = visibilityFlag(s) // what is none is told with what there is
	return nil
}

const visibilities = "who else may pull: nobody (private), who is signed in (internal), anyone (public)"

func newNamespaceAdd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Make a namespace",
		Long: `Make a namespace: all repositories below NAME/, which may have several parts, as in shop/web. None is made inside another, or
around one.`,
		Example: `  tidewaiter namespace add team --owner group:team-leads
  tidewaiter namespace add shop/web --owner user:alice --owner user:bob --visibility internal`,
		Args: cobra.ExactArgs(1),
	}
	k := bookFlags(cmd)
	owners := cmd.Flags().StringArray("owner", nil, "`who` owns it: user:NAME, group:NAME, robot:NAME, workload:NAME (may be repeated)")
	visibility := visibilityFlag(rulebook.Private)
	cmd.Flags().Var(&visibility, "visibility", visibilities)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return k.change(cmd, func(ctx context.Context, s shelf) error {
			n, err := s.AddNamespace(ctx, s.by, rulebook.NewNamespace{Name: args[0], Owners: *owners, Visibility: rulebook.Visibility(visibility)})
			if err != nil {
				return err
			}
			return k.says(cmd, api.NewNamespace(&n), "added namespace %s, which is %s", n.Name, n.Visibility)
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
	k := bookFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return k.read(cmd, func(ctx context.Context, s shelf) error {
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
	k := bookFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return k.read(cmd, func(ctx context.Context, s shelf) error {
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
		Short:   "Say who may pull without being a member",
		Long:    "Say " + visibilities + ". A rule that denies it to somebody still does, and one that allows more allows it.",
		Example: "  tidewaiter namespace set team public",
		Args:    cobra.ExactArgs(2),
	}
	k := bookFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return k.change(cmd, func(ctx context.Context, s shelf) error {
			n, err := s.SetVisibility(ctx, s.by, args[0], rulebook.Visibility(args[1]), 0)
			if err != nil {
				return err
			}
			return k.says(cmd, api.NewNamespace(&n), "changed namespace %s, which is %s", n.Name, n.Visibility)
		})
	}
	return cmd
}

func newNamespaceDelete() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "delete NAME",
		Short: "Delete a namespace",
		Long: `Delete a namespace with its members, roles and robots. It cannot be undone, and another that is made later under the name has
nothing of it. What is in the registry stays there.`,
		Example: "  tidewaiter namespace delete team",
		Args:    cobra.ExactArgs(1),
	}
	k := bookFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return k.change(cmd, func(ctx context.Context, s shelf) error {
			if err := s.DeleteNamespace(ctx, s.by, args[0], 0); err != nil {
				return err
			}
			return k.says(cmd, gone{args[0]}, "deleted namespace %s", args[0])
		})
	}
	return cmd
}

func newMemberAdd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "add NAMESPACE WHO ROLE",
		Short: "Give somebody a role in a namespace",
		Long: `Give somebody a role in a namespace, in place of the one that they may have. Every namespace has the roles owner, maintainer,
writer and reader; beside them there are its own, and those of the database for all.`,
		Example: `  tidewaiter namespace member add team user:alice writer
  tidewaiter namespace member add team group:developers reader`,
		Args: cobra.ExactArgs(3),
	}
	k := bookFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return k.change(cmd, func(ctx context.Context, s shelf) error {
			n, err := s.SetMember(ctx, s.by, args[0], args[1], args[2], 0)
			if err != nil {
				return err
			}
			return k.says(cmd, api.NewNamespace(&n), "%s is %s of %s", args[1], args[2], n.Name)
		})
	}
	return cmd
}

func newMemberRemove() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "remove NAMESPACE WHO",
		Short:   "Take somebody's role in a namespace away",
		Example: "  tidewaiter namespace member remove team user:alice",
		Args:    cobra.ExactArgs(2),
	}
	k := bookFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return k.change(cmd, func(ctx context.Context, s shelf) error {
			n, err := s.RemoveMember(ctx, s.by, args[0], args[1], 0)
			if err != nil {
				return err
			}
			return k.says(cmd, api.NewNamespace(&n), "%s is no member of %s", args[1], n.Name)
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
	k := bookFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return k.read(cmd, func(ctx context.Context, s shelf) error {
			return printList(cmd, *k.output,
				func(p rulebook.Page) ([]rulebook.Member, string, error) { return s.Members(ctx, s.by, args[0], p) },
				api.NewNamespaceMember,
				[]string{"WHO", "ROLE", "SINCE"},
				func(m *rulebook.Member) []string { return []string{m.Subject, m.Role, minute(m.Created)} })
		})
	}
	return cmd
}
