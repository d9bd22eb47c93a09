package main

import (
	"fmt"
	"slices"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/policytest"
)

func policyTest(f *flags) action {
	load := policyFlags(f)
	format := outputFlag(f, "o", "junit")
	strict := f.Bool("strict", false, "exit 1 if a result depends on a value that its test does not set")
	return func(s *session) error {
		p, err := load(s)
		if err != nil {
			return err
		}
		r, err := policytest.Run(s.args, p.Compiled, policytest.Options{Now: clock.Now(), Database: p.database, Strict: *strict})
		if err != nil {
			return err
		}
		switch s.output = format; *format {
		case "json":
			err = s.writeJSON(r)
		case "junit":
			err = r.WriteJUnit(s.out, s.args)
		default:
			s.printTests(r)
		}
		if err == nil && !r.Passed {
			err = errReported
		}
		return err
	}
}

func (s *session) printTests(r *policytest.Results) {
	p := paintFor(s.out)
	for i := range r.List {
		failures, warnings := r.List[i].Lines(p.bold)
		for _, line := range slices.Concat(failures, warnings) {
			fmt.Fprintln(s.out, line)
		}
	}
	policy, tests, warned := "the policy", count(r.Tests, "test", "tests"), ""
	if r.Database {
		policy = "the policy of files and database"
	}
	if r.Warnings > 0 {
		warned = ", with " + count(r.Warnings, "warning", "warnings")
	}
	if r.Passed {
		fmt.Fprintf(s.out, "%s passed: %s is as expected%s\n", p.green(tests), policy, warned)
	} else {
		fmt.Fprintf(s.out, "%s of %s%s\n", p.red(fmt.Sprintf("%d failed", r.Failed)), tests, warned)
	}
}
