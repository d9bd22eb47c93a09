package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tidewaiter/tidewaiter/internal/api"
	"github.com/tidewaiter/tidewaiter/internal/app"
	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

func newWhoCan() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "who-can {ACTION NAME... | SCOPE...}",
		Short: "List who may do something, and by which rules",
		Long: `List who may do something, by which rules, and whom other rules deny it. Placeholders are resolved: with
the pattern ${user}/**, the user prod may push prod/app. Conditions are printed and not evaluated:
explain evaluates them for one request. Restrictions of credentials are not part of the answer. The
policy includes the rules in the database, unless --files-only is given. Accounts that are disabled or
expired are marked.

--members lists who is in each group and may do it, up to --most: accounts, and users of htpasswd
sources. Directories and issuers of ID tokens cannot list their users, and are named instead.

--namespace prints the answer that the owners of that namespace get from the API: everyone who may do
it, without the names, places and conditions of rules outside the namespace.`,
		Example: `  tidewaiter who-can push prod/app
  tidewaiter who-can pull,push prod/app --members
  tidewaiter who-can push team/app --namespace team
  tidewaiter who-can registry:catalog:*
  tidewaiter who-can write tidewaiter:accounts --output json`,
		Args: cobra.ArbitraryArgs,
	}
	k := newAccountFlags(cmd)
	registry := registryFlag(cmd)
	filesOnly := filesOnlyFlag(cmd)
	members := cmd.Flags().Bool("members", false, "list the accounts and htpasswd users in groups; reads the database")
	namespace := cmd.Flags().String("namespace", "", "print what the owners of the namespace with this `name` get from the API")
	most := cmd.Flags().Uint("most", 100, "the maximum `number` of entries to print of each list (--output json prints all but members)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usageErrorf(cmd, "give an action and a repository, as in push team/app, or a scope")
		}
		asked, ignored, err := parseScopeArgs(cmd, args)
		if err != nil {
			return err
		}
		if len(ignored) > 0 {
			return usageErrorf(cmd, "%s: %s", ignored[0].Text, ignored[0].Reason)
		}
		if *namespace != "" && *filesOnly {
			return usageErrorf(cmd, "namespaces are in the database, and --files-only leaves that out")
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
		p, err := activePolicy(cmd.Context(), cfg, *filesOnly)
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
			listers, unlisted := app.OthersOf(cfg).Listers()
			expand := func(ctx context.Context, d accountSession) error {
				for i := range answers {
					answers[i].unlisted = unlisted
					if err := answers[i].expand(ctx, d, listers, int(*most)); err != nil {
						return err
					}
				}
				return nil
			}
			err = k.read(cmd, expand)
			if errors.Is(err, fs.ErrNotExist) { // before the first start there are no accounts
				err = expand(cmd.Context(), accountSession{})
			}
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

// allIn returns an error unless all scopes are in the namespace.
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

// holders is who can do one thing, with the local accounts among them.
type holders struct {
	policy.Answer
	expanded bool
	people   []api.People // for each of Through, if expanded
	unlisted []string     // sources that cannot list who is in a group, if expanded
	closed   bool         // anonymous clients get no token
}

// expand looks up the accounts and htpasswd users that rules name and those in groups.
func (a *holders) expand(ctx context.Context, d accountSession, others []identity.Lister, most int) (err error) {
	a.expanded = true
	a.people, err = api.FindPeople(ctx, d.Accounts, others, d.by, &a.Answer, most, clock.Now())
	return err
}

// barred looks up which of the accounts that rules name cannot sign in. Members of groups are looked up
// by expand.
func barred(ctx context.Context, cfg *config.Config, answers []holders) error {
	if !slices.ContainsFunc(cfg.Identity, func(s config.Source) bool { return s.Accounts != nil }) {
		return nil
	}
	a, closing, err := app.ReadAccounts(ctx, cfg)
	if err != nil {
		return nil //nolint:nilerr // before the first start there are no accounts, and inForce has reported other errors
	}
	for i := range answers {
		named := answers[i].Answer
		answers[i].people, err = api.FindPeople(ctx, a, nil, rulebook.Operator("who-can"), &named, 0, clock.Now())
		if err != nil {
			break
		}
		for n := range answers[i].people { // names need --members
			answers[i].people[n] = api.People{Barred: answers[i].people[n].Barred}
		}
	}
	return errors.Join(err, closing())
}

// print writes the answer as text.
func (a *holders) print(w io.Writer, most int) error {
	p := painted(w)
	what := fmt.Sprintf("%s %s at %s", verbs(a.Asked.Actions, "and"), shortName(a.Asked), text.Escape(a.Registry))
	switch {
	case len(a.Through) > 0:
		fmt.Fprintf(w, "%s may %s:\n", p.green("these"), what)
	case len(a.Barred) > 0:
		fmt.Fprintf(w, "%s may %s: rules that deny it override rules that allow it\n", p.red("nobody"), what)
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
		fmt.Fprintln(w, "except:")
	}
	if err := short(w, rows, len(a.Except)-most); err != nil {
		return err
	}
	rows = nil
	for _, b := range bounded(a.Barred, most) {
		rows = append(rows, []string{"  " + b.Grantee.String(), api.RuleText(b.Rule) + " allows it, but " + api.RuleText(b.By) + " denies it"})
	}
	if len(rows) > 0 {
		fmt.Fprintln(w, "denied entirely:")
	}
	if err := short(w, rows, len(a.Barred)-most); err != nil {
		return err
	}
	if len(a.unlisted) > 0 && api.Grouped(&a.Answer) {
		fmt.Fprintf(w, "there may be other members of these groups: %s cannot list who is in one\n", text.Escape(strings.Join(a.unlisted, ", ")))
	}
	return nil
}

// rowsOf returns the rows below a grantee.
func rowsOf(p api.People) [][]string {
	var rows [][]string
	for _, name := range p.Names {
		rows = append(rows, []string{"    " + text.Escape(name)})
	}
	if p.More {
		rows = append(rows, []string{"    and more"})
	}
	if p.Barred != "" {
		rows = append(rows, []string{"    (" + p.Barred + ": cannot sign in)"})
	}
	if p.Missing {
		rows = append(rows, []string{"    (no local account has this name)"})
	}
	return rows
}

// short writes a table and how many rows were left out.
func short(w io.Writer, rows [][]string, more int) error {
	if more > 0 {
		rows = append(rows, []string{"  and " + fmt.Sprint(more) + " more"})
	}
	return table(w, rows)
}

func bounded[T any](list []T, most int) []T { return list[:min(len(list), most)] }

// ifHolds returns the condition of a rule as the end of a sentence; "" if it has none.
func ifHolds(r *policy.Rule) string {
	switch {
	case r.When == nil:
		return ""
	case r.Deny:
		return ", unless this is false: " + text.Escape(r.When.String())
	}
	return ", if " + text.Escape(r.When.String())
}

// forPrograms returns the JSON form of the API, with the accounts.
func (a *holders) forPrograms() api.Holders {
	return api.NewHolders(&a.Answer, a.people, a.unlisted)
}
