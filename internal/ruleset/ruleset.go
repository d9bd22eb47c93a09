// Package ruleset defines and checks rules and roles in the form in which users write them.
//
// Rules in files, in API requests and on the command line all have the type Rule. Only this
// package defines the fields, help texts and checks. The caller adds the place of the field to an
// error: a line and a column of the config, a place in the body of an API request, or a flag of
// the command line.
//
// An empty field never means "none" or "all". A deny rule with an empty list of subjects could be
// meant for nobody or for everybody. An allow rule with an empty list of registries could be meant
// for no registry or for all. So a field that is present but empty is an error. Only a field that
// is absent has a default.
//
// Package policy has the other checks: whether a name is already in use, and whether patterns,
// subjects and roles are valid.
package ruleset

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/policy"
)

// Effect is Allow or Deny.
type Effect string

// The effects.
const (
	Allow Effect = "allow" // the default; "" also means Allow
	Deny  Effect = "deny"
)

// Rule is a rule in the form in which users write it, with the keys of tidewaiter.yaml. An absent
// field has its zero value. A list that is present but empty is not nil.
type Rule struct {
	Name       string   `json:"name"`
	Effect     Effect   `json:"effect,omitempty"`
	Subjects   []string `json:"subjects,omitempty"` // a deny rule without subjects is for anyone
	Registries []string `json:"registries,omitempty"`
	// A rule has exactly one of Repositories, Catalog and Tidewaiter. The field Tidewaiter
	// lists rights over Tidewaiter itself.
	Repositories []string `json:"repositories,omitempty"`
	Catalog      bool     `json:"catalog,omitempty"`
	Tidewaiter   []string `json:"tidewaiter,omitempty"`
	Role         string   `json:"role,omitempty"`
	// Actions are "pull", "push", "delete", "read" and "write", or "*" for all.
	Actions  []string `json:"actions,omitempty"`
	When     string   `json:"when,omitempty"`
	Comment  string   `json:"comment,omitempty"`
	Lifetime string   `json:"lifetime,omitempty"` // "5m": whole seconds

	// Empty lists the text fields that are present but empty. The value "" alone does not show
	// whether a field is present.
	Empty []string `json:"-"`
}

// Role is a role in the form in which users write it: a named set of actions.
type Role struct {
	Actions  []string `json:"actions"`
	Lifetime string   `json:"lifetime,omitempty"`

	Empty []string `json:"-"` // like Rule.Empty
}

// Field describes a field of S, which is a Rule or a Role: its name, its kind, and the help text
// for the reference, the API and the command line.
type Field[S any] struct {
	Name     string
	Kind     string // the kind of value, as in the reference: "list of texts"
	Required bool
	Default  string // "" if there is no default
	Help     string // one or two sentences, in Markdown
	More     string // further text for the reference and the API
	Example  any    // for the API reference; nil: no example

	Of func(*S) any // a *string, *[]string or *bool
}

// Means returns the whole help text: Help, followed by More.
func (f *Field[S]) Means() string { return strings.TrimSpace(f.Help + " " + f.More) }

