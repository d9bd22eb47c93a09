package ruleset

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/secret"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/when"
	"github.com/tidewaiter/tidewaiter/scope"
)

// quoteWritten returns a text that a user has written, in quotes and shortened, for an error. It
// removes secrets before it shortens the text, because the redaction of logs does not recognize
// a shortened secret.
func quoteWritten(written string) string { return text.QuoteShort(secret.Shorten(written, 60)) }

// Actions are the names of all actions.
var Actions = []string{"pull", "push", "delete", "read", "write", "*"}

// Effects are the names of all effects.
var Effects = []string{string(Allow), string(Deny)}

// checker checks one rule.
type checker struct {
	*Rule
	rule policy.Rule
	collector
}

// collector collects problems.
type collector struct{ problems Problems }

func (c *collector) bad(field string, item int, format string, args ...any) {
	c.suggest(field, item, "", format, args...)
}

func (c *collector) suggest(field string, item int, suggestion, format string, args ...any) {
	c.problems = append(c.problems, Problem{Field: field, Item: item, Text: fmt.Sprintf(format, args...), Suggestion: suggestion})
}

// addMissing adds a problem about a required field that is missing.
func (c *collector) addMissing(field, text string) {
	c.problems = append(c.problems, Problem{Field: field, Item: -1, Text: text, Missing: true})
}

// Policy checks a rule and converts it to a rule of a policy. The function compile compiles
// conditions, like the method Compile of a when.Compiler. If compile is nil, conditions are not
// allowed. The error is Problems with all problems.
func (r *Rule) Policy(compile func(string) (policy.Condition, error)) (policy.Rule, error) {
	if r == nil {
		r = new(Rule)
	}
	c := r.fields(compile)
	own := c.problems
	c.problems = nil
	c.checkCombination()
	for _, p := range c.problems {
		// If a field already has a problem, skip the second problem, because it is probably a
		// consequence of the first.
		if !slices.ContainsFunc(own, func(o Problem) bool { return o.Field == p.Field }) {
			own = append(own, p)
		}
	}
	c.problems = own
	if len(c.problems) > 0 {
		return policy.Rule{}, sorted(c.problems)
	}
	return c.rule, nil
}

// Policy checks a role and converts it to a role of a policy. The error is Problems.
func (r *Role) Policy() (policy.Role, error) {
	if r == nil {
		r = new(Role)
	}
	var c collector
	c.checkEmpty(r.Empty)
	if r.Actions != nil && len(r.Actions) == 0 {
		c.bad("actions", -1, emptyList)
	}
	if r.Actions == nil {
		c.addMissing("actions", "actions is missing")
	}
	role := policy.Role{Actions: c.parseActions(r.Actions, scope.Repository), Lifetime: c.parseLifetime(r.Lifetime)}
	if len(c.problems) > 0 {
		return role, c.problems
	}
	return role, nil
}

// Check checks each field of a rule separately. It is for a rule that could not be parsed as a
// whole.
func (r *Rule) Check(compile func(string) (policy.Condition, error)) Problems {
	if r == nil {
		return nil
	}
	return sorted(r.fields(compile).problems)
}

func (r *Rule) fields(compile func(string) (policy.Condition, error)) *checker {
	c := &checker{Rule: r}
	c.rule = policy.Rule{Name: r.Name, Deny: r.Effect == Deny, Subjects: r.Subjects, Registries: r.Registries, Role: r.Role}
	for _, list := range c.lists() {
		if list.items != nil && len(list.items) == 0 {
			c.bad(list.field, -1, emptyList)
		}
	}
	c.checkEmpty(c.Empty)
	c.checkTexts()
	if effect := string(c.Effect); effect != "" && !slices.Contains(Effects, effect) {
		c.suggest("effect", -1, text.Nearest(effect, Effects), "%s is not one of %s", quoteWritten(effect), strings.Join(Effects, ", "))
	}
	all := scope.Repository // the actions that "*" means
	switch {
	case c.Catalog:
		all = scope.All
	case len(c.Tidewaiter) > 0:
		all = scope.Read | scope.Write
	}
	c.rule.Actions = c.parseActions(c.Actions, all)
	c.checkRights()
	if c.When != "" {
		c.condition(compile)
	}
	c.rule.Lifetime = c.parseLifetime(c.Lifetime)
	return c
}

const emptyList = "the list is empty, which could mean none or all; add items, or leave out the key"

// checkEmpty adds a problem for each text field that is present but empty.
func (c *collector) checkEmpty(fields []string) {
	for _, field := range fields {
		switch field {
		case "comment":
		case "when":
			c.problems = append(c.problems, Problem{Field: field, Item: -1, Text: "the condition is empty", Line: 1, Column: 1})
		default:
			c.bad(field, -1, "the text is empty")
		}
	}
}

