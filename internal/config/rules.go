package config

import (
	"errors"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// effect is what a rule does.
type effect string

const (
	allow effect = "allow"
	deny  effect = "deny"
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
	catalog bool
	rights  []string // over Tidewaiter itself
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
	text := line()
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
func rules() shape[[]writtenRule] { return list(section(ruleKeys(), checkRule)) }

func checkRule(d *decoder, n *yaml.Node, r *writtenRule) {
	before := d.tells.told
	r.complete(d, n)
	if d.tells.told == before {
		r.from, r.node = d, n
	}
}

// complete puts in what a rule need not say, and looks whether its parts go together.
func (r *writtenRule) complete(d *decoder, n *yaml.Node) {
	r.Origin = policy.Origin{File: d.file, Line: n.Line}
	if len(r.Subjects) == 0 {
		if !r.Deny {
			d.problem(n, "subjects is missing: an allow must say whom it is for")
			return
		}
		r.Subjects = []string{"anyone"}
	}
	if r.Deny && r.Lifetime > 0 {
		d.problem(value(n, "lifetime"), "a deny grants nothing that could have a lifetime")
	}
	switch {
	case r.catalog && len(r.Names) > 0:
		d.problem(value(n, "catalog"), "a rule is for repositories or for the catalog; write two")
	case len(r.rights) > 0 && (r.catalog || len(r.Names) > 0):
		d.problem(value(n, "tidewaiter"), "a rule is for what registries have or for Tidewaiter itself; write two")
	case len(r.rights) > 0:
		r.completeRights(d, n)
	case r.catalog:
		r.completeCatalog(d, n)
	case len(r.Names) == 0:
		d.problem(n, "repositories is missing, or catalog: true, or tidewaiter")
	case r.Role == "" && r.Actions == 0:
		d.problem(n, "actions is missing, or role")
	}
}

// completeCatalog makes the rule one of the catalog, whose one action is "*".
func (r *writtenRule) completeCatalog(d *decoder, n *yaml.Node) {
	if r.Role != "" {
		d.problem(value(n, "role"), "the catalog has one action, \"*\", and takes no role")
	}
	if at := value(n, "actions"); at != n && !(len(at.Content) == 1 && at.Content[0].Value == "*") {
		d.suggest(at, `["*"]`, "the catalog has one action")
	}
	r.Type, r.Names, r.Actions = scope.TypeRegistry, []string{"catalog"}, scope.All
}

// rights are the names of rights over Tidewaiter; that over one namespace has the namespace's name behind namespaceRight.
var rights = []string{"accounts", "administrators", "journal", "policy", "namespaces"}

const namespaceRight = "namespace/"

// right is the name of a right over Tidewaiter, a pattern of namespaces, or ** for all. A pattern that can match none is a
// mistake, too.
func right() shape[string] {
	return scalar("right", func(d *decoder, n *yaml.Node, s string) (string, bool) {
		if s == "**" || slices.Contains(rights, s) {
			return s, true
		}
		if name, ok := strings.CutPrefix(s, namespaceRight); ok && name != "" {
			if lower := strings.ToLower(name); lower != name && !strings.Contains(name, "${") {
				d.suggest(n, namespaceRight+lower, "namespaces are written in lower case")
				return "", false
			}
			return s, true // the rest is said of it as of any pattern
		}
		near := d.nearest(s, rights)
		if s == "namespace" || s == namespaceRight {
			near = namespaceRight + "**"
		}
		d.suggest(n, near, "%s is no right over Tidewaiter: there is accounts, administrators, journal, policy, namespaces, namespace/NAME, or \"**\" for all", quoted(s))
		return "", false
	})
}

// completeRights makes the rule one of rights over Tidewaiter, which no registry and no token has to do with.
func (r *writtenRule) completeRights(d *decoder, n *yaml.Node) {
	for _, key := range []string{"registries", "lifetime"} {
		if at := value(n, key); at != n {
			d.problem(at, "%s is about registries, and the rule about Tidewaiter itself", key)
		}
	}
	if r.Role == "" && r.Actions == 0 {
		d.problem(n, "actions is missing: read, write, or both")
	}
	r.Type, r.Names = scope.TypeTidewaiter, r.rights
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

// yamlKeys are the keys in YAML of what policy calls otherwise.
var yamlKeys = map[string]string{"names": "repositories", "type": "catalog"}

// tell tells a problem that the policy has with the rule where its cause is written.
func (r *writtenRule) tell(p policy.Problem) {
	r.from.suggest(item(value(r.node, r.keyOf(p.Field)), p.Item), p.Suggestion, "%s", p.Text)
}

// keyOf returns the key in YAML of what policy calls otherwise, perhaps.
func (r *writtenRule) keyOf(field string) string {
	if field == "names" && r.Type == scope.TypeTidewaiter {
		return "tidewaiter"
	}
	if other, ok := yamlKeys[field]; ok {
		return other
	}
	return field
}

// check finds what only the config knows to be wrong with a rule, or doubtful.
func (r *writtenRule) check(services []string, roles map[string]policy.Role) {
	for i, name := range r.Registries {
		if services != nil && !slices.Contains(services, name) {
			r.from.suggest(item(value(r.node, "registries"), i), r.from.nearest(name, services), "no registry has the service %s%s", quoted(name), r.thereAre(name, services))
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

// thereAre goes on with a problem about a word that is none of those that are known, and near to none.
func (r *writtenRule) thereAre(word string, known []string) string {
	if len(known) == 0 || len(known) > 8 || r.from.nearest(word, known) != "" {
		return ""
	}
	if len(known) == 1 {
		return "; there is " + known[0]
	}
	return "; there are " + strings.Join(known, ", ")
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
