package ruleset

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/when"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Actions are what actions are called.
var Actions = []string{"pull", "push", "delete", "read", "write", "*"}

// Effects are what effects are called.
var Effects = []string{string(Allow), string(Deny)}

// checker checks one rule.
type checker struct {
	*Rule
	rule policy.Rule
	found
}

// found are the problems that were found so far.
type found struct{ problems Problems }

func (c *found) bad(field string, item int, format string, args ...any) {
	c.suggest(field, item, "", format, args...)
}

func (c *found) suggest(field string, item int, suggestion, format string, args ...any) {
	c.problems = append(c.problems, Problem{Field: field, Item: item, Text: fmt.Sprintf(format, args...), Suggestion: suggestion})
}

// missing adds the problem that something should be written.
func (c *found) missing(field, format string, args ...any) {
	c.problems = append(c.problems, Problem{Field: field, Item: -1, Text: fmt.Sprintf(format, args...), Missing: true})
}

// Policy checks a rule and returns it as one of a policy. compile compiles conditions, as that of
// a when.Compiler does; nil: there can be none. The error is Problems, with all that is wrong.
func (r *Rule) Policy(compile func(string) (policy.Condition, error)) (policy.Rule, error) {
	if r == nil {
		r = new(Rule)
	}
	c := r.fields(compile)
	own := c.problems
	c.problems = nil
	c.together()
	for _, p := range c.problems {
		if !slices.ContainsFunc(own, func(o Problem) bool { return o.Field == p.Field }) { // one that follows from another is not told
			own = append(own, p)
		}
	}
	c.problems = own
	if len(c.problems) > 0 {
		return policy.Rule{}, sorted(c.problems)
	}
	return c.rule, nil
}

// Policy checks a role and returns it as one of a policy. The error is Problems.
func (r *Role) Policy() (policy.Role, error) {
	if r == nil {
		r = new(Role)
	}
	var c found
	c.empties(r.Empty)
	if r.Actions != nil && len(r.Actions) == 0 {
		c.bad("actions", -1, emptyList)
	}
	if r.Actions == nil {
		c.missing("actions", "actions is missing")
	}
	role := policy.Role{Actions: c.actions(r.Actions, scope.Repository), Lifetime: c.lifetime(r.Lifetime)}
	if len(c.problems) > 0 {
		return role, c.problems
	}
	return role, nil
}

// Check checks each field of a rule by itself, for a rule that could not be read as a whole.
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
	c.empties(c.Empty)
	c.texts()
	if effect := string(c.Effect); effect != "" && !slices.Contains(Effects, effect) {
		c.suggest("effect", -1, text.Nearest(effect, Effects), "%s is not one of %s", text.QuoteShort(effect), strings.Join(Effects, ", "))
	}
	all := scope.Repository // what "*" is
	switch {
	case c.Catalog:
		all = scope.All
	case len(c.Tidewaiter) > 0:
		all = scope.Read | scope.Write
	}
	c.rule.Actions = c.actions(c.Actions, all)
	c.rights()
	if c.When != "" {
		c.condition(compile)
	}
	c.rule.Lifetime = c.lifetime(c.Lifetime)
	return c
}

const emptyList = "the list is empty, which could mean none or all; add items, or leave out the key"

// empties adds a problem for each text that is written with nothing in it.
func (c *found) empties(fields []string) {
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

// texts looks at what is text of one line.
func (c *checker) texts() {
	if c.Name != "" {
		c.line("name", -1, c.Name)
	}
	if c.Role != "" {
		c.line("role", -1, c.Role)
	}
	lists := c.lists()
	for _, list := range lists[:4] {
		for i, item := range list.items {
			c.line(list.field, i, item)
		}
	}
}

// line is a text of one line, with something in it, and nothing at its ends that cannot be seen.
func (c *checker) line(field string, item int, written string) {
	trimmed := strings.TrimSpace(written)
	switch {
	case trimmed == "":
		c.bad(field, item, "the text is empty")
	case !text.OneLine(written):
		c.bad(field, item, "the text has a line end, a tab or a control character in it")
	case trimmed != written:
		c.suggest(field, item, trimmed, "the text begins or ends with white space")
	}
}

// actions reads the words for actions, of which "*" is all.
func (c *found) actions(words []string, all scope.Actions) (set scope.Actions) {
	for i, word := range words {
		action, known := scope.ParseAction(word)
		switch {
		case !known:
			c.suggest("actions", i, text.Nearest(word, Actions), "%s is not one of %s", text.QuoteShort(word), strings.Join(Actions, ", "))
		case slices.Contains(words[:i], word):
			c.bad("actions", i, "%s is listed twice", word)
		case word == "*":
			action = all
		}
		set |= action
	}
	return set
}

// Rights are the names of rights over Tidewaiter; that over one namespace has the namespace's name
// behind NamespaceRight.
var Rights = []string{"accounts", "administrators", "journal", "policy", "namespaces"}

// NamespaceRight is what the names of rights over namespaces begin with.
const NamespaceRight = "namespace/"

// rights looks at the names of rights over Tidewaiter: one of them, a pattern of namespaces, or **
// for all. The patterns themselves are checked as any other.
func (c *checker) rights() {
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
		c.suggest("tidewaiter", i, near, "%s is no right over Tidewaiter: there is %s, namespace/NAME, or \"**\" for all", text.QuoteShort(written), strings.Join(Rights, ", "))
	}
}

