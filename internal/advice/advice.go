// Package advice finds the parts of a policy that nobody needs: rules, rights and patterns that
// could be removed. A part could be removed if no recorded request used it, if it matches no name
// in the catalog, or if another rule covers it.
//
// A request uses a rule if the rule matches, even if another rule decides, and even if the limits
// of the credential refuse the action. A condition that reads the time, the address or the client
// counts as true. So a rule that counts as unused matches none of the recorded requests.
package advice

import (
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Kind is the kind of a Finding.
type Kind string

// The kinds of findings.
const (
	UnusedRule     Kind = "unused-rule"     // no recorded request used the rule
	UnusedActions  Kind = "unused-actions"  // the rule allows actions that nobody requested
	UnusedSubjects Kind = "unused-subjects" // no recorded request by these subjects used the rule
	CoveredRule    Kind = "covered-rule"    // another rule has the same effect, or more
	DeniedRule     Kind = "denied-rule"     // another rule denies everything that the rule allows
	UnmatchedNames Kind = "unmatched-names" // no repository of the catalog matches these patterns
	UnusedToken    Kind = "unused-token"    // nobody used the token
	UnusedRobot    Kind = "unused-robot"    // nobody used the secret of the robot
)

// maxRepositories is the maximum number of repositories of the catalog. If there are more, patterns
// are not compared with them.
const maxRepositories = 1 << 20

// Finding is a part of the policy, or a credential, that nobody needs.
type Finding struct {
	Kind    Kind
	Rule    *policy.Rule  // nil for credentials
	Actions scope.Actions // the unused actions, for UnusedActions
	Items   []string      // by Kind: subjects, patterns, a token's id and name, or a robot's name
	By      *policy.Rule  // for CoveredRule and DeniedRule: the rule that covers or denies Rule
	Whole   bool          // whether Items has all subjects, or all patterns, of Rule
}

// Usage observes which parts of a policy are used. Only one goroutine may use it.
type Usage struct {
	policy   *policy.Policy
	parts    []*part
	exploded *policy.Policy // has one rule for each part of the policy
	catalog  *policy.Policy // has one allow rule for each pattern
	known    map[pair]bool

	repositories int
}

// New returns a Usage of a policy.
func New(p *policy.Policy) (*Usage, error) {
	u := &Usage{policy: p, known: make(map[pair]bool)}
	return u, u.explode()
}

// AddDecision observes a recorded decision. It ignores other entries.
func (u *Usage) AddDecision(e *journal.Entry) {
	if e.Decision == nil || e.Decision.Principal == nil {
		return
	}
	for i := range e.Decision.Results {
		u.request(pair{e.Decision.Principal, e.Registry, e.Decision.Results[i].Asked})
	}
}

// AddRepository observes a repository of the catalog.
func (u *Usage) AddRepository(registry, name string) {
	if u.repositories++; u.repositories <= maxRepositories {
		asked := scope.Scope{Type: scope.TypeRepository, Name: name, Actions: scope.Repository}
		u.catalog.Decide(&policy.Request{Registry: registry, Scopes: []scope.Scope{asked}})
	}
}

// Findings returns all findings, in the order of the rules. There are no findings about built-in
// rules. If a finding is about a whole rule, it is the only finding about this rule.
func (u *Usage) Findings() []Finding {
	covered := u.covered()
	var all []Finding
	for i := 0; i < len(u.parts); {
		rule := u.parts[i].rule
		n := i
		for n < len(u.parts) && u.parts[n].rule == rule {
			n++
		}
		if !rule.Origin.BuiltIn {
			all = append(all, u.findings(u.parts[i:n], covered[rule])...)
		}
		i = n
	}
	return all
}