type list struct {
	field string
	items []string
}

func (c *checker) lists() [5]list {
	return [...]list{
		{"subjects", c.Subjects}, {"registries", c.Registries}, {"repositories", c.Repositories}, {"tidewaiter", c.Tidewaiter}, {"actions", c.Actions},
	}
}

// checkTexts checks the fields that are one line of text.
func (c *checker) checkTexts() {
	if c.Name != "" {
		c.checkLine("name", -1, c.Name)
	}
	if c.Role != "" {
		c.checkLine("role", -1, c.Role)
	}
	lists := c.lists()
	for _, list := range lists[:4] {
		for i, item := range list.items {
			c.checkLine(list.field, i, item)
		}
	}
}

// checkLine checks that a text is one line, is not empty, and has no white space at its ends.
func (c *checker) checkLine(field string, item int, written string) {
	trimmed := strings.TrimSpace(written)
	switch {
	case trimmed == "":
		c.bad(field, item, "the text is empty")
	case !text.OneLine(written):
		c.bad(field, item, "the text contains a line end, a tab or a control character")
	case trimmed != written:
		c.suggest(field, item, trimmed, "the text begins or ends with white space")
	}
}

// parseActions parses the names of actions. The name "*" means all actions.
func (c *collector) parseActions(words []string, all scope.Actions) (set scope.Actions) {
	for i, word := range words {
		action, known := scope.ParseAction(word)
		switch {
		case !known:
			c.suggest("actions", i, text.Nearest(word, Actions), "%s is not one of %s", quoteWritten(word), strings.Join(Actions, ", "))
		case slices.Contains(words[:i], word):
			c.bad("actions", i, "%s is listed twice", word)
		case word == "*":
			action = all
		}
		set |= action
	}
	return set
}

// Rights are the names of rights over Tidewaiter. The list does not contain the right over one
// namespace, whose name is NamespaceRight followed by the namespace's name.
var Rights = []string{"accounts", "administrators", "journal", "policy", "namespaces"}

// NamespaceRight is the prefix of the names of rights over one namespace.
const NamespaceRight = "namespace/"

// checkRights checks names of rights over Tidewaiter: one of Rights, NamespaceRight with a
// pattern, or ** for all rights. policy.Compile checks the pattern.
func (c *checker) checkRights() {
	for i, written := range c.Tidewaiter {
		if written == "**" || slices.Contains(Rights, written) || strings.TrimSpace(written) == "" {
			continue
		}
		if name, ok := strings.CutPrefix(written, NamespaceRight); ok && name != "" {
			if lower := strings.ToLower(name); lower != name && !strings.Contains(name, "${") {
				c.suggest("tidewaiter", i, NamespaceRight+lower, "namespaces are written in lower case")
			}
			continue
		}
		near := text.Nearest(written, Rights)
		if written == "namespace" || written == NamespaceRight {
			near = NamespaceRight + "**"
		}
		c.suggest("tidewaiter", i, near, "%s is not a right over Tidewaiter: use %s, namespace/NAME, or \"**\" for all", quoteWritten(written), strings.Join(Rights, ", "))
	}
}

func (c *checker) condition(compile func(string) (policy.Condition, error)) {
	if compile == nil {
		c.bad("when", -1, "conditions are not supported here")
		return
	}
	condition, err := compile(strings.TrimSuffix(c.When, "\n")) // YAML blocks end in a newline
	if err == nil {
		c.rule.When = condition
		return
	}
	mistakes, known := errors.AsType[when.Errors](err)
	if !known {
		c.bad("when", -1, "%v", err)
	}
	for _, m := range mistakes {
		c.problems = append(c.problems, Problem{Field: "when", Item: -1, Text: m.Text, Suggestion: m.Suggestion, Line: m.Line, Column: m.Column})
	}
}

// parseLifetime parses a lifetime. An empty text means 0.
func (c *collector) parseLifetime(written string) time.Duration {
	if written == "" {
		return 0
	}
	d, err := time.ParseDuration(written)
	switch {
	case err != nil:
		c.suggest("lifetime", -1, text.MeantDuration(written), "%s is not a duration like 90s, 5m or 24h", quoteWritten(written))
	case d < MinLifetime || d > MaxLifetime:
		c.bad("lifetime", -1, "%s is not between %s and %s", quoteWritten(written), text.Duration(MinLifetime), text.Duration(MaxLifetime))
	case d%time.Second != 0:
		c.bad("lifetime", -1, "%s must be whole seconds, because tokens count seconds", quoteWritten(written))
	default:
		return d
	}
	return 0
}

