package main

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tidewaiter/tidewaiter/internal/api"
	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
)

func newPolicyTest() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "test FILE...",
		Short: "Run tests of the policy",
		Long: `Run tests of the policy. Test files state who may and may not do what. The policy is the one that the
service would use, with the rules in the database. With --files-only or --policy, the tests need no
keys, no database and no network, and can run in CI. Exits 0 if all tests pass, and 1 if one fails or a
file is invalid.

A warning is printed if a result depends on something that the test does not give, such as the time,
the client's address or a claim. It names the key to add. With --strict such a warning is a failure, so
that a test that passes today passes on any day and any machine.

docs/policy.md has an example. docs/configuration.md lists all keys.`,
		Example: `  tidewaiter policy test tests.yaml
  tidewaiter policy test --files-only --strict tests.yaml
  tidewaiter policy test --policy policy/base.yaml --policy policy/search.yaml tests/*.yaml
  tidewaiter policy test tests.yaml --output junit > report.xml`,
		Args: cobra.MinimumNArgs(1),
	}
	files := policyFlags(cmd)
	report := reportFlag(cmd)
	strictly := cmd.Flags().Bool("strict", false, "exit 1 if a result depends on something that its test does not give")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		p, err := files.load(cmd)
		if err != nil {
			return err
		}
		tests, err := config.LoadTests(args, p.OnlyPolicy, clock.Now())
		if err != nil {
			return err
		}
		results := make([]tested, len(tests))
		sum := testSum{database: p.database, strict: *strictly}
		for i := range tests {
			t := &tests[i]
			results[i] = tested{t, p.Policy.Test(&t.Expectation), p.Policy.Depends(&t.Expectation, &t.Unknown)}
			sum.add(&results[i])
		}
		switch out := cmd.OutOrStdout(); *report {
		case "json":
			err = writeJSON(out, testsForPrograms(results, sum))
		case "junit":
			err = writeJUnit(out, args, results, sum)
		default:
			printTests(out, results, sum)
		}
		if err == nil && !sum.passed() {
			err = errReported
		}
		return err
	}
	return cmd
}

// report is the value of --output of a command that tests.
type report string

func reportFlag(cmd *cobra.Command) *report {
	r := report("text")
	cmd.Flags().VarP(&r, "output", "o", "output format")
	_ = cmd.RegisterFlagCompletionFunc("output", // fails only for an unknown flag
		cobra.FixedCompletions([]string{"text", "json", "junit"}, cobra.ShellCompDirectiveNoFileComp))
	return &r
}

func (r *report) String() string { return string(*r) }

func (r *report) Type() string { return "text|json|junit" }

func (r *report) Set(s string) error {
	switch s {
	case "text", "json", "junit":
		*r = report(s)
		return nil
	}
	return fmt.Errorf("must be text, json or junit")
}

// tested is a test, its failures, and the inputs that its result depends on and that it does not give.
type tested struct {
	*config.Test
	surprises []policy.TestFailure
	depends   []policy.Dependence
}

// testSum is the summary of all tests.
type testSum struct {
	database         bool // the rules of the database were tested too
	strict           bool // a warning is a failure
	failed, warnings int
}

func (s *testSum) add(t *tested) {
	s.warnings += len(t.depends)
	if t.fails(s.strict) {
		s.failed++
	}
}

func (s *testSum) passed() bool { return s.failed == 0 }

func (t *tested) fails(strict bool) bool { return len(t.surprises) > 0 || strict && len(t.depends) > 0 }

