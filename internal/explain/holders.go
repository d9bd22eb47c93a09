package explain

import (
	"slices"

	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/ask"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Answer lists who may perform one action on one resource: the grantees, and the accounts that
// the grantees stand for.
type Answer struct {
	ask.Answer
	People   []People // for each of Allowed, if FindPeople looked them up
	Unlisted []string // identity sources that cannot list the members of groups
	Past     Past     // the policy, if the answer is about a time in the past
}

// Holders is the JSON form of an Answer. A principal may perform the action if the list "allowed"
// has the principal and the list "except" does not.
type Holders struct {
	Registry string    `json:"registry" doc:"The registry's service name" example:"registry.example.com"`
	Type     string    `json:"type" doc:"The resource type" example:"repository"`
	Name     string    `json:"name" doc:"The name of the resource" example:"team/app"`
	Action   string    `json:"action" doc:"The one action that this answer is about" example:"push"`
	Policy   *Period   `json:"policy,omitempty" doc:"The policy that was in force at the time, if it is not the current policy"`
	Allowed  []Grantee `json:"allowed" nullable:"false" doc:"The subjects for which a rule allows the action. If the rule has a condition, the condition must be true"`
	Except   []Grantee `json:"except,omitempty" nullable:"false" doc:"The subjects for which another rule denies the action. If that rule has a condition, it denies only if the condition is true"`
	Denied   []Grantee `json:"denied,omitempty" nullable:"false" doc:"The subjects for which a rule allows the action, but another rule denies it for all of them"`
	Unlisted []string  `json:"unlisted,omitempty" nullable:"false" doc:"With members, if a group is in allowed: the identity sources that can have members of the group and cannot list them" example:"[\"ldap:corp\"]"`
}

// Grantee is the set of principals that a rule applies to.
type Grantee struct {
	Who     []string `json:"who" doc:"Subjects. A principal must match all of them" example:"[\"group:developers\"]"`
	Claims  []claim  `json:"claims,omitempty" nullable:"false" doc:"Claims that the principal must have"`
	Pattern string   `json:"pattern,omitempty" doc:"The pattern that the claims must match, if there are too many combinations to list"`
	RuleName
	By      *RuleName `json:"by,omitempty" doc:"In denied: the rule that denies the action"`
	Members []string  `json:"members,omitempty" nullable:"false" doc:"With members: the accounts and htpasswd users in the group that may perform the action" example:"[\"user:alice\"]"`
	More    bool      `json:"more,omitempty" doc:"Whether there may be other members"`
	Blocked string    `json:"blocked,omitempty" doc:"With members: the reason why the account with this name cannot sign in" example:"disabled"`
	Missing bool      `json:"missing,omitempty" doc:"With members: whether neither an account nor an htpasswd user has the name"`
}

type claim struct {
	Claim string `json:"claim" doc:"The name of the claim" example:"repository"`
	Value string `json:"value" doc:"Its value" example:"acme/app"`
}

// Holders returns the JSON form of the answer.
func (a *Answer) Holders() Holders {
	j := Holders{
		Registry: a.Registry, Type: a.Asked.Type, Name: a.Asked.Name, Action: a.Asked.Actions.String(), Policy: a.Past.period(),
		Allowed: convert(a.Allowed, newGrantee), Except: convert(a.Except, newGrantee),
	}
	if a.ThroughGroup() {
		j.Unlisted = a.Unlisted
	}
	for i, p := range a.People {
		g := &j.Allowed[i]
		g.Members, g.More, g.Missing, g.Blocked = p.Names, p.More, p.Missing, p.Blocked
	}
	for _, b := range a.Denied {
		g := newGrantee(&b.Grantee)
		g.By = new(NewRuleName(b.By))
		j.Denied = append(j.Denied, g)
	}
	return j
}

func newGrantee(g *ask.Grantee) Grantee {
	return Grantee{
		Who: g.Who, Pattern: g.Pattern, RuleName: NewRuleName(g.Rule),
		Claims: convert(g.Claims, func(c *ask.ClaimValue) claim { return claim(*c) }),
	}
}

const hidden = "(not shown)"

// hiddenCondition is a condition whose text the reader may not see.
type hiddenCondition struct{ policy.Condition }

func (hiddenCondition) String() string { return hidden }

// ForOwners returns the answer without the parts that owners of a namespace may not read. The
// answer must be about a repository of the namespace. Its owners may see everybody who may perform
// the action, by any rule. ForOwners removes the name, place, condition and patterns of rules
// outside the namespace, because they can contain information about other namespaces.
func (a Answer) ForOwners(namespace string) Answer {
	grantee := func(g ask.Grantee) ask.Grantee {
		if g.Pattern != "" && g.Rule.Origin.Namespace != namespace {
			g.Pattern = hidden
		}
		g.Rule = ruleForOwners(g.Rule, namespace)
		return g
	}
	a.Allowed, a.Except, a.Denied = slices.Clone(a.Allowed), slices.Clone(a.Except), slices.Clone(a.Denied)
	for _, list := range [][]ask.Grantee{a.Allowed, a.Except} {
		for i := range list {
			list[i] = grantee(list[i])
		}
	}
	for i := range a.Denied {
		a.Denied[i] = ask.DeniedGrantee{Grantee: grantee(a.Denied[i].Grantee), By: ruleForOwners(a.Denied[i].By, namespace)}
	}
	return a
}

// ruleForOwners returns a rule without the fields that owners of a namespace may not read. If
// fields are removed, the name is "".
func ruleForOwners(r *policy.Rule, namespace string) *policy.Rule {
	if r.Origin.Namespace == namespace {
		return r
	}
	redacted := &policy.Rule{Deny: r.Deny}
	if r.When != nil {
		// Keep a condition without its text, because FindPeople treats rules with a condition
		// differently.
		redacted.When = hiddenCondition{r.When}
	}
	return redacted
}

// NamespaceOf returns the namespace that contains all scopes. If no namespace contains all of
// them, ok is false.
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

// RuleText returns the name of a rule for people. If ForOwners has removed the name, RuleText
// returns a description.
func RuleText(r *policy.Rule) string {
	if r.Name == "" {
		return "a rule outside the namespace"
	}
	return r.String()
}
