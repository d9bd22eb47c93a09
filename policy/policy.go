// Package policy decides what a principal may do, and names the rules that decided.
//
// A policy is a list of rules. A rule allows or denies actions on resources to its subjects. The
// resources are given by a type and patterns of names. In files, which
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
// So a grant never exceeds the request, and never exceeds what rules allow. A rule matches if all
// of these are true: the principal has one of its subjects, the request is for one of its
// registries (or the rule names none), the resource has its type, one of its patterns matches the
// resource's name, the action is one of its own or of its role, and its [Condition] holds. If a
// condition cannot be evaluated, an allow rule does not match and a deny rule matches.
//
// If several rules decide an action in the same way, the decision names the first of these
// rules in the source. Nothing else depends on the order.
//
// # Subjects
//
// Every principal has the subject anyone. A principal without a credential is anonymous. All
// others are signed-in, have one of user:NAME, robot:NAME and workload:NAME, and group:NAME for
// each of their groups. Names are compared byte by byte, except for distinguished names of a
// directory (RFC 4514), of which all spellings are equal: group:CN=Ops,DC=example,DC=com also
// names the group cn=ops,dc=example,dc=com. A subject is never a pattern. Nobody can change the
// meaning of a rule by choosing the name of a user, a group or a robot.
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
// The value of a placeholder is compared as text and never becomes a pattern: a user called "*"
// matches nothing. A value matches nothing if it cannot be part of a repository's name: if it is
// empty, has an upper-case letter or another invalid character, or has a slash in ${user} or
// ${group}. If a pattern has ${group} twice, the two may be different groups. A deny rule applies
// if any combination of values matches. Only users have a ${user}: otherwise a robot named after
// a user would get that user's repositories. Claims are the top-level ones, by their exact name.
// The value of a number, true or false is its JSON text, as one part: 3 for 3 and for 3.0. Null
// has no value, and a list or an object inside a list has none.
//
// # Unknown inputs
//
// What a request omits is unknown; no value is assumed for it. A condition fails if it reads an
// unknown address, time or registry or a missing claim, or if it compares values of different
// types. If the registry is unknown, a deny rule for some registries applies, and an allow rule
// for some does not.
//
// The type registry has one name, catalog, with one action, *. Names of the type tidewaiter may be
// patterns too. Names of other types are compared as they are written.
//
// # What Compile refuses
//
// [Compile] returns all errors together as [Problems]; there is no policy then. Empty fields
// never mean "everything". A rule that can never match is an error, because a typing error in a
// deny rule would otherwise allow what it was meant to deny.
//
// # Performance
//
// Compile builds a tree from the parts of patterns, and Decide walks the tree with the name.
// Lookups of the literal text of a part, of the text around a * in a part, of the subjects
// among many rules at one node and of the registries use hash tables. So a decision takes as
// many steps, and two small allocations, with one rule as with 100,000. The number of steps
// stays the same if all patterns begin with ** or ${user}, or if all rules have the same group,
// the same repository name, or a registry of their own. A decision takes some tenths of a
// microsecond. A policy of 100,000 rules does not fit into a processor's caches: a decision
// that reads a part of it for the first time in a while waits about a dozen times for memory,
// which adds one or two microseconds.
//
// The running time of a decision grows with the number of:
//
//   - rules that match subject, name and registry. Their conditions are evaluated only where
//     they could change the result;
//   - nodes of the tree that the name reaches. There is one for each distinct beginning of a
//     pattern that matches the beginning of the name, and after a ** one for each position in
//     the name;
//   - globs at one node: each distinct pair of lengths of the text before the first * and after
//     the last takes one lookup, and globs that differ only between the first * and the last,
//     such as *a* and *b*, are tried one by one;
//   - groups of the principal. If the principal is [Principal.Indexed], only groups that rules
//     at the reached nodes name count. ${group} takes one lookup, however many groups there
//     are;
//   - values of the principal's claims, where a pattern names the claim;
//   - patterns in the credential's limits.
//
// Names with more than 63 parts or 512 bytes match nothing. Patterns have the same limits, and at
// most 8 parts that are ** or ${claims.x}. Matching a pattern never takes more than comparing each
// of its parts with each part of the name. For each rule, the time and memory of Compile grow with
// the number of names times the number of registries, plus the number of subjects.
//
// # As a library
//
// The package depends on the standard library only. It does no I/O, starts no goroutine and reads
// no clock. A nil or zero [Policy], [Request] or [Principal] is valid. A zero policy grants
// nothing, and a zero principal is anonymous. Types have lower-case names in JSON, where a
// condition is its source text. Package rules reads rules from JSON.
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
	// Name is in canonical form: as the identity source spells it, not as it was typed.
	Name   string `json:"name,omitempty"`
	Source string `json:"source,omitempty"` // "accounts", "htpasswd", "ldap:corp"
	ID     string `json:"id,omitempty"`     // within its source; never reused
	// Groups are replaced at each authentication, never merged.
	Groups []string `json:"groups,omitempty"`
	// Claims are the claims of an ID token or the attributes of a directory, preferably as
	// [CanonicalClaims] returns them.
	Claims map[string]any `json:"claims,omitempty"`
	// Limits are the restrictions of the credential. Without any, the principal has all its
	// rights.
	Limits []Limit `json:"limits,omitempty"`

	index *index // of Kind, Name and Groups; nil: not Indexed
}

