// Package policytest runs tests of a policy. It answers two questions: does a policy give the
// results that its test files expect, and does a result depend on an input that the test does not
// give?
package policytest

import (
	"fmt"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/explain"
	"github.com/tidewaiter/tidewaiter/internal/policyfile"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy/ask"
)

// Options are the settings of a run.
type Options struct {
	Now      time.Time // the time of tests that do not give a time
	Database bool      // the policy includes the rules of a database
	Strict   bool      // a warning is a failure
}

// Results are the results of all tests, and their JSON form.
type Results struct {
	Passed   bool     `json:"passed"`
	Database bool     `json:"database"` // the rules of the database were tested too
	Tests    int      `json:"tests"`
	Failed   int      `json:"failed"`
	Warnings int      `json:"warnings"`
	List     []Result `json:"list"`
}

// Result is the result of one test.
type Result struct {
	Name     string    `json:"name"` // if the test has no name: a sentence with its content
	Unnamed  bool      `json:"-"`    // Name is such a sentence
	File     string    `json:"file"`
	Line     int       `json:"line"`
	Column   int       `json:"column"`
	Passed   bool      `json:"passed"`
	Failures []Failure `json:"failures,omitempty"`
	Warnings []Warning `json:"warnings,omitempty"`
}

// Failure is a decision that was not expected.
type Failure struct {
	Line     int               `json:"line"`
	Column   int               `json:"column"`
	Text     string            `json:"text"`
	Type     string            `json:"type"`
	Resource string            `json:"resource"`
	Actions  []string          `json:"actions"`
	Granted  bool              `json:"granted"`
	Reason   string            `json:"reason"`
	By       *explain.RuleName `json:"by,omitempty"`       // the rule that decided
	Expected string            `json:"expected,omitempty"` // the rule that was expected to decide
}

// Warning reports an input that the test does not give, although the result depends on it.
type Warning struct {
	Text    string           `json:"text"`
	Depends string           `json:"depends"` // the input, in the form of conditions
	By      explain.RuleName `json:"by"`      // the rule that reads it
}

// Run runs the tests of files. The error is strictyaml.Problems.
func Run(files []string, p *policyfile.Compiled, o Options) (*Results, error) {
	tests, err := policyfile.LoadTests(files, p, o.Now)
	if err != nil {
		return nil, err
	}
	r := &Results{Database: o.Database, Tests: len(tests), List: make([]Result, len(tests))}
	for i := range tests {
		r.List[i] = run(p, &tests[i], o.Strict)
		r.Warnings += len(r.List[i].Warnings)
		if !r.List[i].Passed {
			r.Failed++
		}
	}
	r.Passed = r.Failed == 0
	return r, nil
}

func run(p *policyfile.Compiled, t *policyfile.Test, strict bool) Result {
	r := Result{Name: t.Name, File: t.File, Line: t.Line, Column: t.Column}
	if r.Name == "" {
		r.Name, r.Unnamed = sentence(t), true
	}
	for _, f := range ask.Test(p.Policy, &t.Expectation) {
		at := t.Places[f.Scope]
		failure := Failure{
			Line: at.Line, Column: at.Column, Text: f.String(), Type: f.Asked.Type, Resource: f.Asked.Name,
			Actions: explain.ActionNames(f.Asked.Actions), Granted: f.Granted, Reason: f.Cause.Reason.String(), Expected: f.Expected,
		}
		if f.Cause.Rule != nil {
			by := explain.NewRuleName(f.Cause.Rule)
			failure.By = &by
		}
		r.Failures = append(r.Failures, failure)
	}
	for _, d := range ask.Depends(p.Policy, &t.Expectation, &t.Unknown) {
		r.Warnings = append(r.Warnings, Warning{warning(d), d.Input, explain.NewRuleName(d.Rule)})
	}
	r.Passed = len(r.Failures) == 0 && (!strict || len(r.Warnings) == 0)
	return r
}

// Lines returns a line with its place for each failure and each warning. The function bold formats
// a place.
func (r *Result) Lines(bold func(string) string) (failures, warnings []string) {
	name := ""
	if !r.Unnamed {
		name = text.Escape(r.Name) + ": "
	}
	for _, f := range r.Failures {
		failures = append(failures, bold(fmt.Sprintf("%s:%d:%d:", r.File, f.Line, f.Column))+" "+name+f.Text)
	}
	for _, w := range r.Warnings {
		warnings = append(warnings, bold(fmt.Sprintf("%s:%d:%d:", r.File, r.Line, r.Column))+" warning: "+name+w.Text)
	}
	return failures, warnings
}

// warning returns the warning about a missing input, with the lines to add to the test.
func warning(d ask.Dependence) string {
	add := ""
	switch claim, isClaim := strings.CutPrefix(d.Input, "claims."); {
	case isClaim:
		add = fmt.Sprintf("claims: { %s: VALUE }, or without: [claims.%[1]s]", text.Escape(claim))
	case d.Input == "now":
		add = "at: TIME"
	case d.Input == "request.ip":
		add = "ip: ADDRESS, or without: [ip]"
	case d.Input == "client":
		add = "client: NAME, or without: [client]"
	case d.Input == "registry":
		add = "registry: SERVICE"
	default: // the condition reads all claims
		add = "all claims, and without: [claims]"
	}
	return fmt.Sprintf("the result depends on %s, which %s reads and the test does not give; add %s", text.Escape(d.Input), d.Rule, add)
}

// sentence returns the content of a test: "user:ann may pull and push team/app".
func sentence(t *policyfile.Test) string {
	var expected, names []string
	if t.May != 0 {
		expected = append(expected, "may "+text.Verbs(t.May.Names(), "and"))
	}
	if t.MayNot != 0 {
		expected = append(expected, "may not "+text.Verbs(t.MayNot.Names(), "or"))
	}
	for _, s := range t.Request.Scopes {
		names = append(names, text.Resource(s.Type, s.Name))
	}
	return t.Request.Principal.String() + " " + strings.Join(expected, ", and ") + " " + strings.Join(names, ", ")
}
