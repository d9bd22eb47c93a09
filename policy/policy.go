// Package policy decides what a principal may do, and names the rules that decided.
//
// A policy is a list of rules. A rule allows or denies actions on resources to its subjects. A
// rule selects resources by their type and by patterns of their names. In files, which
// [github.com/tidewaiter/tidewaiter/rules.Read] reads, rules look like this:
//
//	{name: public images, subjects: [anyone],    repositories: ["library/**"], role: reader}
//	{name: own namespace, subjects: [signed-in], repositories: ["${user}/**"], role: maintainer}
//	{name: freeze,        subjects: [anyone],    repositories: ["prod/**"],    actions: [push],
//	 effect: deny}
//
// [Compile] turns a [Source] of rules into a [Policy], and [Policy.Decide] decides a request.
// Package [github.com/tidewaiter/tidewaiter/policy/ask] explains decisions, lists who may perform
// an action and what a principal may do, and compares decisions with expectations.
//
// # How a request is decided
//
// Each action of a request is decided separately. The order of the rules does not matter:
//
//   - If a matching rule denies the action, it is refused.
//   - Otherwise, if a matching rule and the limits of the credential allow it, it is granted.
//   - Otherwise it is refused.
//
// So a grant never exceeds the request, and never exceeds what rules allow.
//
// A rule matches if all of these are true:
//
//   - The principal has one of the rule's subjects.
//   - The request is for one of the rule's registries, or the rule names no registries.
//   - The resource has the rule's type, and one of the rule's patterns matches its name.
//   - The action is one of the actions of the rule or of its role.
//   - The rule's [Condition] holds. If a condition cannot be evaluated, an allow rule does not
//     match and a deny rule matches.
//
// If several rules decide an action in the same way, the decision names the first of these
// rules in the source. Other results do not depend on the order.
//
// # Subjects
//
// Every principal has the subject anyone. A principal without a credential is anonymous. All
// other principals have the subject signed-in, one of the subjects user:NAME, robot:NAME and
// workload:NAME, and a subject group:NAME for each of their groups. Names are compared byte by
// byte, except for distinguished names of a directory (RFC 4514). All spellings of a distinguished
// name are equal: group:CN=Ops,DC=example,DC=com is also the group cn=ops,dc=example,dc=com. A
// subject is never a pattern, so nobody can change the meaning of a rule by choosing the name of a
// user, a group or a robot.
//
// # Patterns
//
// A pattern is compared with the whole name, part by part:
//
//	team/app        only this name
//	team/*          * is any one part: team/a, not team/a/b
//	app-*/web       within a part, * is any text, or none: app-1/web
//	team/**         ** at the end is one or more parts: team/a, team/a/b, not team
//	a/**/b          ** before other parts is zero or more: a/b, a/x/b, a/x/y/b
//	**              every name
//	${user}/**      ${user} is the name of the user, as one whole part
//	${group}/**     ${group} is any one group of the principal, as one whole part
//	${claims.x}/*   ${claims.x} is that claim, as one or more whole parts; any item of a list
//	host:5000/a     the host before a name is an ordinary first part
//
// The value of a placeholder is compared as text and never becomes a pattern: for a user called
// "*", ${user} matches nothing. A value that cannot be part of a repository's name matches
// nothing. Such values are: an empty text, a text with an upper-case letter or another invalid
// character, and, for ${user} and ${group}, a text with a slash. If a pattern has ${group}
// twice, each of the two can match a different group. A deny rule applies if any combination of
// values matches. ${user} has a value only for users. Otherwise a robot with the name of a user
// would get access to that user's repositories. ${claims.x} is the top-level claim with exactly
// this name. For a claim that is a number, true or false, the value is its JSON text, as one part:
// 3 for 3 and for 3.0. Null has no value. A list or an object inside a list has no value, either.
//
// # Unknown inputs
//
// An input that the request omits is unknown. No default value is assumed. A condition fails if it
// reads an unknown address, time or registry or a missing claim, or if it compares values of
// different types. If the registry is unknown, deny rules for certain registries apply, but allow
// rules for certain registries do not apply.
//
// The type registry has one name, catalog, with one action, *. Rules of the types repository and
// tidewaiter can have patterns. For other types, names in rules are compared exactly.
//
// # What Compile refuses
//
// If a source has errors, [Compile] returns all of them together as [Problems], and no policy.
// An empty field never means "everything". A rule that can never match is an error. Otherwise a
// deny rule with a typing error would deny nothing.
//
// # Performance
//
// Compile builds a tree from the parts of patterns, and Decide walks the tree with the name. Hash
// tables find the literal text of a part, the text around a * in a part, the registries, and the
// subjects of many rules at one node. So a decision takes the same number of steps with 100,000
// rules as with one rule, and makes two small allocations. This is true even if all patterns begin
// with ** or ${user}, if all rules have the same group or the same repository name, or if each
// rule has its own registry. A decision takes some tenths of a microsecond. A policy of 100,000
// rules does not fit into a processor's caches. A decision that reads uncached parts of the policy
// waits for memory about a dozen times. These waits add one or two microseconds.
//
// The running time of a decision grows with these numbers:
//
//   - The number of rules that match subject, name and registry. Their conditions are evaluated
//     only if they could change the result.
//   - The number of nodes of the tree that the name reaches. There is one node for each distinct
//     beginning of a pattern that matches the beginning of the name. After a **, there is one for
//     each position in the name.
//   - The number of globs at one node. Two lengths of a glob matter: the length of the text before
//     the first *, and the length of the text after the last *. All globs with the same two
//     lengths together take one lookup. Globs that differ only between the first * and the last *,
//     such as *a* and *b*, are tried one by one.
//   - The number of groups of the principal. If the principal is [Principal.Indexed], only groups
//     in rules at the reached nodes count. ${group} takes one lookup, for any number of groups.
//   - The number of values of those claims of the principal that are in patterns.
//   - The number of patterns in the credential's limits.
//
// Names with more than 63 parts or 512 bytes match nothing. Patterns have the same limits, and
// at most 8 parts that are ** or ${claims.x}. Matching a pattern compares each of its parts
// with each part of the name at most once. For each rule, the time and memory of Compile grow with
// the number of names times the number of registries, plus the number of subjects.
//
// # As a library
//
// Outside this module, the package depends only on the standard library. It does no I/O, starts
// no goroutine and reads no clock. A nil or zero [Policy], [Request] or [Principal] is valid. A
// zero policy grants nothing, and a zero principal is anonymous. In JSON, fields have
// lower-case names, and a condition is its source text. Package rules reads rules from JSON.
package policy

