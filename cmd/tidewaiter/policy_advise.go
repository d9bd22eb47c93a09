package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/advice"
	"github.com/tidewaiter/tidewaiter/internal/catalog"
	"github.com/tidewaiter/tidewaiter/internal/credentials"
	"github.com/tidewaiter/tidewaiter/internal/explain"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/offline"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

// defaultAdvice is the default of --since: the command advise reads entries up to this age.
const defaultAdvice = 90 * day

func policyAdvise() command {
	return command{
		use:   "advise",
		short: "Find rules, rights and credentials that nobody used",
		long: `Find what can be removed from the policy, and print a change for each finding: rules that no
recorded request matches, actions and subjects of rules that nobody used, rules that have no effect
beside another rule, patterns that match no repository of the catalog, and robots and tokens that
were not used. Nothing is changed.

The finding is about the recorded time. It begins with the oldest decision in the journal, or with
--since. A rule that was added later, or a right for emergencies, can be unused for a good reason.
The command only reads, so it can run while the service runs.`,
		example: `  tidewaiter policy advise
  tidewaiter policy advise --since 30d --output json | jq -r '.findings[] | select(.kind == "unused-token") | .change'`,
		opens: readJournal,
		flags: func(f *flags) action {
			since, until := decisionRange(f, defaultAdvice)
			filesOnly := filesOnlyFlag(f)
			return func(s *session) error {
				a, err := s.advise(*since, *until, *filesOnly)
				switch {
				case err != nil:
					return err
				case s.printsJSON():
					return s.writeJSON(a.json())
				}
				s.printAdvice(a)
				return nil
			}
		},
	}
}

// policyAdvice has the findings of the command advise, and describes the input that it has read.
type policyAdvice struct {
	policy      string // its ID
	decisions   int64
	first, last time.Time // of the decisions
	catalog     bool      // true if patterns were compared with the catalog
	findings    []advice.Finding
}

func (s *session) advise(since, until time.Time, filesOnly bool) (*policyAdvice, error) {
	p, err := s.candidatePolicy(nil, filesOnly)
	if err != nil {
		return nil, err
	}
	u, err := advice.New(p)
	if err != nil {
		return nil, err
	}
	a := &policyAdvice{policy: p.ID()}
	err = s.eachDecision(since, until, func(e *journal.Entry) {
		if a.decisions++; a.first.IsZero() {
			a.first = e.Time
		}
		a.last = e.Time
		u.AddDecision(e)
	})
	switch {
	case err != nil:
		return nil, err
	case a.decisions == 0:
		return nil, errors.New("the journal has no decision of this time, so everything would be unused")
	}
	if a.catalog, err = s.addRepositories(u); err != nil {
		return nil, err
	}
	a.findings = u.Findings()
	tokens, err := s.unusedTokens(a.first)
	a.findings = append(a.findings, tokens...)
	return a, err
}

// addRepositories adds the repositories of the catalog. It reports whether there is a catalog.
func (s *session) addRepositories(u *advice.Usage) (bool, error) {
	r, err := s.catalog.Read(s.ctx)
	if errors.Is(err, catalog.ErrNotBuilt) || errors.Is(err, store.ErrMissing) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer r.Close()
	for page := (admin.Page{Limit: 1000}); ; {
		found, next, err := r.Repositories(s.ctx, catalog.Query{Page: page})
		if err != nil {
			return false, err
		}
		for i := range found {
			u.AddRepository(found[i].Registry, found[i].Name)
		}
		if page.After = next; next == "" {
			return true, nil
		}
	}
}

// unusedTokens returns unused access tokens and unused secrets of robots. These credentials were
// created before the given time and were not used after that time.
func (s *session) unusedTokens(since time.Time) (found []advice.Finding, err error) {
	if err := open(s, &s.accounts, offline.ReadAccounts); err != nil {
		return nil, err
	}
	list, err := collectPages(s, pagesOf(s.accounts.Credentials.Tokens, credentials.Owner{}))
	for i := range list {
		t := &list[i]
		if !t.Created.Before(since) || !t.Used.Before(since) {
			continue
		}
		switch t.Purpose {
		case credentials.Access:
			found = append(found, advice.Finding{Kind: advice.UnusedToken, Items: []string{t.ID, t.Owner.String() + ": " + t.Name}})
		case credentials.Robot:
			found = append(found, advice.Finding{Kind: advice.UnusedRobot, Items: []string{t.Owner.Name}})
		}
	}
	return found, err
}

func (s *session) printAdvice(a *policyAdvice) {
	p := paintFor(s.out)
	for i := range a.findings {
		f := &a.findings[i]
		what := string(f.Kind)
		switch {
		case f.Rule != nil:
			what += " " + f.Rule.String()
		default:
			what += " " + text.Escape(f.Items[len(f.Items)-1])
		}
		fmt.Fprintf(s.out, "%s: %s\n    %s\n", p.bold(what), f.Reason(), f.Change())
	}
	fmt.Fprintf(s.out, "%s in %s from %s to %s\n", count(len(a.findings), "finding", "findings"),
		count(int(a.decisions), "decision", "decisions"), formatSecond(a.first), formatSecond(a.last))
	if !a.catalog {
		s.printNote("there is no catalog, so patterns were not compared with repositories")
	}
}

// adviceJSON is the JSON form of a policyAdvice.
type adviceJSON struct {
	Policy    string        `json:"policy"`
	Decisions int64         `json:"decisions"`
	First     time.Time     `json:"first"`
	Last      time.Time     `json:"last"`
	Catalog   bool          `json:"catalog"`
	Findings  []findingJSON `json:"findings"`
}

type findingJSON struct {
	Kind advice.Kind `json:"kind"`
	explain.RuleName
	Actions []string          `json:"actions,omitempty"`
	Items   []string          `json:"items,omitempty"`
	By      *explain.RuleName `json:"by,omitempty"`
	Reason  string            `json:"reason"`
	Change  string            `json:"change"`
}

func (a *policyAdvice) json() adviceJSON {
	j := adviceJSON{a.policy, a.decisions, a.first, a.last, a.catalog, []findingJSON{}}
	for i := range a.findings {
		f := &a.findings[i]
		row := findingJSON{Kind: f.Kind, RuleName: explain.NewRuleName(f.Rule), Actions: f.Actions.Names(), Items: f.Items, Reason: f.Reason(), Change: f.Change()}
		if f.By != nil {
			row.By = new(explain.NewRuleName(f.By))
		}
		j.Findings = append(j.Findings, row)
	}
	return j
}
