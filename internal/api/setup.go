package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/accounts"
)

// settingUp is the first administrator.
type settingUp struct {
	Body struct {
		Secret   string `json:"secret" maxLength:"100" writeOnly:"true" doc:"What the log of the service shows at its start, while there is no administrator" example:"twp_s…"`
		Name     string `json:"name" maxLength:"64" doc:"Lower-case letters and digits, with single separators between them" example:"root"`
		Password string `json:"password" maxLength:"4096" writeOnly:"true" doc:"At least 8 bytes, none of the commonest"`
	}
}

func (a *API) setupRoutes() {
	open(a, huma.Operation{
		OperationID: "set-up", Method: http.MethodPost, Path: "/setup", Tags: []string{tagSession}, DefaultStatus: http.StatusCreated,
		Summary: "Make the first administrator", Description: "With the secret of the service's log, once. The same answer for one that is wrong, used or too old.",
	}, func(ctx context.Context, in *settingUp) (*made[Account], error) {
		c := calling(ctx)
		u, err := a.Accounts.SetUp(ctx, identity.NewSecret(in.Body.Secret),
			accounts.NewUser{Name: in.Body.Name, Password: identity.NewSecret(in.Body.Password)}, c.server.Located(c.request))
		return created("/users/"+u.Name, u.ID, u.Version, plainAccount(&u), err)
	})
}
