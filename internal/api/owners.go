package api

import (
	"fmt"
	"slices"

	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/ask"
	"github.com/tidewaiter/tidewaiter/scope"
)

// notShown stands in for the condition of a rule that somebody may not read.
type notShown struct{ policy.Condition }

func (notShown) String() string { return "(not shown)" }

// ForOwners returns an answer about a repository in a namespace as the namespace's owners are
// told it: everybody who may do it, whichever rule says so, since it is theirs. Of a rule that
// is not the namespace's own, its name, place, condition and patterns are left out: they may
// speak of what lies outside.
func ForOwners(a ask.Answer, namespace string) ask.Answer {
	grantee := func(g ask.Grantee) ask.Grantee {
		if g.Pattern != "" && g.Rule.Origin.Namespace != namespace {
			g.Pattern = "(not shown)"
		}
		g.Rule = ruleForOwners(g.Rule, namespace)
		return g
	}
	a.Through, a.Except, a.Barred = slices.Clone(a.Through), slices.Clone(a.Except), slices.Clone(a.Barred)
	for i := range a.Through {
		a.Through[i] = grantee(a.Through[i])
	}
	for i := range a.Except {
		a.Except[i] = grantee(a.Except[i])
	}
	for i := range a.Barred {
		a.Barred[i] = ask.Barred{Grantee: grantee(a.Barred[i].Grantee), By: ruleForOwners(a.Barred[i].By, namespace)}
	}
	return a
}

// ruleForOwners returns a rule without what owners of a namespace may not read; its name is
// empty then.
func ruleForOwners(r *policy.Rule, namespace string) *policy.Rule {
	if r.Origin.Namespace == namespace {
		return r
	}
	hidden := &policy.Rule{Deny: r.Deny}
	if r.When != nil {
		hidden.When = notShown{r.When} // members of groups are still judged by it
	}
	return hidden
}

// NamespaceOf returns the namespace that all scopes are in, if they are repositories of one.
func NamespaceOf(b *rulebook.Rulebook, scopes []scope.Scope) (namespace string, ok bool) {
	for i, s := range scopes {
		in := ""
		if s.Type == scope.TypeRepository {
			in = b.NamespaceOf(s.Name)
		}
		if in == "" || i > 0 && in != namespace {
			return "", false
		}
		namespace = in
	}
	return namespace, namespace != ""
}

// narrowedTo returns the namespace that an answer to the actor is narrowed to; "" if it is not.
// The error is ErrForbidden for who may ask neither about everything nor about the namespace
// that all scopes are in.
func (a *API) narrowedTo(by Actor, scopes []scope.Scope) (namespace string, err error) {
	if a.mayAsk(by) {
		return "", nil
	}
	if in, ok := NamespaceOf(a.Rulebook, scopes); ok && a.Rulebook.May(by, rulebook.RightNamespace+in, scope.Read) {
		return in, nil
	}
	return "", fmt.Errorf("asking about others: %w", rulebook.Requires(rulebook.RightPolicy, scope.Read))
}

// RuleText is how a rule is named to people, also one of which ForOwners has left out the name.
func RuleText(r *policy.Rule) string {
	if r.Name == "" {
		return "a rule outside the namespace"
	}
	return r.String()
}
