package policy

import (
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/policy/internal/match"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Policy is a compiled [Source]. It never changes and may be used from any goroutine. A zero or
// nil Policy grants nothing.
type Policy struct {
	id       string
	rules    []Rule
	compiled []rule // in the order of rules
	written  int    // the number of rules that are not built in

	tree       tree
	everywhere map[string]*node            // rules for all registries, by type
	registries map[string]map[string]*node // by registry and type
}

// rule is the compiled form of a Rule, which Decide reads.
type rule struct {
	source   *Rule
	number   int32         // from 1, in the order of the source
	actions  scope.Actions // actions of role and rule, as far as the type has them
	deny     bool
	lifetime time.Duration // the shorter lifetime of rule and role; 0: no limit
	plain    bool          // has neither a condition nor a lifetime
	subjects []match.Subject
}

// Compile checks a source and builds the index of its rules. The error is Problems and lists
// all errors. The policy uses the slices in the rules without a copy, so the caller must not
// change them later.
func Compile(source Source) (*Policy, error) {
	rules := slices.Clone(source.Rules)
	c := compiler{
		roles: source.Roles,
		policy: &Policy{
			rules:      rules,
			everywhere: map[string]*node{},
			registries: map[string]map[string]*node{},
			tree:       tree{literals: newLiteralIndex(len(rules)), globs: map[affix][]globEdge{}},
		},
		names:     newNames(len(rules)),
		suggested: map[string]string{},
		compiled:  make([]rule, len(rules)),
		parts:     make(match.Pattern, 0, match.MaxParts),
	}
	c.index = indexBuilder{tree: &c.policy.tree, globNodes: map[globKey]*node{}, placements: make([]placement, 0, len(rules))}
	c.checkRoles()
	for i := range rules {
		c.rule(i)
	}
	if len(c.problems) > 0 {
		return nil, c.problems
	}
	c.index.finish()
	c.policy.compiled = c.compiled
	c.policy.id = identify(source)
	return c.policy, nil
}

// ID identifies the content of the policy. The same roles and rules in the same order have the
// same ID. The places where they were written do not matter. An ID is 16 hexadecimal digits of a
// SHA-256.
func (p *Policy) ID() string { return match.OrZero(p).id }

// Len returns the number of rules, without built-in rules.
func (p *Policy) Len() int { return match.OrZero(p).written }

// Rules returns the rules that were passed to Compile.
func (p *Policy) Rules() []Rule { return slices.Clone(match.OrZero(p).rules) }

// Effective yields each rule with the actions and the lifetime that result from the rule and
// its role. The actions are those of the rule and of the role, as far as the rule's type has
// them. The lifetime is the shorter of the two lifetimes. A lifetime of 0 means no limit. The
// rules must not be changed.
func (p *Policy) Effective() iter.Seq2[*Rule, Role] {
	return func(yield func(*Rule, Role) bool) {
		for i := range match.OrZero(p).compiled {
			if r := &p.compiled[i]; !yield(r.source, Role{r.actions, r.lifetime}) {
				return
			}
		}
	}
}

// compiler builds the tree from the rules and collects their errors.
type compiler struct {
	policy   *Policy
	index    indexBuilder
	roles    map[string]Role
	problems Problems

	names     names
	suggested map[string]string
	compiled  []rule
	subjects  []match.Subject // buffer for the subjects of the next rules
	parts     match.Pattern   // buffer for one pattern
}

func (c *compiler) problem(rule int, field, format string, args ...any) {
	c.problemAt(rule, field, -1, match.Errorf(format, args...))
}

func (c *compiler) problemAt(rule int, field string, item int, bad *match.SyntaxError) {
	c.problems = append(c.problems, Problem{rule, field, item, bad.Text, bad.Suggestion})
}

func (c *compiler) rule(i int) {
	source := &c.policy.rules[i]
	if !source.Origin.BuiltIn {
		c.policy.written++
	}
	r := &c.compiled[i]
	r.source, r.number, r.deny = source, int32(i+1), source.Deny
	r.lifetime = minLifetime(source.Lifetime, c.roles[source.Role].Lifetime)
	r.plain = source.When == nil && r.lifetime == 0

	c.checkName(i)
	kind := c.checkType(i)
	r.actions = c.actions(i, kind)
	r.subjects = c.parseSubjects(i)
	if isNil(source.When) {
		c.problem(i, "when", "the condition is a nil pointer; for a rule without a condition, leave out the condition")
	}
	if source.Lifetime < 0 {
		c.problem(i, "lifetime", "the lifetime %s is negative", source.Lifetime)
	}
	for k, registry := range source.Registries {
		if registry == "" {
			c.problemAt(i, "registries", k, match.Errorf("the registry is empty; for all registries leave out registries"))
		}
	}
	if len(source.Names) == 0 {
		c.problem(i, "names", "the rule has no names; for everything write **")
	}
	for k, text := range source.Names {
		parsed, bad := match.Parse(c.parts[:0], text)
		if bad == nil {
			bad = checkPattern(kind, text, parsed)
		}
		if bad == nil {
			bad = r.checkPlaceholders(text, parsed)
		}
		if bad != nil {
			c.problemAt(i, "names", k, bad)
			continue
		}
		if len(c.problems) > 0 {
			continue // an error was found, so there will be no policy
		}
		if len(source.Registries) == 0 {
			c.index.add(c.root(c.policy.everywhere, kind), parsed, r)
		}
		for _, registry := range source.Registries {
			types, ok := c.policy.registries[registry]
			if !ok {
				types = map[string]*node{}
				c.policy.registries[registry] = types
			}
			c.index.add(c.root(types, kind), parsed, r)
		}
	}
}

// isNil reports whether a condition is a non-nil interface that holds a nil pointer, map,
// slice, function or channel. Its method Holds would panic.
func isNil(c Condition) bool {
	if c == nil {
		return false
	}
	switch v := reflect.ValueOf(c); v.Kind() {
	case reflect.Pointer, reflect.Func, reflect.Map, reflect.Slice, reflect.Chan:
		return v.IsNil()
	default:
		return false
	}
}

func (c *compiler) root(types map[string]*node, kind string) *node {
	root, ok := types[kind]
	if !ok {
		root = c.index.newNode()
		types[kind] = root
	}
	return root
}

// parseSubjects returns the subjects of a rule. The subjects of all rules share one array.
func (c *compiler) parseSubjects(i int) []match.Subject {
	source := &c.policy.rules[i]
	if len(source.Subjects) == 0 {
		c.problem(i, "subjects", "the rule has no subjects; for everybody write anyone")
	}
	if cap(c.subjects)-len(c.subjects) < len(source.Subjects) {
		c.subjects = make([]match.Subject, 0, max(1024, len(source.Subjects)))
	}
	begin := len(c.subjects)
	for k, text := range source.Subjects {
		s, bad := match.ParseSubject(text)
		if bad != nil {
			c.problemAt(i, "subjects", k, bad)
			continue
		}
		c.subjects = append(c.subjects, s)
	}
	return c.subjects[begin:len(c.subjects):len(c.subjects)]
}

// Error returns the problems, one per line. After 20 problems, it only gives the number of the
// remaining problems.
func (p Problems) Error() string {
	const most = 20
	var text strings.Builder
	if len(p) > 0 && p[0].Rule != InLimit {
		text.WriteString("compiling policy: ")
	}
	for i, problem := range p {
		if i == most {
			fmt.Fprintf(&text, "\n… and %d more", len(p)-most)
			break
		}
		if i > 0 {
			text.WriteByte('\n')
		}
		text.WriteString(problem.String())
	}
	return text.String()
}

// String returns the problem in a form for people, such as `rule 3: subjects[0]: "usr:ann" is
// not a subject … (did you mean "user:ann"?)`.
func (p Problem) String() string {
	text := p.Text
	if p.Suggestion != "" {
		text = fmt.Sprintf("%s (did you mean %q?)", text, p.Suggestion)
	}
	switch {
	case p.Rule == InRoles:
		return fmt.Sprintf("role %q: %s", p.Field, text)
	case p.Rule == InLimit && p.Item < 0:
		return fmt.Sprintf("limit: %s: %s", p.Field, text)
	case p.Rule == InLimit:
		return fmt.Sprintf("limit: %s[%d]: %s", p.Field, p.Item, text)
	case p.Item < 0:
		return fmt.Sprintf("rule %d: %s: %s", p.Rule+1, p.Field, text)
	}
	return fmt.Sprintf("rule %d: %s[%d]: %s", p.Rule+1, p.Field, p.Item, text)
}
