package main

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/api"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/ruleset"
)

func ruleCommand() command {
	return command{
		use:   "rule",
		short: "Manage rules in the database",
		long: `Manage rules in the database. Rules in the database are like rules in files, and
all rules together are one policy: a deny wins, whether it is in a file or in the database. A
running service applies changes within two seconds.`,
		sub: []command{{
			use:   "add NAME",
			short: "Add a rule",
			long: `Add a rule. A running service applies the rule within two seconds. The rule's
name must be unique among the rules of files and database. A rule that would be invalid in a file
is rejected with all its errors.`,
			example: `  tidewaiter rule add contractors --subject group:contractors --repository 'shop/**' --actions pull
  tidewaiter rule add freeze --deny --repository 'prod/**' --actions push,delete --comment audit
  tidewaiter rule add watchers --subject group:security --right journal --actions read`,
			opens: changeRules,
			flags: func(f *flags) action {
				content := contentFlags(f)
				return func(s *session) error {
					r, err := s.rules.AddRule(s.ctx, s.by, content(s.args[0]))
					if err != nil {
						return s.fieldProblems(err, flagOf)
					}
					return s.print(api.NewRule(&r), "added rule %s", r.Name)
				}
			},
		}, {
			use:     "set NAME",
			short:   "Replace a rule",
			long:    "Replace a rule. The flags describe the whole new rule: the old rule is not merged into it.",
			example: "  tidewaiter rule set freeze --deny --repository 'prod/**' --actions push",
			opens:   changeRules,
			flags: func(f *flags) action {
				content := contentFlags(f)
				return func(s *session) error {
					r, err := s.rules.SetRule(s.ctx, s.by, s.args[0], content(s.args[0]), 0)
					switch {
					case err != nil:
						return s.fieldProblems(err, flagOf)
					case r.Unchanged:
						return s.print(api.NewRule(&r), "rule %s is unchanged", r.Name)
					}
					return s.print(api.NewRule(&r), "changed rule %s", r.Name)
				}
			},
		}, {
			use:     "list",
			short:   "List the rules in the database",
			long:    "List the rules in the database. Use \"tidewaiter policy show\" to list all rules.",
			example: "  tidewaiter rule list\n  tidewaiter rule list --output json | jq -r '.[] | select(.effect == \"deny\") | .name'",
			opens:   readRules,
			run: func(s *session) error {
				return printList(s, s.rules.Rules, api.NewRule,
					[]string{"NAME", "EFFECT", "SUBJECTS", "WHAT", "MAY"},
					func(r *rulebook.Rule) []string {
						effect, subjects, resources, actions := summary(&r.Content)
						return []string{r.Name, effect, subjects, resources, actions}
					})
			},
		}, {
			use:     "show NAME",
			short:   "Show a rule in the database",
			example: "  tidewaiter rule show freeze",
			opens:   readRules,
			run: func(s *session) error {
				r, err := s.rules.Rule(s.ctx, s.by, s.args[0])
				if err != nil {
					return err
				}
				effect, subjects, resources, actions := summary(&r.Content)
				return s.printFields(api.NewRule(&r), "name", r.Name, "effect", effect, "subjects", subjects,
					"registries", strings.Join(r.Registries, ", "), "about", resources, "may", actions, "when", r.When,
					"lifetime", r.Lifetime, "comment", r.Comment, "created", formatMinute(r.Created), "changed", formatMinute(r.Changed), "id", r.ID)
			},
		}, {
			use:     "delete NAME",
			short:   "Delete a rule from the database",
			example: "  tidewaiter rule delete freeze",
			opens:   changeRules,
			run: func(s *session) error {
				return s.printDeleted("rule", s.args[0], s.rules.DeleteRule(s.ctx, s.by, s.args[0], 0))
			},
		}},
	}
}

// summary returns the main fields of a rule as text.
func summary(c *rulebook.Content) (effect, subjects, resources, actions string) {
	switch {
	case c.Catalog:
		resources = "the catalog"
	case len(c.Tidewaiter) > 0:
		resources = "tidewaiter: " + strings.Join(c.Tidewaiter, ", ")
	default:
		resources = strings.Join(c.Repositories, ", ")
	}
	words := slices.Clone(c.Actions)
	if c.Role != "" {
		words = slices.Insert(words, 0, "role "+c.Role)
	}
	return string(cmp.Or(c.Effect, ruleset.Allow)), cmp.Or(strings.Join(c.Subjects, ", "), "anyone"), resources, strings.Join(words, ", ")
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
func contentFlags(f *flags) func(name string) rulebook.Content {
	c := new(rulebook.Content)
	deny := f.Bool("deny", false, "deny instead of allow: a deny wins over every allow")
	for _, field := range ruleset.Fields {
		if flag, ok := strings.CutPrefix(flagOf[field.Name], "--"); ok && field.Name != "effect" {
			addField(f, flag, field.Name, field.Help, field.Of(c))
		}
	}
	return func(name string) rulebook.Content {
		c.Name = name
		if *deny {
			c.Effect = ruleset.Deny
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

// addField adds a flag for a field of a rule or a role. For a list, the flag does not check the
// words. If the user gives the flag, the list is not nil, even if it is empty.
func addField(f *flags, flag, field, help string, into any) {
	usage := strings.ToLower(help[:1]) + strings.TrimSuffix(strings.ReplaceAll(help[1:], "`", ""), ".")
	switch v := into.(type) {
	case *[]string:
		split := splitWords
		if field != "actions" {
			usage += " (may be repeated)"
			split = func(s string) []string { return []string{s} }
		}
		f.Var(flagValue{valueOf[field], func() string { return strings.Join(*v, ",") }, func(s string) error {
			*v = append(append([]string{}, *v...), split(s)...)
			return nil
		}}, flag, usage)
	case *string:
		f.text(v, valueOf[field], flag, usage)
	case *bool:
		f.BoolVar(v, flag, false, usage)
	}
}

// splitWords splits a comma-separated list. The result is never nil, because nil means that the
// user has not given the flag.
func splitWords(s string) []string {
	words := []string{}
	for word := range strings.SplitSeq(s, ",") {
		if word = strings.TrimSpace(word); word != "" {
			words = append(words, word)
		}
	}
	return words
}

// fieldProblems prints the problems of a rule or a role. Instead of the name of a field, it prints
// the name of the flag for the field.
func (s *session) fieldProblems(err error, flags map[string]string) error {
	problems, ok := errors.AsType[ruleset.Problems](err)
	if !ok {
		return err
	}
	for _, p := range problems {
		p.Field = flags[p.Field]
		s.printNote("tidewaiter: %s", p)
	}
	return errReported
}
