package credentials

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// isWithin reports whether the limits of the principal p allow everything that the given limits
// allow. The result true is always correct. The result false can be wrong, because isWithin
// compares patterns one by one.
func isWithin(p *policy.Principal, limits []policy.Limit) bool {
	if len(p.Limits) == 0 {
		return true
	}
	for _, l := range limits {
		for _, name := range l.Names {
			if !allowPattern(p, l.Type, name, l.Actions) {
				return false
			}
		}
	}
	return len(limits) > 0
}

// allowPattern reports whether the limits of a principal allow the given actions on everything
// that the given pattern matches.
func allowPattern(p *policy.Principal, kind, pattern string, actions scope.Actions) bool {
	var left scope.Actions
	for _, l := range p.Limits {
		if typeOf(l.Type) != typeOf(kind) {
			continue
		}
		if slices.ContainsFunc(l.Names, func(wide string) bool { return covers(wide, pattern) }) {
			left |= l.Actions
		}
	}
	return left.Has(actions)
}

// covers reports whether the wide pattern matches everything that the narrow pattern matches. It
// knows three cases: both patterns are equal; the wide pattern is a prefix of the narrow
// pattern, followed by "**"; or the wide pattern has "*" where the narrow pattern has another
// component.
func covers(wide, narrow string) bool {
	if wide == "**" || wide == narrow {
		return true
	}
	w, p := strings.Split(wide, "/"), strings.Split(narrow, "/")
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

// registryLimits returns the given limits. If the limits contain rights over Tidewaiter itself, it
// returns an error instead. If the given list is empty, the returned limits allow everything at
// registries. This function is for tokens that a non-administrator creates for somebody else. The
// creator knows the secret, so the token must never have its owner's rights over Tidewaiter, even
// if the owner becomes an administrator later.
func registryLimits(limits []policy.Limit) ([]policy.Limit, error) {
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

// restrictPrincipal returns a principal that also has the limits of a token. In general, the
// intersection of two lists of limits cannot be written as a list of limits. So if p already has
// limits, and these do not allow everything that the token's limits allow, the returned principal
// has no rights.
func restrictPrincipal(p *policy.Principal, limits []policy.Limit) *policy.Principal {
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
