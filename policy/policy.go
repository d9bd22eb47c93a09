// Package policy answers: what may a principal do, and why?
//
// A policy is a list of rules. A rule says who (subjects) may, or may not, do what (actions) with
// which resources (names of a type). In files, which [github.com/tidewaiter/tidewaiter/rules.Read]
// reads, rules are written like this:
//
//	{name: public images, subjects: [anyone],    repositories: ["library/**"], role: reader}
//	{name: own namespace, subjects: [signed-in], repositories: ["${user}/**"], role: maintainer}
//	{name: freeze,        effect: deny, subjects: [anyone], repositories: ["prod/**"], actions: [push, delete]}
//
// [Compile] takes a [Source] of rules and returns a [Policy]. [Policy.Decide] decides a request;
// [Policy.Explain] decides it and names the rules that came near. [Policy.WhoCan] and
// [Policy.WhatCan] turn the question around, and [Policy.Test] compares decisions with what is
// expected.
//
// # How a request is decided
//
// Each action of a request is decided by itself, and the order of the rules means nothing:
//
//   - if a matching rule denies it, it is refused;
//   - else if a matching rule allows it, it is granted, as far as the limits of the credential go;
//   - else it is refused.
//
// So a grant is never more than was asked for, and never more than some rule allows. A rule
// matches if all of these hold: the principal has one of its subjects, the request is for one of
// its registries (or it names none), the resource is of its type, one of its patterns matches the
// resource's name, the action is one of its own or of its role, and its [Condition] holds. A
// condition that cannot be evaluated makes an allow match nothing, and a deny match.
//
// Where several rules decide an action alike, the first in the source is named. Nothing else
// depends on their order.
//
// # Subjects
//
// Everybody is anyone. A principal without a credential is anonymous; all others are signed-in,
// one of user:NAME, robot:NAME and workload:NAME, and group:NAME for each of their groups. Names
// are compared byte by byte. Distinguished names of a directory (RFC 4514) are compared as such:
// group:CN=Ops,DC=example,DC=com is also for the group cn=ops,dc=example,dc=com. A subject is
// never a pattern, and no name that a user, a group or a robot is given changes what a rule means.
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
//	${user}/**      ${user} is the name of the user, as one whole part
//	${group}/**     ${group} is any one group of the principal, as one whole part
//	${claims.x}/*   ${claims.x} is that claim, as one or more whole parts; of a list, any of its items
//	host:5000/a     the host before a name is a first part like any other
//
// The value of a placeholder is compared as text and never becomes a pattern: a user called "*"
// matches nothing. A value that could not be part of a repository's name matches nothing either:
// one that is empty, has an upper-case letter or another character that names do not have, or has
// a slash in ${user} or ${group}. Each ${group} of a pattern is any group, so that two of them may
// be two different ones. A deny applies if any combination matches, and all are tried. Only users
// have a ${user}: otherwise a robot named after a user would have that user's repositories. Claims
// are the top-level ones, by their exact name. The value of a number, true or false is its JSON
// text, as one part: 3 for 3 and for 3.0. Null, and a list or an object within a list, have no
// value.
//
// # What is not known
//
// What a request leaves out is not known, and no value is assumed for it. A condition fails if it
// reads an address, a time or a registry that is not known, or a claim that is not there, or if it
// compares values of different types. Where the registry is not known, a deny for some registries
// applies, and an allow for some does not.
//
// The type registry has the one name catalog with the one action *. Names of the type tidewaiter
// are patterns as well. Names of other types are compared as they are written.
//
// # What Compile refuses
//
// [Compile] returns all errors at once as [Problems], and then there is no policy. Nothing empty
// ever means "everything", and a rule that can never match is an error: a typing error in a deny
// would open what it was to close.
//
// # How long it takes
//
// Compile builds a tree over the parts of patterns. Decide walks it with the name, and looks up in
// tables what can be written in many ways: the literal text of a part, the text around a * in a
// part, the subjects of the many rules at one place, the registries. So a decision takes as many
// steps, and two small allocations, with one rule as with 100,000, also if all begin with ** or
// ${user}, all are for the same group, all are about the same name, or each is for a registry of
// its own. That is some tenths of a microsecond. A policy of 100,000 rules is larger than a
// processor's caches, though: a decision that meets a part of it for the first time in a while
// waits about a dozen times for memory, which is one or two microseconds more.
//
// The time of a decision grows with:
//
//   - the rules that match subject, name and registry. Their conditions are evaluated only where they
//     could change the result;
//   - the places in the tree that the name leads to: patterns that agree with it up to there and
//     differ in which parts are wildcards, and for ** each place that it may reach;
//   - globs at one place: the different lengths of the text around their * are tried one after the
//     other, and so are those with the same text around and more between, such as *a* and *b*;
//   - the groups of the principal, unless it is [Principal.Indexed] and few of them are named at the
//     places that the name leads to. ${group} is one lookup each time, whatever their number;
//   - the values of its claims where a pattern names them;
//   - the patterns of a credential's limits.
//
// Names have at most 63 parts and 512 bytes to match anything; a pattern has as many, and at most
// 8 parts that are ** or ${claims.x}. No pattern takes more than comparing each of its parts with
// each part of the name. Compile takes time and memory for each combination of a rule's names and
// registries, and for its subjects.
//
// # As a library
//
// The package needs the standard library alone. It does no I/O, starts no goroutine, and reads no
// clock. A nil or zero [Policy], [Request] or [Principal] is valid and is granted nothing beyond
// what everybody is. Types have lower-case names in JSON, and a condition is its source there;
// rules are read from JSON by package rules.
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

