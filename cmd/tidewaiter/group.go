package main

import (
	"fmt"
	"strconv"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/api"
)

func groupCommand() command {
	return command{
		use:   "group",
		short: "Manage groups of users and robots",
		sub: []command{{
			use:     "add NAME",
			short:   "Add a group",
			long:    "Add a group without members. Rules refer to it as group:NAME.",
			example: "  tidewaiter group add developers",
			opens:   changeAccounts,
			run: func(s *session) error {
				g, err := s.accounts.AddGroup(s.ctx, s.by, s.args[0])
				if err != nil {
					return err
				}
				return s.print(api.NewGroup(&g), "added group %s", g.Name)
			},
		}, {
			use:     "list",
			short:   "List the groups",
			example: "  tidewaiter group list",
			opens:   readAccounts,
			run: func(s *session) error {
				return printList(s, s.accounts.Groups, api.NewGroup, []string{"NAME", "MEMBERS", "CREATED"},
					func(g *accounts.Group) []string {
						return []string{g.Name, strconv.Itoa(g.Size), formatMinute(g.Created)}
					})
			},
		}, {
			use:   "members NAME",
			short: "List, add and remove the members of a group",
			long: `Add and remove members of a group, then list its members. Give a robot by its
login: robot+ci. Adding a member again, or removing an account that is not a member, changes
nothing.`,
			example: `  tidewaiter group members developers
  tidewaiter group members developers --add alice --add robot+ci --remove bob`,
			config: true,
			output: true,
			force:  true,
			flags: func(f *flags) action {
				added := f.list("add", "the `login` of an account to add")
				removed := f.list("remove", "the `login` of a member to remove")
				return func(s *session) error {
					open := readAccounts
					if len(*added)+len(*removed) > 0 {
						open = changeAccounts
					}
					if err := open(s); err != nil {
						return err
					}
					return s.changeMembers(s.args[0], *added, *removed)
				}
			},
		}, {
			use:   "delete NAME",
			short: "Delete a group",
			long: `Delete a group. Within two seconds its members lose the rights that the group
gave them. The members themselves are not deleted.`,
			example: "  tidewaiter group delete developers",
			opens:   changeAccounts,
			force:   true,
			run: func(s *session) error {
				g, err := s.accounts.Group(s.ctx, s.by, s.args[0])
				if err != nil {
					return err
				}
				if err := s.accounts.DeleteGroup(s.ctx, s.by, g.Name, g.Version); err != nil {
					return err
				}
				return s.print(api.NewGroup(&g), "deleted group %s", g.Name)
			},
		}},
	}
}

// changeMembers adds and removes members of a group, then prints all members.
func (s *session) changeMembers(group string, added, removed []string) error {
	for _, login := range added {
		if _, err := s.accounts.Join(s.ctx, s.by, group, login, 0); err != nil {
			return err
		}
	}
	for _, login := range removed {
		if _, err := s.accounts.Leave(s.ctx, s.by, group, login, 0); err != nil {
			return err
		}
	}
	g, err := s.accounts.Group(s.ctx, s.by, group)
	if err != nil {
		return err
	}
	members, err := collectPages(s, pagesOf(s.accounts.Members, group))
	if err != nil {
		return err
	}
	if s.printsJSON() {
		found := api.NewGroup(&g)
		found.Members = members
		return s.writeJSON(found)
	}
	for _, login := range members {
		fmt.Fprintln(s.out, login)
	}
	return nil
}
