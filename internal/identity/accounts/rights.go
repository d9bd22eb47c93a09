package accounts

import (
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// May reports whether the actor may do the actions on tidewaiter:name.
func (a *Accounts) May(by admin.Actor, name string, actions scope.Actions) bool {
	return a.rights.May(by, name, actions)
}

// is reports whether the actor is that owner.
func (o Owner) is(by admin.Actor) bool {
	p := by.Principal
	return p != nil && o.ID != "" && p.Kind == o.Kind && identity.SameSource(p.Source, o.Source) && p.ID == o.ID
}

// mayRead checks that the actor may read accounts.
func (a *Accounts) mayRead(by admin.Actor) error {
	return a.rights.Require(by, admin.RightAccounts, scope.Read)
}

// mayWrite checks that the actor may change accounts.
func (a *Accounts) mayWrite(by admin.Actor) error {
	return a.rights.Require(by, admin.RightAccounts, scope.Write)
}

// mayChange checks that the actor may change the principal that an account is or becomes.
func (a *Accounts) mayChange(by admin.Actor, target *policy.Principal) error {
	return a.rights.MayChange(by, target)
}

// administers reports whether only administrators may change who.
func (a *Accounts) administers(by admin.Actor, who *policy.Principal) bool {
	return a.rights.Administers(who, by.Remote)
}

// privileged reports whether one of the groups gives rights over Tidewaiter.
func privileged(groups ...string) bool {
	return slices.Contains(groups, admin.Administrators) || slices.Contains(groups, admin.Auditors)
}

// within reports whether limits allow nothing that the limits of who do not allow. It may return
// false although they do not: the check compares patterns one by one.
func within(who *policy.Principal, limits []policy.Limit) bool {
	if len(who.Limits) == 0 {
		return true
	}
	for _, l := range limits {
		for _, name := range l.Names {
			if !leaves(who, l.Type, name, l.Actions) {
				return false
			}
		}
	}
	return len(limits) > 0
}

// leaves reports whether the limits of who allow the actions on everything that the pattern
// matches.
func leaves(who *policy.Principal, kind, pattern string, actions scope.Actions) bool {
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

// covers reports whether wide matches everything that pattern matches. It knows three cases: they
// are equal, wide is a prefix of pattern followed by "**", or wide has "*" where pattern has
// another component.
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
