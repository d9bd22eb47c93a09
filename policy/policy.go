// Package policy answers: what may they do, and why?
//
// A policy is a list of rules. Each names subjects (who), resources (what) and actions, and allows
// or denies. Their order means nothing: if any deny matches an action, it is refused; else if any
// allow matches, it is granted; else it is refused. What is granted is always the intersection of
// what was asked and what is allowed, and, if the credential was narrowed, of its limits.
//
// Compile builds an index over subjects and literal paths, so that a decision takes the same time
// with ten rules and with a hundred thousand. Decide answers a request and names the rule that
// decided each action. Explain takes its time and also says why the near ones did not.
//
// The package does no I/O, starts no goroutine, and reads no clock.
package policy

import (
	"net/netip"
	"time"

	"github.com/tidewaiter/tidewaiter/scope"
)

// Kind is what a principal is.
type Kind uint8

// The kinds of principals. The zero Kind is the one with the fewest rights.
const (
	Anonymous Kind = iota
	User
	Robot
	Workload
)

// Principal is who is asking. A Principal is shared between requests and never changed.
type Principal struct {
	Kind   Kind
	Name   string         // canonical: as its source spells it, never as it was typed
	Source string         // "accounts", "htpasswd", "ldap:corp"
	ID     string         // within its source; never given to another
	Groups []string       // replaced at each authentication, never merged
	Claims map[string]any // what an ID token or a directory said
	Limits []Limit        // what the credential narrows its owner's rights to; empty: nothing
}

// Limit narrows: with limits, an action is granted only where one of them has it.
type Limit struct {
	Type    string        // resource type; "" is "repository"
	Names   []string      // patterns
	Actions scope.Actions // what remains
}

// Rule is one line of policy. Empty Subjects or Names are errors, never "everybody" or "everything".
type Rule struct {
	Name       string
	Deny       bool
	Subjects   []string      // anyone, signed-in, anonymous, user:N, group:N, robot:N, workload:N
	Registries []string      // service names; empty: all
	Type       string        // resource type; "" is "repository"
	Names      []string      // patterns: * stays in one path part, ** crosses, ${user} is the principal's name
	Role       string        // a named set of actions …
	Actions    scope.Actions // … and more of them
	When       Condition     // nil: always
	Lifetime   time.Duration // of tokens with a grant by this rule, at most; 0: no say
	Origin     Origin
}

// Origin is where a rule was written.
type Origin struct {
	File string // "" for the database
	Line int    // from 1; 0: unknown
}

// Condition is what a rule needs to hold. An allow whose condition fails with an error does not
// match; a deny whose condition fails with an error does.
type Condition interface {
	Holds(*Request) (bool, error)
	Explain(*Request) []Value // the values of its parts, for a person
	String() string           // its source
}

// Value is a part of a condition and what it came to.
type Value struct {
	Expression string
	Value      string
}

// Source is what a policy is compiled from.
type Source struct {
	Roles map[string]scope.Actions
	Rules []Rule
}

// Problem is a mistake in a Source.
type Problem struct {
	Rule       int    // index into Source.Rules; or InRoles, InLimit
	Field      string // "name", "subjects", "registries", "type", "names", "role", "actions", "lifetime"; or a role's name
	Item       int    // index into the field's list; -1: the field itself
	Text       string // "the pattern \"team//app\" has an empty path part"
	Suggestion string // "team/app"; "" if there is none
}

// Where a Problem is that is in no rule.
const (
	InRoles = -1 // in Source.Roles, where Field is the role
	InLimit = -2 // in the Limit that was checked
)

// Problems is the error of Compile: all mistakes at once.
type Problems []Problem

// Request is what Decide judges.
type Request struct {
	Principal *Principal
	Registry  string // service name
	Scopes    []scope.Scope
	IP        netip.Addr
	Client    string // the client's name as it gave it
	Now       time.Time
}

// Decision is the answer to a request.
type Decision struct {
	Results  []Result      // one for each scope that was asked, in their order
	Lifetime time.Duration // the shortest that a rule with a part in the grants sets; 0: none does
}

// Result is the answer to one scope.
type Result struct {
	Asked   scope.Scope
	Granted scope.Actions // a subset of Asked.Actions
	Causes  []Cause       // together they cover Asked.Actions, each action once
}

// Reason is why an action was granted or refused.
type Reason uint8

// The reasons. Only Allowed grants.
const (
	NoRule          Reason = iota // no rule says anything of it
	Allowed                       // Rule allows it
	Denied                        // Rule denies it
	Narrowed                      // Rule allows it, the credential's limits do not
	ConditionFailed               // Rule would allow it if its condition held
)

// Cause says which rule decided some actions of a scope.
type Cause struct {
	Actions scope.Actions
	Reason  Reason
	Rule    *Rule // nil for NoRule
}
