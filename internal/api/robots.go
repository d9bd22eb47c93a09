package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tidewaiter/tidewaiter/internal/identity/accounts"
	"github.com/tidewaiter/tidewaiter/policy"
)

// newRobot is a robot to add.
type newRobot struct {
	Repeatable
	Body struct {
		Name    string    `json:"name" maxLength:"70" doc:"Lower-case letters and digits, with single separators between them" example:"ci"`
		Expires time.Time `json:"expires,omitzero" doc:"When it ends; left out: never" example:"2027-01-31T12:00:00Z"`
		Groups  []string  `json:"groups,omitempty" nullable:"false" maxItems:"1000" maxLength:"64" doc:"Groups that there are" example:"[\"deployers\"]"`
	}
}

// rotation is how a robot's secret is replaced.
type rotation struct {
	Named
	Body struct {
		Overlap int64 `json:"overlap" minimum:"0" maximum:"2592000" default:"86400" required:"false" doc:"For how many seconds the secret before stays good; 0 if it has leaked"`
	} `required:"false"`
}

func (a *API) robotRoutes() {
	a.accountRoutes(policy.Robot)
	route(a, huma.Operation{
		OperationID: "add-robot", Method: http.MethodPost, Path: "/robots", Tags: []string{tagRobots}, DefaultStatus: http.StatusCreated,
		Summary: "Add a robot", Description: "The answer has its secret, which is shown this once.",
	}, func(ctx context.Context, by Actor, in *newRobot) (*made[Account], error) {
		r, secret, err := a.Accounts.AddRobot(ctx, in.by(by), accounts.NewRobot{Name: in.Body.Name, Expires: in.Body.Expires, Groups: in.Body.Groups})
		if errors.Is(err, accounts.ErrNotFound) {
			return nil, mistaken("body.groups", "%s", err)
		}
		return created("/robots/"+r.Name, r.ID, r.Version, NewAccount(&r, secret), err)
	})
	route(a, huma.Operation{
		OperationID: "rotate-robot", Method: http.MethodPost, Path: "/robots/{name}/rotate", Tags: []string{tagRobots},
		Summary: "Make a new secret for a robot",
		Description: "The answer has it, this once. The one before stays good for as long as overlap says, and those before that are void. " +
			"A robot may do it for itself with its present secret. Whoever lost the answer does it again.",
	}, func(ctx context.Context, by Actor, in *rotation) (*one[Account], error) {
		r, secret, err := a.Accounts.Rotate(ctx, by, login(policy.Robot, in.Name), time.Duration(in.Body.Overlap)*time.Second)
		return tagged(r.ID, r.Version, NewAccount(&r, secret), err)
	})
}
