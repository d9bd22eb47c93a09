package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/accounts"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Owned says whose tokens are meant.
type Owned struct {
	Mine   bool   `query:"mine" doc:"Those of who calls"`
	User   string `query:"user" maxLength:"256" doc:"Those of a user" example:"alice"`
	Robot  string `query:"robot" maxLength:"70" doc:"Those of a robot" example:"ci"`
	Source string `query:"source" maxLength:"64" doc:"The source that knows the user; left out: accounts" example:"ldap:corp"`
}

// tokensOf asks for a page of tokens.
type tokensOf struct {
	Owned
	Paged
}

// identified is an object in the path that has no name of its own.
type identified struct {
	ID string `path:"id" maxLength:"64" doc:"The id" example:"019aa1b2-c3d4-7e5f-8a6b-9c0d1e2f3a4b"`
}

// newToken is an access token to make.
type newToken struct {
	Repeatable
	Body struct {
		Name     string    `json:"name" maxLength:"64" doc:"What it is called: no two of one owner have the same" example:"laptop"`
		User     string    `json:"user,omitempty" maxLength:"256" doc:"The user that it is for; left out: who calls" example:"alice"`
		Source   string    `json:"source,omitempty" maxLength:"64" doc:"The source that knows that user; left out: accounts" example:"ldap:corp"`
		Limits   []Limit   `json:"limits,omitempty" nullable:"false" minItems:"1" maxItems:"50" doc:"What it narrows its owner's rights to; left out: what the credential that it is made with is narrowed to, and for another user, by who is no administrator, all but Tidewaiter itself"`
		Expires  time.Time `json:"expires,omitzero" doc:"When it ends; left out: when the credential ends that it is made with" example:"2027-01-31T12:00:00Z"`
		Password string    `json:"password,omitempty" maxLength:"4096" writeOnly:"true" doc:"The caller's own: the token is then made with it, and not with what the request shows, and so may outlast a session"`
	}
}

// revocation says which tokens of an owner are to be revoked.
type revocation struct {
	Body struct {
		Mine   bool         `json:"mine,omitempty" doc:"Those of who calls"`
		User   string       `json:"user,omitempty" maxLength:"256" doc:"Those of a user" example:"alice"`
		Robot  string       `json:"robot,omitempty" maxLength:"70" doc:"Those of a robot" example:"ci"`
		Source string       `json:"source,omitempty" maxLength:"64" doc:"The source that knows the user; left out: accounts"`
		Use    accounts.Use `json:"use,omitempty" enum:"access,robot,refresh,session" doc:"Only those of one use"`
	}
}

// Revoked is how many tokens were revoked.
type Revoked struct {
	Revoked int `json:"revoked" doc:"How many"`
}

func (a *API) tokenRoutes() {
	tags := []string{tagTokens}
	route(a, huma.Operation{
		OperationID: "list-tokens", Method: http.MethodGet, Path: "/tokens", Tags: tags,
		Summary: "List tokens: whose, for what, when last used", Description: "Without mine, user or robot those of everybody. In the order in which they were made.",
	}, func(ctx context.Context, by Actor, in *tokensOf) (*list[Token], error) {
		owner, err := in.owner(by)
		if err != nil {
			return nil, err
		}
		found, next, err := a.Accounts.Tokens(ctx, by, owner, in.page())
		return listed(ctx, found, next, plainToken, err)
	})
	route(a, huma.Operation{
		OperationID: "get-token", Method: http.MethodGet, Path: "/tokens/{id}", Tags: tags,
		Summary: "Show a token", Description: "Everybody may see his own.",
	}, func(ctx context.Context, by Actor, in *identified) (*one[Token], error) {
		t, err := a.Accounts.Token(ctx, by, in.ID)
		return tagged(t.ID, 1, plainToken(&t), err)
	})
	route(a, huma.Operation{
		OperationID: "make-token", Method: http.MethodPost, Path: "/tokens", Tags: tags, DefaultStatus: http.StatusCreated,
		Summary: "Make a personal access token",
		Description: "The answer has it, this once. Everybody may make some for himself: never wider than the credential that the request shows, nor lasting longer, " +
			"and void when that is revoked. One that is made with an ID token lasts as long as the sign-in counts (access_tokens_after_sign_in).",
	}, a.makeToken)
	route(a, huma.Operation{
		OperationID: "revoke-token", Method: http.MethodDelete, Path: "/tokens/{id}", Tags: tags, DefaultStatus: http.StatusNoContent,
		Summary: "Revoke a token", Description: "And those that were made with it. Everybody may revoke his own.",
	}, func(ctx context.Context, by Actor, in *identified) (*struct{}, error) {
		return nil, a.Accounts.Revoke(ctx, by, in.ID)
	})
	route(a, huma.Operation{
		OperationID: "revoke-tokens", Method: http.MethodPost, Path: "/tokens/revoke", Tags: tags,
		Summary: "Revoke all tokens of an owner", Description: "Or those of one use: with refresh, docker asks for the password again; with session, browsers do.",
	}, func(ctx context.Context, by Actor, in *revocation) (*body[Revoked], error) {
		who := Owned{in.Body.Mine, in.Body.User, in.Body.Robot, in.Body.Source}
		owner, err := who.owner(by)
		if err == nil && owner == (accounts.Owner{}) {
			err = mistaken("body", "whose? mine, user or robot says it")
		}
		if err != nil {
			return nil, err
		}
		n, err := a.Accounts.RevokeAll(ctx, by, owner, in.Body.Use)
		if err != nil {
			return nil, err
		}
		return &body[Revoked]{Revoked{n}}, nil
	})
}

