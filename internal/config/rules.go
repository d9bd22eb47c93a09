package config

import (
	"errors"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/tidewaiter/tidewaiter/internal/ruleset"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/when"
	"github.com/tidewaiter/tidewaiter/scope"
)

// writtenPolicy is what one file says of policy.
type writtenPolicy struct {
	roles []named[policy.Role]
	rules []writtenRule
	files []filesPattern // only in the config itself
	rests bool           // it is not read again when it changes; only in the config itself
}

// writtenRule is a rule, and where its parts are.
type writtenRule struct {
	policy.Rule
	written ruleset.Rule
	from    *decoder
	node    *yaml.Node // nil if the rule has a problem
}

// actions is a list of actions. "*" is all that can be done with a repository; a rule of the catalog,
// whose one action is called so too, looks at the list itself.
func actions() shape[scope.Actions] {
	words := list(one("pull", "push", "delete", "read", "write", "*"))
	return shape[scope.Actions]{kind: "list of actions", read: func(d *decoder, n *yaml.Node) (set scope.Actions, ok bool) {
		names, ok := words.read(d, n)
		for i, name := range names {
			if slices.Contains(names[:i], name) {
				d.problem(item(n, i), "%s is listed twice", name)
				ok = false
			}
			if name == "*" {
				set |= scope.Repository
			} else if action, known := scope.ParseAction(name); known {
				set |= action
			}
		}
		return set, ok
	}}
}

// role is a list of actions, or a section with them and a lifetime.
func role() shape[policy.Role] {
	list, long := actions(), section(roleKeys())
	return shape[policy.Role]{kind: list.kind + ", or section", keys: long.keys, read: func(d *decoder, n *yaml.Node) (policy.Role, bool) {
		if n.Kind == yaml.MappingNode {
			return long.read(d, n)
		}
		set, ok := list.read(d, n)
		return policy.Role{Actions: set}, ok
	}}
}

// subject is the text of a subject. With a space behind its colon it is a section, to YAML.
func subject() shape[string] {
	text := prose()
	inner := text.read
	text.read = func(d *decoder, n *yaml.Node) (string, bool) {
		if n.Kind == yaml.MappingNode && len(n.Content) == 2 {
			kind, name := n.Content[0].Value, n.Content[1].Value
			if name != "" && slices.Contains([]string{"user", "group", "robot", "workload"}, kind) {
				d.suggest(n, kind+":"+name, "a subject has no space behind its colon")
				return "", false
			}
		}
		return inner(d, n)
	}
	return text
}

// rules is a list of rules.
func rules() shape[[]writtenRule] { return list(rule()) }

// rule is a rule. What may stand in it is for ruleset to say; here is where.
func rule() shape[writtenRule] {
	s := section(ruleKeys())
	read := s.read
	s.read = func(d *decoder, n *yaml.Node) (writtenRule, bool) {
		r, ok := read(d, n)
		if n.Kind != yaml.MappingNode {
			return r, ok
		}
		r.from, r.node = d, n
		var problems ruleset.Problems
		if ok {
			var err error
			r.Rule, err = r.written.Policy(d.conditions.Compile)
			problems, _ = errors.AsType[ruleset.Problems](err)
		} else {
			problems = r.written.Fields(d.conditions.Compile)
		}
		for i := range problems {
			r.tellWritten(&problems[i])
		}
		r.Origin = policy.Origin{File: d.file, Line: n.Line}
		if !ok || len(problems) > 0 {
			r.node = nil
			return r, false
		}
		if r.When != nil {
			if always, constant := when.Constant(r.When); constant {
				d.warn(value(n, "when"), "the condition is always %t: it asks about nothing", always)
			}
		}
		r.written = ruleset.Rule{} // what it says is in the rule of the policy
		return r, true
	}
	return s
}

// tellWritten tells what is wrong with the rule as it is written, where that is.
func (r *writtenRule) tellWritten(p *ruleset.Problem) {
	n := value(r.node, p.Field)
	if p.Line == 0 {
		r.from.suggest(item(n, p.Item), p.Suggestion, "%s", p.Text)
		return
	}
	if r.from.tells.full() {
		r.from.tells.told++
		return
	}
	told := r.from.at(n, p.Suggestion, "%s", p.Text)
	told.Line, told.Column = inScalar(r.from.src, n, offset(n.Value, p.Line, p.Column))
	r.from.tells.problem(told)
}

// listOf is a list of texts, of which ruleset says what they may be. If one cannot be read, nothing is said of the others.
func listOf(of shape[string]) shape[[]string] {
	return shape[[]string]{kind: "list of " + of.kind, read: func(d *decoder, n *yaml.Node) ([]string, bool) {
		if !d.is(n, yaml.SequenceNode, "a list") {
			return nil, false
		}
		list, ok := make([]string, len(n.Content)), true
		for i, item := range n.Content {
			text, good := of.read(d, item)
			list[i], ok = text, ok && good
		}
		if !ok {
			return nil, false
		}
		return list, true
	}}
}

