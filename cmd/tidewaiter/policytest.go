package main

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidewaiter/tidewaiter/internal/api"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/policy"
)

func newPolicyTest() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "test FILE...",
		Short: "Hold the policy against what is expected of it",
		Long: `Hold the policy against what is expected of it: files of tests say who may, and may not, do what. The policy is
the one that the service would have in force, with the rules of the database. With --files-only, or with --policy, it needs no
keys, no state and no network, so that it can run wherever a change of the policy is proposed. It exits 0 if the policy does
all that is expected, and 1 if it does not, or if a file has a mistake in it. docs/policy.md has an example, and
docs/configuration.md all keys.`,
		Example: `  tidewaiter policy test tests.yaml
  tidewaiter policy test --files-only tests.yaml
  tidewaiter policy test --policy policy/base.yaml --policy policy/search.yaml tests/*.yaml
  tidewaiter policy test tests.yaml --output junit > report.xml`,
		Args: cobra.MinimumNArgs(1),
	}
	files := policyFlags(cmd)
	report := reportFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		p, err := files.load(cmd)
		if err != nil {
			return err
		}
		tests, err := config.LoadTests(args, p.OnlyPolicy, time.Now())
		if err != nil {
			return err
		}
		results := make([]tested, len(tests))
		failed := 0
		for i := range tests {
			results[i] = tested{&tests[i], p.Policy.Test(&tests[i].Expectation)}
			if len(results[i].surprises) > 0 {
				failed++
			}
		}
		switch out := cmd.OutOrStdout(); *report {
		case "json":
			err = writeJSON(out, testsForPrograms(results, failed, p.database))
		case "junit":
			err = writeJUnit(out, args, results)
		default:
			printTests(out, results, failed, p.database)
		}
		if err == nil && failed > 0 {
			err = errTold
		}
		return err
	}
	return cmd
}

// report is the value of --output of a command that tests.
type report string

func reportFlag(cmd *cobra.Command) *report {
	r := report("text")
	cmd.Flags().VarP(&r, "output", "o", "for people, for programs, or for what shows tests")
	_ = cmd.RegisterFlagCompletionFunc("output", // fails only for a flag that is not there
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
	return fmt.Errorf("text, json or junit is wanted")
}

// tested is a test and what the policy does otherwise.
type tested struct {
	*config.Test
	surprises []policy.Surprise
}

// place is where a surprise was written to be expected otherwise.
func (t *tested) place(s policy.Surprise) config.Place { return t.Places[s.Scope] }

// title is what the test is called: by its name, or by what it says.
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
		names = append(names, shortly(s))
	}
	return t.Request.Principal.String() + " " + strings.Join(says, ", and ") + " " + strings.Join(names, ", ")
}

// printTests writes what was found for people.
func printTests(w io.Writer, results []tested, failed int, database bool) {
	p := painted(w)
	for i := range results {
		t := &results[i]
		for _, s := range t.surprises {
			at := t.place(s)
			name := ""
			if t.Name != "" {
				name = plain(t.Name) + ": "
			}
			fmt.Fprintf(w, "%s %s%s\n", p.bold(fmt.Sprintf("%s:%d:%d:", t.File, at.Line, at.Column)), name, s)
		}
	}
	if failed > 0 {
		fmt.Fprintf(w, "%s of %s\n", p.red(fmt.Sprintf("%d failed", failed)), count(len(results), "test", "tests"))
		return
	}
	of := "the policy"
	if database {
		of = "the policy of files and database"
	}
	fmt.Fprintf(w, "%s: %s does all that is expected\n", p.green(count(len(results), "test", "tests")), of)
}

// The forms of tests for programs.
type (
	testsJSON struct {
		Passed   bool       `json:"passed"`
		Database bool       `json:"database"` // whether its rules were tested with those of the files
		Tests    int        `json:"tests"`
		Failed   int        `json:"failed"`
		List     []testJSON `json:"list"`
	}
	testJSON struct {
		Name      string         `json:"name"`
		File      string         `json:"file"`
		Line      int            `json:"line"`
		Column    int            `json:"column"`
		Passed    bool           `json:"passed"`
		Surprises []surpriseJSON `json:"surprises,omitempty"`
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

func testsForPrograms(results []tested, failed int, database bool) testsJSON {
	j := testsJSON{Passed: failed == 0, Database: database, Tests: len(results), Failed: failed, List: []testJSON{}}
	for i := range results {
		t := &results[i]
		one := testJSON{Name: t.title(), File: t.File, Line: t.Line, Column: t.Column, Passed: len(t.surprises) == 0}
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
		j.List = append(j.List, one)
	}
	return j
}

// The forms of tests for CI systems, as JUnit writes them and GitHub, GitLab and Jenkins read them.
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
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// writeJUnit writes a suite for each file.
func writeJUnit(w io.Writer, files []string, results []tested) error {
	all := junitSuites{Tests: len(results)}
	for _, file := range files {
		suite := junitSuite{Name: file}
		for i := range results {
			t := &results[i]
			if t.File != file {
				continue
			}
			c := junitCase{Class: file, Name: t.title(), File: file, Line: t.Line}
			if len(t.surprises) > 0 {
				lines := make([]string, len(t.surprises))
				for k, s := range t.surprises {
					at := t.place(s)
					lines[k] = fmt.Sprintf("%s:%d:%d: %s", file, at.Line, at.Column, s)
				}
				c.Failure = &junitFailure{t.surprises[0].String(), strings.Join(lines, "\n")}
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
