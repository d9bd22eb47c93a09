package api

import (
	"cmp"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/credentials"
	"github.com/tidewaiter/tidewaiter/internal/explain"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/policy"
)

// The JSON forms of accounts, groups and tokens. Commands print them with --output json.

// account is a user or a robot.
type account struct {
	ID            string      `json:"id" doc:"The id, which is never reused" example:"019aa1b2-c3d4-7e5f-8a6b-9c0d1e2f3a4b"`
	Kind          policy.Kind `json:"kind" enum:"user,robot" doc:"The kind of account"`
	Name          string      `json:"name" doc:"The name" example:"alice"`
	Login         string      `json:"login" doc:"The login: the name, or robot+NAME" example:"alice"`
	Disabled      bool        `json:"disabled" doc:"Whether the account is disabled and cannot authenticate"`
	Created       time.Time   `json:"created" doc:"The time of its creation"`
	Changed       time.Time   `json:"changed" doc:"The time of the newest change"`
	Expires       time.Time   `json:"expires,omitzero" doc:"The time of expiry; absent: never"`
	Password      string      `json:"password,omitempty" enum:"argon2id,bcrypt" doc:"The type of the password's hash; absent: the account has no password"`
	SetByDelegate bool        `json:"set_by_delegate,omitempty" doc:"Whether an account manager, who is not an administrator, has set the password or secret for this account. The account cannot become an administrator until an administrator sets a new password or secret"`
	Groups        []string    `json:"groups" nullable:"false" doc:"The groups of the account" example:"[\"developers\"]"`
	Version       int64       `json:"version" doc:"Increases with each change of the account itself" example:"1"`
	Secret        string      `json:"secret,omitempty" doc:"The new secret, which is not shown again" example:"twp_b…"`

	Unchecked []string `json:"unchecked,omitempty" nullable:"false" doc:"For a new account: the identity sources that could not be reached, each with the reason. They may have the name, too" example:"[\"ldap:corp: connection refused\"]"`
}

// NewAccount returns the JSON form of an account.
func NewAccount(a *accounts.Account) account {
	return account{
		ID: a.ID, Kind: a.Kind, Name: a.Name, Login: a.Login(), Disabled: a.Disabled, Created: a.Created.UTC(), Changed: a.Changed.UTC(),
		Expires: inUTC(a.Expires), Password: a.Hash, SetByDelegate: a.SetByDelegate, Groups: append([]string{}, a.Groups...), Version: a.Version, Unchecked: a.Unchecked,
	}
}

// WithSecret returns the account with a new secret.
func (a account) WithSecret(s identity.Secret) account {
	a.Secret = s.Reveal()
	return a
}

func (a account) version() (path, id string, version int64) { return a.Name, a.ID, a.Version }

// group is a group of users and robots.
type group struct {
	ID      string    `json:"id" doc:"The id, which is never reused" example:"019aa1b2-c3d4-7e5f-8a6b-9c0d1e2f3a4b"`
	Name    string    `json:"name" doc:"The name; rules refer to it as group:NAME" example:"developers"`
	Created time.Time `json:"created" doc:"The time of its creation"`
	Size    int       `json:"size" doc:"The number of members"`
	// Members is set by the command line only.
	Members []string `json:"members,omitempty" nullable:"false" hidden:"true"`
	Version int64    `json:"version" doc:"Increases with each change of the group and of its members" example:"1"`
}

// NewGroup returns the JSON form of a group, without its members.
func NewGroup(g *accounts.Group) group {
	return group{ID: g.ID, Name: g.Name, Created: inUTC(g.Created), Size: g.Size, Version: g.Version}
}

func (g group) version() (path, id string, version int64) { return g.Name, g.ID, g.Version }

// token is an issued credential.
type token struct {
	ID           string                `json:"id" doc:"The id, which is never reused" example:"019aa1b2-c3d4-7e5f-8a6b-9c0d1e2f3a4b"`
	Use          credentials.Purpose   `json:"use" enum:"access,robot,refresh,session" doc:"A personal access token, a robot's secret, a refresh token (which docker and others store instead of a password), or a browser session"`
	Owner        owner                 `json:"owner" doc:"The principal that the token authenticates"`
	Name         string                `json:"name,omitempty" doc:"The name of an access token" example:"laptop"`
	Restrictions []explain.Restriction `json:"restrictions" nullable:"false" doc:"The restrictions; empty: the token has all rights of its owner"`
	Registry     string                `json:"registry,omitempty" doc:"The registry for which a refresh token is valid" example:"registry.example.com"`
	Client       string                `json:"client,omitempty" doc:"The name that the client gave when it requested the token" example:"docker"`
	Parent       string                `json:"parent,omitempty" doc:"The id of the token that created this token. When the parent is revoked or expires, this token ends, too"`
	Created      time.Time             `json:"created" doc:"The time of its creation"`
	Expires      time.Time             `json:"expires,omitzero" doc:"The time of expiry; absent: never"`
	Used         time.Time             `json:"used,omitzero" doc:"The time of the newest use, with a precision of a few seconds; absent: never used"`
	From         string                `json:"from,omitempty" doc:"The client's address at the newest use" example:"192.0.2.7"`
	Secret       string                `json:"secret,omitempty" doc:"The token itself, which is not shown again" example:"twp_a…"`
}

type owner struct {
	Kind   policy.Kind `json:"kind" enum:"user,robot,workload" doc:"The kind of principal"`
	Source string      `json:"source" doc:"The identity source of the owner" example:"accounts"`
	Name   string      `json:"name" doc:"The name in that source" example:"alice"`
	ID     string      `json:"id,omitempty" doc:"The id in that source"`
}

// NewToken returns the JSON form of a token.
func NewToken(t *credentials.Token) token {
	j := token{
		ID: t.ID, Use: t.Purpose, Owner: owner{t.Owner.Kind, cmp.Or(t.Owner.Source, accounts.Source), t.Owner.Name, t.Owner.ID}, Name: t.Name,
		Restrictions: explain.NewRestrictions(t.Limits), Registry: t.Registry, Client: t.Client, Parent: t.Parent,
		Created: inUTC(t.Created), Expires: inUTC(t.Expires), Used: inUTC(t.Used),
	}
	if t.From.IsValid() {
		j.From = t.From.String()
	}
	return j
}

// WithSecret returns the token with its secret.
func (t token) WithSecret(s identity.Secret) token {
	t.Secret = s.Reveal()
	return t
}

// version returns 1, because tokens never change.
func (t token) version() (path, id string, version int64) { return t.ID, t.ID, 1 }

// inUTC returns a time in UTC. The zero time stays zero, so that it is absent in JSON.
func inUTC(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC()
}