// called is a shape under another name, in the reference.
func called[T any](kind string, of shape[T]) shape[T] {
	of.kind = kind
	return of
}

// stated is a text that is written, perhaps an empty one.
type stated struct {
	text string
	read bool
}

func statement() shape[stated] {
	return scalar("text", func(_ *decoder, _ *yaml.Node, s string) (stated, bool) { return stated{s, true}, true })
}

// put puts in what is written, and notes if that is nothing.
func (r *writtenRule) put(field string, v stated, into *string) {
	if *into = v.text; v.read && v.text == "" {
		r.written.Empty = append(r.written.Empty, field)
	}
}

// compile makes one policy of what all files say. services are the names of the registries; nil if it is not known
// which there are.
// There is always a policy or a problem. uses is told each rule; nil: nobody is.
func compile(files []writtenPolicy, services []string, tells *report, uses func(*writtenRule)) (policy.Source, *policy.Policy, []Place) {
	source := policy.Source{Roles: make(map[string]policy.Role)}
	roles := make(map[string]named[policy.Role])
	var rules []*writtenRule // without those that have problems already
	for _, file := range files {
		for _, role := range file.roles {
			if first, taken := roles[role.name]; taken {
				role.from.problem(role.node, "the role %s is defined already, at %s:%d", quoted(role.name), first.from.file, first.node.Line)
				continue
			}
			roles[role.name] = role
			if role.value.Actions == 0 { // its problem has been told
				role.value.Actions = scope.Repository
			}
			source.Roles[role.name] = role.value
		}
		for i := range file.rules {
			if file.rules[i].node != nil { // else its problems have been told
				rules = append(rules, &file.rules[i])
			}
		}
	}
	source.Rules = make([]policy.Rule, len(rules))
	subjects := make([]Place, 0, len(rules))
	for i, r := range rules {
		source.Rules[i] = r.Rule
		subjects = r.places(subjects)
		r.check(services, source.Roles)
		if uses != nil {
			uses(r)
		}
	}

	compiled, err := policy.Compile(source)
	problems, known := errors.AsType[policy.Problems](err)
	if err != nil && !known {
		tells.problem(Problem{Text: err.Error()})
	}
	for _, p := range problems {
		if p.Rule >= 0 && p.Rule < len(rules) {
			rules[p.Rule].tell(p)
		} else if role, ok := roles[p.Field]; ok {
			role.from.suggest(role.node, p.Suggestion, "%s", p.Text)
		} else {
			tells.problem(Problem{Text: p.String()})
		}
	}
	return source, compiled, subjects
}

// places appends where each of the rule's subjects is written.
func (r *writtenRule) places(to []Place) []Place {
	for i := range r.Subjects {
		at := item(value(r.node, "subjects"), i)
		to = append(to, Place{at.Line, at.Column})
	}
	return to
}

// tell tells a problem that the policy has with the rule where its cause is written.
func (r *writtenRule) tell(p policy.Problem) {
	r.from.suggest(item(value(r.node, ruleset.FieldOf(p, &r.Rule)), p.Item), p.Suggestion, "%s", p.Text)
}

// check finds what only the config knows to be wrong with a rule, or doubtful.
func (r *writtenRule) check(services []string, roles map[string]policy.Role) {
	if services != nil {
		for _, p := range ruleset.CheckRegistries(&r.Rule, services) {
			r.tellWritten(&p)
		}
	}
	r.doubtPatterns(services)
	if r.Deny || (r.Actions|roles[r.Role].Actions)&^scope.Pull == 0 {
		return
	}
	if r.Type == scope.TypeTidewaiter {
		for i, subject := range r.Subjects {
			if subject == "anyone" || subject == "signed-in" {
				r.from.warn(item(value(r.node, "subjects"), i), "rule %s gives everybody who can sign in rights over Tidewaiter itself", quoted(r.Name))
				return
			}
		}
		return
	}
	for i, subject := range r.Subjects {
		if subject == "anyone" || subject == "anonymous" {
			r.from.warn(item(value(r.node, "subjects"), i), "rule %s lets people change repositories, or list them all, who have not signed in", quoted(r.Name))
			return
		}
	}
}

// doubtPatterns warns of a pattern that begins with a registry's name, as images have it for docker. It is about no
// repository then: registries do not know what they are called.
func (r *writtenRule) doubtPatterns(services []string) {
	if r.Type == scope.TypeTidewaiter {
		return
	}
	for i, pattern := range r.Names {
		host, rest, ok := strings.Cut(pattern, "/")
		if ok && slices.Contains(services, host) {
			r.from.warn(item(value(r.node, "repositories"), i), "the pattern begins with the registry's name, which no repository there does: write %s, and the registry under registries", quoted(rest))
		}
	}
}
