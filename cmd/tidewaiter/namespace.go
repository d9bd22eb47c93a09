package main

import (
	"strconv"

	"github.com/tidewaiter/tidewaiter/internal/api"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
)

const visibilities = "who may pull without being a member: nobody (private), users who are signed in (internal), anyone (public)"

func namespaceCommand() command {
	return command{
		use:   "namespace",
		short: "Manage namespaces: repositories that a team owns",
		long: `Manage namespaces. The namespace team contains all repositories below team/. The
owners of a namespace manage it with the API. These commands are for administrators.`,
		sub: []command{{
			use:   "add NAME",
			short: "Create a namespace",
			long: `Create a namespace: all repositories below NAME/. A name may have several
parts, as in shop/web. A namespace cannot contain another namespace.`,
			example: `  tidewaiter namespace add team --owner group:team-leads
  tidewaiter namespace add shop/web --owner user:alice --owner user:bob --visibility internal`,
			opens: changeRules,
			flags: func(f *flags) action {
				owners := f.list("owner", "an `owner`: user:NAME, group:NAME, robot:NAME or workload:NAME")
				visibility := string(rulebook.Private)
				f.text(&visibility, "private|internal|public", "visibility", visibilities)
				return func(s *session) error {
					n, err := s.rules.AddNamespace(s.ctx, s.by,
						rulebook.NewNamespace{Name: s.args[0], Owners: *owners, Visibility: rulebook.Visibility(visibility)})
					if err != nil {
						return err
					}
					return s.print(api.NewNamespace(&n), "added %s namespace %s", n.Visibility, n.Name)
				}
			},
		}, {
			use:     "list",
			short:   "List the namespaces",
			example: "  tidewaiter namespace list\n  tidewaiter namespace list --output json | jq -r '.[] | select(.visibility == \"public\") | .name'",
			opens:   readRules,
			run: func(s *session) error {
				return printList(s, s.rules.Namespaces, api.NewNamespace,
					[]string{"NAME", "VISIBILITY", "MEMBERS", "CREATED"},
					func(n *rulebook.Namespace) []string {
						return []string{n.Name, string(n.Visibility), strconv.Itoa(n.Size), formatMinute(n.Created)}
					})
			},
		}, {
			use:     "show NAME",
			short:   "Show a namespace",
			example: "  tidewaiter namespace show team",
			opens:   readRules,
			run: func(s *session) error {
				n, err := s.rules.Namespace(s.ctx, s.by, s.args[0])
				if err != nil {
					return err
				}
				return s.printFields(api.NewNamespace(&n), "name", n.Name, "visibility", string(n.Visibility),
					"members", strconv.Itoa(n.Size), "created", formatMinute(n.Created), "changed", formatMinute(n.Changed), "id", n.ID)
			},
		}, {
			use:     "set NAME VISIBILITY",
			short:   "Set the visibility of a namespace",
			long:    "Set " + visibilities + ". Other rules still apply: they can deny pulls or allow more.",
			example: "  tidewaiter namespace set team public",
			opens:   changeRules,
			run: func(s *session) error {
				n, err := s.rules.SetVisibility(s.ctx, s.by, s.args[0], rulebook.Visibility(s.args[1]), 0)
				switch {
				case err != nil:
					return err
				case n.Unchanged:
					return s.print(api.NewNamespace(&n), "namespace %s is already %s", n.Name, n.Visibility)
				}
				return s.print(api.NewNamespace(&n), "changed namespace %s to %s", n.Name, n.Visibility)
			},
		}, {
			use:   "delete NAME",
			short: "Delete a namespace",
			long: `Delete a namespace with its members, roles and robots. This cannot be undone.
A namespace that is created later under the same name inherits nothing. The images stay in the
registry.`,
			example: "  tidewaiter namespace delete team",
			opens:   changeRules,
			run: func(s *session) error {
				return s.printDeleted("namespace", s.args[0], s.rules.DeleteNamespace(s.ctx, s.by, s.args[0], 0))
			},
		}, {
			use:   "member",
			short: "Manage the members of namespaces",
			sub:   memberCommands(),
		}, {
			use:   "role",
			short: "Manage the roles of a namespace",
			sub:   roleCommands("namespace role", "NAMESPACE ", "team "),
		}},
	}
}

func memberCommands() []command {
	return []command{{
		use:   "add NAMESPACE WHO ROLE",
		short: "Give a subject a role in a namespace",
		long: `Give a subject a role in a namespace. The new role replaces the role that the
subject has in this namespace. Every namespace has the roles owner, maintainer, writer and reader,
its own roles, and the roles in the database.`,
		example: `  tidewaiter namespace member add team user:alice writer
  tidewaiter namespace member add team group:developers reader`,
		opens: changeRules,
		run: func(s *session) error {
			n, err := s.rules.SetMember(s.ctx, s.by, s.args[0], s.args[1], s.args[2], 0)
			if err != nil {
				return err
			}
			already := ""
			if n.Unchanged {
				already = "already "
			}
			return s.print(api.NewNamespace(&n), "%s is %s%s of %s", s.args[1], already, s.args[2], n.Name)
		},
	}, {
		use:     "remove NAMESPACE WHO",
		short:   "Remove a member from a namespace",
		example: "  tidewaiter namespace member remove team user:alice",
		opens:   changeRules,
		run: func(s *session) error {
			n, err := s.rules.RemoveMember(s.ctx, s.by, s.args[0], s.args[1], 0)
			if err != nil {
				return err
			}
			return s.print(api.NewNamespace(&n), "removed %s from %s", s.args[1], n.Name)
		},
	}, {
		use:     "list NAMESPACE",
		short:   "List the members of a namespace",
		example: "  tidewaiter namespace member list team",
		opens:   readRules,
		run: func(s *session) error {
			return printList(s, pagesOf(s.rules.Members, s.args[0]), api.NewNamespaceMember,
				[]string{"WHO", "ROLE", "SINCE"},
				func(m *rulebook.Member) []string { return []string{m.Subject, m.Role, formatMinute(m.Created)} })
		},
	}}
}

// printDeleted prints that something was deleted. If err is not nil, it returns err instead.
func (s *session) printDeleted(kind, name string, err error) error {
	if err != nil {
		return err
	}
	return s.print(map[string]string{"name": name}, "deleted %s %s", kind, name)
}
