package api

import "github.com/tidewaiter/tidewaiter/policy/ask"

// Holders is who may do one thing: everybody in through who is not in except.
type Holders struct {
	Registry string    `json:"registry" doc:"The registry's service name" example:"registry.example.com"`
	Type     string    `json:"type" doc:"The type of what is asked for" example:"repository"`
	Name     string    `json:"name" doc:"Its name" example:"team/app"`
	Action   string    `json:"action" doc:"The one action that this is about" example:"push"`
	Through  []Grantee `json:"through" nullable:"false" doc:"Whom a rule allows it, if its condition holds"`
	Except   []Grantee `json:"except,omitempty" nullable:"false" doc:"Of those, whom another denies it, unless its condition does not hold"`
	Barred   []Grantee `json:"barred,omitempty" nullable:"false" doc:"Whom a rule would allow it, if another did not deny it to all of them"`
	Unlisted []string  `json:"unlisted,omitempty" nullable:"false" doc:"If members are asked for, and there are groups in through: the sources that may have members of them and cannot list them" example:"[\"ldap:corp\"]"`
}

// Grantee is whom a rule reaches.
type Grantee struct {
	Who     []string `json:"who" doc:"Subjects, all of which are needed" example:"[\"group:developers\"]"`
	Claims  []Held   `json:"claims,omitempty" nullable:"false" doc:"What claims have to hold"`
	Pattern string   `json:"pattern,omitempty" doc:"What claims must make match, in too many ways to list"`
	RuleName
	By      *RuleName `json:"by,omitempty" doc:"The rule that denies it, of those who are barred"`
	Members []string  `json:"members,omitempty" nullable:"false" doc:"If members are asked for: who is in the group and does get it, of the accounts and of htpasswd sources" example:"[\"user:alice\"]"`
	More    bool      `json:"more,omitempty" doc:"Whether there may be other members"`
	Barred  string    `json:"barred,omitempty" doc:"If members are asked for: why the account of this name cannot sign in" example:"disabled"`
	Missing bool      `json:"missing,omitempty" doc:"If members are asked for: whether no account and no htpasswd source has the name"`
}

// Held is a claim and what it holds.
type Held struct {
	Claim string `json:"claim" doc:"The claim" example:"repository"`
	Value string `json:"value" doc:"What it holds" example:"acme/app"`
}

// NewHolders is the form of who may do one thing, with the people of a.Through if they were looked up, and the sources that
// cannot list theirs.
func NewHolders(a *ask.Answer, people []People, unlisted []string) Holders {
	form := Holders{Registry: a.Registry, Type: a.Asked.Type, Name: a.Asked.Name, Action: a.Asked.Actions.String(), Through: []Grantee{}}
	for i := range a.Through {
		form.Through = append(form.Through, newGrantee(&a.Through[i]))
	}
	if Grouped(a) {
		form.Unlisted = unlisted
	}
	for i, p := range people {
		g := &form.Through[i]
		g.Members, g.More, g.Missing, g.Barred = p.Names, p.More, p.Missing, p.Barred
	}
	for i := range a.Except {
		form.Except = append(form.Except, newGrantee(&a.Except[i]))
	}
	for i := range a.Barred {
		g := newGrantee(&a.Barred[i].Grantee)
		by := NewRuleName(a.Barred[i].By)
		g.By = &by
		form.Barred = append(form.Barred, g)
	}
	return form
}

func newGrantee(g *ask.Grantee) Grantee {
	form := Grantee{Who: g.Who, Pattern: g.Pattern, RuleName: NewRuleName(g.Rule)}
	for _, h := range g.Claims {
		form.Claims = append(form.Claims, Held(h))
	}
	return form
}
