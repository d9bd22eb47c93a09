package issuer

import (
	"fmt"

	"github.com/tidewaiter/tidewaiter/internal/identity/username"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// DeniedError tells the user of the client which access was refused, and why. It wraps ErrDenied.
// The journal and `explain` have the full reason for the decision with this ID. The error text
// contains only what the principal may know.
type DeniedError struct {
	ID        journal.ID // of the decision
	Principal *policy.Principal
	Result    policy.Result
	ShowRules bool   // name the rule
	Hint      string // advice for the user, written by the administrator; may be empty
}

func (e *DeniedError) Unwrap() error { return ErrDenied }

// Error returns a sentence for the user of the client, with the id of the decision.
//
//	bob may not push to team/app: no rule allows it (decision 019aa1b2-c3d4-7e5f)
//	bob may not push to team/app, or there is no such repository (decision 019aa1b2-c3d4-7e5f)
//	bob may not list the catalog: no rule allows it (decision 019aa1b2-c3d4-7e5f)
//
// The second form is for a principal who may not pull from the repository. Its text does not
// depend on the rules or on the registry. So it reveals neither rules about the repository nor the
// existence of the repository. The third form can state the reason, because every registry has a
// catalog.
func (e *DeniedError) Error() string {
	asked := e.Result.Asked
	refused := requiredActions(asked.Actions) &^ e.Result.Granted
	text := username.Login(e.Principal) + " may not "
	switch {
	case isCatalog(asked):
		text += "list the catalog: " + e.reasonFor(refused)
	case e.Result.Granted.Has(scope.Pull):
		text += verbs(refused) + " " + asked.Name + ": " + e.reasonFor(refused)
	default:
		text += verbs(refused) + " " + asked.Name + ", or there is no such repository"
	}
	text += fmt.Sprintf(" (decision %s)", e.ID.Short())
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	return text
}

// reasonFor returns the reason why the first of the refused actions was refused.
func (e *DeniedError) reasonFor(refused scope.Actions) string {
	for _, c := range e.Result.Causes {
		if c.Actions&refused == 0 || c.Rule == nil {
			continue
		}
		rule := "a rule"
		if e.ShowRules {
			rule = fmt.Sprintf("rule %q", c.Rule.Name)
		}
		switch c.Reason { //exhaustive:enforce
		case policy.Denied:
			return rule + " denies it"
		case policy.Narrowed:
			return "the restrictions of the credential do not allow it"
		case policy.ConditionFailed:
			return "the condition of " + rule + " does not hold"
		case policy.NoRule, policy.Allowed:
		}
	}
	return "no rule allows it"
}

// verbs returns actions as a phrase before a repository name: "push to", "pull from or push to".
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

// requiredActions returns the requested actions without which the client fails. For a deletion,
// some clients also request other actions (crane requests push), but the registry requires only
// delete.
func requiredActions(asked scope.Actions) scope.Actions {
	if asked.Has(scope.Delete) {
		return scope.Delete
	}
	return asked
}

// isInsufficient reports whether a signed-in principal was granted too few actions for the
// client's next step. A request for several repositories is a mount. A mount works even if
// access to the source repository is denied.
func isInsufficient(who *policy.Principal, results []policy.Result) bool {
	return who.Kind != policy.Anonymous && len(results) == 1 &&
		(results[0].Asked.Type == scope.TypeRepository || isCatalog(results[0].Asked)) &&
		!results[0].Granted.Has(requiredActions(results[0].Asked.Actions))
}

// isCatalog reports whether a scope is for the list of a registry's repositories.
func isCatalog(s scope.Scope) bool { return s.Type == scope.TypeRegistry && s.Name == "catalog" }
