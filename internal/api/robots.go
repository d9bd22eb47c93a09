package api

import (
	"context"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/policy"
)

type newRobot struct {
	Idempotent
	Body struct {
		Name    string    `json:"name" maxLength:"70" doc:"Lower-case letters and digits, with single separators between them" example:"ci"`
		Expires time.Time `json:"expires,omitzero" doc:"The time of expiry; absent: never" example:"2027-01-31T12:00:00Z"`
		Groups  []string  `json:"groups,omitempty" nullable:"false" maxItems:"1000" maxLength:"64" doc:"Existing groups" example:"[\"deployers\"]"`
	}
}

type rotateRobot struct {
	NamePath
	Body struct {
		Overlap int64 `json:"overlap" minimum:"0" maximum:"2592000" default:"86400" required:"false" doc:"How many seconds the current secret stays valid; use 0 if the current secret has leaked"`
	} `required:"false"`
}

func (a *API) robotRoutes() {
	r := a.accountRoutes(policy.Robot, tagRobots)
	create(r, operation("add-robot", "POST /robots", "Add a robot", "The response contains its secret, which is not shown again."),
		func(ctx context.Context, caller admin.Actor, in *newRobot) (account, error) {
			r, secret, err := a.Accounts.AddRobot(ctx, in.actorWithKey(caller), accounts.NewRobot{Name: in.Body.Name, Expires: in.Body.Expires, Groups: in.Body.Groups})
			return NewAccount(&r).WithSecret(secret), unknownGroup(err)
		})
	route(a, tagRobots, operation("rotate-robot", "POST /robots/{name}/rotate", "Rotate a robot's secret",
		"The response contains the new secret, which is not shown again. The current secret stays valid for overlap seconds, and older secrets are revoked.  "+
			"A robot may rotate its own secret if it presents the current secret. If the response is lost, rotate again."),
		func(ctx context.Context, caller admin.Actor, in *rotateRobot) (*response[account], error) {
			r, secret, err := a.Accounts.Rotate(ctx, caller, login(policy.Robot, in.Name), time.Duration(in.Body.Overlap)*time.Second)
			return respond(NewAccount(&r).WithSecret(secret), err)
		})
}