import (
	"net/netip"
	"time"

	"github.com/tidewaiter/tidewaiter/scope"
)

// Kind is the kind of a principal.
type Kind uint8

// The kinds of principals. The zero Kind has the fewest rights.
const (
	Anonymous Kind = iota
	User
	Robot
	Workload
)

// Principal is the sender of a request. A Principal is shared between requests and never
// changed.
type Principal struct {
	Kind Kind `json:"kind"`
	// Name has the spelling of the identity source, which can differ from the user's spelling.
	Name   string `json:"name,omitempty"`
	Source string `json:"source,omitempty"` // "accounts", "htpasswd", "ldap:corp"
	ID     string `json:"id,omitempty"`     // within its source; never reused
	// Groups are the groups that the identity source returned at the last authentication. They
	// replace the earlier groups and are never merged with them.
	Groups []string `json:"groups,omitempty"`
	// Claims are the claims of an ID token or the attributes of a directory. They should be in
	// the form that [CanonicalClaims] returns.
	Claims map[string]any `json:"claims,omitempty"`
	// Limits are the restrictions of the credential. If the list is empty, the principal has
	// all its rights.
	Limits []Limit `json:"limits,omitempty"`

	index *index // built from Kind, Name and Groups; nil if the principal is not Indexed
}

// Limit restricts a credential: if there are limits, an action is granted only if at least one
// of the limits permits it.
type Limit struct {
	Type    string        `json:"type,omitempty"` // resource type; "" is "repository"
	Names   []string      `json:"names"`          // patterns
	Actions scope.Actions `json:"actions"`        // the permitted actions
}

// Rule is one rule of a policy. An empty list of Subjects or Names is an error. It does not mean
// "everybody" or "everything". [github.com/tidewaiter/tidewaiter/rules.Rule] is the form that a
// rule has in files.
type Rule struct {
	Name string `json:"name"`
	Deny bool   `json:"deny,omitempty"`
	// Subjects are anyone, signed-in, anonymous, user:N, group:N, robot:N or workload:N.
	Subjects   []string `json:"subjects"`
	Registries []string `json:"registries,omitempty"` // service names; empty: all
	Type       string   `json:"type,omitempty"`       // resource type; "" is "repository"
	// Names are patterns, as described in the package comment.
	Names   []string      `json:"names"`
	Role    string        `json:"role,omitempty"`    // a named set of actions
	Actions scope.Actions `json:"actions,omitempty"` // in addition to the actions of the role
	When    Condition     `json:"when,omitempty"`    // nil: always
	// Lifetime is the maximum lifetime of a token that contains a grant by this rule. If it is
	// 0, only the role's lifetime applies.
	Lifetime time.Duration `json:"lifetime,omitempty"`
	Origin   Origin        `json:"origin,omitzero"`
}