func (c *checker) condition(compile func(string) (policy.Condition, error)) {
	if compile == nil {
		c.bad("when", -1, "conditions are not known here")
		return
	}
	condition, err := compile(strings.TrimSuffix(c.When, "\n")) // the line end of a block in YAML
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

// lifetime reads a lifetime; "" is 0.
func (c *found) lifetime(written string) time.Duration {
	if written == "" {
		return 0
	}
	d, err := time.ParseDuration(written)
	switch {
	case err != nil:
		c.suggest("lifetime", -1, text.MeantDuration(written), "%s is not a duration like 90s, 5m or 24h", text.QuoteShort(written))
	case d < MinLifetime || d > MaxLifetime:
		c.bad("lifetime", -1, "%s is not between %s and %s", text.QuoteShort(written), text.Duration(MinLifetime), text.Duration(MaxLifetime))
	case d%time.Second != 0:
		c.bad("lifetime", -1, "%s must be whole seconds, because tokens count seconds", text.QuoteShort(written))
	default:
		return d
	}
	return 0
}

// together puts in what a rule need not say, and looks whether its parts go together.
func (c *checker) together() {
	if c.Name == "" {
		c.missing("name", "name is missing")
	}
	if c.Subjects == nil {
		if c.Effect == Allow || c.Effect == "" { // what was meant by another is not known
			c.missing("subjects", "subjects is missing: an allow must say whom it is for")
		}
		c.rule.Subjects = []string{"anyone"}
	}
	if c.rule.Deny && c.Lifetime != "" {
		c.bad("lifetime", -1, "a deny grants nothing that could have a lifetime")
	}
	acts := c.Role != "" || c.Actions != nil
	switch {
	case c.Catalog && len(c.Repositories) > 0:
		c.bad("catalog", -1, "a rule is for repositories or for the catalog; write two")
	case len(c.Tidewaiter) > 0 && (c.Catalog || len(c.Repositories) > 0):
		c.bad("tidewaiter", -1, "a rule is for what registries have or for Tidewaiter itself; write two")
	case len(c.Tidewaiter) > 0:
		c.rule.Type, c.rule.Names = scope.TypeTidewaiter, c.Tidewaiter
		for _, field := range []struct {
			name    string
			written bool
		}{{"registries", len(c.Registries) > 0}, {"lifetime", c.Lifetime != ""}} {
			if field.written {
				c.bad(field.name, -1, "%s is about registries, and the rule about Tidewaiter itself", field.name)
			}
		}
		if !acts {
			c.missing("actions", "actions is missing: read, write, or both")
		}
	case c.Catalog:
		c.rule.Type, c.rule.Names = scope.TypeRegistry, []string{"catalog"}
		if c.Role != "" {
			c.bad("role", -1, "the catalog has one action, \"*\", and takes no role")
		}
		if len(c.Actions) > 0 && (len(c.Actions) > 1 || c.Actions[0] != "*") {
			c.suggest("actions", -1, `["*"]`, "the catalog has one action")
		}
		c.rule.Actions = scope.All
	case c.Tidewaiter != nil:
	case c.Repositories == nil:
		c.missing("repositories", "repositories is missing, or catalog: true, or tidewaiter")
		if !acts {
			c.missing("actions", "give actions or role")
		}
	default:
		c.rule.Names = c.Repositories
		if !acts {
			c.missing("actions", "give actions or role")
		}
	}
}

// CheckRegistries finds registries that a rule names and that there are not.
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
			Field: "registries", Item: i, Text: fmt.Sprintf("no registry has the service %s%s", text.QuoteShort(name), there), Suggestion: near,
		})
	}
	return problems
}

// Compiled finds what policy says of a rule by itself, with the roles and registries that there
// are. Rules do not know each other but by their names: so a rule that compiles alone does among
// others. The error is Problems.
func Compiled(r policy.Rule, roles map[string]policy.Role, services []string) error {
	_, err := policy.Compile(policy.Source{Roles: roles, Rules: []policy.Rule{r}})
	problems, ok := errors.AsType[policy.Problems](err)
	if err != nil && !ok {
		return err
	}
	var wrong Problems
	for _, p := range problems {
		if p.Rule >= 0 { // else it is a role's, which is another's problem
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
