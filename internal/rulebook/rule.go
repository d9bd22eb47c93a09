package rulebook

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Effect is what a rule does.
type Effect string

// The effects.
const (
	Allow Effect = "allow" // which "" is, too
	Deny  Effect = "deny"
)

// Content is what a rule says, in the words of tidewaiter.yaml.
type Content struct {
	Name         string        `json:"name"`
	Effect       Effect        `json:"effect,omitempty"`
	Subjects     []string      `json:"subjects,omitempty"` // a deny without any is for anyone
	Registries   []string      `json:"registries,omitempty"`
	Repositories []string      `json:"repositories,omitempty"` // this …
	Catalog      bool          `json:"catalog,omitempty"`      // … or this …
	Tidewaiter   []string      `json:"tidewaiter,omitempty"`   // … or this: rights over Tidewaiter itself
	Role         string        `json:"role,omitempty"`
	Actions      []string      `json:"actions,omitempty"` // "pull", "push", "delete", "read", "write", or "*" for all
	When         string        `json:"when,omitempty"`
	Lifetime     time.Duration `json:"lifetime,omitempty"` // whole seconds
	Comment      string        `json:"comment,omitempty"`
}

// Rule is a rule of the database.
type Rule struct {
	ID      string
	Version int64
	Created time.Time
	Changed time.Time
	Content
}

// Problem is a mistake in a Content.
type Problem struct {
	Field      string // "repositories": as Content calls it in JSON
	Item       int    // index into the field's list; -1: the field itself
	Text       string
	Suggestion string // "" if there is none
}

// Problems are all mistakes of a Content.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, one := range p {
		lines[i] = one.String()
	}
	return strings.Join(lines, "; ")
}

// String is the mistake in a line: `repositories: the pattern "team//app" has an empty path part (did you mean "team/app"?)`.
func (p Problem) String() string {
	text := p.Field + ": " + p.Text
	if p.Suggestion != "" {
		text += fmt.Sprintf(" (did you mean %q?)", p.Suggestion)
	}
	return text
}

// Bounds of what the database keeps.
const (
	maxComment  = 4096
	maxItems    = 1000 // subjects, registries, names of a rule
	minLifetime = time.Minute
	maxLifetime = 24 * time.Hour
)

// rule turns what a rule says into one of a policy. The error is Problems.
func (c *Content) rule(when func(string) (policy.Condition, error)) (policy.Rule, error) {
	var wrong Problems
	bad := func(field string, item int, format string, args ...any) {
		wrong = append(wrong, Problem{Field: field, Item: item, Text: fmt.Sprintf(format, args...)})
	}
	r := policy.Rule{
		Name: c.Name, Deny: c.Effect == Deny, Subjects: c.Subjects, Registries: c.Registries, Role: c.Role, Lifetime: c.Lifetime,
	}
	if c.Effect != "" && c.Effect != Allow && c.Effect != Deny {
		bad("effect", -1, "%q is none of allow, deny", c.Effect)
	}
	switch {
	case len(c.Subjects) > 0:
	case r.Deny:
		r.Subjects = []string{"anyone"}
	default:
		bad("subjects", -1, "an allow must say whom it is for")
	}
	for field, list := range map[string][]string{
		"subjects": c.Subjects, "registries": c.Registries, "repositories": c.Repositories, "tidewaiter": c.Tidewaiter, "actions": c.Actions,
	} {
		if len(list) > maxItems {
			bad(field, -1, "these are %d; the limit is %d", len(list), maxItems)
		}
	}
	if len(c.Comment) > maxComment {
		bad("comment", -1, "it has %d bytes, the limit is %d", len(c.Comment), maxComment)
	}
	switch kinds := howMany(len(c.Repositories) > 0, c.Catalog, len(c.Tidewaiter) > 0); {
	case kinds == 0:
		bad("repositories", -1, "it is missing, or catalog: true, or tidewaiter")
	case kinds > 1:
		bad("repositories", -1, "a rule is for repositories, or for the catalog, or for Tidewaiter itself; write two")
	case c.Catalog:
		r.Type, r.Names = scope.TypeRegistry, []string{"catalog"}
	case len(c.Tidewaiter) > 0:
		r.Type, r.Names = scope.TypeTidewaiter, c.Tidewaiter
		for i, name := range c.Tidewaiter {
			if !isRight(name) {
				bad("tidewaiter", i, "%.80q is no right over Tidewaiter: there is accounts, administrators, journal, policy, namespaces, namespace/NAME, or \"**\" for all", name)
			}
		}
		if len(c.Registries) > 0 {
			bad("registries", -1, "this is about registries, and the rule about Tidewaiter itself")
		}
		if c.Lifetime != 0 {
			bad("lifetime", -1, "this is about registries, and the rule about Tidewaiter itself")
		}
	default:
		r.Type, r.Names = scope.TypeRepository, c.Repositories
	}
	for i, word := range c.Actions {
		action, known := scope.ParseAction(word)
		switch {
		case !known:
			bad("actions", i, "%.40q is no action: there are pull, push, delete, read, write, and * for all", word)
		case slices.Contains(c.Actions[:i], word):
			bad("actions", i, "%s is listed twice", word)
		case action == scope.All && r.Type == scope.TypeRepository:
			action = scope.Repository
		case action == scope.All && r.Type == scope.TypeTidewaiter:
			action = scope.Read | scope.Write
		}
		r.Actions |= action
	}
	switch {
	case c.Catalog && c.Role != "":
		bad("role", -1, "the catalog has one action, \"*\", and takes no role")
	case c.Catalog && len(c.Actions) > 0 && r.Actions != scope.All:
		bad("actions", -1, "the catalog has one action, \"*\"")
	case c.Catalog:
		r.Actions = scope.All
	case c.Role == "" && len(c.Actions) == 0:
		bad("actions", -1, "it is missing, or role")
	}
	if c.Lifetime != 0 && (c.Lifetime < minLifetime || c.Lifetime > maxLifetime || c.Lifetime%time.Second != 0) {
		bad("lifetime", -1, "whole seconds between %s and %s are wanted", minLifetime, maxLifetime)
	} else if c.Lifetime != 0 && r.Deny {
		bad("lifetime", -1, "a deny grants nothing that could have a lifetime")
	}
	if c.When != "" {
		r.When = condition(c.When, when, func(text string) { bad("when", -1, "%s", text) })
	}
	if len(wrong) > 0 {
		slices.SortStableFunc(wrong, func(a, b Problem) int { return strings.Compare(a.Field, b.Field) })
		return policy.Rule{}, wrong
	}
	return r, nil
}

