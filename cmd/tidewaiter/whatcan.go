package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/explain"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/ask"
)

func whatCanCommand() command {
	return command{
		use:   "what-can WHO",
		short: "List everything that a principal may do, and the rules that allow it",
		long: `List everything that a principal may do, the rules that allow it, and the parts
that other rules deny. WHO is user:NAME, robot:NAME, workload:NAME or anonymous. Users and robots
are looked up in the config's sources, for their groups. ${user}, ${group} and ${claims.NAME} are
replaced by their values. Conditions are printed but not evaluated; explain evaluates them for one
request. The policy includes the rules in the database, unless --files-only is given.

--at selects the policy that was in force at that time (see "tidewaiter policy history"). Groups are
always those of today.`,
		example: `  tidewaiter what-can user:alice
  tidewaiter what-can user:alice --group developers --registry registry.example.com
  tidewaiter what-can workload:github:acme/app --group github:acme --claim repository=acme/app --output json
  tidewaiter what-can user:alice --at 2026-11-28
  tidewaiter what-can anonymous`,
		config: true,
		output: true,
		flags: func(f *flags) action {
			var principal principalFlags
			principal.addAttributes(f)
			query := queryFlags{all: true}
			query.add(f)
			query.addAt(f)
			limit := f.Uint("limit", 1000, "the maximum `number` of entries to print of each list (--output json prints all)")
			return func(s *session) error {
				given, err := principal.principal(s, s.args[0])
				if err != nil {
					return err
				}
				return s.whatCan(given, &query, int(*limit))
			}
		},
	}
}

func (s *session) whatCan(given *policy.Principal, query *queryFlags, limit int) error {
	registry, p, err := query.load(s)
	if err != nil {
		return err
	}
	subject, err := s.find(given)
	if err != nil {
		return err
	}
	r := rights{ask.Rights{Principal: subject.Principal, Registry: registry}, subject.Note()}
	if subject.Blocked == "" {
		r.Rights = ask.WhatCan(p, subject.Principal, registry)
	}
	if s.printsJSON() {
		err = s.writeJSON(explain.NewRights(&r.Rights, subject, query.past))
	} else {
		query.printPast(s.out)
		err = r.print(s.out, limit)
	}
	if err == nil && subject.Blocked != "" {
		err = errReported
	}
	return err
}

// rights is the output of what-can.
type rights struct {
	ask.Rights
	note string
}

// print writes the rights as text.
func (r *rights) print(w io.Writer, limit int) error {
	p := paintFor(w)
	at := "at all registries"
	if r.Registry != "" {
		at = "at " + text.Escape(r.Registry)
	}
	if r.note != "" { // the note comes first, because it limits the meaning of the list
		fmt.Fprintln(w, p.bold(r.note))
	}
	if len(r.Allowed) > 0 {
		fmt.Fprintf(w, "%s may %s:\n", describe(r.Principal), at)
	} else {
		fmt.Fprintf(w, "%s may do %s %s\n", describe(r.Principal), p.red("nothing"), at)
	}
	row := func(_ int, right *ask.Right) [][]string { return [][]string{r.row(p, right)} }
	if err := printShort(w, "", r.Allowed, limit, row); err != nil {
		return err
	}
	if err := printShort(w, "except:", r.Except, limit, row); err != nil {
		return err
	}
	if len(r.Limits) > 0 {
		fmt.Fprintln(w, "restricted by this credential to:")
		for _, l := range r.Limits {
			fmt.Fprintf(w, "  %s\n", l)
		}
	}
	if err := printShort(w, "denied entirely:", r.Denied, limit, func(_ int, b *ask.DeniedRight) [][]string {
		row := r.row(p, &b.Right)
		row[2] = b.Rule.String() + " allows it, but " + b.By.String() + " denies it"
		return [][]string{row}
	}); err != nil {
		return err
	}
	if len(r.Ineffective) > 0 {
		fmt.Fprintln(w, "rules that match the principal but no resource:")
	}
	for _, v := range r.Ineffective[:min(len(r.Ineffective), limit)] {
		fmt.Fprintf(w, "  %s: %s\n", v.Rule, v.Reason)
	}
	return nil
}

// row returns the columns for a right: the actions, the names and the rule of the right.
func (r *rights) row(p paint, right *ask.Right) []string {
	names := make([]string, len(right.Names))
	for i, name := range right.Names {
		names[i] = text.Resource(right.Type, name)
	}
	by := p.faint("by ") + right.Rule.String()
	if at := right.Rule.Registries; r.Registry == "" && len(at) > 0 {
		by += ", at " + strings.Join(at, ", ")
	}
	return []string{"  " + text.Verbs(right.Actions.Names(), "and"), strings.Join(names, ", "), by + condition(right.Rule)}
}
