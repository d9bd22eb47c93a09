package delivery

import (
	"cmp"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Filter selects entries. An entry must match all fields that are set. The zero value selects
// every entry.
type Filter struct {
	Kinds   []journal.Kind
	Actions []string // actions of entries, such as push and user.add
	// Repositories are patterns as in rules. An entry about no repository does not match.
	Repositories []string
	// Namespaces are names of namespaces. Repositories of the namespaces match, even if no pattern
	// of Repositories matches. So do changes of the namespaces themselves.
	Namespaces []string
}

func namespacePatterns(names []string) (patterns []string) {
	for _, n := range names {
		patterns = append(patterns, n+"/**")
	}
	return patterns
}

// matcher is a Filter that is ready to use.
type matcher struct {
	Filter
	names *policy.Principal // a principal whose limits are the patterns; nil: any repository
}

func newMatcher(f Filter) *matcher {
	m := &matcher{Filter: f}
	if patterns := append(slices.Clone(f.Repositories), namespacePatterns(f.Namespaces)...); len(patterns) > 0 {
		p := policy.Principal{Limits: []policy.Limit{{Names: patterns, Actions: scope.Pull}}}
		m.names = p.Indexed()
	}
	return m
}

// kind returns the only kind that the filter selects, or "".
func (m *matcher) kind() journal.Kind {
	if len(m.Kinds) == 1 {
		return m.Kinds[0]
	}
	return ""
}

func (m *matcher) matches(e *journal.Entry) bool {
	if len(m.Kinds) > 0 && !slices.Contains(m.Kinds, e.Kind()) {
		return false
	}
	if len(m.Actions) > 0 && !slices.ContainsFunc(m.Actions, func(a string) bool { return hasAction(e, a) }) {
		return false
	}
	if m.names == nil {
		return true
	}
	if e.Change != nil && strings.HasPrefix(e.Change.Action, "namespace.") && slices.Contains(m.Namespaces, e.Change.Target) {
		return true
	}
	return slices.ContainsFunc(repositories(e), func(name string) bool {
		return m.names.WithinLimits(scope.Scope{Type: scope.TypeRepository, Name: name, Actions: scope.Pull}).Has(scope.Pull)
	})
}

func hasAction(e *journal.Entry, action string) (has bool) {
	switch {
	case e.Event != nil:
		return e.Event.Action == action
	case e.Change != nil:
		return e.Change.Action == action
	case e.Service != nil:
		return e.Service.Action == action
	case e.Decision != nil:
		for _, r := range e.Decision.Results {
			r.Asked.Actions.Each(func(name string) bool { has = has || name == action; return !has })
		}
	}
	return has
}

// repositories returns the repositories that an entry is about.
func repositories(e *journal.Entry) (names []string) {
	switch {
	case e.Event != nil:
		names = append(names, e.Event.Repository)
		if e.Event.FromRepository != "" {
			names = append(names, e.Event.FromRepository)
		}
	case e.Decision != nil:
		for _, r := range e.Decision.Results {
			if r.Asked.Type == scope.TypeRepository {
				names = append(names, r.Asked.Name)
			}
		}
	}
	return names
}

// orderKey returns the registry and the first repository of an entry. Entries with the same key
// are delivered in order. All entries about no repository have the key "".
func orderKey(e *journal.Entry) string {
	names := repositories(e)
	if len(names) == 0 {
		return ""
	}
	return cmp.Or(e.Registry, "-") + " " + names[0]
}
