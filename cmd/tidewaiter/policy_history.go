package main

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/explain"
	"github.com/tidewaiter/tidewaiter/internal/policydiff"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

// maxPeriods is the maximum value of the flag --limit.
const maxPeriods = 1000

func policyHistory() command {
	return command{
		use:   "history",
		short: "List the recorded policies, with the times when they were in force",
		long: `List the recorded policies, the newest first: the hash of the policy, the time when it
was in force, and whether the rules of files or the rules of the database changed. A policy is listed
at most ten seconds after it took effect. Replicas with the same
files have the same policy. Decisions in the journal have the hash of their policy.

"tidewaiter policy diff" prints how two policies differ. The history has the 10,000 newest policies,
or fewer if they need more than 256 MB.`,
		example: `  tidewaiter policy history
  tidewaiter policy history --limit 3 --output json`,
		opens: openHistory,
		flags: func(f *flags) action {
			limit := f.Uint("limit", 20, "the maximum `number` of policies to list")
			return func(s *session) error {
				if *limit < 1 || *limit > maxPeriods {
					return s.usageErrorf("--limit must be between 1 and %d", maxPeriods)
				}
				list, _, err := s.rules.History(s.ctx, admin.Page{Limit: int(*limit)})
				if err != nil {
					return err
				}
				rows := [][]string{{"POLICY", "SINCE", "UNTIL", "CHANGED"}}
				forms := make([]explain.Period, len(list))
				for i := range list {
					p := &list[i]
					forms[i] = explain.NewPeriod(p)
					rows = append(rows, []string{p.Policy, formatSecond(p.Since), formatSecond(p.Until), p.Changed})
				}
				switch {
				case s.printsJSON():
					return s.writeJSON(forms)
				case len(list) == 0:
					s.printNote("the history is empty: it is recorded while the service runs")
					return nil
				}
				return writeTable(s.out, rows)
			}
		},
	}
}

func policyDiff() command {
	return command{
		use:   "diff FROM {TO}",
		short: "Print how two policies differ",
		long: `Print how two policies differ: the rules and roles that were added, removed or changed, of
files, database and namespaces. FROM and TO are hashes of policies, as "tidewaiter policy history"
lists them, or times at which they were in force. TO is the current policy by default. If only
the place of a rule differs, the rule counts as equal. Exits 0 even if the policies differ.

To find out who made a change, run "tidewaiter journal list --kind change".`,
		example: `  tidewaiter policy diff 2026-11-21
  tidewaiter policy diff "2026-11-21 08:00 Europe/Paris" 2026-11-28T08:00:00Z
  tidewaiter policy diff 1f2e3d4c5b6a7988 --output json`,
		opens: openHistory,
		run: func(s *session) error {
			if n := len(s.args); n < 1 || n > 2 {
				return s.usageErrorf("give one or two policies, each by its hash or a time")
			}
			from, err := s.policyNamed(s.args[0])
			if err != nil {
				return err
			}
			to, err := s.rules.Find(s.ctx, "")
			if len(s.args) == 2 {
				to, err = s.policyNamed(s.args[1])
			}
			if err != nil {
				return err
			}
			if s.printsJSON() {
				return s.writeJSON(policydiff.NewComparison(&from, &to, math.MaxInt))
			}
			s.printComparison(&from, &to)
			return nil
		},
	}
}

var policyID = regexp.MustCompile(`^[0-9a-f]{16}$`)

// policyNamed finds a policy by its hash or by a time.
func (s *session) policyNamed(named string) (rulebook.Period, error) {
	if policyID.MatchString(named) {
		return s.rules.Find(s.ctx, named)
	}
	at, err := parseTime(named)
	if err != nil {
		return rulebook.Period{}, s.usageErrorf("%v, and not the hash of a policy (16 hexadecimal digits)", err)
	}
	if at.After(clock.Now()) {
		return rulebook.Period{}, s.usageErrorf("%s is in the future, and the policy of that time is not known yet", named)
	}
	return s.rules.At(s.ctx, at)
}

func (s *session) printComparison(from, to *rulebook.Period) {
	p := paintFor(s.out)
	for _, one := range []*rulebook.Period{from, to} {
		fmt.Fprintln(s.out, p.faint("policy "+one.Policy+", "+duration(one)))
	}
	c := policydiff.Compare(from.Source, to.Source)
	switch {
	case c.Reordered:
		fmt.Fprintln(s.out, "the same rules in another order")
	case len(c.Rules)+len(c.Roles) == 0:
		fmt.Fprintln(s.out, "the same rules and roles")
	}
	for _, r := range c.Roles {
		var before, after []string
		if r.Before != nil {
			before = roleLines(r.Before.Actions.String(), r.Before.Lifetime)
		}
		if r.After != nil {
			after = roleLines(r.After.Actions.String(), r.After.Lifetime)
		}
		s.printChange("role "+text.Quote(r.Name), before, after)
	}
	for _, r := range c.Rules {
		var before, after []string
		named := r.After
		if r.Before != nil {
			before = policydiff.Lines(r.Before)[1:] // without the name
		}
		if r.After != nil {
			after = policydiff.Lines(r.After)[1:]
		} else {
			named = r.Before
		}
		s.printChange("rule "+named.String(), before, after)
	}
}

func roleLines(actions string, lifetime time.Duration) []string {
	lines := []string{"actions: [" + strings.ReplaceAll(actions, ",", ", ") + "]"}
	if lifetime > 0 {
		lines = append(lines, "lifetime: "+text.Duration(lifetime))
	}
	return lines
}

// printChange prints the fields of a rule or a role. A removed field has a line with "-", an added
// field has a line with "+", and a changed field has both lines. The line of an unchanged field
// has no sign.
func (s *session) printChange(what string, before, after []string) {
	p, how := paintFor(s.out), "changed"
	switch {
	case before == nil:
		how = "added"
	case after == nil:
		how = "removed"
	}
	fmt.Fprintf(s.out, "\n%s %s\n", p.bold(how), what)
	field := func(line string) string { name, _, _ := strings.Cut(line, ":"); return name }
	for _, line := range before {
		switch i := slices.IndexFunc(after, func(other string) bool { return field(other) == field(line) }); {
		case i >= 0 && after[i] == line:
			fmt.Fprintf(s.out, "    %s\n", line)
		case i >= 0:
			fmt.Fprintf(s.out, "  - %s\n  + %s\n", line, after[i])
		default:
			fmt.Fprintf(s.out, "  - %s\n", line)
		}
	}
	for _, line := range after {
		if !slices.ContainsFunc(before, func(other string) bool { return field(other) == field(line) }) {
			fmt.Fprintf(s.out, "  + %s\n", line)
		}
	}
}

// duration returns the time in which a policy was in force, in words: "in force since 2026-11-28
// 09:00:00".
func duration(p *rulebook.Period) string {
	since := formatSecond(p.Since)
	switch {
	case p.Since.IsZero():
		return "no record of when it was in force"
	case p.Until.IsZero():
		return "in force since " + since
	}
	return "in force from " + since + " to " + formatSecond(p.Until)
}
