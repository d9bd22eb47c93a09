package policytest

import (
	"encoding/xml"
	"io"
	"strings"
)

// The JUnit XML that GitHub, GitLab and Jenkins read.
type (
	junitSuites struct {
		XMLName  xml.Name      `xml:"testsuites"`
		Tests    int           `xml:"tests,attr"`
		Failures int           `xml:"failures,attr"`
		Suites   []*junitSuite `xml:"testsuite"`
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

// WriteJUnit writes the results as JUnit XML, with a suite for each file.
func (r *Results) WriteJUnit(w io.Writer, files []string) error {
	all := junitSuites{Tests: r.Tests, Failures: r.Failed}
	suites := make(map[string]*junitSuite)
	for _, file := range files {
		suites[file] = &junitSuite{Name: file}
		all.Suites = append(all.Suites, suites[file])
	}
	for i := range r.List {
		t := &r.List[i]
		c := junitCase{Class: t.File, Name: t.Name, File: t.File, Line: t.Line}
		unnamed := *t
		unnamed.Unnamed = true // the XML element has the name
		failures, warnings := unnamed.Lines(func(place string) string { return place })
		suite := suites[t.File]
		switch {
		case t.Passed:
			c.Output = strings.Join(warnings, "\n")
		case len(failures) > 0:
			c.Failure = &junitFailure{Message: t.Failures[0].Text}
		default:
			c.Failure = &junitFailure{Message: t.Warnings[0].Text}
		}
		if c.Failure != nil {
			c.Failure.Text = strings.Join(append(failures, warnings...), "\n")
			suite.Failures++
		}
		suite.Tests++
		suite.Cases = append(suite.Cases, c)
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