// checkCombination sets the defaults of a rule, and checks the fields that depend on each other,
// such as repositories and catalog.
func (c *checker) checkCombination() {
	if c.Name == "" {
		c.addMissing("name", "name is missing")
	}
	if c.Subjects == nil {
		if c.Effect == Allow || c.Effect == "" { // an invalid effect could mean deny
			c.addMissing("subjects", "subjects is missing: an allow rule must have subjects")
		}
		c.rule.Subjects = []string{"anyone"}
	}
	if c.rule.Deny && c.Lifetime != "" {
		c.bad("lifetime", -1, "a deny rule cannot have a lifetime, because it grants nothing")
	}
	acts := c.Role != "" || c.Actions != nil
	switch {
	case c.Catalog && len(c.Repositories) > 0:
		c.bad("catalog", -1, "a rule cannot be for both repositories and the catalog; write two rules")
	case len(c.Tidewaiter) > 0 && (c.Catalog || len(c.Repositories) > 0):
		c.bad("tidewaiter", -1, "a rule cannot be for both registries and Tidewaiter itself; write two rules")
	case len(c.Tidewaiter) > 0:
		c.rule.Type, c.rule.Names = scope.TypeTidewaiter, c.Tidewaiter
		for _, field := range []struct {
			name    string
			written bool
		}{{"registries", len(c.Registries) > 0}, {"lifetime", c.Lifetime != ""}} {
			if field.written {
				c.bad(field.name, -1, "%s applies only to registries, and the rule is for Tidewaiter itself", field.name)
			}
		}
		if !acts {
			c.addMissing("actions", "actions is missing: read, write, or both")
		}
	case c.Catalog:
		c.rule.Type, c.rule.Names = scope.TypeRegistry, []string{"catalog"}
		if c.Role != "" {
			c.bad("role", -1, "the catalog has only the action \"*\", and accepts no role")
		}
		if len(c.Actions) > 0 && (len(c.Actions) > 1 || c.Actions[0] != "*") {
			c.suggest("actions", -1, `["*"]`, "the catalog has only the action \"*\"")
		}
		c.rule.Actions = scope.All
	case c.Tidewaiter != nil:
	case c.Repositories == nil:
		c.addMissing("repositories", "repositories is missing, or catalog: true, or tidewaiter")
		if !acts {
			c.addMissing("actions", "give actions or role")
		}
	default:
		c.rule.Names = c.Repositories
		if !acts {
			c.addMissing("actions", "give actions or role")
		}
	}
}

// CheckRegistries returns a problem for each of the rule's registries that is not one of the given
// services.
func CheckRegistries(r *policy.Rule, services []string) (problems Problems) {
	for i, name := range r.Registries {
		if slices.Contains(services, name) {
			continue
		}
		near := text.Nearest(name, services)
		there := ""
		switch {
		case near != "" || len(services) == 0 || len(services) > 8:
		case len(services) == 1:
			there = "; there is " + services[0]
		default:
			there = "; there are " + strings.Join(services, ", ")
		}
		problems = append(problems, Problem{
			Field: "registries", Item: i, Text: fmt.Sprintf("no registry has the service %s%s", quoteWritten(name), there), Suggestion: near,
		})
	}
	return problems
}

// Compiled compiles a single rule with the existing roles and registries. The error is Problems
// with the problems of the rule. Apart from unique names, rules do not depend on each other. So a
// rule that compiles alone also compiles together with other rules.
func Compiled(r policy.Rule, roles map[string]policy.Role, services []string) error {
	_, err := policy.Compile(policy.Source{Roles: roles, Rules: []policy.Rule{r}})
	problems, ok := errors.AsType[policy.Problems](err)
	if err != nil && !ok {
		return err
	}
	var wrong Problems
	for _, p := range problems {
		if p.Rule >= 0 { // p is about a rule, not about a role
			wrong = append(wrong, Problem{Field: FieldOf(p, &r), Item: p.Item, Text: p.Text, Suggestion: p.Suggestion})
		}
	}
	wrong = append(wrong, CheckRegistries(&r, services)...)
	if len(wrong) > 0 {
		return sorted(wrong)
	}
	return nil
}

func fieldOf(field, kind string) string {
	switch {
	case field == "names" && kind == scope.TypeTidewaiter:
		return "tidewaiter"
	case field == "names" && kind == scope.TypeRegistry, field == "type":
		return "catalog"
	case field == "names":
		return "repositories"
	}
	return field
}
