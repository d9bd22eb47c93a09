package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/tidewaiter/tidewaiter/internal/api"
	"github.com/tidewaiter/tidewaiter/internal/identity/accounts"
)

func newGroup() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "group",
		Short: "Manage groups of users and robots",
	}
	cmd.AddCommand(newGroupAdd(), newGroupList(), newGroupMembers(), newGroupDelete())
	return cmd
}

func newGroupAdd() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "add NAME",
		Short:   "Add a group",
		Long:    "Add a group without members. Rules refer to it as group:NAME.",
		Example: "  tidewaiter group add developers",
		Args:    cobra.ExactArgs(1),
	}
	k := newAccountFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return k.change(cmd, func(ctx context.Context, d accountSession) error {
			g, err := d.AddGroup(ctx, d.by, args[0])
			if err != nil {
				return err
			}
			return k.groupDone(cmd, "added", &g)
		})
	}
	return cmd
}

func (k accountFlags) groupDone(cmd *cobra.Command, verb string, g *accounts.Group) error {
	if *k.output == asJSON {
		return writeJSON(cmd.OutOrStdout(), api.NewGroup(g))
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s group %s\n", verb, g.Name)
	return err
}

func newGroupDelete() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "delete NAME",
		Short:   "Delete a group",
		Long:    "Delete a group. Within two seconds its members lose the rights that the group gave them. The members themselves are not deleted.",
		Example: "  tidewaiter group delete developers",
		Args:    cobra.ExactArgs(1),
	}
	k := newForceFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return k.change(cmd, func(ctx context.Context, d accountSession) error {
			g, err := d.Group(ctx, d.by, args[0])
			if err != nil {
				return err
			}
			if err := d.DeleteGroup(ctx, d.by, args[0], g.Version); err != nil {
				return err
			}
			return k.groupDone(cmd, "deleted", &g)
		})
	}
	return cmd
}

func newGroupList() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the groups",
		Example: "  tidewaiter group list",
	}
	k := newAccountFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return k.read(cmd, func(ctx context.Context, d accountSession) error {
			return printList(cmd, *k.output,
				func(p accounts.Page) ([]accounts.Group, string, error) { return d.Groups(ctx, d.by, p) },
				api.NewGroup,
				[]string{"NAME", "MEMBERS", "CREATED"},
				func(g *accounts.Group) []string { return []string{g.Name, strconv.Itoa(g.Size), minute(g.Created)} })
		})
	}
	return cmd
}

func newGroupMembers() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "members NAME",
		Short: "List, add and remove the members of a group",
		Long: `Add and remove members of a group, then list its members. Give a robot by its login: robot+ci.
Adding a member again, or removing an account that is not a member, changes nothing.`,
		Example: `  tidewaiter group members developers
  tidewaiter group members developers --add alice --add robot+ci --remove bob`,
		Args: cobra.ExactArgs(1),
	}
	k := newForceFlags(cmd)
	added := cmd.Flags().StringArray("add", nil, "the `login` of an account to add (may be repeated)")
	removed := cmd.Flags().StringArray("remove", nil, "the `login` of a member to remove (may be repeated)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		open := k.read
		if len(*added)+len(*removed) > 0 {
			open = k.change
		}
		return open(cmd, func(ctx context.Context, d accountSession) error {
			for _, login := range *added {
				if _, err := d.Join(ctx, d.by, args[0], login, 0); err != nil {
					return err
				}
			}
			for _, login := range *removed {
				if _, err := d.Leave(ctx, d.by, args[0], login, 0); err != nil {
					return err
				}
			}
			g, err := d.Group(ctx, d.by, args[0])
			if err != nil {
				return err
			}
			members, err := all(func(p accounts.Page) ([]string, string, error) { return d.Members(ctx, d.by, args[0], p) })
			if err != nil {
				return err
			}
			if *k.output == asJSON {
				found := api.NewGroup(&g)
				found.Members = members
				return writeJSON(cmd.OutOrStdout(), found)
			}
			for _, login := range members {
				fmt.Fprintln(cmd.OutOrStdout(), login)
			}
			return nil
		})
	}
	return cmd
}
