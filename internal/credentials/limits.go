package credentials

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// isWithin reports whether the limits of who allow everything that the parameter limits allows.
// The result true is always correct. The result false can be wrong, because isWithin compares
// patterns one by one.
func isWithin(who *policy.Principal, limits []policy.Limit) bool {
	if len(who.Limits) == 0 {
		return true
	}
	for _, l := range limits {
		for _, name := range l.Names {
			if !allowPattern(who, l.Type, name, l.Actions) {
				return false
			}
		}
	}
	return len(limits) > 0
}

// allowPattern reports whether the principal's limits allow the actions on everything that the
// pattern matches.
func allowPattern(who *policy.Principal, kind, pattern string, actions scope.Actions) bool {
	var left scope.Actions
	for _, l := range who.Limits {
		if typeOf(l.Type) != typeOf(kind) {
			continue
		}
		if slices.ContainsFunc(l.Names, func(wide string) bool { return covers(wide, pattern) }) {
			left |= l.Actions
		}
	}
	return left.Has(actions)
}

// covers reports whether wide matches everything that pattern matches. It knows three cases:
// both are equal; wide is a prefix of pattern followed by "**"; or wide has "*" where pattern
// has another component.
func covers(wide, pattern string) bool {
	if wide == "**" || wide == pattern {
		return true
	}
	w, p := strings.Split(wide, "/"), strings.Split(pattern, "/")
	for i := range w {
		switch {
		case w[i] == "**" && i == len(w)-1:
			return len(p) > i // at least one component is left
		case i >= len(p):
			return false
		case w[i] == p[i]:
		case w[i] == "*" && p[i] != "**" && !strings.Contains(p[i], "$"):
		default:
			return false
		}
	}
	return len(w) == len(p)
}

func typeOf(kind string) string {
	if kind == "" {
		return scope.TypeRepository
	}
	return kind
}

// forRegistries returns limits without rights over Tidewaiter itself. If the given list is empty,
// the result allows everything at registries. If the given limits have rights over Tidewaiter, the
// result is an error. forRegistries is for tokens that a non-administrator creates for somebody
// else. The creator knows the secret, so the token must never have its owner's rights over
// Tidewaiter, even if the owner becomes an administrator later.
func forRegistries(limits []policy.Limit) ([]policy.Limit, error) {
	for _, l := range limits {
		if l.Type == scope.TypeTidewaiter {
			return nil, fmt.Errorf("a token for somebody else with rights over Tidewaiter itself %w", admin.Requires(admin.RightAdministrators, scope.Write))
		}
	}
	if len(limits) > 0 {
		return limits, nil
	}
	return []policy.Limit{
		{Names: []string{"**"}, Actions: scope.Repository},
		{Type: scope.TypeRegistry, Names: []string{"catalog"}, Actions: scope.All},
	}, nil
}

// restricted returns a principal restricted by the limits of a token. In general, the intersection
// of two lists of limits cannot be written as a list of limits. So if p already has limits, and
// they do not contain the token's limits, the result has no rights.
func restricted(p *policy.Principal, limits []policy.Limit) *policy.Principal {
	if len(limits) == 0 {
		return p
	}
	own := *p
	if len(p.Limits) > 0 && !isWithin(p, limits) {
		limits = []policy.Limit{{}}
	}
	own.Limits = limits
	return &own
}
