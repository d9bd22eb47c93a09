package api

import (
	"context"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/policy"
)

// NamePath is the name of an object in the path.
type NamePath struct {
	Name string `path:"name" maxLength:"64" doc:"The name" example:"alice"`
}

func (p NamePath) key() string { return p.Name }

// changedAccount selects an account or a group to change or delete.
type changedAccount struct {
	NamePath
	Conditional
}

// setExpiry sets when an account expires.
type setExpiry struct {
	NamePath
	Conditional
	Body expiry
}

type expiry struct {
	Expires *time.Time `json:"expires" required:"true" nullable:"true" doc:"When it expires; null: never" example:"2027-01-31T12:00:00Z"`
}

func (e expiry) time() time.Time {
	if e.Expires == nil {
		return time.Time{}
	}
	return *e.Expires
}

// login returns the login of a user or robot, such as "ann" or "robot+ci". It returns "" if no
// account can have the name.
func login(kind policy.Kind, name string) string {
	if kind == policy.Robot {
		return accounts.RobotPrefix + name
	}
	if strings.HasPrefix(name, accounts.RobotPrefix) {
		return "" // "" is no login, so the routes of users never find a robot
	}
	return name
}

// accountRoutes adds the routes that exist for both users and robots.
func (a *API) accountRoutes(kind policy.Kind, tag *huma.Tag) resource[string, accounts.Account, account] {
	word := kind.String()
	path := "/" + word + "s"
	r := resource[string, accounts.Account, account]{a, tag, func(ctx context.Context, caller admin.Actor, name string) (accounts.Account, error) {
		return a.Accounts.Account(ctx, caller, login(kind, name))
	}, NewAccount}
	listAll(a, tag, operation("list-"+word+"s", "GET "+path, "List "+word+"s", "Sorted by name."), NewAccount,
		func(ctx context.Context, caller admin.Actor, p admin.Page) ([]accounts.Account, string, error) {
			return a.Accounts.List(ctx, caller, kind, p)
		})
	show[NamePath](r, operation("get-"+word, "GET "+path+"/{name}", "Get a "+word, "All callers may read their own account."))
	change(r, operation("disable-"+word, "POST "+path+"/{name}/disable", "Disable a "+word,
		"It can no longer authenticate. Its refresh tokens and sessions are revoked; its other tokens work again when it is enabled."),
		func(ctx context.Context, caller admin.Actor, in *changedAccount, version int64) (accounts.Account, error) {
			return a.Accounts.Disable(ctx, caller, login(kind, in.Name), version)
		})
	change(r, operation("enable-"+word, "POST "+path+"/{name}/enable", "Enable a "+word,
		"It can authenticate again, with its password and its tokens."),
		func(ctx context.Context, caller admin.Actor, in *changedAccount, version int64) (accounts.Account, error) {
			return a.Accounts.Enable(ctx, caller, login(kind, in.Name), version)
		})
	change(r, operation("expire-"+word, "PUT "+path+"/{name}/expiry", "Set when a "+word+" expires",
		"An expired account cannot authenticate. It is not deleted, and a later time enables it again."),
		func(ctx context.Context, caller admin.Actor, in *setExpiry, version int64) (accounts.Account, error) {
			return a.Accounts.SetExpiry(ctx, caller, login(kind, in.Name), in.Body.time(), version)
		})
	remove[changedAccount](r, operation("delete-"+word, "DELETE "+path+"/{name}", "Delete a "+word,
		"Its tokens and memberships are deleted too. An account that is added later with this name gets none of them."),
		func(ctx context.Context, caller admin.Actor, name string, version int64) error {
			return a.Accounts.Delete(ctx, caller, login(kind, name), version)
		})
	return r
}
