// Package policy answers: what may they do, and why?
//
// A policy is a list of rules. A rule says who (subjects) may, or may not, do what (actions) with
// which resources (names of a type):
//
//	{name: public images, subjects: [anyone],    repositories: ["library/**"], role: reader}
//	{name: own namespace, subjects: [signed-in], repositories: ["${user}/**"], role: maintainer}
//	{name: freeze,        effect: deny, subjects: [anyone], repositories: ["prod/**"], actions: [push, delete]}
//
// # How a request is decided
//
// Each action that is asked for is decided by itself, and the order of the rules means nothing:
//
//   - if a rule that matches denies it, it is refused;
//   - else if a rule that matches allows it, it is granted, as far as the limits of the credential go;
//   - else it is refused.
//
// So a grant is never more than was asked, and never more than some rule allows. A rule matches if
// all of these hold: the principal has one of its subjects, the request is for one of its
// registries (or it names none), the resource is of its type, one of its patterns matches the
// resource's name, the action is one of its own or of its role, and its condition holds. A condition
// that cannot be evaluated makes an allow match nothing, and a deny match.
//
// Where several rules decide an action alike, the first in the source is named; nothing else depends
// on their order.
//
// # Subjects
//
// Everybody is anyone. Whoever showed no credential is anonymous; all others are signed-in, one of
// user:NAME, robot:NAME and workload:NAME, and group:NAME for each of their groups. Names are
// compared byte by byte, but for distinguished names of a directory (RFC 4514), which are compared as
// such: group:CN=Ops,DC=example,DC=com is also for the group cn=ops,dc=example,dc=com. A subject is never a
// pattern, and no name that a person, a group or a robot could be given changes what a rule means.
//
// # Patterns
//
// A pattern is compared with the whole name, part by part:
//
//	team/app        just this name
//	team/*          * is any one part: team/a, not team/a/b
//	app-*/web       and inside a part any text, or none: app-1/web
//	team/**         ** at the end is one part or more: team/a, team/a/b, not team
//	a/**/b          and before other parts none or more: a/b, a/x/b, a/x/y/b
//	**              every name
//	${user}/**      ${user} is the name of the user who asks, as one whole part
//	${group}/**     ${group} is any one group of who asks, as one whole part
//	${claims.x}/*   ${claims.x} is that claim, as one or more whole parts; of a list, any of its items
//	host:5000/a     the host before a name is a first part like any other
//
// What a placeholder stands for is compared as text and never becomes a pattern: a user called "*"
// matches nothing. Nor does a value that could not be part of a repository's name: empty, with upper
// case, with other characters, with a slash in ${user} or a group. Each ${group} of a pattern stands for any group, so that
// two of them may stand for two; a deny applies if one of them all matches, and none is left untried. Only users have a ${user}; else whoever may
// name a robot could name it after a user and so have the user's repositories. Claims are the
// top-level ones, by their exact name. A number, true or false stands for its JSON text, as one part: 3 for
// 3 and for 3.0. Null, and a list or an object within a list, stand for nothing.
//
// # What is not known
//
// What a request leaves out is not known, and that is never taken for something: a condition that reads an
// address, a time or a registry that is not known fails, and so does one that reads a claim that is not there
// or compares values of different types. Where the registry is not known, a deny for some registries is for
// it, and an allow for some is not.
//
// The type registry has the one name catalog with the one action *. Names of the type tidewaiter are
// patterns as well; those of types that Tidewaiter does not know are compared as they are written.
//
// # What is refused at load
//
// Compile tells all mistakes at once, and a policy with a mistake is none. Nothing empty ever means
// "everything", and a rule that can never match is a mistake: a slip in a deny would open what it was
// to close.
//
// # How long it takes
//
// Compile builds a tree over the parts of patterns. Decide walks it with the name, and what can be
// written in many ways is found in tables: the literal text of a part, the text around a * in a part,
// the subjects of the many rules at one place, the registries. So a decision takes as many steps, and
// two small allocations, with one rule as with 100,000, also if all begin with ** or ${user}, all are
// for the same group, all are about the same name, or each is for a registry of its own. That is some
// tenths of a microsecond. A policy of 100,000 rules is larger than a processor's caches, though: a
// decision that meets a part of it for the first time in a while waits about a dozen times for memory,
// which is one or two microseconds more.
//
// What a decision grows with:
//
//   - the rules that do match subject, name and registry, each of which is weighed: conditions cost
//     what they cost, but are not evaluated where they could change nothing;
//   - the places in the tree that the name leads to: patterns that agree with it up to there and
//     differ in which parts are wildcards, and for ** each place that it may reach;
//   - globs at one place: the different lengths of the text around their * are tried one after the
//     other, and so are those with the same text around and more between, such as *a* and *b*;
//   - the groups of the principal: not with their number if it is Indexed and few of them are spoken of at the
//     places that the name leads to, else one look or one hash for each; ${group} is one look each time, whatever
//     their number;
//   - the values of its claims where a pattern speaks of them;
//   - the patterns of a credential's limits.
//
// Names have at most 63 parts and 512 bytes to match anything; a pattern has as many, and at most 8 parts that
// are ** or ${claims.x}. No pattern takes more than comparing each of its parts with each part of the name.
// Compile takes time and memory for each combination of a rule's names and registries, and for its subjects.
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
	Claims map[string]any // what an ID token or a directory said, best as CanonicalClaims returns it
	Limits []Limit        // what the credential narrows its owner's rights to; empty: nothing

	index *index // of Kind, Name and Groups, if it was made (see Indexed)
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
	Lifetime   time.Duration // of tokens with a grant by this rule, at most; 0: no say beside its role's
	Origin     Origin
}

// Origin is where a rule was written.
type Origin struct {
	File      string // "" for the database
	Line      int    // from 1; 0: unknown
	Namespace string // in the database: the namespace that it is a rule of; "": of none
	BuiltIn   bool   // nowhere: nobody needs to write it
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
	Roles map[string]Role
	Rules []Rule
}

// Role is a named set of actions, and how long tokens with a grant by it live at most. Of the lifetimes of a
// rule and its role the shorter counts.
type Role struct {
	Actions  scope.Actions
	Lifetime time.Duration // 0: no say
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
	Registry  string // service name; "": it is not known
	Scopes    []scope.Scope
	IP        netip.Addr // the zero Addr: it is not known
	Client    string     // the client's name as it gave it
	Now       time.Time  // the zero Time: it is not known
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
