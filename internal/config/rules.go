package config

import (
	"errors"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/tidewaiter/tidewaiter/internal/ruleset"
	"github.com/tidewaiter/tidewaiter/internal/text"
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
	from *decoder
	node *yaml.Node // nil if the rule has a problem
}

// fields returns the keys of a section whose fields ruleset describes. empty returns where the
// names of the empty texts go.
func fields[S any](described []ruleset.Field[S], empty func(*S) *[]string) []key[S] {
	keys, text, flag := make([]key[S], len(described)), prose(), set()
	for i := range described {
		f := &described[i]
		keys[i].row = row{name: f.Name, kind: f.Kind, required: f.Required, standard: f.Default, means: f.Means()}
		items := text
		if f.Name == "subjects" {
			items = subject()
		}
		list := listOf(items)
		keys[i].read = func(d *decoder, n *yaml.Node, into *S) (ok bool) {
			switch v := f.Of(into).(type) {
			case *string:
				if *v, ok = text.read(d, n); ok && *v == "" {
					*empty(into) = append(*empty(into), f.Name)
				}
			case *[]string:
				*v, ok = list.read(d, n)
			case *bool:
				*v, ok = flag.read(d, n)
			}
			return ok
		}
	}
	return keys
}

// actions is a list of actions. "*" is all that can be done with a repository.
func actions() valueType[scope.Actions] {
	words := listOf(prose())
	return valueType[scope.Actions]{kind: "list of actions", read: func(d *decoder, n *yaml.Node) (scope.Actions, bool) {
		list, ok := words.read(d, n)
		if !ok {
			return 0, false
		}
		role, ok := d.role(&ruleset.Role{Actions: list}, func(string) *yaml.Node { return n })
		return role.Actions, ok
	}}
}

// role is a list of actions, or a section with them and a lifetime.
func role() valueType[policy.Role] {
	list, long := actions(), section(roleKeys())
	return valueType[policy.Role]{kind: list.kind + ", or section", keys: long.keys, read: func(d *decoder, n *yaml.Node) (policy.Role, bool) {
		if n.Kind != yaml.MappingNode {
			set, ok := list.read(d, n)
			return policy.Role{Actions: set}, ok
		}
		written, ok := long.read(d, n)
		if !ok {
			return policy.Role{}, false
		}
		return d.role(&written, func(field string) *yaml.Node { return value(n, field) })
	}}
}

// role checks a role, whose fields are at some places.
func (d *decoder) role(written *ruleset.Role, at func(field string) *yaml.Node) (policy.Role, bool) {
	r, err := written.Policy()
	problems, _ := errors.AsType[ruleset.Problems](err)
	for i := range problems {
		d.wrong(at(problems[i].Field), &problems[i])
	}
	return r, err == nil
}

// subject is the text of a subject. With a space behind its colon it is a section, to YAML.
func subject() valueType[string] {
	text := prose()
	inner := text.read
	text.read = func(d *decoder, n *yaml.Node) (string, bool) {
		if n.Kind == yaml.MappingNode && len(n.Content) == 2 {
			kind, name := n.Content[0].Value, n.Content[1].Value
			if name != "" && slices.Contains([]string{"user", "group", "robot", "workload"}, kind) {
				d.suggest(n, kind+":"+name, "a subject has no space after its colon")
				return "", false
			}
		}
		return inner(d, n)
	}
	return text
}

// rules is a list of rules.
func rules() valueType[[]writtenRule] { return list(rule()) }

// rule is a rule. What may stand in it is for ruleset to say; here is where.
func rule() valueType[writtenRule] {
	s := section(ruleKeys())
	return valueType[writtenRule]{kind: s.kind, keys: s.keys, read: func(d *decoder, n *yaml.Node) (writtenRule, bool) {
		written, ok := s.read(d, n)
		r := writtenRule{from: d, node: n}
		if n.Kind != yaml.MappingNode {
			return r, ok
		}
		var problems ruleset.Problems
		if ok {
			var err error
			r.Rule, err = written.Policy(d.conditions.Compile)
			problems, _ = errors.AsType[ruleset.Problems](err)
		} else {
			problems = written.Check(d.conditions.Compile)
		}
		for i := range problems {
			r.wrong(&problems[i])
		}
		r.Origin = policy.Origin{File: d.file, Line: n.Line}
		if !ok || len(problems) > 0 {
			r.node = nil
			return r, false
		}
		if r.When != nil {
			if always, constant := when.Constant(r.When); constant {
				d.warn(value(n, "when"), "the condition is always %t, because it reads no input", always)
			}
		}
		return r, true
	}}
}

