package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/tidewaiter/tidewaiter/internal/api"
	"github.com/tidewaiter/tidewaiter/internal/app"
	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

func newWhoCan() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "who-can {ACTION NAME... | SCOPE...}",
		Short: "Say who may do a thing, and through which rule",
		Long: `Say who may do a thing, through which rule, and whom another rule takes out again. What placeholders stand
for is worked out: where ${user}/** is a pattern, it is the user prod who may push prod/app. A condition is said, and not
judged: explain does that for one who asks. What a credential narrows its owner's rights to is not part of the answer.
The rules of the database are among those that are asked; --files-only leaves them out. An account that a rule names and that
is disabled or has ended is said to be.

--members names those accounts of our own that are in a group, and do get it: at most as many of each as --most says.

--namespace answers as the owners of that namespace are answered, who may ask about its repositories through the API:
with everybody who may do it, and without the names, places and conditions of rules that are not the namespace's own.`,
		Example: `  tidewaiter who-can push prod/app
  tidewaiter who-can pull,push prod/app --members
  tidewaiter who-can push team/app --namespace team
  tidewaiter who-can registry:catalog:*
  tidewaiter who-can write tidewaiter:accounts --output json`,
		Args: cobra.ArbitraryArgs,
	}
	k := keepingFlags(cmd)
	registry := registryFlag(cmd)
	filesOnly := filesOnlyFlag(cmd)
	members := cmd.Flags().Bool("members", false, "name the accounts of our own that are in groups; reads the database")
	namespace := cmd.Flags().String("namespace", "", "answer as the owners of the namespace of this `name` are answered")
	most := cmd.Flags().Uint("most", 100, "at most so `many` of each list are shown (--output json has all but members)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return misused(cmd, "who can what? An action and a repository are wanted, as in push team/app, or a scope")
		}
		asked, ignored, err := readAsked(cmd, args)
		if err != nil {
			return err
		}
		if len(ignored) > 0 {
			return misused(cmd, "%s: %s", ignored[0].Text, ignored[0].Reason)
		}
		if *namespace != "" && *filesOnly {
			return misused(cmd, "namespaces are in the database, and --files-only leaves that out")
		}
		cfg, err := k.source.load()
		if err != nil {
			return err
		}
		at, err := chooseRegistry(cmd, cfg, *registry)
		if err != nil {
			return err
		}
		if *namespace != "" {
			if err := allIn(cmd.Context(), cfg, *namespace, asked); err != nil {
				return err
			}
		}
		p, err := inForce(cmd.Context(), cfg, *filesOnly)
		if err != nil {
			return err
		}
		var answers []holders
		for _, s := range asked {
			for _, a := range p.WhoCan(at, s) {
				answers = append(answers, holders{Answer: a})
			}
		}
		if !*members && !*filesOnly {
			if err := barred(cmd.Context(), cfg, answers); err != nil {
				return err
			}
		}
		for i := range answers {
			answers[i].closed = !cfg.Token.Anonymous
		}
		if *members {
			err = k.read(cmd, func(ctx context.Context, d desk) error {
				for i := range answers {
					if err := answers[i].expand(ctx, d, int(*most)); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		if *namespace != "" {
			for i := range answers {
				answers[i].Answer = api.ForOwners(answers[i].Answer, *namespace)
			}
		}
		if *k.output == asJSON {
			list := make([]api.Holders, len(answers))
			for i := range answers {
				list[i] = answers[i].forPrograms()
			}
			return writeJSON(cmd.OutOrStdout(), list)
		}
		for i := range answers {
			if i > 0 {
				fmt.Fprintln(cmd.OutOrStdout())
			}
			if err := answers[i].print(cmd.OutOrStdout(), int(*most)); err != nil {
				return err
			}
		}
		return nil
	}
	return cmd
}

// allIn is an error unless all that is asked for is in a namespace.
func allIn(ctx context.Context, cfg *config.Config, namespace string, asked []scope.Scope) error {
	b, closing, err := app.LoadRulebook(ctx, cfg)
	if err != nil {
		return err
	}
	if in, ok := api.NamespaceOf(b, asked); !ok || in != namespace {
		err = fmt.Errorf("not all of this is in the namespace %s, and its owners may not ask about it", text.Escape(namespace))
	}
	return errors.Join(err, closing())
}

// holders is who can do one thing, with what our accounts have to say to it.
type holders struct {
	policy.Answer
	expanded bool
	people   []api.People // of Through, if it is expanded
	closed   bool         // whoever shows nothing gets no token
}

// expand looks up the accounts of those who are named, and of those in groups.
func (a *holders) expand(ctx context.Context, d desk, most int) (err error) {
	a.expanded = true
	a.people, err = api.FindPeople(ctx, d.Accounts, d.by, &a.Answer, most, clock.Now())
	return err
}

// barred looks up which accounts that rules name cannot sign in. Members of groups are looked up by expand.
func barred(ctx context.Context, cfg *config.Config, answers []holders) error {
	if !slices.ContainsFunc(cfg.Identity, func(s config.Source) bool { return s.Accounts != nil }) {
		return nil
	}
	a, closing, err := app.ReadAccounts(ctx, cfg)
	if err != nil {
		return nil //nolint:nilerr // before the first start there are none, and inForce has said what else is wrong
	}
	for i := range answers {
		named := answers[i].Answer
		answers[i].people, err = api.FindPeople(ctx, a, rulebook.Operator("who-can"), &named, 0, clock.Now())
		if err != nil {
			break
		}
		for n := range answers[i].people { // not asked for
			answers[i].people[n] = api.People{Barred: answers[i].people[n].Barred}
		}
	}
	return errors.Join(err, closing())
}

// print writes the answer for people.
func (a *holders) print(w io.Writer, most int) error {
	p := painted(w)
	what := fmt.Sprintf("%s %s at %s", verbs(a.Asked.Actions, "and"), shortly(a.Asked), text.Escape(a.Registry))
	switch {
	case len(a.Through) > 0:
		fmt.Fprintf(w, "%s may %s:\n", p.green("these"), what)
	case len(a.Barred) > 0:
		fmt.Fprintf(w, "%s may %s: other rules deny what rules allow\n", p.red("nobody"), what)
	default:
		fmt.Fprintf(w, "%s may %s: no rule allows it\n", p.red("nobody"), what)
	}
	var rows [][]string
	for i, g := range bounded(a.Through, most) {
		rows = append(rows, []string{"  " + g.String(), p.faint("by ") + api.RuleText(g.Rule) + ifHolds(g.Rule)})
		if a.closed && len(g.Who) == 1 && g.Who[0] == "anonymous" {
			rows = append(rows, []string{"    (" + api.NoteAnonymous + ")"})
		}
		if a.people != nil {
			person := a.people[i]
			person.Missing = person.Missing && a.expanded
			rows = append(rows, rowsOf(person)...)
		}
	}
	if err := short(w, rows, len(a.Through)-most); err != nil {
		return err
	}
	rows = nil
	for _, g := range bounded(a.Except, most) {
		rows = append(rows, []string{"  " + g.String(), p.faint("by ") + api.RuleText(g.Rule) + ifHolds(g.Rule)})
	}
	if len(rows) > 0 {
		fmt.Fprintln(w, "but not, of these:")
	}
	if err := short(w, rows, len(a.Except)-most); err != nil {
		return err
	}
	rows = nil
	for _, b := range bounded(a.Barred, most) {
		rows = append(rows, []string{"  " + b.Grantee.String(), api.RuleText(b.Rule) + " allows it, and " + api.RuleText(b.By) + " denies it"})
	}
	if len(rows) > 0 {
		fmt.Fprintln(w, "denied altogether:")
	}
	return short(w, rows, len(a.Barred)-most)
}

// rowsOf are what follows a grantee.
func rowsOf(p api.People) [][]string {
	var rows [][]string
	for _, name := range p.Names {
		rows = append(rows, []string{"    " + text.Escape(name)})
	}
	if p.More {
		rows = append(rows, []string{"    and more"})
	}
	if p.Barred != "" {
		rows = append(rows, []string{"    (" + p.Barred + ": it cannot sign in)"})
	}
	if p.Missing {
		rows = append(rows, []string{"    (no account of ours has this name)"})
	}
	return rows
}

// short writes a table, and how many rows are not in it.
func short(w io.Writer, rows [][]string, more int) error {
	if more > 0 {
		rows = append(rows, []string{"  and " + fmt.Sprint(more) + " more"})
	}
	return table(w, rows)
}

func bounded[T any](list []T, most int) []T { return list[:min(len(list), most)] }

// ifHolds says on what a rule hangs; "" if on nothing.
func ifHolds(r *policy.Rule) string {
	switch {
	case r.When == nil:
		return ""
	case r.Deny:
		return ", unless this is false: " + text.Escape(r.When.String())
	}
	return ", if " + text.Escape(r.When.String())
}

// forPrograms is the answer in the form that the API has for it, with the accounts.
func (a *holders) forPrograms() api.Holders {
	return api.NewHolders(&a.Answer, a.people)
}
