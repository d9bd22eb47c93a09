package api

import (
	"context"
	"net/http"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/identity"
)

type setUp struct {
	Body struct {
		Secret   string `json:"secret" maxLength:"100" writeOnly:"true" doc:"The secret that the service logs at startup while there is no administrator" example:"twp_s…"`
		Name     string `json:"name" maxLength:"64" doc:"Lower-case letters and digits, with single separators between them" example:"root"`
		Password string `json:"password" maxLength:"4096" writeOnly:"true" doc:"At least 8 bytes, and not a common password"`
	}
}

func (a *API) setupRoutes() {
	op := operation("set-up", "POST /setup", "Create the first administrator",
		"The request needs the secret in the service's log, which can be used once. The response is the same for a wrong, a used and an expired secret.")
	op.DefaultStatus = http.StatusCreated
	publicRoute(a, tagSession, op, func(ctx context.Context, in *setUp) (*created[account], error) {
		c := callOf(ctx)
		u, err := a.Accounts.SetUp(ctx, identity.NewSecret(in.Body.Secret),
			accounts.NewUser{Name: in.Body.Name, Password: identity.NewSecret(in.Body.Password)}, c.server.Located(c.request))
		return newCreated(Prefix+"/users", NewAccount(&u), err)
	})
}
