// Package ruleset answers: what may be written as a rule, and as a role?
//
// A rule is written in a file, sent to the API, or given on the command line, and it is one Rule.
// Its fields, their help texts and their checks are here and nowhere else. The caller says where a
// field is: config gives a line and a column, the API a place in a body, the command line a flag.
//
// Nothing empty ever means "none" or "all". A deny for an empty list of subjects could be meant
// for nobody or for everybody, and an allow at an empty list of registries for no registry or for
// all. So a field that is written and empty is an error; only a field that is not written has a
// default.
//
// What only all rules together show is not checked here: whether a name is taken, and what
// policy.Compile checks of patterns, subjects and roles.
package ruleset

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/policy"
)

// Effect is what a rule does.
type Effect string

// The effects.
const (
	Allow Effect = "allow" // which "" is, too
	Deny  Effect = "deny"
)

// Rule is a rule as it is written, in the words of tidewaiter.yaml. A field that is not written is
// its zero value; a list that is written and empty is not nil.
type Rule struct {
	Name         string   `json:"name"`
	Effect       Effect   `json:"effect,omitempty"`
	Subjects     []string `json:"subjects,omitempty"` // a deny without any is for anyone
	Registries   []string `json:"registries,omitempty"`
	Repositories []string `json:"repositories,omitempty"` // this …
	Catalog      bool     `json:"catalog,omitempty"`      // … or this …
	// … or this: rights over Tidewaiter itself.
	Tidewaiter []string `json:"tidewaiter,omitempty"`
	Role       string   `json:"role,omitempty"`
	// "pull", "push", "delete", "read", "write", or "*" for all
	Actions  []string `json:"actions,omitempty"`
	When     string   `json:"when,omitempty"`
	Comment  string   `json:"comment,omitempty"`
	Lifetime string   `json:"lifetime,omitempty"` // "5m": whole seconds

	// Empty names the texts that are written with nothing in them: the value alone does not show
	// it.
	Empty []string `json:"-"`
}

// Role is a role as it is written: a named set of actions.
type Role struct {
	Actions  []string `json:"actions"`
	Lifetime string   `json:"lifetime,omitempty"`

	Empty []string `json:"-"` // as in a Rule
}

// Field is one field of an S, which is a Rule or a Role: what it is called, what it holds, and the
// one help text that the reference, the API and the command line show.
type Field[S any] struct {
	Name     string
	Kind     string // what it holds, as the reference says it: "list of text"
	Required bool
	Default  string // "" if there is none
	Help     string // one or two sentences, in Markdown
	More     string // what the reference and the API say beyond that
	Example  any    // for the API; nil if a text says enough

	Of func(*S) any // a *string, *[]string or *bool
}

// Means is the whole help text.
func (f *Field[S]) Means() string { return strings.TrimSpace(f.Help + " " + f.More) }

