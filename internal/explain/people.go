package explain

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/chain"
	"github.com/tidewaiter/tidewaiter/internal/identity/username"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/ask"
)

// People are the accounts that a grantee stands for.
type People struct {
	Names   []string // members of the group, as subjects
	More    bool     // the group may have other members
	Missing bool     // the rule names a user or a robot that does not exist
	Blocked string   // the reason why the user or robot of the rule cannot sign in; "": it can
}

// maxScanned is the maximum number of members of a group that are checked.
const maxScanned = 10_000

// PeopleQuery has the sources and the limits of FindPeople.
type PeopleQuery struct {
	Accounts *accounts.Accounts // nil: there are no accounts yet
	Caller   admin.Actor        // needs the right to read accounts
	Listers  []chain.Lister     // other identity sources that can list their users
	Max      int                // maximum number of members per group; 0: none are looked up
	Now      time.Time          // accounts that expired before this time are blocked
}

// FindPeople looks up the accounts that the allow rules of the answer name, and the members of
// the groups that these rules name.
func (a *Answer) FindPeople(ctx context.Context, q *PeopleQuery) error {
	a.People = make([]People, len(a.Allowed))
	for i := range a.Allowed {
		g := &a.Allowed[i]
		login, group := accountsOf(g)
		var err error
		switch {
		case login != "":
			a.People[i], err = q.lookUpAccount(ctx, login)
		case group != "" && q.Max > 0:
			a.People[i], err = q.lookUpMembers(ctx, a, g, group)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// ThroughGroup reports whether an allow rule of the answer is for a group.
func (a *Answer) ThroughGroup() bool {
	return slices.ContainsFunc(a.Allowed, func(g ask.Grantee) bool {
		login, group := accountsOf(&g)
		return login == "" && group != ""
	})
}

// accountsOf returns the login if the grantee is a single user or robot. If the grantee is a
// group, accountsOf returns the group.
func accountsOf(g *ask.Grantee) (login, group string) {
	for _, who := range g.Who {
		switch kind, name, _ := strings.Cut(who, ":"); kind {
		case "user":
			return name, ""
		case "robot":
			return username.RobotPrefix + name, ""
		case "group":
			group = name
		}
	}
	return "", group
}

// lookUpAccount looks up the user or robot with the given login.
func (q *PeopleQuery) lookUpAccount(ctx context.Context, login string) (found People, err error) {
	account, err := accounts.Account{}, admin.ErrNotFound
	if q.Accounts != nil {
		account, err = q.Accounts.Account(ctx, q.Caller, login)
	}
	if errors.Is(err, admin.ErrNotFound) {
		found.Missing = !slices.ContainsFunc(q.Listers, func(l chain.Lister) bool {
			has, err := identity.Has(ctx, l, login)
			return has || err != nil
		})
		return found, nil
	}
	found.Blocked = q.blockReason(&account)
	return found, err
}

// blockReason returns the reason why an account cannot sign in, or "" if it can sign in.
func (q *PeopleQuery) blockReason(a *accounts.Account) string {
	switch {
	case a.Disabled:
		return "disabled"
	case !a.Expires.IsZero() && !q.Now.Before(a.Expires):
		return "expired " + a.Expires.UTC().Format(time.RFC3339)
	}
	return ""
}

// lookUpMembers looks up the members of a group who may perform the action of the answer.
func (q *PeopleQuery) lookUpMembers(ctx context.Context, a *Answer, g *ask.Grantee, group string) (found People, err error) {
	var logins []string
	page := admin.Page{Limit: 1000}
	for more := q.Accounts != nil; more && len(logins) <= maxScanned; more = page.After != "" {
		var next []string
		next, page.After, err = q.Accounts.Members(ctx, q.Caller, group, page)
		if errors.Is(err, admin.ErrNotFound) {
			break // the group is in another source
		}
		if err != nil {
			return People{}, err
		}
		logins = append(logins, next...)
	}
	for i, login := range logins {
		if i == maxScanned || found.More {
			found.More = true
			break
		}
		account, err := q.Accounts.Account(ctx, q.Caller, login)
		if errors.Is(err, admin.ErrNotFound) {
			continue // the account was deleted meanwhile
		}
		if err != nil {
			return People{}, err
		}
		if q.blockReason(&account) == "" {
			found.add(&policy.Principal{
				Kind: account.Kind, Name: account.Name, Source: accounts.Source, ID: account.ID, Groups: account.Groups,
			}, a, g, q.Max)
		}
	}
	for _, l := range q.Listers {
		for _, p := range l.Members(group) {
			found.add(p, a, g, q.Max)
		}
	}
	return found, nil
}

// add adds a principal if the grantee includes the principal, and no unconditional deny rule
// applies to the principal.
func (p *People) add(who *policy.Principal, a *Answer, g *ask.Grantee, limit int) {
	denied := func(d ask.Grantee) bool { return d.Rule.When == nil && d.Is(who, a.Asked.Name) }
	name := who.String()
	switch {
	case !g.Is(who, a.Asked.Name), slices.ContainsFunc(a.Except, denied), slices.Contains(p.Names, name):
	case len(p.Names) == limit:
		p.More = true
	default:
		p.Names = append(p.Names, name)
	}
}
