package advice

import (
	"fmt"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
)

// Reason returns a sentence that explains the finding.
func (f *Finding) Reason() string {
	items := text.List(shortened(f.Items), "and")
	switch f.Kind {
	case UnusedRule:
		return "no recorded request matches it"
	case UnusedActions:
		return fmt.Sprintf("it allows to %s, but nobody whom it matches requested this action", text.Verbs(f.Actions.Names(), "or"))
	case UnusedSubjects:
		return "no recorded request of " + items + " matches it"
	case CoveredRule:
		return "it has no effect beside " + f.By.String()
	case DeniedRule:
		return "it has no effect, because " + f.By.String() + " denies everything that it allows"
	case UnmatchedNames:
		return "the catalog has no repository that matches " + items
	case UnusedToken, UnusedRobot:
		return "it was not used"
	}
	return ""
}

// Change returns the proposed change.
func (f *Finding) Change() string {
	switch f.Kind {
	case UnusedRule:
		if f.Rule.Deny {
			return "keep it if it is a safeguard, otherwise " + f.removeRule()
		}
		return f.removeRule()
	case CoveredRule, DeniedRule:
		return f.removeRule()
	case UnusedActions:
		return "remove the actions [" + strings.Join(f.Actions.Names(), ", ") + "] from " + place(f.Rule)
	case UnusedSubjects:
		if ns := f.Rule.Origin.Namespace; ns != "" {
			return f.removeMembers(ns)
		}
		return "remove the subjects [" + strings.Join(shortened(f.Items), ", ") + "] from " + place(f.Rule)
	case UnmatchedNames:
		if f.Whole {
			return f.removeRule()
		}
		return "remove the repositories [" + strings.Join(shortened(f.Items), ", ") + "] from " + place(f.Rule)
	case UnusedToken:
		return "tidewaiter token revoke " + f.Items[0]
	case UnusedRobot:
		return "tidewaiter robot delete " + text.Shell(f.Items[0])
	}
	return ""
}

// removeRule returns how to remove a rule.
func (f *Finding) removeRule() string {
	switch o := f.Rule.Origin; {
	case o.Namespace != "" && len(f.Rule.Subjects) > 0 && strings.Contains(f.Rule.Subjects[0], ":"):
		members := Finding{Rule: f.Rule, Items: f.Rule.Subjects}
		return members.removeMembers(o.Namespace)
	case o.Namespace != "":
		return "tidewaiter namespace set " + text.Shell(o.Namespace) + " private"
	case o.Database:
		return "tidewaiter rule delete " + text.Shell(f.Rule.Name)
	}
	return "remove the rule from " + place(f.Rule)
}

// removeMembers returns the command that removes the first of the members, and the number of the
// other members.
func (f *Finding) removeMembers(namespace string) string {
	command := "tidewaiter namespace member remove " + text.Shell(namespace) + " " + text.Shell(f.Items[0])
	if n := len(f.Items) - 1; n > 0 {
		command += fmt.Sprintf(" (and %d more)", n)
	}
	return command
}

// place returns where a rule is written.
func place(r *policy.Rule) string {
	if r.Origin.Database {
		return "the rule " + text.Quote(r.Name) + " (tidewaiter rule set)"
	}
	return r.Origin.String()
}

// shortened returns the first items of a list for people, with the number of the other items.
func shortened(items []string) []string {
	const most = 10
	var list []string
	for _, item := range items[:min(len(items), most)] {
		list = append(list, text.Name(item))
	}
	if n := len(items) - most; n > 0 {
		list = append(list, fmt.Sprintf("%d more", n))
	}
	return list
}