func condition(text string, when func(string) (policy.Condition, error), bad func(string)) policy.Condition {
	if when == nil {
		bad("conditions are not known here")
		return nil
	}
	compiled, err := when(text)
	if err == nil {
		return compiled
	}
	mistakes := []error{err}
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		mistakes = several.Unwrap()
	}
	for _, mistake := range mistakes {
		bad(mistake.Error())
	}
	return nil
}

func howMany(of ...bool) (n int) {
	for _, is := range of {
		if is {
			n++
		}
	}
	return n
}

// isRight says whether a text is the name of a right, or a pattern of namespaces, or of all.
func isRight(name string) bool {
	if name == "**" || slices.Contains([]string{"accounts", "administrators", "journal", RightPolicy, RightNamespaces}, name) {
		return true
	}
	namespace, ok := strings.CutPrefix(name, RightNamespace)
	return ok && namespace != "" && (namespace == strings.ToLower(namespace) || strings.Contains(namespace, "${"))
}

// yamlFields are the names of fields that policy calls otherwise.
var yamlFields = map[string]string{"names": "repositories", "type": "catalog"}

// check compiles a rule by itself, with all roles that there are. Rules do not know each other but by their names: so a rule
// that compiles alone does among others. The error is Problems.
func check(r policy.Rule, known roles, services []string) error {
	var wrong Problems
	_, err := policy.Compile(policy.Source{Roles: known, Rules: []policy.Rule{r}})
	problems, ok := errors.AsType[policy.Problems](err)
	if err != nil && !ok {
		return err
	}
	for _, p := range problems {
		if p.Rule < 0 {
			continue // a role of a file, which is its own problem
		}
		field := p.Field
		if other, ok := yamlFields[field]; ok {
			field = other
		}
		if field == "repositories" && r.Type == scope.TypeTidewaiter {
			field = "tidewaiter"
		}
		wrong = append(wrong, Problem{field, p.Item, p.Text, p.Suggestion})
	}
	for i, service := range r.Registries {
		if service != "" && !slices.Contains(services, service) {
			wrong = append(wrong, Problem{"registries", i, fmt.Sprintf("no registry has the service %.80q", service), ""})
		}
	}
	if len(wrong) > 0 {
		return wrong
	}
	return nil
}

// unmarshal reads a rule as it is kept. What it does not know would be lost, so it is an error.
func (c *Content) unmarshal(text string) error {
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode(c)
}