// Fields are the fields of a Rule in their usual order.
var Fields = []Field[Rule]{
	{Name: "name", Kind: "text", Required: true, Example: "freeze", Of: func(r *Rule) any { return &r.Name },
		Help: "The name of the rule in responses, in the journal and in `explain`.", More: "It must be unique."},
	{Name: "effect", Kind: "one of allow, deny", Default: string(Allow), Of: func(r *Rule) any { return (*string)(&r.Effect) },
		Help: "Whether the rule allows or denies.", More: "A deny rule overrides every allow rule."},
	{Name: "subjects", Kind: "list of texts", Example: []string{"group:developers"}, Of: func(r *Rule) any { return &r.Subjects },
		Help: "Whom the rule is for: `anyone`, `signed-in`, `anonymous`, `user:NAME`, `group:NAME`, `robot:NAME`, `workload:NAME`. A deny rule without subjects is for anyone.",
		More: "An allow rule needs at least one subject."},
	{Name: "registries", Kind: "list of texts", Of: func(r *Rule) any { return &r.Registries },
		Help: "The `service` of each registry that the rule is for. The default is all registries."},
	{Name: "repositories", Kind: "list of texts", Example: []string{"prod/**"}, Of: func(r *Rule) any { return &r.Repositories },
		Help: "Patterns of repositories, such as `team/**`.",
		More: "`*` matches any text within one path part, `**` any number of parts, `${user}` the name of the principal, `${group}` any of its groups, `${claims.NAME}` a claim."},
	{Name: "catalog", Kind: "true", Of: func(r *Rule) any { return &r.Catalog },
		Help: "Instead of repositories: the registry's catalog, the list of all its repositories."},
	{Name: "tidewaiter", Kind: "list of rights", Example: []string{"accounts"}, Of: func(r *Rule) any { return &r.Tidewaiter },
		Help: "Instead of repositories: rights over Tidewaiter itself, such as `journal` or `namespace/team`.",
		More: "`accounts`: users, robots, groups and tokens. `administrators`: accounts of administrators. `journal`: the audit journal. `policy`: roles and rules in the database, and queries about the rights of others. `namespaces`: all namespaces. `namespace/NAME`, or a pattern such as `namespace/team-*`: a namespace's members, roles and robots. `\"**\"`: all. Members of the group `tidewaiter-admins` have all rights without a rule, and members of `tidewaiter-auditors` may read everything. A deny rule can take these rights away."},
	{Name: "role", Kind: "text", Example: "writer", Of: func(r *Rule) any { return &r.Role },
		Help: "A role. The rule has the actions of the role."},
	{Name: "actions", Kind: "list of actions", Example: []string{"push", "delete"}, Of: func(r *Rule) any { return &r.Actions },
		Help: "Actions, in addition to the actions of the role: `pull`, `push`, `delete`, or `\"*\"` for all. For rights: `read` and `write`.",
		More: "A push needs both pull and push."},
	{Name: "when", Kind: "condition", Of: func(r *Rule) any { return &r.When },
		Help: "A condition that must hold for the rule to match, in CEL.",
		More: "A condition can use `request.ip`, `now`, `user`, `groups`, `claims`, `client` and `registry`. See [Policy](policy.md#conditions). If the condition cannot be evaluated, for example because a claim is missing, an allow rule does not match and a deny rule matches."},
	{Name: "lifetime", Kind: "duration", Example: "5m0s", Of: func(r *Rule) any { return &r.Lifetime },
		Help: "The maximum lifetime of tokens with an action that this rule grants, such as `5m`."},
	{Name: "comment", Kind: "text", Of: func(r *Rule) any { return &r.Comment },
		Help: "A comment for people, such as the purpose of the rule."},
}

// RoleFields are the fields of a Role.
var RoleFields = []Field[Role]{
	{Name: "actions", Kind: "list of actions", Required: true, Example: []string{"pull", "delete"}, Of: func(r *Role) any { return &r.Actions },
		Help: "The actions of the role: `pull`, `push`, `delete`, or `\"*\"` for all."},
	{Name: "lifetime", Kind: "duration", Example: "5m0s", Of: func(r *Role) any { return &r.Lifetime },
		Help: "The maximum lifetime of tokens with an action that this role grants, such as `5m`.", More: "If the rule has a lifetime, too, the shorter lifetime applies."},
}

// The limits of a lifetime. Clients assume that every token is valid for at least MinLifetime.
// Tokens cannot be revoked, so existing tokens remain valid for up to MaxLifetime after a grant
// is removed.
const (
	MinLifetime = time.Minute
	MaxLifetime = 24 * time.Hour
)

// Problem is an error in a Rule or a Role.
type Problem struct {
	Field      string // "repositories"
	Item       int    // index into the field's list; -1: the field itself
	Text       string
	Suggestion string // "" if there is no suggestion

	Missing      bool // the field is absent
	Line, Column int  // place in a condition, from 1, in characters; 0 for other fields
}

// Problems are all errors of a Rule, in the order of the Rule's fields.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, one := range p {
		lines[i] = one.String()
	}
	return strings.Join(lines, "; ")
}

// String returns the problem in one line, such as `repositories: the pattern "team//app" has an
// empty path part (did you mean "team/app"?)`.
func (p Problem) String() string {
	text := p.Sentence()
	if p.Field != "" {
		text = p.Field + ": " + text
	}
	return text
}

// Sentence returns the same text as String, but without the name of the field.
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

// FieldOf returns the field of Rule that a problem of package policy is about.
func FieldOf(p policy.Problem, r *policy.Rule) string { return fieldOf(p.Field, r.Type) }

func sorted(problems Problems) Problems {
	place := func(name string) int {
		return slices.IndexFunc(Fields, func(f Field[Rule]) bool { return f.Name == name })
	}
	slices.SortStableFunc(problems, func(a, b Problem) int { return place(a.Field) - place(b.Field) })
	return problems
}
