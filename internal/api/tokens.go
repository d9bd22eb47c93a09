package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/credentials"
	"github.com/tidewaiter/tidewaiter/internal/explain"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/sourcename"
	"github.com/tidewaiter/tidewaiter/internal/identity/username"
	"github.com/tidewaiter/tidewaiter/internal/leak"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

type listTokens struct {
	Mine   bool   `query:"mine" doc:"Only the caller's tokens"`
	User   string `query:"user" maxLength:"256" doc:"Only the tokens of this user" example:"alice"`
	Robot  string `query:"robot" maxLength:"70" doc:"Only the tokens of this robot" example:"ci"`
	Source string `query:"source" maxLength:"64" doc:"The identity source that knows the user; absent: accounts" example:"ldap:corp"`
	PageQuery
}

type idPath struct {
	ID string `path:"id" maxLength:"64" doc:"The id" example:"019aa1b2-c3d4-7e5f-8a6b-9c0d1e2f3a4b"`
}

func (p idPath) key() string { return p.ID }

type newToken struct {
	Idempotent
	Body struct {
		Name         string                `json:"name" maxLength:"64" doc:"The name, which is unique among the owner's tokens" example:"laptop"`
		User         string                `json:"user,omitempty" maxLength:"256" doc:"The owner of the new token; absent: the caller" example:"alice"`
		Source       string                `json:"source,omitempty" maxLength:"64" doc:"The identity source that knows the user; absent: accounts" example:"ldap:corp"`
		Restrictions []explain.Restriction `json:"restrictions,omitempty" nullable:"false" minItems:"1" maxItems:"50" doc:"The restrictions; absent: the restrictions of the caller's credential. If an account manager who is not an administrator creates a token for another user, the token has no rights over Tidewaiter itself"`
		Expires      time.Time             `json:"expires,omitzero" doc:"The time of expiry; absent: the token expires together with the caller's credential" example:"2027-01-31T12:00:00Z"`
		Password     string                `json:"password,omitempty" maxLength:"4096" writeOnly:"true" doc:"The caller's password. With the password, the token does not depend on the credential of the request, so it can outlast a session"`
	}
}

type revokeTokens struct {
	Body struct {
		Mine   bool                `json:"mine,omitempty" doc:"The caller's tokens"`
		User   string              `json:"user,omitempty" maxLength:"256" doc:"The tokens of this user" example:"alice"`
		Robot  string              `json:"robot,omitempty" maxLength:"70" doc:"The tokens of this robot" example:"ci"`
		Source string              `json:"source,omitempty" maxLength:"64" doc:"The identity source that knows the user; absent: accounts"`
		Use    credentials.Purpose `json:"use,omitempty" enum:"access,robot,refresh,session" doc:"Only the tokens with this use: access, robot, refresh or session"`
	}
}

type revoked struct {
	Revoked int `json:"revoked" doc:"How many tokens were revoked"`
}

func (a *API) tokenRoutes() {
	r := resource[string, credentials.Token, token]{a, tagTokens, a.Accounts.Credentials.Token, NewToken}
	route(a, tagTokens, operation("list-tokens", "GET /tokens", "List tokens, with their owner, use and last use",
		"Without mine, user and robot, the list has all tokens. It is sorted by the time of creation."),
		func(ctx context.Context, caller admin.Actor, in *listTokens) (*pageResponse[token], error) {
			owner, err := ownerOf(caller, in.Mine, in.User, in.Robot, in.Source)
			if err != nil {
				return nil, err
			}
			found, next, err := a.Accounts.Credentials.Tokens(ctx, caller, owner, in.page())
			return newPage(ctx, found, next, NewToken, err)
		})
	show[idPath](r, operation("get-token", "GET /tokens/{id}", "Get a token", "All callers may read their own tokens."))
	create(r, operation("create-token", "POST /tokens", "Create a personal access token",
		"The response contains the token, which is not shown again. All callers may create tokens for themselves. Such a token allows no more than the credential of the request, "+
			"expires no later, and is revoked with that credential. If that credential is an ID token, the new token is valid for access_tokens_after_sign_in."), a.createToken)
	route(a, tagTokens, operation("revoke-token", "DELETE /tokens/{id}", "Revoke a token",
		"Tokens that this token created are revoked, too. All callers may revoke their own tokens."),
		func(ctx context.Context, caller admin.Actor, in *idPath) (*struct{}, error) {
			return nil, a.Accounts.Credentials.Revoke(ctx, caller, in.ID)
		})
	contentRoute(a, tagTokens, operation("identify-token", "POST /tokens/identify", "Find out which credential a leaked text is",
		"The response also has the owner, whether the credential is still valid, and its uses. All credentials that Tidewaiter issues are recognized, and ID tokens of the issuers in the config. Passwords are not recognized.  "+
			"The text is not logged and not stored, and the request does not count as a use. It requires tidewaiter:accounts read and tidewaiter:journal read."), a.identifyToken)
	contentRoute(a, tagTokens, operation("revoke-tokens", "POST /tokens/revoke", "Revoke all tokens of an owner",
		"If use is set, only the tokens with this use are revoked. After refresh tokens are revoked, docker prompts for the password again. After sessions are revoked, users of browsers must sign in again."),
		func(ctx context.Context, caller admin.Actor, in *revokeTokens) (revoked, error) {
			owner, err := ownerOf(caller, in.Body.Mine, in.Body.User, in.Body.Robot, in.Body.Source)
			if err == nil && owner == (credentials.Owner{}) {
				err = invalidPart("body", "give mine, user or robot")
			}
			if err != nil {
				return revoked{}, err
			}
			n, err := a.Accounts.Credentials.RevokeAll(ctx, caller, owner, in.Body.Use)
			return revoked{n}, err
		})
}