// Principal is who sends a request. A Principal is shared between requests and never changed.
type Principal struct {
	Kind Kind `json:"kind"`
	// Name is canonical: as its source spells it, never as it was typed.
	Name   string `json:"name,omitempty"`
	Source string `json:"source,omitempty"` // "accounts", "htpasswd", "ldap:corp"
	ID     string `json:"id,omitempty"`     // within its source; never given to another
	// Groups are replaced at each authentication, never merged.
	Groups []string `json:"groups,omitempty"`
	// Claims are those of an ID token or a directory, best as [CanonicalClaims] returns them.
	Claims map[string]any `json:"claims,omitempty"`
	// Limits are what the credential narrows its owner's rights to. Without any it narrows nothing.
	Limits []Limit `json:"limits,omitempty"`

	index *index // of Kind, Name and Groups, if it was made (see Indexed)
}

// Limit narrows a credential: with limits, an action is granted only where one of them has it.
type Limit struct {
	Type    string        `json:"type,omitempty"` // resource type; "" is "repository"
	Names   []string      `json:"names"`          // patterns
	Actions scope.Actions `json:"actions"`        // what remains
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
	// Names are patterns: * stays in one path part, ** crosses, ${user} is the user's name.
	Names   []string      `json:"names"`
	Role    string        `json:"role,omitempty"`    // a named set of actions …
	Actions scope.Actions `json:"actions,omitempty"` // … and more of them
	When    Condition     `json:"when,omitempty"`    // nil: always
	// Lifetime is how long tokens with a grant by this rule live at most; 0: no limit beside its
	// role's.
	Lifetime time.Duration `json:"lifetime,omitempty"`
	Origin   Origin        `json:"origin,omitzero"`
}

// Origin is where a rule was written. The zero Origin means that this is not known.
type Origin struct {
	File     string `json:"file,omitempty"`
	Line     int    `json:"line,omitempty"`     // from 1; 0: unknown
	Database bool   `json:"database,omitempty"` // in Tidewaiter's database
	// Namespace is the one that it is a rule of, in the database; "": of none.
	Namespace string `json:"namespace,omitempty"`
	BuiltIn   bool   `json:"built_in,omitempty"` // nowhere: nobody needs to write it
}

// Condition is what a rule needs to hold. An allow whose condition fails with an error does not
// match; a deny whose condition fails with an error does. The package
// [github.com/tidewaiter/tidewaiter/policy/when] compiles conditions in CEL.
type Condition interface {
	Holds(*Request) (bool, error)
	Explain(*Request) []Value // the values of its parts, for a person
	String() string           // its source
}

// Value is a part of a condition and what it came to.
type Value struct {
	Expression string `json:"expression"`
	Value      string `json:"value"`
}

// Source is what [Compile] takes: rules, and the roles that they name.
type Source struct {
	Roles map[string]Role `json:"roles,omitempty"`
	Rules []Rule          `json:"rules"`
}

// Role is a named set of actions, and how long tokens with a grant by it live at most. Of the
// lifetimes of a rule and its role the shorter counts.
type Role struct {
	Actions  scope.Actions `json:"actions"`
	Lifetime time.Duration `json:"lifetime,omitempty"` // 0: no limit
}

// Problem is an error in a [Source].
type Problem struct {
	Rule int `json:"rule"` // index into Source.Rules; or InRoles, InLimit
	// Field is "name", "subjects", "registries", "type", "names", "role", "actions", "when" or
	// "lifetime"; or a role's name.
	Field string `json:"field"`
	// Item is the index into the field's list; -1: the field itself.
	Item       int    `json:"item"`
	Text       string `json:"text"`                 // `the pattern "team//app" has an empty path part`
	Suggestion string `json:"suggestion,omitempty"` // "team/app"; "" if there is none
}

// Where a Problem is that is in no rule.
const (
	InRoles = -1 // in Source.Roles, where Field is the role
	InLimit = -2 // in the Limit that was checked
)

// Problems is the error of [Compile]: all that is wrong, at once.
type Problems []Problem

// Request is what [Policy.Decide] decides.
type Request struct {
	Principal *Principal    `json:"principal,omitempty"` // nil: somebody anonymous
	Registry  string        `json:"registry,omitempty"`  // service name; "": it is not known
	Scopes    []scope.Scope `json:"scopes"`
	IP        netip.Addr    `json:"ip,omitzero"`      // the zero Addr: it is not known
	Client    string        `json:"client,omitempty"` // the client's name as it gave it
	Now       time.Time     `json:"now,omitzero"`     // the zero Time: it is not known
}

// Decision is the answer to a request.
type Decision struct {
	// Results has one for each scope of the request, in their order.
	Results []Result `json:"results"`
	// Lifetime is the shortest that a rule with a part in the grants sets; 0: none does.
	Lifetime time.Duration `json:"lifetime,omitempty"`
}

// Result is the answer to one scope.
type Result struct {
	Asked   scope.Scope   `json:"asked"`
	Granted scope.Actions `json:"granted"` // a subset of Asked.Actions
	Causes  []Cause       `json:"causes"`  // together they cover Asked.Actions, each action once
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
	Actions scope.Actions `json:"actions"`
	Reason  Reason        `json:"reason"`
	Rule    *Rule         `json:"rule,omitempty"` // nil for NoRule
}