// Origin is the place where a rule was written. The zero Origin means that the place is
// unknown.
type Origin struct {
	File     string `json:"file,omitempty"`
	Line     int    `json:"line,omitempty"`     // from 1; 0: unknown
	Database bool   `json:"database,omitempty"` // in Tidewaiter's database
	// Namespace is the namespace in the database that owns the rule, or "" if no namespace owns
	// it.
	Namespace string `json:"namespace,omitempty"`
	BuiltIn   bool   `json:"built_in,omitempty"` // part of Tidewaiter itself, not configured
}

// Condition is an additional requirement of a rule. If a condition fails with an error, an allow
// rule does not match and a deny rule matches. Package
// [github.com/tidewaiter/tidewaiter/policy/when] compiles conditions written in CEL.
type Condition interface {
	Holds(*Request) (bool, error)
	Explain(*Request) []Value // the values of the parts of the condition, for people
	String() string           // its source text
}

// Value is a part of a condition and its value for a request.
type Value struct {
	Expression string `json:"expression"`
	Value      string `json:"value"`
}

// Source is the input of [Compile]: rules, and the roles that the rules use.
type Source struct {
	Roles map[string]Role `json:"roles,omitempty"`
	Rules []Rule          `json:"rules"`
}

// Role is a named set of actions with a maximum lifetime for tokens. If a rule and its role
// both have a lifetime, the shorter lifetime applies.
type Role struct {
	Actions  scope.Actions `json:"actions"`
	Lifetime time.Duration `json:"lifetime,omitempty"` // 0: no limit
}

// Problem is an error in a [Source].
type Problem struct {
	Rule int `json:"rule"` // index into Source.Rules, or InRoles or InLimit
	// Field is "name", "subjects", "registries", "type", "names", "role", "actions", "when" or
	// "lifetime". If Rule is InRoles, Field is the name of the role.
	Field string `json:"field"`
	// Item is the index into the field's list, or -1 for the field itself.
	Item int    `json:"item"`
	Text string `json:"text"` // `the pattern "team//app" has an empty path part`
	// Suggestion is a likely correction, such as "team/app". It is "" if no correction is
	// known.
	Suggestion string `json:"suggestion,omitempty"`
}

// Values of Problem.Rule for problems outside of rules.
const (
	InRoles = -1 // the problem is in Source.Roles, and Field is the name of the role
	InLimit = -2 // the problem is in the Limit that was checked
)

// Problems is the error of [Compile]. It lists all errors of a source.
type Problems []Problem

// Request is the input of [Policy.Decide].
type Request struct {
	Principal *Principal    `json:"principal,omitempty"` // nil: anonymous
	Registry  string        `json:"registry,omitempty"`  // service name; "": unknown
	Scopes    []scope.Scope `json:"scopes"`
	IP        netip.Addr    `json:"ip,omitzero"`      // the zero Addr: unknown
	Client    string        `json:"client,omitempty"` // chosen by the client
	Now       time.Time     `json:"now,omitzero"`     // the zero Time: unknown
}

// Decision is the answer to a request.
type Decision struct {
	// Results has one result for each scope of the request, in the same order.
	Results []Result `json:"results"`
	// Lifetime is the shortest lifetime of the rules that allow the granted actions. 0 means no
	// limit.
	Lifetime time.Duration `json:"lifetime,omitempty"`
}

// Result is the answer for one scope.
type Result struct {
	Asked   scope.Scope   `json:"asked"`
	Granted scope.Actions `json:"granted"` // a subset of Asked.Actions
	Causes  []Cause       `json:"causes"`  // each action of Asked is in one of them
}

// Reason is why an action was granted or refused. The journal stores the numbers, so add new
// reasons at the end.
type Reason uint8

// The reasons. Only Allowed grants.
const (
	NoRule          Reason = iota // no rule matches
	Allowed                       // Rule allows it
	Denied                        // Rule denies it
	Narrowed                      // Rule allows it, but the credential's limits do not
	ConditionFailed               // Rule would allow it if the rule's condition held
)

// Cause is the rule that decided some actions of a scope.
type Cause struct {
	Actions scope.Actions `json:"actions"`
	Reason  Reason        `json:"reason"`
	Rule    *Rule         `json:"rule,omitempty"` // nil for NoRule
}
