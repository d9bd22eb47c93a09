package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tidewaiter/tidewaiter/internal/api"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

func newWhatCan() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "what-can WHO",
		Short: "List all that a principal may do, and by which rules",
		Long: `List all that a principal may do, by which rules, and what other rules deny of it. WHO is user:NAME,
robot:NAME, workload:NAME or anonymous. Users and robots are looked up in the config's sources, for
their groups. ${user}, ${group} and ${claims.NAME} are replaced by their values. Conditions are printed
and not evaluated: explain evaluates them for one request. The policy includes the rules in the
database, unless --files-only is given.`,
		Example: `  tidewaiter what-can user:alice
  tidewaiter what-can user:alice --group developers --registry registry.example.com
  tidewaiter what-can workload:github:acme/app --group github:acme --claim repository=acme/app --output json
  tidewaiter what-can anonymous`,
		Args: cobra.ExactArgs(1),
	}
	source := configFlags(cmd)
	var who principalFlags
	who.attributeFlags(cmd)
	filesOnly := filesOnlyFlag(cmd)
	registry := cmd.Flags().String("registry", "", "only the registry with this service `name` (default: all)")
	most := cmd.Flags().Uint("most", 1000, "the maximum `number` of entries to print of each list (--output json prints all)")
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		said, err := who.principal(cmd, args[0])
		if err != nil {
			return err
		}
		cfg, err := source.load()
		if err != nil {
			return err
		}
		if *registry != "" {
			if _, err := chooseRegistry(cmd, cfg, *registry); err != nil {
				return err
			}
		}
		principal, known, err := find(cmd.Context(), cfg, said)
		barred, err := api.Barred(principal, cfg.Token.Anonymous, err)
		if err != nil {
			return err
		}
		p, err := activePolicy(cmd.Context(), cfg, *filesOnly)
		if err != nil {
			return err
		}
		r := rights{p.WhatCan(principal, *registry), api.Note(principal, known)}
		if barred != "" {
			r = rights{policy.Rights{Principal: principal, Registry: *registry}, barred}
		}
		if *output == asJSON {
			err = writeJSON(cmd.OutOrStdout(), api.NewRights(&r.Rights, known, r.note))
		} else {
			err = r.print(cmd.OutOrStdout(), int(*most))
		}
		if err == nil && barred != "" {
			err = errReported
		}
		return err
	}
	return cmd
}

// rights is the output of what-can.
type rights struct {
	policy.Rights
	note string
}

// print writes the rights as text.
func (r *rights) print(w io.Writer, most int) error {
	p := painted(w)
	at := "at all registries"
	if r.Registry != "" {
		at = "at " + text.Escape(r.Registry)
	}
	who := describe(r.Principal)
	if len(r.Allowed) > 0 {
		fmt.Fprintf(w, "%s may %s:\n", who, at)
	} else {
		fmt.Fprintf(w, "%s may do %s %s\n", who, p.red("nothing"), at)
	}
	if err := r.table(w, p, r.Allowed, most); err != nil {
		return err
	}
	if len(r.Except) > 0 {
		fmt.Fprintln(w, "except:")
	}
	if err := r.table(w, p, r.Except, most); err != nil {
		return err
	}
	if len(r.Limits) > 0 {
		fmt.Fprintln(w, "restricted by this credential to:")
		for _, l := range r.Limits {
			fmt.Fprintf(w, "  %s\n", l)
		}
	}
	if len(r.Barred) > 0 {
		fmt.Fprintln(w, "denied entirely:")
	}
	var rows [][]string
	for _, b := range bounded(r.Barred, most) {
		row := r.row(p, &b.Right)
		row[2] = b.Rule.String() + " allows it, but " + b.By.String() + " denies it"
		rows = append(rows, row)
	}
	if err := short(w, rows, len(r.Barred)-most); err != nil {
		return err
	}
	if len(r.Void) > 0 {
		fmt.Fprintln(w, "rules that match the principal but no resource:")
	}
	for _, v := range bounded(r.Void, most) {
		fmt.Fprintf(w, "  %s: %s\n", v.Rule, v.Why)
	}
	if r.note != "" {
		fmt.Fprintln(w, p.faint(r.note))
	}
	return nil
}

func (r *rights) table(w io.Writer, p paint, list []policy.Right, most int) error {
	var rows [][]string
	for i := range bounded(list, most) {
		rows = append(rows, r.row(p, &list[i]))
	}
	return short(w, rows, len(list)-most)
}

// row returns the actions, the names and the rule.
func (r *rights) row(p paint, right *policy.Right) []string {
	names := make([]string, len(right.Names))
	for i, name := range right.Names {
		names[i] = shortName(scope.Scope{Type: right.Type, Name: name})
	}
	by := p.faint("by ") + right.Rule.String()
	if at := right.Rule.Registries; r.Registry == "" && len(at) > 0 {
		by += ", at " + strings.Join(at, ", ")
	}
	return []string{"  " + verbs(right.Actions, "and"), strings.Join(names, ", "), by + ifHolds(right.Rule)}
}
