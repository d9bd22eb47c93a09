package api

import (
	"time"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/accounts"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// The forms of what accounts keep, for programs: the command line prints the same with --output json.

// Account is a user or a robot.
type Account struct {
	ID       string      `json:"id" doc:"Never given to another" example:"019aa1b2-c3d4-7e5f-8a6b-9c0d1e2f3a4b"`
	Kind     policy.Kind `json:"kind" enum:"user,robot" doc:"What it is"`
	Name     string      `json:"name" doc:"The name" example:"alice"`
	Login    string      `json:"login" doc:"What it signs in as: the name, or robot+NAME" example:"alice"`
	Disabled bool        `json:"disabled" doc:"Whether it is kept from signing in"`
	Created  time.Time   `json:"created" doc:"When it was added"`
	Changed  time.Time   `json:"changed" doc:"When it was last changed"`
	Expires  time.Time   `json:"expires,omitzero" doc:"When it ends; left out if never"`
	Password string      `json:"password,omitempty" enum:"argon2id,bcrypt" doc:"The kind of the password's hash; left out if there is none"`
	Lent     bool        `json:"lent,omitempty" doc:"Somebody else has set the password or secret, who was no administrator: it becomes no administrator before one sets another"`
	Groups   []string    `json:"groups" nullable:"false" doc:"The groups that it is in" example:"[\"developers\"]"`
	Version  int64       `json:"version" doc:"Raised by each change of the account itself" example:"1"`
	Secret   string      `json:"secret,omitempty" doc:"What was made for it, shown this once" example:"twp_b…"`

	Unchecked []string `json:"unchecked,omitempty" nullable:"false" doc:"Of an account that was just added: the sources that could not be asked whether they have the name, too, and why" example:"[\"ldap:corp: connection refused\"]"`
}

// NewAccount is the form of an account, and of a secret that is shown this once.
func NewAccount(a *accounts.Account, secret identity.Secret) Account {
	groups := a.Groups
	if groups == nil {
		groups = []string{}
	}
	return Account{
		a.ID, a.Kind, a.Name, a.Login(), a.Disabled, a.Created.UTC(), a.Changed.UTC(), utc(a.Expires), a.Hash, a.Lent, groups, a.Version,
		secret.Reveal(), a.Unchecked,
	}
}

// plainAccount is NewAccount without a secret.
func plainAccount(a *accounts.Account) Account { return NewAccount(a, identity.Secret{}) }

// Group is some users and robots.
type Group struct {
	ID      string    `json:"id" doc:"Never given to another" example:"019aa1b2-c3d4-7e5f-8a6b-9c0d1e2f3a4b"`
	Name    string    `json:"name" doc:"The name; rules call it group:NAME" example:"developers"`
	Created time.Time `json:"created" doc:"When it was added"`
	Size    int       `json:"size" doc:"How many members it has"`
	Members []string  `json:"members,omitempty" nullable:"false" hidden:"true"`
	Version int64     `json:"version" doc:"Raised by each change, also of its members" example:"1"`
}

// NewGroup is the form of a group, without its members.
func NewGroup(g *accounts.Group) Group {
	return Group{ID: g.ID, Name: g.Name, Created: utc(g.Created), Size: g.Size, Version: g.Version}
}

// Token is a credential that was handed out.
type Token struct {
	ID       string       `json:"id" doc:"Never given to another" example:"019aa1b2-c3d4-7e5f-8a6b-9c0d1e2f3a4b"`
	Use      accounts.Use `json:"use" enum:"access,robot,refresh,session" doc:"What it is for: a personal access token, a robot's secret, what docker and others keep in place of a password, what a browser keeps"`
	Owner    Owner        `json:"owner" doc:"Whom it stands for"`
	Name     string       `json:"name,omitempty" doc:"Of an access token" example:"laptop"`
	Limits   []Limit      `json:"limits" nullable:"false" doc:"What it narrows its owner's rights to; none: nothing"`
	Registry string       `json:"registry,omitempty" doc:"The one that a refresh token is good for" example:"registry.example.com"`
	Client   string       `json:"client,omitempty" doc:"What asked for it, as it says of itself" example:"docker"`
	Parent   string       `json:"parent,omitempty" doc:"The id of the token that it was made with, and is void with"`
	Created  time.Time    `json:"created" doc:"When it was made"`
	Expires  time.Time    `json:"expires,omitzero" doc:"When it ends; left out if never"`
	Used     time.Time    `json:"used,omitzero" doc:"When it was last used, to a few seconds; left out if never"`
	From     string       `json:"from,omitempty" doc:"The address where it was last used" example:"192.0.2.7"`
	Secret   string       `json:"secret,omitempty" doc:"The token itself, shown this once" example:"twp_a…"`
}

// Owner is whom a token stands for.
type Owner struct {
	Kind   policy.Kind `json:"kind" enum:"user,robot,workload" doc:"What it is"`
	Source string      `json:"source" doc:"The source that knows it" example:"accounts"`
	Name   string      `json:"name" doc:"Its name there" example:"alice"`
	ID     string      `json:"id,omitempty" doc:"Its id there"`
}

// Limit is what a token narrows its owner's rights to.
type Limit struct {
	Type    string   `json:"type" default:"repository" enum:"repository,registry,tidewaiter" required:"false" doc:"The type of what it is for"`
	Names   []string `json:"names" nullable:"false" minItems:"1" maxItems:"200" maxLength:"500" doc:"Patterns, as rules have them" example:"[\"team/**\"]"`
	Actions []string `json:"actions" nullable:"false" minItems:"1" maxItems:"6" enum:"pull,push,delete,*,read,write" doc:"What remains" example:"[\"pull\"]"`
}

// NewToken is the form of a token, and of its secret, which is shown this once.
func NewToken(t *accounts.Token, secret identity.Secret) Token {
	source := t.Owner.Source
	if source == "" {
		source = accounts.Source
	}
	form := Token{
		ID: t.ID, Use: t.Use, Owner: Owner{t.Owner.Kind, source, t.Owner.Name, t.Owner.ID}, Name: t.Name,
		Limits: NewLimits(t.Limits), Registry: t.Registry, Client: t.Client, Parent: t.Parent,
		Created: utc(t.Created), Expires: utc(t.Expires), Used: utc(t.Used), Secret: secret.Reveal(),
	}
	if t.From.IsValid() {
		form.From = t.From.String()
	}
	return form
}

func plainToken(t *accounts.Token) Token { return NewToken(t, identity.Secret{}) }

// NewLimits is the form of limits, never null in JSON.
func NewLimits(from []policy.Limit) []Limit {
	limits := make([]Limit, len(from))
	for i, l := range from {
		kind := l.Type
		if kind == "" {
			kind = scope.TypeRepository
		}
		limits[i] = Limit{kind, l.Names, words(l.Actions)}
	}
	return limits
}

// words are the names of actions, never null in JSON.
func words(a scope.Actions) []string {
	if names := a.Names(); names != nil {
		return names
	}
	return []string{}
}

func utc(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC()
}
