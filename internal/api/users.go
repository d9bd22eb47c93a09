package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/accounts"
	"github.com/tidewaiter/tidewaiter/internal/ratelimit"
	"github.com/tidewaiter/tidewaiter/policy"
)

// newUser is a user to add.
type newUser struct {
	Repeatable
	Body struct {
		Name     string   `json:"name" maxLength:"64" doc:"Lower-case letters and digits, with single separators between them" example:"alice"`
		Password string   `json:"password,omitempty" maxLength:"4096" writeOnly:"true" doc:"At least 8 bytes, none of the commonest. Without it, and without hash, the user signs in with tokens only"`
		Hash     string   `json:"hash,omitempty" maxLength:"500" writeOnly:"true" doc:"The hash of a password that is brought along, in place of it: bcrypt or argon2id"`
		Groups   []string `json:"groups,omitempty" nullable:"false" maxItems:"1000" maxLength:"64" doc:"Groups that there are; tidewaiter-admins makes an administrator, tidewaiter-auditors an auditor" example:"[\"developers\"]"`
	}
}

// allowing is a place to allow a user.
type allowing struct {
	Named
	Body struct {
		From string `json:"from" maxLength:"64" doc:"A /24 of IPv4 or a /48 of IPv6, or a part of one; or an address" example:"203.0.113.0/24"`
	}
}

// newPassword is a password to set.
type newPassword struct {
	Named
	Conditional
	Body struct {
		Password string `json:"password" maxLength:"4096" writeOnly:"true" doc:"The new one"`
		Current  string `json:"current,omitempty" maxLength:"4096" writeOnly:"true" doc:"The present one: needed for one's own, and only there"`
	}
}

func (a *API) userRoutes() {
	a.accountRoutes(policy.User)
	route(a, huma.Operation{
		OperationID: "add-user", Method: http.MethodPost, Path: "/users", Tags: []string{tagUsers}, DefaultStatus: http.StatusCreated,
		Summary: "Add a user",
	}, func(ctx context.Context, by Actor, in *newUser) (*made[Account], error) {
		u, err := a.Accounts.AddUser(ctx, in.by(by), accounts.NewUser{
			Name: in.Body.Name, Password: identity.NewSecret(in.Body.Password), Hash: identity.NewSecret(in.Body.Hash), Groups: in.Body.Groups,
		})
		if errors.Is(err, accounts.ErrNotFound) {
			return nil, mistaken("body.groups", "%s", err)
		}
		return created("/users/"+u.Name, u.ID, u.Version, plainAccount(&u), err)
	})
	route(a, huma.Operation{
		OperationID: "allow-user", Method: http.MethodPost, Path: "/users/{name}/allow", Tags: []string{tagUsers},
		Summary: "Let a user sign in from a new place while others guess the password",
		Description: "When strangers have tried too many wrong passwords for a name, it is limited at places where the user never signed in. " +
			"This makes a place known, at all replicas within a minute. Allowing it twice on a day changes nothing.",
	}, func(ctx context.Context, by Actor, in *allowing) (*one[Account], error) {
		from, err := ratelimit.ParsePlace(in.Body.From)
		if err != nil {
			return nil, mistaken("body.from", "%s", err)
		}
		u, err := a.Accounts.AllowPlace(ctx, by, login(policy.User, in.Name), from)
		return tagged(u.ID, u.Version, plainAccount(&u), err)
	})
	route(a, huma.Operation{
		OperationID: "set-password", Method: http.MethodPut, Path: "/users/{name}/password", Tags: []string{tagUsers},
		Summary: "Set a password",
		Description: "One's own needs the present one, and a credential that is not narrowed; that of another user needs the right to change accounts. " +
			"Sessions and refresh tokens of the user are void then, also the session that was used.",
	}, func(ctx context.Context, by Actor, in *newPassword) (*one[Account], error) {
		secret := identity.NewSecret(in.Body.Password)
		if p := by.Principal; p.Kind == policy.User && p.Source == accounts.Source && p.Name == in.Name {
			by, _, err := in.based(by, a.seen(ctx, by, in.Name))
			if err != nil {
				return nil, err
			}
			u, err := a.Accounts.ChangePassword(ctx, by, identity.NewSecret(in.Body.Current), secret)
			return tagged(u.ID, u.Version, plainAccount(&u), err)
		}
		if in.Body.Current != "" {
			return nil, mistaken("body.current", "it goes with one's own password only")
		}
		by, version, err := in.based(by, a.seen(ctx, by, in.Name))
		if err != nil {
			return nil, err
		}
		u, err := a.Accounts.SetPassword(ctx, by, in.Name, secret, version)
		return tagged(u.ID, u.Version, plainAccount(&u), err)
	})
}

// end is when something ends.
type end struct {
	Expires *time.Time `json:"expires" required:"true" nullable:"true" doc:"When it ends; null: never" example:"2027-01-31T12:00:00Z"`
}

func (e end) time() time.Time {
	if e.Expires == nil {
		return time.Time{}
	}
	return *e.Expires
}
