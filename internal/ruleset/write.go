package ruleset

import (
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Written returns a rule of a policy in the form in which users write it, with the given
// actions instead of a role.
func Written(r *policy.Rule, actions scope.Actions) *Rule {
	w := &Rule{Name: r.Name, Subjects: r.Subjects, Registries: r.Registries, Actions: actions.Names()}
	if r.Deny {
		w.Effect = Deny
	}
	switch r.Type {
	case scope.TypeRegistry:
		w.Catalog, w.Actions = true, nil
	case scope.TypeTidewaiter:
		w.Tidewaiter = r.Names
	default:
		w.Repositories = r.Names
	}
	if r.When != nil {
		w.When = r.When.String()
	}
	if r.Lifetime > 0 {
		w.Lifetime = r.Lifetime.String()
	}
	return w
}

// AsWritten returns a rule of a policy in the form in which users write it. The result names the
// rule's role, so it does not list the role's actions. It lists only the actions that the rule
// itself names.
func AsWritten(r *policy.Rule) *Rule {
	w := Written(r, r.Actions)
	w.Role = r.Role
	return w
}

// Lines returns the rule as YAML, one line for each field that is not empty. The function quote
// quotes texts. If quote is nil, text.Quote is used.
func (r *Rule) Lines(quote func(string) string) (lines []string) {
	if r == nil {
		return nil
	}
	if quote == nil {
		quote = text.Quote
	}
	for _, f := range Fields {
		write := quote
		if f.Name == "effect" || f.Name == "actions" || f.Name == "lifetime" {
			write = word
		}
		value := ""
		switch v := f.Of(r).(type) {
		case *string:
			if *v != "" {
				value = write(*v)
			}
		case *[]string:
			items := make([]string, len(*v))
			for i, item := range *v {
				items[i] = write(item)
			}
			if len(items) > 0 {
				value = "[" + strings.Join(items, ", ") + "]"
			}
		case *bool:
			if *v {
				value = "true"
			}
		}
		if value != "" {
			lines = append(lines, f.Name+": "+value)
		}
	}
	return lines
}

// word returns a text of lower-case letters and digits unchanged, and any other text in quotes.
func word(s string) string {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789") == "" {
		return s
	}
	return text.Quote(s)
}
