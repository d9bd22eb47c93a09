package accounts

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Names of rights.
const (
	rightAccounts       = "accounts"
	rightAdministrators = "administrators"
	rightJournal        = "journal"
)

// May reports whether the actor may do the actions on tidewaiter:name.
func (a *Accounts) May(by Actor, name string, actions scope.Actions) bool {
	return a.rights.May(by, name, actions)
}

// is reports whether the actor is that owner.
func (o Owner) is(by Actor) bool {
	p := by.Principal
	return p != nil && o.ID != "" && p.Kind == o.Kind && identity.SameSource(p.Source, o.Source) && p.ID == o.ID
}

// mayRead checks that the actor may read accounts.
func (a *Accounts) mayRead(by Actor) error {
	if !a.May(by, rightAccounts, scope.Read) {
		return rulebook.Requires(rightAccounts, scope.Read)
	}
	return nil
}

// mayWrite checks that the actor may change accounts. A restricted credential may not, whatever
// its restrictions: it could set a password and sign in without them.
func (a *Accounts) mayWrite(by Actor) error {
	if !a.May(by, rightAccounts, scope.Write) {
		return rulebook.Requires(rightAccounts, scope.Write)
	}
	if by.Restricted() {
		return rulebook.ErrRestricted
	}
	return nil
}

// mayChange checks that the actor may change the principal that an account is or becomes. A
// non-administrator who may change accounts may not change an administrator or create one. That
// includes accounts that are administrators at certain times only.
func (a *Accounts) mayChange(by Actor, target *policy.Principal) error {
	if err := a.mayWrite(by); err != nil {
		return err
	}
	if a.May(by, rightAdministrators, scope.Write) {
		return nil
	}
	if a.administers(by, target) {
		return fmt.Errorf("%w, since it concerns an administrator", rulebook.Requires(rightAdministrators, scope.Write))
	}
	return nil
}

// administers reports whether only administrators may change who: a member of a privileged group,
// or anyone who has administrators:write at any time.
func (a *Accounts) administers(by Actor, who *policy.Principal) bool {
	plain := *who
	plain.Limits = nil
	as := Actor{Principal: &plain, Remote: by.Remote}
	return privileged(plain.Groups...) || a.rights.Might(as, rightAdministrators, scope.Write)
}

// privileged reports whether one of the groups gives rights over Tidewaiter.
func privileged(groups ...string) bool {
	return slices.Contains(groups, Administrators) || slices.Contains(groups, Auditors)
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