// Fields are the fields of a Rule, in the order in which they stand in one.
var Fields = []Field[Rule]{
	{Name: "name", Kind: "text", Required: true, Example: "freeze", Of: func(r *Rule) any { return &r.Name },
		Help: "What the rule is called: answers, the journal and `explain` name it.", More: "No two have the same."},
	{Name: "effect", Kind: "one of allow, deny", Default: string(Allow), Of: func(r *Rule) any { return (*string)(&r.Effect) },
		Help: "Whether it allows or denies.", More: "A deny beats any allow."},
	{Name: "subjects", Kind: "list of text", Example: []string{"group:developers"}, Of: func(r *Rule) any { return &r.Subjects },
		Help: "Who: `anyone`, `signed-in`, `anonymous`, `user:NAME`, `group:NAME`, `robot:NAME`, `workload:NAME`. A deny without any is for anyone.",
		More: "An allow needs one."},
	{Name: "registries", Kind: "list of text", Of: func(r *Rule) any { return &r.Registries },
		Help: "The `service` of registries that it is for. The default is all."},
	{Name: "repositories", Kind: "list of text", Example: []string{"prod/**"}, Of: func(r *Rule) any { return &r.Repositories },
		Help: "Patterns of repositories, such as `team/**`.",
		More: "`*` is anything within one part of the path, `**` any number of parts, `${user}` the name of the principal, `${group}` any of its groups, `${claims.NAME}` a claim."},
	{Name: "catalog", Kind: "true", Of: func(r *Rule) any { return &r.Catalog },
		Help: "In place of repositories: the registry's catalog, the list of all its repositories."},
	{Name: "tidewaiter", Kind: "list of right", Example: []string{"accounts"}, Of: func(r *Rule) any { return &r.Tidewaiter },
		Help: "In place of repositories: rights over Tidewaiter itself, such as `journal` or `namespace/team`.",
		More: "`accounts`: users, robots, groups and tokens. `administrators`: those of them that are administrators. `journal`: what happened. `policy`: roles and rules in the database, and asking what others may do. `namespaces`: which namespaces there are. `namespace/NAME`, or a pattern such as `namespace/team-*`: a namespace's members, roles and robots. `\"**\"`: all. Members of the group `tidewaiter-admins` have all rights without a rule, and those of `tidewaiter-auditors` may read all; a rule can deny it."},
	{Name: "role", Kind: "text", Example: "writer", Of: func(r *Rule) any { return &r.Role },
		Help: "A role, for its actions."},
	{Name: "actions", Kind: "list of actions", Example: []string{"push", "delete"}, Of: func(r *Rule) any { return &r.Actions },
		Help: "Actions, or more of them beside the role's: `pull`, `push`, `delete`, or `\"*\"` for all; of rights `read` and `write`.",
		More: "Pushing needs both pull and push."},
	{Name: "when", Kind: "condition", Of: func(r *Rule) any { return &r.When },
		Help: "A condition that must hold for the rule to match, in CEL.",
		More: "It reads `request.ip`, `now`, `user`, `groups`, `claims`, `client` and `registry`. The page [Policy](policy.md#conditions) shows how. If it cannot be evaluated, say because a claim is missing, an allow does not match, and a deny does."},
	{Name: "lifetime", Kind: "duration", Example: "5m0s", Of: func(r *Rule) any { return &r.Lifetime },
		Help: "How long tokens with a grant by this rule are valid at most, such as `5m`."},
	{Name: "comment", Kind: "text", Of: func(r *Rule) any { return &r.Comment },
		Help: "Why there is such a rule, for people."},
}

// RoleFields are the fields of a Role.
var RoleFields = []Field[Role]{
	{Name: "actions", Kind: "list of actions", Required: true, Example: []string{"pull", "delete"}, Of: func(r *Role) any { return &r.Actions },
		Help: "What the role may do: `pull`, `push`, `delete`, or `\"*\"` for all."},
	{Name: "lifetime", Kind: "duration", Example: "5m0s", Of: func(r *Role) any { return &r.Lifetime },
		Help: "How long tokens with a grant by this role are valid at most, such as `5m`.", More: "A rule's own counts where it is shorter."},
}

// The bounds of a lifetime: clients assume that a token without one lives for a minute, and a
// token cannot be revoked.
const (
	MinLifetime = time.Minute
	MaxLifetime = 24 * time.Hour
)

// Problem is an error in a Rule or a Role.
type Problem struct {
	Field      string // "repositories"
	Item       int    // index into the field's list; -1: the field itself
	Text       string
	Suggestion string // "" if there is none

	Missing      bool // the field is not written
	Line, Column int  // in the text of a condition, from 1, in characters; 0: of other fields
}

// Problems are all errors of a Rule, in the order of its fields.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, one := range p {
		lines[i] = one.String()
	}
	return strings.Join(lines, "; ")
}

// String is the error in a line: `repositories: the pattern "team//app" has an empty path part
// (did you mean "team/app"?)`.
func (p Problem) String() string {
	text := p.Sentence()
	if p.Field != "" {
		text = p.Field + ": " + text
	}
	return text
}

// Sentence is String without the field.
func (p Problem) Sentence() string {
	text := p.Text
	if p.Line > 0 {
		text = fmt.Sprintf("%d:%d: %s", p.Line, p.Column, text)
	}
	if p.Suggestion != "" {
		text += fmt.Sprintf(" (did you mean %q?)", p.Suggestion)
	}
	return text
}

// FieldOf returns what rules call the field that a problem of policy is about.
func FieldOf(p policy.Problem, r *policy.Rule) string { return fieldOf(p.Field, r.Type) }

func sorted(problems Problems) Problems {
	place := func(name string) int {
		return slices.IndexFunc(Fields, func(f Field[Rule]) bool { return f.Name == name })
	}
	slices.SortStableFunc(problems, func(a, b Problem) int { return place(a.Field) - place(b.Field) })
	return problems
}
