package api

import (
	"context"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tidewaiter/tidewaiter/internal/identity/accounts"
	"github.com/tidewaiter/tidewaiter/policy"
)

// What users and robots have in common: each route of this file is made for both.

// Named is an object in the path.
type Named struct {
	Name string `path:"name" maxLength:"64" doc:"The name" example:"alice"`
}

// changed is an account to change or delete.
type changed struct {
	Named
	Conditional
}

// ending is an account whose end is to be set.
type ending struct {
	Named
	Conditional
	Body end
}

// login is what a kind of account signs in as.
func login(kind policy.Kind, name string) string {
	if kind == policy.Robot {
		return accounts.RobotPrefix + name
	}
	if strings.HasPrefix(name, accounts.RobotPrefix) {
		return "" // which is nobody: a robot is no user
	}
	return name
}

// seen looks at an account for a change that depends on its version.
func (a *API) seen(ctx context.Context, by Actor, login string) func() (string, int64, error) {
	return func() (string, int64, error) {
		found, err := a.Accounts.Account(ctx, by, login)
		return found.ID, found.Version, err
	}
}

func (a *API) accountRoutes(kind policy.Kind) {
	word, path, tags := kind.String(), "/"+kind.String()+"s", []string{tagUsers}
	if kind == policy.Robot {
		tags = []string{tagRobots}
	}
	route(a, huma.Operation{
		OperationID: "list-" + word + "s", Method: http.MethodGet, Path: path, Tags: tags,
		Summary: "List the " + word + "s", Description: "In the order of their names.",
	}, func(ctx context.Context, by Actor, in *Paged) (*list[Account], error) {
		found, next, err := a.Accounts.List(ctx, by, kind, in.page())
		return listed(ctx, found, next, plainAccount, err)
	})
	route(a, huma.Operation{
		OperationID: "get-" + word, Method: http.MethodGet, Path: path + "/{name}", Tags: tags,
		Summary: "Show a " + word, Description: "Everybody may see himself.",
	}, func(ctx context.Context, by Actor, in *Named) (*one[Account], error) {
		found, err := a.Accounts.Account(ctx, by, login(kind, in.Name))
		return tagged(found.ID, found.Version, plainAccount(&found), err)
	})
	change := func(verb, summary, description string, do func(ctx context.Context, by Actor, login string, version int64) (accounts.Account, error)) {
		route(a, huma.Operation{
			OperationID: verb + "-" + word, Method: http.MethodPost, Path: path + "/{name}/" + verb, Tags: tags,
			Summary: summary + " a " + word, Description: description,
		}, func(ctx context.Context, by Actor, in *changed) (*one[Account], error) {
			login := login(kind, in.Name)
			by, version, err := in.based(by, a.seen(ctx, by, login))
			if err != nil {
				return nil, err
			}
			found, err := do(ctx, by, login, version)
			return tagged(found.ID, found.Version, plainAccount(&found), err)
		})
	}
	change("disable", "Disable", "It signs in no more, in any way. Refresh tokens and sessions are void; other tokens rest until it is enabled.", a.Accounts.Disable)
	change("enable", "Enable", "It signs in again with the password or the tokens that it had.", a.Accounts.Enable)
	route(a, huma.Operation{
		OperationID: "expire-" + word, Method: http.MethodPut, Path: path + "/{name}/expiry", Tags: tags,
		Summary: "Set when a " + word + " ends", Description: "From then on it cannot sign in; it is kept, and another end lets it in again.",
	}, func(ctx context.Context, by Actor, in *ending) (*one[Account], error) {
		login := login(kind, in.Name)
		by, version, err := in.based(by, a.seen(ctx, by, login))
		if err != nil {
			return nil, err
		}
		found, err := a.Accounts.SetExpiry(ctx, by, login, in.Body.time(), version)
		return tagged(found.ID, found.Version, plainAccount(&found), err)
	})
	route(a, huma.Operation{
		OperationID: "delete-" + word, Method: http.MethodDelete, Path: path + "/{name}", Tags: tags, DefaultStatus: http.StatusNoContent,
		Summary: "Delete a " + word, Description: "With all that is its own. Somebody who is added later under the name has nothing of it.",
	}, func(ctx context.Context, by Actor, in *changed) (*struct{}, error) {
		login := login(kind, in.Name)
		by, version, err := in.based(by, a.seen(ctx, by, login))
		if err != nil {
			return nil, err
		}
		return nil, a.Accounts.Delete(ctx, by, login, version)
	})
}