// Limit restricts a credential: if there are limits, an action is granted only if at least one
// of the limits permits it.
type Limit struct {
	Type    string        `json:"type,omitempty"` // resource type; "" is "repository"
	Names   []string      `json:"names"`          // patterns
	Actions scope.Actions `json:"actions"`        // what remains allowed
}

// Rule is one line of policy. Empty Subjects or Names are errors, never "everybody" or
// "everything". [github.com/tidewaiter/tidewaiter/rules.Rule] is a rule as it is written in files.
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
	Actions scope.Actions `json:"actions,omitempty"` // in addition to the role's
	When    Condition     `json:"when,omitempty"`    // nil: always
	// Lifetime is the maximum lifetime of a token with a grant by this rule; 0: only the role's
	// lifetime applies.
	Lifetime time.Duration `json:"lifetime,omitempty"`
	Origin   Origin        `json:"origin,omitzero"`
}

// Origin is where a rule was written. The zero Origin means that it is unknown.
type Origin struct {
	File     string `json:"file,omitempty"`
	Line     int    `json:"line,omitempty"`     // from 1; 0: unknown
	Database bool   `json:"database,omitempty"` // in Tidewaiter's database
	// Namespace is the namespace in the database that owns the rule; "": none.
	Namespace string `json:"namespace,omitempty"`
	BuiltIn   bool   `json:"built_in,omitempty"` // part of Tidewaiter itself, not configured
}

// Condition is a further requirement of a rule. If a condition fails with an error, an allow
// rule does not match and a deny rule matches. Package
// [github.com/tidewaiter/tidewaiter/policy/when] compiles conditions written in CEL.
type Condition interface {
	Holds(*Request) (bool, error)
	Explain(*Request) []Value // the values of its parts, for people to read
	String() string           // its source text
}

// Value is a part of a condition and its value for a request.
type Value struct {
	Expression string `json:"expression"`
	Value      string `json:"value"`
}

// Source is the input of [Compile]: rules, and the roles that they name.
type Source struct {
	Roles map[string]Role `json:"roles,omitempty"`
	Rules []Rule          `json:"rules"`
}

// Role is a named set of actions with a maximum lifetime for tokens. If a rule and its role both
// have a lifetime, the shorter one applies.
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
	// Item is the index into the field's list; -1: the field itself.
	Item int    `json:"item"`
	Text string `json:"text"` // `the pattern "team//app" has an empty path part`
	// "team/app"; "" if there is no suggestion.
	Suggestion string `json:"suggestion,omitempty"`
}

// Values of Problem.Rule for problems outside of rules.
const (
	InRoles = -1 // in Source.Roles, where Field is the role
	InLimit = -2 // in the Limit that was checked
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
	// Lifetime is the shortest lifetime of the rules that took part in the grants; 0: no limit.
	Lifetime time.Duration `json:"lifetime,omitempty"`
}

// Result is the answer for one scope.
type Result struct {
	Asked   scope.Scope   `json:"asked"`
	Granted scope.Actions `json:"granted"` // a subset of Asked.Actions
	Causes  []Cause       `json:"causes"`  // each action of Asked is in one of them
}

// Reason is why an action was granted or refused. The numbers are stored: add new ones at the end.
type Reason uint8

// The reasons. Only Allowed grants.
const (
	NoRule          Reason = iota // no rule matches
	Allowed                       // Rule allows it
	Denied                        // Rule denies it
	Narrowed                      // Rule allows it, but the credential's limits do not
	ConditionFailed               // Rule would allow it if its condition held
)

// Cause is the rule that decided some actions of a scope.
type Cause struct {
	Actions scope.Actions `json:"actions"`
	Reason  Reason        `json:"reason"`
	Rule    *Rule         `json:"rule,omitempty"` // nil for NoRule
}
