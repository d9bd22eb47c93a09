// Package ruleset answers: what may be written as a rule?
//
// A rule is written in a file, sent to the API, or said on the command line, and it is one rule: Policy is the one
// place that decides whether it may be, with what is wrong said of its fields by their names in tidewaiter.yaml. Who
// reads rules says where a field is: a line and a column, a place in a body, a flag.
//
// Nothing empty ever means "none" or "all". A deny for an empty list of subjects could be meant for nobody or for
// everybody, and an allow at an empty list of registries for no registry or for all: what is written with nothing in it is
// a mistake, and only what is not written has a meaning.
//
// What only all rules together show is not looked at here: whether a name is taken, and what policy.Compile says of
// patterns, subjects and roles.
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

// Rule is a rule as it is written, in the words of tidewaiter.yaml. A field that is not written is its zero value; a list
// that is written and empty is not nil.
type Rule struct {
	Name         string        `json:"name"`
	Effect       Effect        `json:"effect,omitempty"`
	Subjects     []string      `json:"subjects,omitempty"` // a deny without any is for anyone
	Registries   []string      `json:"registries,omitempty"`
	Repositories []string      `json:"repositories,omitempty"` // this …
	Catalog      bool          `json:"catalog,omitempty"`      // … or this …
	Tidewaiter   []string      `json:"tidewaiter,omitempty"`   // … or this: rights over Tidewaiter itself
	Role         string        `json:"role,omitempty"`
	Actions      []string      `json:"actions,omitempty"` // "pull", "push", "delete", "read", "write", or "*" for all
	When         string        `json:"when,omitempty"`
	Lifetime     time.Duration `json:"lifetime,omitempty"` // whole seconds
	Comment      string        `json:"comment,omitempty"`

	// Empty names the fields that are written with nothing in them, where the value alone does not show it: a text, or a
	// lifetime of 0.
	Empty []string `json:"-"`
}

// The bounds of a lifetime: clients take a token without one to be good for a minute, and a token cannot be taken back.
const (
	MinLifetime = time.Minute
	MaxLifetime = 24 * time.Hour
)

// Problem is a mistake in a Rule.
type Problem struct {
	Field      string // "repositories"
	Item       int    // index into the field's list; -1: the field itself
	Text       string
	Suggestion string // "" if there is none

	Missing      bool // the field is not written
	Line, Column int  // in the text of the field, from 1, in characters; 0: of a condition alone it is known
}

// Problems are all mistakes of a Rule, in the order of its fields.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, one := range p {
		lines[i] = one.String()
	}
	return strings.Join(lines, "; ")
}

// String is the mistake in a line: `repositories: the pattern "team//app" has an empty path part (did you mean "team/app"?)`.
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

// order is how fields stand in a rule.
var order = []string{
	"name", "effect", "subjects", "registries", "repositories", "catalog", "tidewaiter", "role", "actions", "when", "lifetime", "comment",
}

func sorted(problems Problems) Problems {
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return slices.Index(order, a.Field) - slices.Index(order, b.Field)
	})
	return problems
}
