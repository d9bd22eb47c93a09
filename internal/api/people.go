package api

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/accounts"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/ask"
)

// People are the accounts that a grantee stands for.
type People struct {
	Names   []string // as subjects
	More    bool     // there may be others
	Missing bool     // it is for a user or a robot by name, and there is no such account
	Barred  string   // it is for a user or a robot by name that cannot sign in, and why; "": it can
}

// mostLooked bounds the members of a group that are looked at for those who do get it.
const mostLooked = 10_000

// FindPeople looks up the people whom an answer reaches, in the accounts and in the sources that list theirs: of who is named, and of
// those in groups, at most so many of each group. It returns them in the order of answer.Through. Accounts of nil are none.
func FindPeople(ctx context.Context, from *accounts.Accounts, others []identity.Lister, by Actor, answer *ask.Answer, most int, now time.Time) ([]People, error) {
	all := make([]People, len(answer.Through))
	for i := range answer.Through {
		g := &answer.Through[i]
		login, group := accountsOf(g)
		switch {
		case login != "":
			account, err := accounts.Account{}, accounts.ErrNotFound
			if from != nil {
				account, err = from.Account(ctx, by, login)
			}
			switch {
			case errors.Is(err, accounts.ErrNotFound):
				all[i].Missing = !slices.ContainsFunc(others, func(l identity.Lister) bool {
					has, err := identity.Has(ctx, l, login)
					return has || err != nil
				})
			case err != nil:
				return nil, err
			case account.Disabled:
				all[i].Barred = "disabled"
			case !account.Expires.IsZero() && !now.Before(account.Expires):
				all[i].Barred = "ended " + account.Expires.UTC().Format(time.RFC3339)
			}
		case group != "":
			found, err := peopleIn(ctx, from, by, answer, g, group, most, now)
			if err != nil {
				return nil, err
			}
			for _, l := range others {
				found.add(l.Members(group), answer, g, most)
			}
			all[i] = found
		}
	}
	return all, nil
}

// add adds those of some people who do get it: who is not taken out again for sure.
func (p *People) add(who []*policy.Principal, answer *ask.Answer, g *ask.Grantee, most int) {
	for _, one := range who {
		out := func(but ask.Grantee) bool { return but.Rule.When == nil && but.Is(one, answer.Asked.Name) }
		name := one.String()
		if !g.Is(one, answer.Asked.Name) || slices.ContainsFunc(answer.Except, out) || slices.Contains(p.Names, name) {
			continue
		}
		if len(p.Names) == most {
			p.More = true
			return
		}
		p.Names = append(p.Names, name)
	}
}

// Grouped reports whether an answer reaches somebody through a group.
func Grouped(answer *ask.Answer) bool {
	return slices.ContainsFunc(answer.Through, func(g ask.Grantee) bool {
		login, group := accountsOf(&g)
		return login == "" && group != ""
	})
}

// accountsOf returns the login of the account that a grantee names, or the group that it is for.
func accountsOf(g *ask.Grantee) (login, group string) {
	for _, who := range g.Who {
		switch kind, name, _ := strings.Cut(who, ":"); kind {
		case "user":
			return name, ""
		case "robot":
			return identity.RobotPrefix + name, ""
		case "group":
			group = name
		}
	}
	return "", group
}

// peopleIn returns the accounts in a group that do get it: who is not taken out again for sure.
func peopleIn(ctx context.Context, from *accounts.Accounts, by Actor, answer *ask.Answer, g *ask.Grantee, group string, most int, now time.Time) (People, error) {
	var found People
	if from == nil {
		return found, nil
	}
	looked := 0
	for page := (accounts.Page{Limit: 1000}); ; {
		logins, next, err := from.Members(ctx, by, group, page)
		if errors.Is(err, accounts.ErrNotFound) {
			return found, nil // it is a group of another source
		}
		if err != nil {
			return found, err
		}
		for _, login := range logins {
			if looked++; looked > mostLooked || found.More {
				found.More = true
				return found, nil
			}
			account, err := from.Account(ctx, by, login)
			if errors.Is(err, accounts.ErrNotFound) {
				continue // it was deleted meanwhile
			}
			if err != nil {
				return found, err
			}
			if account.Disabled || !account.Expires.IsZero() && !now.Before(account.Expires) {
				continue
			}
			who := &policy.Principal{Kind: account.Kind, Name: account.Name, Source: accounts.Source, ID: account.ID, Groups: account.Groups}
			found.add([]*policy.Principal{who}, answer, g, most)
		}
		if next == "" {
			return found, nil
		}
		page.After = next
	}
}
