// Package rules reads rules from YAML or JSON.
//
// [Read] parses files in the format of Tidewaiter's own policy files, whose top-level keys are
// roles and rules:
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
// It returns the input of [policy.Compile]:
//
//	text, err := os.ReadFile("policy.yaml")
//	source, _, err := rules.Read(rules.File{Name: "policy.yaml", Text: text})
//	p, err := policy.Compile(source)
//
// In the repository, docs/policy.md explains the keys, and docs/configuration.md lists them.
//
// # Checks
//
// Tidewaiter checks its own policy files with the same code. Read returns all errors together.
// Each error has a file, a line, a column and, if possible, a suggestion. An unknown key is an
// error. A key with an empty value is an error, too, because an empty value never means "none" or
// "all". Package [github.com/tidewaiter/tidewaiter/policy/when] checks conditions.
//
// # Single rules
//
// The fields of the types [Rule] and [Role] are the keys of a file. Their values are not parsed.
// In JSON, the types have the same keys as a file. A program can use these types for rules that do
// not come from a file. Their method Policy checks a rule or role and converts it to the
// corresponding type of package policy.
//
// The package does no I/O: the caller reads the files.
package rules

import (
	"github.com/tidewaiter/tidewaiter/internal/policyfile"
	"github.com/tidewaiter/tidewaiter/internal/ruleset"
	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
	"github.com/tidewaiter/tidewaiter/policy"
)

// File is the content of a file. The field Name is the name of the file, such as "policy.yaml". It
// is used in problems and in the origins of rules. The field Text is YAML or JSON in UTF-8, at
// most 32 MiB.
type File = policyfile.File

// Read parses several files as one policy, so a rule can use a role of another file. Warnings are
// about valid rules that probably do not have the intended effect. An error has the type
// [Problems] and lists all errors. If Read returns no error, policy.Compile accepts the source.
func Read(files ...File) (source policy.Source, warnings Problems, err error) {
	return policyfile.ReadRules(files)
}

// Problem is an error in a file, or a warning about it. Its position is in the fields File,
// Line and Column. Line and Column count from 1, and are 0 if the position is unknown. The
// field Text describes the problem. The field Suggestion is a likely correction, or "". The
// method String returns the whole problem on one line: `policy.yaml:14:9: unknown key "repos"
// (did you mean "repositories"?)`. The method Snippet adds the line of the file for a terminal.
type Problem = strictyaml.Problem

// Problems are all errors of one call, sorted by file, line and column. The method Error
// returns one line for each problem.
type Problems = strictyaml.Problems

// Rule is a rule in the form that rules have in files. Its fields are Name, Effect, Subjects,
// Registries, Repositories, Catalog, Tidewaiter, Role, Actions, When, Comment and Lifetime.
// Exactly one of Repositories, Catalog and Tidewaiter must be set. Fields that are missing in the
// file have their zero value.
//
// The method Policy checks a rule and converts it to a policy.Rule. Its argument is a function
// that compiles conditions, such as the method Compile of a when.Compiler. An error of Policy has
// the type [RuleProblems].
type Rule = ruleset.Rule

// Role is a role in the form that roles have in files. Its fields are Actions and Lifetime. The
// method Policy checks the role and converts it to a policy.Role. An error of Policy has the type
// [RuleProblems].
type Role = ruleset.Role

// RuleProblems are all errors of a [Rule] or a [Role] that is not in a file. Each problem has four
// fields. Field is the name of a field, Item is an index into the list of this field or -1, Text
// describes the problem, and Suggestion is a likely correction or "".
type RuleProblems = ruleset.Problems
