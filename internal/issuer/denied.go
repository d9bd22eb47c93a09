package issuer

import (
	"fmt"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// DeniedError says what was refused and why, for the person who waits for it. It wraps ErrDenied. The
// journal and `explain` have all of it under the ID; the text has only what the principal may know.
type DeniedError struct {
	ID        journal.ID // of the decision
	Principal *policy.Principal
	Result    policy.Result
	ShowRules bool   // name the rule
	Hint      string // what to do about it, in the administrator's words; "" for nothing
}

func (e *DeniedError) Unwrap() error { return ErrDenied }

// Error is a sentence for the client's user: who, what, why, by which id to ask, and whom.
//
//	bob may not push to team/app: no rule allows it (decision 019aa1b2-c3d4-7e5f)
//	bob may not push to team/app, or there is no such repository (decision 019aa1b2-c3d4-7e5f)
//	bob may not list the catalog: no rule allows it (decision 019aa1b2-c3d4-7e5f)
//
// The second is for whoever may not pull there: it is the same whatever rules there are, so that nobody
// learns from it that a repository is there, or looked after. No step asks the registry, either. Every
// registry has a catalog, so that the third may say why.
func (e *DeniedError) Error() string {
	asked := e.Result.Asked
	refused := needed(asked.Actions) &^ e.Result.Granted
	text := identity.Login(e.Principal) + " may not "
	switch {
	case isCatalog(asked):
		text += "list the catalog: " + e.why(refused)
	case e.Result.Granted.Has(scope.Pull):
		text += verbs(refused) + " " + asked.Name + ": " + e.why(refused)
	default:
		text += verbs(refused) + " " + asked.Name + ", or there is no such repository"
	}
	text += fmt.Sprintf(" (decision %s)", e.ID.Short())
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	return text
}

// why is the reason for which the first of the refused actions was.
func (e *DeniedError) why(refused scope.Actions) string {
	for _, c := range e.Result.Causes {
		if c.Actions&refused == 0 || c.Rule == nil {
			continue
		}
		rule := "a rule"
		if e.ShowRules {
			rule = fmt.Sprintf("rule %q", c.Rule.Name)
		}
		switch c.Reason {
		case policy.Denied:
			return rule + " denies it"
		case policy.Narrowed:
			return "what was shown to sign in is narrowed to less"
		case policy.ConditionFailed:
			return "the condition of " + rule + " does not hold"
		}
	}
	return "no rule allows it"
}

// verbs says actions so that a repository can follow: "push to", "pull or push to", "delete in".
func verbs(actions scope.Actions) string {
	switch actions {
	case scope.Push:
		return "push to"
	case scope.Pull | scope.Push:
		return "pull from or push to"
	case scope.Delete:
		return "delete in"
	case scope.Pull:
		return "pull"
	}
	return actions.String() + " in"
}

// needed returns what a client cannot do without that asks for these actions of one repository. Who asks for a
// deletion asks for more than it takes (crane asks for push, too): a registry wants delete alone.
func needed(asked scope.Actions) scope.Actions {
	if asked.Has(scope.Delete) {
		return scope.Delete
	}
	return asked
}

// futile says whether somebody who is signed in cannot do what the client is about to with what was granted. More
// than one repository is a mount, which works without its source.
func futile(who *policy.Principal, results []policy.Result) bool {
	return who.Kind != policy.Anonymous && len(results) == 1 &&
		(results[0].Asked.Type == scope.TypeRepository || isCatalog(results[0].Asked)) &&
		!results[0].Granted.Has(needed(results[0].Asked.Actions))
}

// isCatalog reports whether a scope is the list of a registry's repositories.
func isCatalog(s scope.Scope) bool { return s.Type == scope.TypeRegistry && s.Name == "catalog" }
