// Package policydiff compares two policies. It answers: which rules and roles were added, removed
// or changed?
package policydiff

import (
	"maps"
	"slices"

	"github.com/tidewaiter/tidewaiter/internal/ruleset"
	"github.com/tidewaiter/tidewaiter/policy"
)

// Difference lists the rules and roles that differ between two policies.
type Difference struct {
	Rules     []RuleChange // in the order of the later policy; removed rules come last
	Roles     []RoleChange // by name
	Reordered bool         // the rules are the same, but in another order
}

// RuleChange is a rule that differs. Before is nil if the rule was added. After is nil if the rule
// was removed.
type RuleChange struct{ Before, After *policy.Rule }

// RoleChange is a role that differs. Before is nil if the role was added. After is nil if the role
// was removed.
type RoleChange struct {
	Name          string
	Before, After *policy.Role
}

// Compare compares the rules and roles of two policies. It ignores the files and lines of the
// rules.
func Compare(before, after policy.Source) (c Difference) {
	then, now := byName(before.Rules), byName(after.Rules)
	for i := range after.Rules {
		is := &after.Rules[i]
		if was := then[is.Name]; was == nil || !slices.Equal(Lines(was), Lines(is)) {
			c.Rules = append(c.Rules, RuleChange{was, is})
		}
	}
	for i := range before.Rules {
		if was := &before.Rules[i]; now[was.Name] == nil {
			c.Rules = append(c.Rules, RuleChange{was, nil})
		}
	}
	names := slices.AppendSeq(slices.Collect(maps.Keys(before.Roles)), maps.Keys(after.Roles))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		was, had := before.Roles[name]
		is, has := after.Roles[name]
		switch {
		case !had:
			c.Roles = append(c.Roles, RoleChange{name, nil, &is})
		case !has:
			c.Roles = append(c.Roles, RoleChange{name, &was, nil})
		case was != is:
			c.Roles = append(c.Roles, RoleChange{name, &was, &is})
		}
	}
	c.Reordered = len(c.Rules)+len(c.Roles) == 0 && !slices.EqualFunc(before.Rules, after.Rules, func(a, b policy.Rule) bool { return a.Name == b.Name })
	return c
}

func byName(rules []policy.Rule) map[string]*policy.Rule {
	m := make(map[string]*policy.Rule, len(rules))
	for i := range rules {
		m[rules[i].Name] = &rules[i]
	}
	return m
}

// Lines returns the fields of a rule as YAML, one line for each field. The first line is the
// name.
func Lines(r *policy.Rule) []string {
	if r == nil {
		return nil
	}
	return ruleset.AsWritten(r).Lines(nil)
}