// wrong adds a problem of the rule, with the place of its field.
func (r *writtenRule) wrong(p *ruleset.Problem) { r.from.wrong(value(r.node, p.Field), p) }

// wrong adds a problem of the field that is written at n.
func (d *decoder) wrong(n *yaml.Node, p *ruleset.Problem) {
	if p.Line == 0 {
		d.suggest(item(n, p.Item), p.Suggestion, "%s", p.Text)
		return
	}
	if d.diagnostics.full() {
		d.diagnostics.reported++
		return
	}
	reported := d.at(n, p.Suggestion, "%s", p.Text)
	reported.Line, reported.Column = inScalar(d.src, n, offset(n.Value, p.Line, p.Column))
	d.diagnostics.problem(reported)
}

// listOf is a list of texts, of which ruleset says what they may be. If one cannot be read,
// nothing is said of the others.
func listOf(of valueType[string]) valueType[[]string] {
	return valueType[[]string]{kind: "list of " + of.kind, read: func(d *decoder, n *yaml.Node) ([]string, bool) {
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

// compile makes one policy of what all files say. services are the names of the registries; nil if
// it is not known which there are. There is always a policy or a problem. uses is told each rule;
// nil: nobody is.
func compile(files []writtenPolicy, services []string, diagnostics *report, uses func(*writtenRule)) (policy.Source, *policy.Policy, []Place) {
	source := policy.Source{Roles: make(map[string]policy.Role)}
	roles := make(map[string]named[policy.Role])
	var rules []*writtenRule // without those that have problems already
	for _, file := range files {
		for _, role := range file.roles {
			if first, taken := roles[role.name]; taken {
				role.from.problem(role.node, "the role %s is defined already, at %s:%d", text.QuoteShort(role.name), first.from.file, first.node.Line)
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
		diagnostics.problem(Problem{Text: err.Error()})
	}
	for _, p := range problems {
		if p.Rule >= 0 && p.Rule < len(rules) {
			rules[p.Rule].tell(p)
		} else if role, ok := roles[p.Field]; ok {
			role.from.suggest(role.node, p.Suggestion, "%s", p.Text)
		} else {
			diagnostics.problem(Problem{Text: p.String()})
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
			r.wrong(&p)
		}
	}
	r.doubtPatterns(services)
	if r.Deny || (r.Actions|roles[r.Role].Actions)&^scope.Pull == 0 {
		return
	}
	if r.Type == scope.TypeTidewaiter {
		for i, subject := range r.Subjects {
			if subject == "anyone" || subject == "signed-in" {
				r.from.warn(item(value(r.node, "subjects"), i), "rule %s gives everybody who can sign in rights over Tidewaiter itself", text.QuoteShort(r.Name))
				return
			}
		}
		return
	}
	for i, subject := range r.Subjects {
		if subject == "anyone" || subject == "anonymous" {
			r.from.warn(item(value(r.node, "subjects"), i), "rule %s lets anonymous clients change repositories or list them all", text.QuoteShort(r.Name))
			return
		}
	}
}

// doubtPatterns warns of a pattern that begins with a registry's name, as images have it for
// docker. It is about no repository then: registries do not know what they are called.
func (r *writtenRule) doubtPatterns(services []string) {
	if r.Type == scope.TypeTidewaiter {
		return
	}
	for i, pattern := range r.Names {
		host, rest, ok := strings.Cut(pattern, "/")
		if ok && slices.Contains(services, host) {
			r.from.warn(item(value(r.node, "repositories"), i), "the pattern begins with the registry's name, but repository names do not: write %s, and put the registry under registries", text.QuoteShort(rest))
		}
	}
}
