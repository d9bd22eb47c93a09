package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/explain"
	"github.com/tidewaiter/tidewaiter/internal/offline"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/ask"
	"github.com/tidewaiter/tidewaiter/scope"
)

func whoCanCommand() command {
	return command{
		use:   "who-can {ACTION NAME... | SCOPE...}",
		short: "List who may perform an action, and the rules that allow it",
		long: `List who may perform an action, the rules that allow it, and who is denied the
action by other rules. Placeholders are resolved: with the pattern ${user}/**, the user prod may
push prod/app. Conditions are printed and not evaluated: explain evaluates them for one request.
Restrictions of credentials are not considered. The policy includes the rules in the database,
unless --files-only is given. Accounts that are disabled or expired are marked.

For each group, --members lists the accounts and htpasswd users in it who may perform the action, at
most --limit of them. Directories and issuers of ID tokens cannot list their users; the names
of these sources are printed instead.

--namespace prints the answer that the owners of that namespace get from the API: everyone who may
perform the action, without the names, places and conditions of rules outside the namespace.

--at selects the policy that was in force at that time (see "tidewaiter policy history"). The
members of groups, and which accounts are disabled, are always those of today.`,
		example: `  tidewaiter who-can push prod/app
  tidewaiter who-can pull,push prod/app --members
  tidewaiter who-can push team/app --namespace team
  tidewaiter who-can push prod/app --at "2026-11-28 23:00 Europe/Paris"
  tidewaiter who-can registry:catalog:*
  tidewaiter who-can write tidewaiter:accounts --output json`,
		config: true,
		output: true,
		flags: func(f *flags) action {
			var w whoCanFlags
			w.query.add(f)
			w.query.addAt(f)
			f.BoolVar(&w.members, "members", false, "list the accounts and htpasswd users in groups; reads the database")
			f.StringVar(&w.namespace, "namespace", "", "print what the owners of the namespace with this `name` get from the API")
			f.UintVar(&w.limit, "limit", 100, "the maximum `number` of entries to print of each list (--output json prints all but members)")
			return w.run
		},
	}
}

// whoCanFlags has the flags of who-can.
type whoCanFlags struct {
	query     queryFlags
	members   bool
	namespace string
	limit     uint
}

func (f *whoCanFlags) run(s *session) error {
	if len(s.args) == 0 {
		return s.usageErrorf("give an action and a repository, as in push team/app, or a scope")
	}
	scopes, ignored, err := s.parseScopes()
	switch {
	case err != nil:
		return err
	case len(ignored) > 0:
		return s.usageErrorf("%s: %s", ignored[0].Text, ignored[0].Reason)
	case f.namespace != "" && *f.query.filesOnly:
		return s.usageErrorf("--namespace and --files-only cannot be combined, because namespaces are in the database")
	}
	answers, err := f.evaluate(s, scopes)
	if err != nil {
		return err
	}
	if s.printsJSON() {
		list := make([]explain.Holders, len(answers))
		for i := range answers {
			list[i] = answers[i].Holders()
		}
		return s.writeJSON(list)
	}
	f.query.printPast(s.out)
	for i := range answers {
		if i > 0 {
			fmt.Fprintln(s.out)
		}
		if err := answers[i].print(s.out, int(f.limit)); err != nil {
			return err
		}
	}
	return nil
}

// evaluate evaluates the current policy. With --files-only, it uses only the rules of the files.
func (f *whoCanFlags) evaluate(s *session, scopes []scope.Scope) ([]answer, error) {
	registry, p, err := f.query.load(s)
	if err != nil {
		return nil, err
	}
	if f.namespace != "" {
		if err := s.checkNamespace(f.namespace, scopes); err != nil {
			return nil, err
		}
	}
	var answers []answer
	for _, scope := range scopes {
		for _, a := range ask.WhoCan(p, registry, scope) {
			answers = append(answers, answer{Answer: explain.Answer{Answer: a, Past: f.query.past}, noAnonymous: !s.cfg.Token.Anonymous})
		}
	}
	if err := f.addPeople(s, answers); err != nil {
		return nil, err
	}
	if f.namespace != "" {
		for i := range answers {
			answers[i].Answer = answers[i].ForOwners(f.namespace)
		}
	}
	return answers, nil
}

// checkNamespace returns an error if a scope is not in the namespace.
func (s *session) checkNamespace(namespace string, scopes []scope.Scope) error {
	if err := loadRules(s); err != nil {
		return err
	}
	if in, ok := explain.NamespaceOf(s.rules, scopes); !ok || in != namespace {
		return fmt.Errorf("the query has a name outside the namespace %s, and its owners may query only names in the namespace", text.Escape(namespace))
	}
	return nil
}

// answer lists who may perform an action. The field people has the local accounts in that list.
type answer struct {
	explain.Answer
	noAnonymous bool // true if anonymous clients get no token
}

