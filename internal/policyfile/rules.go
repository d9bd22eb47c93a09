package policyfile

import (
	"errors"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/tidewaiter/tidewaiter/internal/ruleset"
	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/when"
	"github.com/tidewaiter/tidewaiter/scope"
)

// writtenRule is a rule together with the YAML node that it was read from.
type writtenRule struct {
	policy.Rule
	from *strictyaml.Decoder
	node *yaml.Node // nil if the rule has a problem
}

// fields converts the descriptions of fields in package ruleset to the keys of a section. The
// function emptyFields returns a list in the section. If the text of a field is empty, the name of
// the field is added to this list.
func fields[S any](described []ruleset.Field[S], emptyFields func(*S) *[]string) []*strictyaml.Key[S] {
	keys := make([]*strictyaml.Key[S], len(described))
	for i := range described {
		f := &described[i]
		keys[i] = new(strictyaml.Key[S])
		keys[i].Row = strictyaml.Row{Name: f.Name, Kind: f.Kind, Required: f.Required, Default: f.Default, Means: f.Means()}
		list := texts(strictyaml.Prose)
		if f.Name == "subjects" {
			list = texts(subject())
		}
		keys[i].Read = func(d *strictyaml.Decoder, n *yaml.Node, into *S) (ok bool) {
			switch v := f.Of(into).(type) {
			case *string:
				if *v, ok = strictyaml.Prose.Read(d, n); ok && *v == "" {
					*emptyFields(into) = append(*emptyFields(into), f.Name)
				}
			case *[]string:
				*v, ok = list.Read(d, n)
			case *bool:
				*v, ok = strictyaml.True.Read(d, n)
			}
			return ok
		}
	}
	return keys
}

// actions is the type of a list of actions. "*" means all actions of repositories.
func actions() strictyaml.Type[scope.Actions] {
	words := texts(strictyaml.Prose)
	return strictyaml.Type[scope.Actions]{Kind: "list of actions", Read: func(d *strictyaml.Decoder, n *yaml.Node) (scope.Actions, bool) {
		list, ok := words.Read(d, n)
		if !ok {
			return 0, false
		}
		role, ok := compileRole(d, &ruleset.Role{Actions: list}, func(string) *yaml.Node { return n })
		return role.Actions, ok
	}}
}

// role is the type of a role: a list of actions, or a section with actions and a lifetime.
func role() strictyaml.Type[policy.Role] {
	list, long := actions(), strictyaml.Section(fields(ruleset.RoleFields, func(r *ruleset.Role) *[]string { return &r.Empty }))
	return strictyaml.Type[policy.Role]{Kind: list.Kind + " or section", Keys: long.Keys, Read: func(d *strictyaml.Decoder, n *yaml.Node) (policy.Role, bool) {
		if n.Kind != yaml.MappingNode {
			actions, ok := list.Read(d, n)
			return policy.Role{Actions: actions}, ok
		}
		written, ok := long.Read(d, n)
		if !ok {
			return policy.Role{}, false
		}
		return compileRole(d, &written, func(field string) *yaml.Node { return strictyaml.At(n, field) })
	}}
}

// compileRole checks a role. The function nodeOf returns the node of a field.
func compileRole(d *strictyaml.Decoder, written *ruleset.Role, nodeOf func(field string) *yaml.Node) (policy.Role, bool) {
	r, err := written.Policy()
	problems, _ := errors.AsType[ruleset.Problems](err)
	for i := range problems {
		report(d, nodeOf(problems[i].Field), &problems[i])
	}
	return r, err == nil
}

// subject is the type of a subject, such as user:ann. To YAML, "user: ann" with a space is a
// section. The error for such a section suggests the form without the space.
func subject() strictyaml.Type[string] {
	t := strictyaml.Prose
	t.Read = func(d *strictyaml.Decoder, n *yaml.Node) (string, bool) {
		if n.Kind == yaml.MappingNode && len(n.Content) == 2 {
			kind, name := n.Content[0].Value, n.Content[1].Value
			if name != "" && slices.Contains([]string{"user", "group", "robot", "workload"}, kind) {
				d.Suggest(n, kind+":"+name, "a subject has no space after its colon")
				return "", false
			}
		}
		return strictyaml.Prose.Read(d, n)
	}
	return t
}

// rule is the type of a rule. Package ruleset checks the rule, and problems are reported at the
// position of their field.
func rule(c *when.Compiler) strictyaml.Type[writtenRule] {
	s := strictyaml.Section(fields(ruleset.Fields, func(r *ruleset.Rule) *[]string { return &r.Empty }))
	return strictyaml.Type[writtenRule]{Kind: s.Kind, Keys: s.Keys, Read: func(d *strictyaml.Decoder, n *yaml.Node) (writtenRule, bool) {
		written, ok := s.Read(d, n)
		r := writtenRule{from: d, node: n}
		if n.Kind != yaml.MappingNode {
			return r, ok
		}
		var problems ruleset.Problems
		if ok {
			var err error
			r.Rule, err = written.Policy(c.Compile)
			problems, _ = errors.AsType[ruleset.Problems](err)
		} else {
			problems = written.Check(c.Compile)
		}
		for i := range problems {
			r.report(&problems[i])
		}
		r.Origin = policy.Origin{File: d.File, Line: n.Line}
		if !ok || len(problems) > 0 {
			r.node = nil
			return r, false
		}
		if r.When != nil {
			if always, constant := when.Constant(r.When); constant {
				d.Warn(r.nodeAt("when"), "the condition is always %t, because it reads no input", always)
			}
		}
		return r, true
	}}
}

