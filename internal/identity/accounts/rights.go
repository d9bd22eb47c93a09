package accounts

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// The names of rights.
const (
	rightAccounts       = "accounts"
	rightAdministrators = "administrators"
	rightJournal        = "journal"
)

// May says whether the actor has a right over Tidewaiter: actions on tidewaiter:name.
func (a *Accounts) May(by Actor, name string, actions scope.Actions) bool {
	return a.rights.May(by, name, actions)
}

// is says whether the actor is that owner.
func (o Owner) is(by Actor) bool {
	p := by.Principal
	return p != nil && o.ID != "" && p.Kind == o.Kind && p.Source == o.Source && p.ID == o.ID
}

// mayRead is an error unless the actor may see accounts.
func (a *Accounts) mayRead(by Actor) error {
	if !a.May(by, rightAccounts, scope.Read) {
		return rulebook.Requires(rightAccounts, scope.Read)
	}
	return nil
}

// mayWrite is an error unless the actor may change accounts. A narrowed credential may not, whatever it is
// narrowed to: with a password that it set it could become somebody who is not.
func (a *Accounts) mayWrite(by Actor) error {
	if !a.May(by, rightAccounts, scope.Write) {
		return rulebook.Requires(rightAccounts, scope.Write)
	}
	if by.Narrowed() {
		return rulebook.ErrRestricted
	}
	return nil
}

// mayChange is an error unless the actor may change the principal that somebody is or becomes: who may
// change accounts is not therefore an administrator, nor can become one, also not one of office hours in the night.
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

// administers says whether somebody is, or is at another time, whom only administrators may change.
func (a *Accounts) administers(by Actor, who *policy.Principal) bool {
	plain := *who
	plain.Limits = nil
	as := Actor{Principal: &plain, Remote: by.Remote}
	return privileged(plain.Groups...) || a.rights.Might(as, rightAdministrators, scope.Write)
}

// privileged says whether one of the groups gives rights over Tidewaiter.
func privileged(groups ...string) bool {
	return slices.Contains(groups, Administrators) || slices.Contains(groups, Auditors)
}

// within says whether limits leave nothing that the actor's own do not. It may say no where a longer look would find that
// they don't.
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

// leaves says whether the limits of who leave the actions on all that the pattern matches.
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

// covers says whether one pattern matches all that another does: because it is the same, because it is
// the beginning of the other with all that follows, or because it differs in parts of "*" alone.
func covers(wide, pattern string) bool {
	if wide == "**" || wide == pattern {
		return true
	}
	w, p := strings.Split(wide, "/"), strings.Split(pattern, "/")
	for i := range w {
		switch {
		case w[i] == "**" && i == len(w)-1:
			return len(p) > i // one part or more is left
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