// addPeople adds local accounts to the answers. With --members, it adds all accounts that the
// rules name, and all members of groups that the rules name. Without --members, it adds only the
// named accounts that cannot sign in.
func (f *whoCanFlags) addPeople(s *session, answers []answer) error {
	if !f.members && (*f.query.filesOnly || s.cfg.Accounts() == nil) {
		return nil
	}
	switch err := readAccounts(s); {
	case err == nil:
	case !f.members:
		// There is no database before the first start. Any other error of the database was
		// reported when the policy was loaded.
		return nil
	case !errors.Is(err, store.ErrMissing):
		return err
	}
	q := explain.PeopleQuery{Accounts: s.accounts, Caller: s.by, Now: clock.Now()}
	var unlisted []string
	if f.members {
		q.Listers, unlisted = offline.Sources(s.cfg, nil).Chain.Listers(accounts.Source)
		q.Max = int(f.limit)
	}
	for i := range answers {
		a := &answers[i]
		if err := a.FindPeople(s.ctx, &q); err != nil {
			return err
		}
		a.Unlisted = unlisted
		if !f.members {
			for n, p := range a.People {
				a.People[n] = explain.People{Blocked: p.Blocked}
			}
		}
	}
	return nil
}

// print writes the answer as text.
func (a *answer) print(w io.Writer, limit int) error {
	p := paintFor(w)
	what := fmt.Sprintf("%s %s at %s", text.Verbs(a.Asked.Actions.Names(), "and"), text.Resource(a.Asked.Type, a.Asked.Name), text.Escape(a.Registry))
	switch {
	case len(a.Allowed) > 0:
		fmt.Fprintf(w, "%s may %s:\n", p.green("these"), what)
	case len(a.Denied) > 0:
		fmt.Fprintf(w, "%s may %s: rules that deny it override rules that allow it\n", p.red("nobody"), what)
	default:
		fmt.Fprintf(w, "%s may %s: no rule allows it\n", p.red("nobody"), what)
	}
	row := func(g *ask.Grantee) []string {
		return []string{"  " + g.String(), p.faint("by ") + explain.RuleText(g.Rule) + condition(g.Rule)}
	}
	if err := printShort(w, "", a.Allowed, limit, func(i int, g *ask.Grantee) [][]string {
		rows := [][]string{row(g)}
		if a.noAnonymous && len(g.Who) == 1 && g.Who[0] == "anonymous" {
			rows = append(rows, []string{"    (" + explain.AnonymousBlocked + ")"})
		}
		if a.People != nil {
			rows = append(rows, peopleRows(&a.People[i])...)
		}
		return rows
	}); err != nil {
		return err
	}
	if err := printShort(w, "except:", a.Except, limit, func(_ int, g *ask.Grantee) [][]string { return [][]string{row(g)} }); err != nil {
		return err
	}
	if err := printShort(w, "denied entirely:", a.Denied, limit, func(_ int, b *ask.DeniedGrantee) [][]string {
		return [][]string{{"  " + b.Grantee.String(), explain.RuleText(b.Rule) + " allows it, but " + explain.RuleText(b.By) + " denies it"}}
	}); err != nil {
		return err
	}
	if len(a.Unlisted) > 0 && a.ThroughGroup() {
		fmt.Fprintf(w, "these groups can have other members: %s cannot list the members of a group\n", joinEscaped(a.Unlisted, ", "))
	}
	return nil
}

// peopleRows returns the rows below a grantee, which list the accounts that the grantee stands
// for.
func peopleRows(p *explain.People) [][]string {
	var rows [][]string
	for _, name := range p.Names {
		rows = append(rows, []string{"    " + text.Escape(name)})
	}
	if p.More {
		rows = append(rows, []string{"    and more"})
	}
	if p.Blocked != "" {
		rows = append(rows, []string{"    (" + p.Blocked + ": cannot sign in)"})
	}
	if p.Missing {
		rows = append(rows, []string{"    (no local account has this name)"})
	}
	return rows
}

// printShort writes a heading, the rows of at most limit items, and the number of items that it
// left out. For an empty list, it writes nothing.
func printShort[T any](w io.Writer, heading string, list []T, limit int, rowsOf func(int, *T) [][]string) error {
	if heading != "" && len(list) > 0 {
		fmt.Fprintln(w, heading)
	}
	var rows [][]string
	for i := range list[:min(len(list), limit)] {
		rows = append(rows, rowsOf(i, &list[i])...)
	}
	if more := len(list) - limit; more > 0 {
		rows = append(rows, []string{"  and " + fmt.Sprint(more) + " more"})
	}
	return writeTable(w, rows)
}

// condition returns the condition of a rule as the end of a sentence. If the rule has no
// condition, it returns "".
func condition(r *policy.Rule) string {
	switch {
	case r.When == nil:
		return ""
	case r.Deny:
		return ", unless this is false: " + text.Escape(r.When.String())
	}
	return ", if " + text.Escape(r.When.String())
}