// warning returns what to add to a test whose result depends on an input that it does not give.
func warning(d policy.Dependence) string {
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
func (t *tested) place(s policy.TestFailure) config.Place { return t.Places[s.Scope] }

// title returns the name of the test, or a sentence with its content if it has none.
func (t *tested) title() string {
	if t.Name != "" {
		return t.Name
	}
	var says []string
	if t.May != 0 {
		says = append(says, "may "+verbs(t.May, "and"))
	}
	if t.MayNot != 0 {
		says = append(says, "may not "+verbs(t.MayNot, "or"))
	}
	var names []string
	for _, s := range t.Request.Scopes {
		names = append(names, shortName(s))
	}
	return t.Request.Principal.String() + " " + strings.Join(says, ", and ") + " " + strings.Join(names, ", ")
}

// printTests writes the results as text.
func printTests(w io.Writer, results []tested, sum testSum) {
	p := painted(w)
	for i := range results {
		t := &results[i]
		name := ""
		if t.Name != "" {
			name = text.Escape(t.Name) + ": "
		}
		for _, s := range t.surprises {
			at := t.place(s)
			fmt.Fprintf(w, "%s %s%s\n", p.bold(fmt.Sprintf("%s:%d:%d:", t.File, at.Line, at.Column)), name, s)
		}
		for _, d := range t.depends {
			fmt.Fprintf(w, "%s warning: %s%s\n", p.bold(fmt.Sprintf("%s:%d:%d:", t.File, t.Line, t.Column)), name, warning(d))
		}
	}
	of, warned := "the policy", ""
	if sum.database {
		of = "the policy of files and database"
	}
	if sum.warnings > 0 {
		warned = ", with " + count(sum.warnings, "warning", "warnings")
	}
	if !sum.passed() {
		fmt.Fprintf(w, "%s of %s%s\n", p.red(fmt.Sprintf("%d failed", sum.failed)), count(len(results), "test", "tests"), warned)
		return
	}
	fmt.Fprintf(w, "%s passed: %s is as expected%s\n", p.green(count(len(results), "test", "tests")), of, warned)
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
		Name      string         `json:"name"`
		File      string         `json:"file"`
		Line      int            `json:"line"`
		Column    int            `json:"column"`
		Passed    bool           `json:"passed"`
		Surprises []surpriseJSON `json:"surprises,omitempty"`
		Warnings  []warningJSON  `json:"warnings,omitempty"`
	}
	warningJSON struct {
		Text    string       `json:"text"`
		Depends string       `json:"depends"` // the input, as conditions write it
		By      api.RuleName `json:"by"`      // the rule that reads it
	}
	surpriseJSON struct {
		Line     int           `json:"line"`
		Column   int           `json:"column"`
		Text     string        `json:"text"`
		Type     string        `json:"type"`
		Resource string        `json:"resource"`
		Actions  []string      `json:"actions"`
		Granted  bool          `json:"granted"`
		Reason   string        `json:"reason"`
		By       *api.RuleName `json:"by,omitempty"`       // the rule that decided
		Expected string        `json:"expected,omitempty"` // the rule that was expected to
	}
)

func testsForPrograms(results []tested, sum testSum) testsJSON {
	j := testsJSON{
		Passed: sum.passed(), Database: sum.database, Tests: len(results), Failed: sum.failed, Warnings: sum.warnings, List: []testJSON{},
	}
	for i := range results {
		t := &results[i]
		one := testJSON{Name: t.title(), File: t.File, Line: t.Line, Column: t.Column, Passed: !t.fails(sum.strict)}
		for _, s := range t.surprises {
			at := t.place(s)
			found := surpriseJSON{
				Line: at.Line, Column: at.Column, Text: s.String(), Type: s.Asked.Type, Resource: s.Asked.Name,
				Actions: words(s.Asked.Actions), Granted: s.Granted, Reason: s.Cause.Reason.String(), Expected: s.Expected,
			}
			if s.Cause.Rule != nil {
				by := api.NewRuleName(s.Cause.Rule)
				found.By = &by
			}
			one.Surprises = append(one.Surprises, found)
		}
		for _, d := range t.depends {
			one.Warnings = append(one.Warnings, warningJSON{warning(d), d.Input, api.NewRuleName(d.Rule)})
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
func writeJUnit(w io.Writer, files []string, results []tested, sum testSum) error {
	all := junitSuites{Tests: len(results)}
	for _, file := range files {
		suite := junitSuite{Name: file}
		for i := range results {
			t := &results[i]
			if t.File != file {
				continue
			}
			c := junitCase{Class: file, Name: t.title(), File: file, Line: t.Line}
			var lines, warnings []string
			for _, s := range t.surprises {
				at := t.place(s)
				lines = append(lines, fmt.Sprintf("%s:%d:%d: %s", file, at.Line, at.Column, s))
			}
			for _, d := range t.depends {
				warnings = append(warnings, fmt.Sprintf("%s:%d:%d: warning: %s", file, t.Line, t.Column, warning(d)))
			}
			if !t.fails(sum.strict) {
				c.Output = strings.Join(warnings, "\n")
			} else {
				message := ""
				if len(t.surprises) > 0 {
					message = t.surprises[0].String()
				} else {
					message = warning(t.depends[0])
				}
				c.Failure = &junitFailure{message, strings.Join(append(lines, warnings...), "\n")}
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