// owner is whom the tokens stand for that are meant; the zero Owner if nobody is named.
func (o Owned) owner(by Actor) (accounts.Owner, error) {
	said := 0
	for _, yes := range []bool{o.Mine, o.User != "", o.Robot != ""} {
		if yes {
			said++
		}
	}
	switch p := by.Principal; {
	case said > 1:
		return accounts.Owner{}, refuse(http.StatusUnprocessableEntity, "mine, user and robot exclude each other")
	case o.Source != "" && o.User == "":
		return accounts.Owner{}, refuse(http.StatusUnprocessableEntity, "source goes with user")
	case o.Mine:
		return accounts.OwnerOf(p), nil
	case o.Robot != "":
		return accounts.Owner{Kind: policy.Robot, Source: accounts.Source, Name: strings.TrimPrefix(o.Robot, accounts.RobotPrefix)}, nil
	case o.User == "":
		return accounts.Owner{}, nil
	}
	owner := accounts.Owner{Kind: policy.User, Source: o.Source, Name: o.User}
	if owner.Source == "" {
		owner.Source = accounts.Source
	}
	if p := by.Principal; p.Kind == policy.User && identity.SameSource(p.Source, owner.Source) && p.Name == owner.Name {
		return accounts.OwnerOf(p), nil
	}
	return owner, nil
}

func (a *API) makeToken(ctx context.Context, by Actor, in *newToken) (*made[Token], error) {
	limits, err := readLimits(in.Body.Limits)
	if err != nil {
		return nil, err
	}
	owner, err := Owned{User: in.Body.User, Source: in.Body.Source}.owner(by)
	if err != nil {
		return nil, err
	}
	if in.Body.Password != "" {
		if owner != (accounts.Owner{}) && owner != accounts.OwnerOf(by.Principal) {
			return nil, mistaken("body.password", "it goes with a token for oneself only")
		}
		if by, err = again(ctx, by, in.Body.Password); err != nil {
			return nil, err
		}
	}
	t, secret, err := a.Accounts.AddToken(ctx, in.by(by), accounts.NewToken{Owner: owner, Name: in.Body.Name, Limits: limits, Expires: in.Body.Expires})
	if errors.Is(err, accounts.ErrNotFound) {
		return nil, mistaken("body.user", "%s", err)
	}
	return created("/tokens/"+t.ID, t.ID, 1, NewToken(&t, secret), err)
}

// again is the caller with a password in place of what the request shows: whoever found an open browser does not know it.
func again(ctx context.Context, by Actor, password string) (Actor, error) {
	c := calling(ctx)
	who, err := c.server.SignIn(c.request, identity.NewPresented(identity.Login(by.Principal), password))
	if errors.Is(err, identity.ErrRejected) || err == nil && accounts.OwnerOf(who.Principal) != accounts.OwnerOf(by.Principal) {
		return Actor{}, mistaken("body.password", "this is not the current password")
	}
	if err != nil {
		return Actor{}, err
	}
	shown := *c
	shown.caller = who
	return shown.actor(), nil
}

func readLimits(from []Limit) ([]policy.Limit, error) {
	var limits []policy.Limit
	for _, l := range from {
		limit := policy.Limit{Type: l.Type, Names: l.Names}
		if limit.Type == scope.TypeRepository {
			limit.Type = ""
		}
		for _, word := range l.Actions {
			action, known := scope.ParseAction(word)
			if !known {
				return nil, mistaken("body.limits", "an action is not one of pull, push, delete, *, read, write")
			}
			limit.Actions |= action
		}
		limits = append(limits, limit)
	}
	return limits, nil
}
