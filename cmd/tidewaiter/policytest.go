package main

import (
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/explain"
	"github.com/tidewaiter/tidewaiter/internal/policyfile"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy/ask"
)

func policyTest(f *flags) action {
	load := policyFlags(f)
	format := outputFlag(f, "o", "junit")
	strict := f.Bool("strict", false, "exit 1 if a result depends on something that its test does not give")
	return func(s *session) error {
		p, err := load(s)
		if err != nil {
			return err
		}
		tests, err := policyfile.LoadTests(s.args, p.Compiled, clock.Now())
		if err != nil {
			return err
		}
		r := testResults{database: p.database, strict: *strict}
		for i := range tests {
			r.add(testResult{&tests[i], ask.Test(p.Policy, &tests[i].Expectation), ask.Depends(p.Policy, &tests[i].Expectation, &tests[i].Unknown)})
		}
		switch s.output = format; *format {
		case "json":
			err = s.writeJSON(r.json())
		case "junit":
			err = r.writeJUnit(s.out, s.args)
		default:
			r.print(s.out)
		}
		if err == nil && r.failed > 0 {
			err = errReported
		}
		return err
	}
}

// testResult is a test and its failures. depends lists the inputs that the result depends on and
// that the test does not give.
type testResult struct {
	*policyfile.Test
	failures []ask.TestFailure
	depends  []ask.Dependence
}

// testResults are the results of all tests.
type testResults struct {
	database         bool // the rules of the database were tested too
	strict           bool // a warning is a failure
	failed, warnings int
	list             []testResult
}

func (r *testResults) add(t testResult) {
	r.list = append(r.list, t)
	r.warnings += len(t.depends)
	if r.fails(&t) {
		r.failed++
	}
}

func (r *testResults) fails(t *testResult) bool {
	return len(t.failures) > 0 || r.strict && len(t.depends) > 0
}

// warning returns what to add to a test whose result depends on an input that it does not give.
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

// place returns where the failed expectation is written.
func (t *testResult) place(s ask.TestFailure) policyfile.Place { return t.Places[s.Scope] }

// title returns the name of the test, or a sentence with its content if it has none.
func (t *testResult) title() string {
	if t.Name != "" {
		return t.Name
	}
	var expected []string
	if t.May != 0 {
		expected = append(expected, "may "+verbs(t.May, "and"))
	}
	if t.MayNot != 0 {
		expected = append(expected, "may not "+verbs(t.MayNot, "or"))
	}
	var names []string
	for _, s := range t.Request.Scopes {
		names = append(names, shortName(s))
	}
	return t.Request.Principal.String() + " " + strings.Join(expected, ", and ") + " " + strings.Join(names, ", ")
}

// lines returns the failures and the warnings of a test with their places.
func (t *testResult) lines(p paint, name string) (failures, warnings []string) {
	for _, f := range t.failures {
		at := t.place(f)
		failures = append(failures, fmt.Sprintf("%s %s%s", p.bold(fmt.Sprintf("%s:%d:%d:", t.File, at.Line, at.Column)), name, f))
	}
	for _, d := range t.depends {
		warnings = append(warnings, fmt.Sprintf("%s warning: %s%s", p.bold(fmt.Sprintf("%s:%d:%d:", t.File, t.Line, t.Column)), name, warning(d)))
	}
	return failures, warnings
}

// print writes the results as text.
func (r *testResults) print(w io.Writer) {
	p := painted(w)
	for i := range r.list {
		t := &r.list[i]
		name := ""
		if t.Name != "" {
			name = text.Escape(t.Name) + ": "
		}
		failures, warnings := t.lines(p, name)
		for _, line := range slices.Concat(failures, warnings) {
			fmt.Fprintln(w, line)
		}
	}
	of, warned := "the policy", ""
	if r.database {
		of = "the policy of files and database"
	}
	if r.warnings > 0 {
		warned = ", with " + count(r.warnings, "warning", "warnings")
	}
	if r.failed > 0 {
		fmt.Fprintf(w, "%s of %s%s\n", p.red(fmt.Sprintf("%d failed", r.failed)), count(len(r.list), "test", "tests"), warned)
		return
	}
	fmt.Fprintf(w, "%s passed: %s is as expected%s\n", p.green(count(len(r.list), "test", "tests")), of, warned)
}

