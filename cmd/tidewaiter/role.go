package main

import (
	"errors"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/api"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/ruleset"
)

func roleCommand() command {
	return command{
		use:   "role",
		short: "Manage roles in the database: names for sets of actions",
		sub:   roleCommands("role", "", ""),
	}
}

// roleCommands returns the commands for roles of the database, or for roles of a namespace. For
// roles of a namespace, the namespace is the first argument. The examples in help use the
// namespace in sample.
func roleCommands(path, argument, sample string) []command {
	split := func(s *session) (namespace string, args []string) {
		if argument == "" {
			return "", s.args
		}
		return s.args[0], s.args[1:]
	}
	about := "List the roles in the database. Roles in files are not listed."
	if argument != "" {
		about = "List the roles of a namespace. Every namespace also has the roles owner, maintainer, writer and reader."
	}
	return []command{{
		use:   "set " + argument + "NAME ACTIONS",
		short: "Add or change a role",
		long: `Add or change a role. The change applies to all rules and members that have
the role. A change that would make a rule invalid is rejected.`,
		example: "  tidewaiter " + path + " set " + sample + "cleaner pull,delete",
		opens:   changeRules,
		flags: func(f *flags) action {
			var written ruleset.Role
			var role rulebook.Role
			lifetime := ruleset.RoleFields[1]
			addField(f, lifetime.Name, lifetime.Name, lifetime.Help, lifetime.Of(&written))
			f.addCheck(func(s *session) error {
				_, args := split(s)
				written.Actions = splitWords(args[1])
				can, err := written.Policy()
				role = rulebook.Role{Name: args[0], Actions: can.Actions, Lifetime: can.Lifetime}
				return s.fieldProblems(err, map[string]string{"actions": "ACTIONS", "lifetime": "--lifetime"})
			})
			return func(s *session) error {
				namespace, _ := split(s)
				r, err := s.rules.SetRole(s.ctx, s.by, namespace, role, 0)
				result := "changed role %s: %s"
				switch {
				case errors.Is(err, admin.ErrNotFound):
					result = "added role %s: %s"
					r, err = s.rules.AddRole(s.ctx, s.by, namespace, role)
				case r.Unchanged:
					result = "role %s is unchanged: %s"
				}
				if err != nil {
					return err
				}
				return s.print(api.NewRole(&r, namespace), result, r.Name, r.Actions)
			}
		},
	}, {
		use:     strings.TrimSpace("list " + argument),
		short:   "List the roles",
		long:    about,
		example: strings.TrimRight("  tidewaiter "+path+" list "+sample, " "),
		opens:   readRules,
		run: func(s *session) error {
			namespace, _ := split(s)
			return printList(s, pagesOf(s.rules.Roles, namespace),
				func(r *rulebook.Role) any { return api.NewRole(r, namespace) },
				[]string{"NAME", "ACTIONS", "LIFETIME", "CHANGED"},
				func(r *rulebook.Role) []string {
					lifetime := "-"
					if r.Lifetime > 0 {
						lifetime = r.Lifetime.String()
					}
					return []string{r.Name, r.Actions.String(), lifetime, formatMinute(r.Changed)}
				})
		},
	}, {
		use:     "delete " + argument + "NAME",
		short:   "Delete a role that is not in use",
		example: "  tidewaiter " + path + " delete " + sample + "cleaner",
		opens:   changeRules,
		run: func(s *session) error {
			namespace, args := split(s)
			return s.printDeleted("role", args[0], s.rules.DeleteRole(s.ctx, s.by, namespace, args[0], 0))
		},
	}}
}