type identifyToken struct {
	Body struct {
		Secret string `json:"secret" minLength:"1" maxLength:"20000" writeOnly:"true" doc:"The leaked text. It can contain other text, such as quotes, a header, or the config.json of docker. The first credential in the text counts. The text is not logged and not stored"`
	}
}

// identifyToken finds out which credential a leaked text is.
func (a *API) identifyToken(ctx context.Context, caller admin.Actor, in *identifyToken) (leak.Credential, error) {
	if !a.Rulebook.May(caller, admin.RightAccounts, scope.Read) {
		return leak.Credential{}, admin.Requires(admin.RightAccounts, scope.Read)
	}
	if err := a.mayReadJournal(caller); err != nil {
		return leak.Credential{}, err
	}
	live, began := callOf(ctx).server.Issuer.Live(), a.Now()
	f := leak.Finder{
		Credentials: a.Accounts.Credentials, Setup: a.Accounts.SetupExpires, Administered: a.Accounts.Administered, Journal: a.Journal, Issuer: live.Name,
		HasSource:   func(name string) bool { return live.Chain.Source(name) != nil },
		HasRegistry: func(service string) bool { return live.Registries[service] != nil },
		Roots:       []leak.Root{{Name: "the current root", Certificate: live.Keys.Bundle()}}, IDToken: a.VerifyIDToken, Now: a.Now(),
		Enough: func(int) bool { return a.Now().Sub(began) >= maxIdentifyTime },
	}
	return f.Identify(ctx, caller, identity.NewSecret(in.Body.Secret))
}

// maxIdentifyTime is the time after which the search for uses ends. This time is longer than for
// other searches, because the search must reach the first use.
const maxIdentifyTime = time.Second

// ownerOf returns the owner that a request selects. If the request selects no owner, the result is
// the zero Owner.
func ownerOf(caller admin.Actor, mine bool, user, robot, source string) (credentials.Owner, error) {
	p := caller.Principal
	switch {
	case mine && user != "", mine && robot != "", user != "" && robot != "":
		return credentials.Owner{}, refuse(http.StatusUnprocessableEntity, "mine, user and robot cannot be combined")
	case source != "" && user == "":
		return credentials.Owner{}, refuse(http.StatusUnprocessableEntity, "source requires user")
	case mine:
		return credentials.OwnerOf(p), nil
	case robot != "":
		return credentials.Owner{Kind: policy.Robot, Source: accounts.Source, Name: strings.TrimPrefix(robot, accounts.RobotPrefix)}, nil
	case user == "":
		return credentials.Owner{}, nil
	}
	owner := credentials.Owner{Kind: policy.User, Source: cmp.Or(source, accounts.Source), Name: user}
	if p.Kind == policy.User && sourcename.Same(p.Source, owner.Source) && p.Name == owner.Name {
		return credentials.OwnerOf(p), nil
	}
	return owner, nil
}

func (a *API) createToken(ctx context.Context, caller admin.Actor, in *newToken) (token, error) {
	restrictions, err := readRestrictions(in.Body.Restrictions)
	if err != nil {
		return token{}, err
	}
	owner, err := ownerOf(caller, false, in.Body.User, "", in.Body.Source)
	if err != nil {
		return token{}, err
	}
	if in.Body.Password != "" {
		if owner != (credentials.Owner{}) && owner != credentials.OwnerOf(caller.Principal) {
			return token{}, invalidPart("body.password", "only for the caller's own tokens")
		}
		if caller, err = reauthenticate(ctx, caller, in.Body.Password); err != nil {
			return token{}, err
		}
	}
	t, secret, err := a.Accounts.Credentials.AddToken(ctx, in.actorWithKey(caller), credentials.NewToken{Owner: owner, Name: in.Body.Name, Limits: restrictions, Expires: in.Body.Expires})
	if errors.Is(err, admin.ErrNotFound) {
		err = invalidPart("body.user", "%s", err)
	}
	return NewToken(&t).WithSecret(secret), err
}

// reauthenticate returns the given caller, but authenticated by the given password instead of the
// credential of the request. Somebody who finds an open browser session does not know the
// password, and so cannot create tokens that outlive the session.
func reauthenticate(ctx context.Context, caller admin.Actor, password string) (admin.Actor, error) {
	c := callOf(ctx)
	who, err := c.server.SignIn(c.request, identity.NewPresented(username.Login(caller.Principal), password))
	if errors.Is(err, identity.ErrRejected) || err == nil && credentials.OwnerOf(who.Principal) != credentials.OwnerOf(caller.Principal) {
		return admin.Actor{}, invalidPart("body.password", "this is not the current password")
	}
	if err != nil {
		return admin.Actor{}, err
	}
	return actorOf(who), nil
}

func readRestrictions(from []explain.Restriction) ([]policy.Limit, error) {
	var limits []policy.Limit
	for _, r := range from {
		limit := policy.Limit{Type: r.Type, Names: r.Names}
		if limit.Type == scope.TypeRepository {
			limit.Type = ""
		}
		if limit.Actions.UnmarshalText([]byte(strings.Join(r.Actions, ","))) != nil {
			return nil, invalidPart("body.restrictions", "an action is not one of pull, push, delete, *, read, write")
		}
		limits = append(limits, limit)
	}
	return limits, nil
}