// The JSON forms of the results.
type (
	testsJSON struct {
		Passed   bool       `json:"passed"`
		Database bool       `json:"database"` // the rules of the database were tested too
		Tests    int        `json:"tests"`
		Failed   int        `json:"failed"`
		Warnings int        `json:"warnings"`
		List     []testJSON `json:"list"`
	}
	testJSON struct {
		Name     string        `json:"name"`
		File     string        `json:"file"`
		Line     int           `json:"line"`
		Column   int           `json:"column"`
		Passed   bool          `json:"passed"`
		Failures []failureJSON `json:"failures,omitempty"`
		Warnings []warningJSON `json:"warnings,omitempty"`
	}
	warningJSON struct {
		Text    string           `json:"text"`
		Depends string           `json:"depends"` // the input, as conditions write it
		By      explain.RuleName `json:"by"`      // the rule that reads it
	}
	failureJSON struct {
		Line     int               `json:"line"`
		Column   int               `json:"column"`
		Text     string            `json:"text"`
		Type     string            `json:"type"`
		Resource string            `json:"resource"`
		Actions  []string          `json:"actions"`
		Granted  bool              `json:"granted"`
		Reason   string            `json:"reason"`
		By       *explain.RuleName `json:"by,omitempty"`       // the rule that decided
		Expected string            `json:"expected,omitempty"` // the rule that was expected to
	}
)

func (r *testResults) json() testsJSON {
	j := testsJSON{Passed: r.failed == 0, Database: r.database, Tests: len(r.list), Failed: r.failed, Warnings: r.warnings, List: []testJSON{}}
	for i := range r.list {
		t := &r.list[i]
		one := testJSON{Name: t.title(), File: t.File, Line: t.Line, Column: t.Column, Passed: !r.fails(t)}
		for _, f := range t.failures {
			at := t.place(f)
			failure := failureJSON{
				Line: at.Line, Column: at.Column, Text: f.String(), Type: f.Asked.Type, Resource: f.Asked.Name,
				Actions: explain.ActionNames(f.Asked.Actions), Granted: f.Granted, Reason: f.Cause.Reason.String(), Expected: f.Expected,
			}
			if f.Cause.Rule != nil {
				by := explain.NewRuleName(f.Cause.Rule)
				failure.By = &by
			}
			one.Failures = append(one.Failures, failure)
		}
		for _, d := range t.depends {
			one.Warnings = append(one.Warnings, warningJSON{warning(d), d.Input, explain.NewRuleName(d.Rule)})
		}
		j.List = append(j.List, one)
	}
	return j
}

// The JUnit XML that GitHub, GitLab and Jenkins read.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Errors   int         `xml:"errors,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		File    string        `xml:"file,attr"`
		Line    int           `xml:"line,attr"`
		Failure *junitFailure `xml:"failure,omitempty"`
		Output  string        `xml:"system-out,omitempty"` // warnings
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// writeJUnit writes the results with a suite for each file.
func (r *testResults) writeJUnit(w io.Writer, files []string) error {
	all := junitSuites{Tests: len(r.list)}
	for _, file := range files {
		suite := junitSuite{Name: file}
		for i := range r.list {
			t := &r.list[i]
			if t.File != file {
				continue
			}
			c := junitCase{Class: file, Name: t.title(), File: file, Line: t.Line}
			failures, warnings := t.lines(false, "")
			if !r.fails(t) {
				c.Output = strings.Join(warnings, "\n")
			} else {
				message := ""
				if len(failures) > 0 {
					message = t.failures[0].String()
				} else {
					message = warning(t.depends[0])
				}
				c.Failure = &junitFailure{message, strings.Join(append(failures, warnings...), "\n")}
				suite.Failures++
			}
			suite.Cases = append(suite.Cases, c)
		}
		suite.Tests = len(suite.Cases)
		all.Failures += suite.Failures
		all.Suites = append(all.Suites, suite)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