// nodeAt returns the node at a path below the rule.
func (r *writtenRule) nodeAt(path ...any) *yaml.Node { return strictyaml.At(r.node, path...) }

// report reports a problem of a field of the rule.
func (r *writtenRule) report(p *ruleset.Problem) { report(r.from, r.nodeAt(p.Field), p) }

// report reports a problem of the field at n.
func report(d *strictyaml.Decoder, n *yaml.Node, p *ruleset.Problem) {
	at := strictyaml.At(n, p.Item)
	if p.Line > 0 && !d.Full() {
		at = new(yaml.Node)
		at.Line, at.Column = d.Position(n, p.Line, p.Column)
	}
	d.Suggest(at, p.Suggestion, "%s", p.Text)
}

// texts is the type of a list of texts that package ruleset checks. It accepts an empty list,
// because package ruleset reports that error. If an item cannot be read, the other items are
// not checked.
func texts(of strictyaml.Type[string]) strictyaml.Type[[]string] {
	items := strictyaml.List(of)
	return strictyaml.Type[[]string]{Kind: items.Kind, Read: func(d *strictyaml.Decoder, n *yaml.Node) ([]string, bool) {
		if n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
			return []string{}, d.Is(n, yaml.SequenceNode, "a list")
		}
		list, ok := items.Read(d, n)
		if !ok {
			return nil, false
		}
		return list, true
	}}
}

// compile combines all sections into one policy. It reports problems to r.
func compile(sections []Section, r *strictyaml.Reader, o Options) *Compiled {
	p := &Compiled{Services: o.Services, Rules: policy.Source{Roles: make(map[string]policy.Role)}}
	roles := make(map[string]strictyaml.Named[policy.Role])
	var rules []*writtenRule // the rules without problems
	for _, s := range sections {
		for _, role := range s.roles {
			if first, taken := roles[role.Name]; taken {
				role.From.Problem(role.Node, "the role %s is defined already, at %s:%d", text.QuoteShort(role.Name), first.From.File, first.Node.Line)
				continue
			}
			roles[role.Name] = role
			if role.Value.Actions == 0 { // the role's problem has been reported
				role.Value.Actions = scope.Repository
			}
			p.Rules.Roles[role.Name] = role.Value
		}
		for i := range s.rules {
			if s.rules[i].node != nil {
				rules = append(rules, &s.rules[i])
			}
		}
	}
	p.Rules.Rules = make([]policy.Rule, len(rules))
	p.subjects = make([]Place, 0, len(rules))
	for i, r := range rules {
		p.Rules.Rules[i] = r.Rule
		for k := range r.Subjects {
			at := r.nodeAt("subjects", k)
			p.subjects = append(p.subjects, Place{at.Line, at.Column})
		}
		r.check(o.Services, p.Rules.Roles)
		if o.ClaimUses {
			p.ClaimUses = r.claimUses(p.ClaimUses)
		}
	}

	var err error
	p.Policy, err = policy.Compile(p.Rules)
	problems, known := errors.AsType[policy.Problems](err)
	if err != nil && !known {
		r.Report(strictyaml.Problem{Text: err.Error()})
	}
	for _, problem := range problems {
		if problem.Rule >= 0 && problem.Rule < len(rules) {
			rule := rules[problem.Rule]
			rule.from.Suggest(rule.nodeAt(ruleset.FieldOf(problem, &rule.Rule), problem.Item), problem.Suggestion, "%s", problem.Text)
		} else if role, ok := roles[problem.Field]; ok {
			role.From.Suggest(role.Node, problem.Suggestion, "%s", problem.Text)
		} else {
			r.Report(strictyaml.Problem{Text: problem.String()})
		}
	}
	p.Files = r.Files
	return p
}

// check reports errors of a rule that depend on the whole policy, and warnings about rules that
// are probably not intended.
func (r *writtenRule) check(services []string, roles map[string]policy.Role) {
	if services != nil {
		for _, p := range ruleset.CheckRegistries(&r.Rule, services) {
			r.report(&p)
		}
	}
	r.checkPatterns(services)
	if r.Deny || (r.Actions|roles[r.Role].Actions)&^scope.Pull == 0 {
		return
	}
	wide, warning := []string{"anyone", "anonymous"}, "rule %s lets anonymous clients change repositories or list them all"
	if r.Type == scope.TypeTidewaiter {
		wide, warning = []string{"anyone", "signed-in"}, "rule %s gives everybody who can sign in rights over Tidewaiter itself"
	}
	for i, subject := range r.Subjects {
		if slices.Contains(wide, subject) {
			r.from.Warn(r.nodeAt("subjects", i), warning, text.QuoteShort(r.Name))
			return
		}
	}
}

// checkPatterns warns about a pattern that begins with the name of a registry, as the names of
// images do. Such a pattern matches nothing, because the names of repositories do not contain the
// registry.
func (r *writtenRule) checkPatterns(services []string) {
	if r.Type == scope.TypeTidewaiter {
		return
	}
	for i, pattern := range r.Names {
		host, rest, ok := strings.Cut(pattern, "/")
		if ok && slices.Contains(services, host) {
			r.from.Warn(r.nodeAt("repositories", i), "the pattern begins with the registry's name, but repository names do not: write %s, and put the registry under registries", text.QuoteShort(rest))
		}
	}
}
