// Package rules answers: what is written in a file of rules?
//
// [Read] takes the text of files with roles and rules at their top, in YAML or JSON, exactly as
// Tidewaiter's own policy files are written:
//
//	roles:
//	  reader: [pull]
//	  writer: { actions: [pull, push], lifetime: 30m }
//	rules:
//	  - { name: public images, subjects: [anyone], repositories: ["library/**"], role: reader }
//	  - { name: the team, subjects: ["group:dev"], repositories: ["team/**"], role: writer }
//	  - name: freeze
//	    effect: deny
//	    repositories: ["team/prod/**"]
//	    actions: [push, delete]
//	    when: now.getDayOfWeek("Europe/Paris") in [SATURDAY, SUNDAY]
//
// and returns what [policy.Compile] takes:
//
//	text, err := os.ReadFile("policy.yaml")
//	source, _, err := rules.Read(rules.File{Name: "policy.yaml", Text: text})
//	p, err := policy.Compile(source)
//
// The page docs/policy.md of the repository describes all keys, and docs/configuration.md lists
// them.
//
// # Checks
//
// The checks are those of Tidewaiter itself, which reads its files by the same code. All errors
// are found at once, each with file, line and column and, where there is one, a suggestion. An
// unknown key is an error, and so is a key that is written and empty: nothing empty ever means
// "none" or "all". Conditions are checked by the package
// [github.com/tidewaiter/tidewaiter/policy/when].
//
// # One rule
//
// A [Rule] and a [Role] are what is written, each field as its text. They have the keys of the
// files in JSON, too. A program that has its rules from somewhere else fills them in and calls
// their method Policy, which checks them and returns the rule or the role of a policy.
//
// The package does no I/O: the caller reads the files.
package rules

import (
	"errors"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/ruleset"
	"github.com/tidewaiter/tidewaiter/policy"
)

// File is the text of one file.
type File struct {
	Name string `json:"name"` // as problems and the origin of rules call it: "policy.yaml"
	Text []byte `json:"text"` // YAML or JSON in UTF-8, at most 32 MiB
}

// Read reads files, which together are one policy: a rule may have a role of another file. The
// warnings are about what is allowed and probably not meant. The error is [Problems], with all
// that is wrong; a source that is read without an error compiles.
func Read(files ...File) (source policy.Source, warnings Problems, err error) {
	texts := make([]config.File, len(files))
	for i, f := range files {
		texts[i] = config.File(f)
	}
	source, doubts, err := config.ReadRules(texts)
	if found, ok := errors.AsType[config.Problems](err); ok {
		err = problems(found)
	}
	return source, problems(doubts), err
}

func problems(from config.Problems) Problems {
	if len(from) == 0 {
		return nil
	}
	to := make(Problems, len(from))
	for i, p := range from {
		to[i] = Problem(p)
	}
	return to
}

// Problem is an error in a file, or a warning about it.
type Problem struct {
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`   // from 1; 0: not known
	Column int    `json:"column,omitempty"` // from 1, in characters; 0: not known
	Text   string `json:"text"`
	// What was probably meant; "" if that is not known.
	Suggestion string `json:"suggestion,omitempty"`
}

// String returns `policy.yaml:14:9: unknown key "repos" (did you mean "repositories"?)`.
func (p Problem) String() string { return config.Problem(p).String() }

// Problems are all errors of one call, in the order of files, lines and columns.
type Problems []Problem

// Error returns one line for each.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Rule is a rule as it is written: Name, Effect, Subjects, Registries, Repositories or Catalog or
// Tidewaiter, Role, Actions, When, Comment and Lifetime, each as its text in a file. A field that
// is not written is its zero value.
//
// The method Policy checks a rule and returns it as one of a policy. It takes what compiles
// conditions: the method Compile of a when.Compiler. Its error is [RuleProblems].
type Rule = ruleset.Rule

// Role is a role as it is written: Actions and Lifetime. The method Policy checks it and returns
// it as one of a policy. Its error is [RuleProblems].
type Role = ruleset.Role

// RuleProblems are all errors of a [Rule] or a [Role] that is in no file. Each has the Field that
// it is about, the index Item of the item in it or -1, a Text and a Suggestion.
type RuleProblems = ruleset.Problems
