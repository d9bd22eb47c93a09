package api

import (
	"context"
	"errors"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/ratelimit"
	"github.com/tidewaiter/tidewaiter/policy"
)

type newUser struct {
	Idempotent
	Body struct {
		Name     string   `json:"name" maxLength:"64" doc:"Lower-case letters and digits, with single separators between them" example:"alice"`
		Password string   `json:"password,omitempty" maxLength:"4096" writeOnly:"true" doc:"At least 8 bytes, and not a common password. Without password and hash, the user can authenticate only with tokens"`
		Hash     string   `json:"hash,omitempty" maxLength:"500" writeOnly:"true" doc:"Instead of a password: its hash from another system, bcrypt or argon2id"`
		Groups   []string `json:"groups,omitempty" nullable:"false" maxItems:"1000" maxLength:"64" doc:"Existing groups. Members of tidewaiter-admins are administrators, and members of tidewaiter-auditors auditors" example:"[\"developers\"]"`
	}
}

type allowUser struct {
	NamePath
	Body struct {
		From string `json:"from" maxLength:"64" doc:"An address, or a network of at most /24 (IPv4) or /48 (IPv6)" example:"203.0.113.0/24"`
	}
}

type setPassword struct {
	NamePath
	Conditional
	Body struct {
		Password string `json:"password" maxLength:"4096" writeOnly:"true" doc:"The new password"`
		Current  string `json:"current,omitempty" maxLength:"4096" writeOnly:"true" doc:"The current password; required to change the caller's own password, and refused for other users"`
	}
}

func (a *API) userRoutes() {
	r := a.accountRoutes(policy.User, tagUsers)
	create(r, operation("add-user", "POST /users", "Add a user", ""), func(ctx context.Context, caller admin.Actor, in *newUser) (account, error) {
		u, err := a.Accounts.AddUser(ctx, in.actorWithKey(caller), accounts.NewUser{
			Name: in.Body.Name, Password: identity.NewSecret(in.Body.Password), Hash: identity.NewSecret(in.Body.Hash), Groups: in.Body.Groups,
		})
		return NewAccount(&u), unknownGroup(err)
	})
	route(a, tagUsers, operation("allow-user", "POST /users/{name}/allow", "Allow a user to sign in from a new place during an attack",
		"After too many wrong passwords for a name, sign-ins are rate limited at places where the user has never signed in.  "+
			"The request makes a place known, in all replicas within a minute. The same request on the same day changes nothing."),
		func(ctx context.Context, caller admin.Actor, in *allowUser) (*response[account], error) {
			from, err := ratelimit.ParsePlace(in.Body.From)
			if err != nil {
				return nil, invalidPart("body.from", "%s", err)
			}
			u, err := a.Accounts.AllowPlace(ctx, caller, login(policy.User, in.Name), from)
			return respond(NewAccount(&u), err)
		})
	change(r, operation("set-password", "PUT /users/{name}/password", "Set a password",
		"To set their own password, callers need the current password and an unrestricted credential. To set the password of another user, they need the right to change accounts.  "+
			"The user's sessions and refresh tokens are revoked, including the caller's session."),
		func(ctx context.Context, caller admin.Actor, in *setPassword, version int64) (accounts.Account, error) {
			secret := identity.NewSecret(in.Body.Password)
			if p := caller.Principal; p.Kind == policy.User && p.Source == accounts.Source && p.Name == in.Name {
				return a.Accounts.ChangePassword(ctx, caller, identity.NewSecret(in.Body.Current), secret)
			}
			if in.Body.Current != "" {
				return accounts.Account{}, invalidPart("body.current", "only for the caller's own password")
			}
			return a.Accounts.SetPassword(ctx, caller, in.Name, secret, version)
		})
}

// unknownGroup converts an error of adding an account. If a group in the body does not exist,
// the status is 422 and not 404, because the path exists.
func unknownGroup(err error) error {
	if errors.Is(err, admin.ErrNotFound) {
		return invalidPart("body.groups", "%s", err)
	}
	return err
}
