package api

import (
	"context"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/explain"
	"github.com/tidewaiter/tidewaiter/internal/identity/username"
	"github.com/tidewaiter/tidewaiter/internal/ruleset"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// callerInfo is the principal that sends the request.
type callerInfo struct {
	Kind         policy.Kind           `json:"kind" enum:"user,robot,workload" doc:"The kind of principal"`
	Source       string                `json:"source" doc:"The identity source that knows the caller" example:"accounts"`
	Name         string                `json:"name" doc:"The name in that source" example:"alice"`
	ID           string                `json:"id" doc:"The id in that source"`
	Login        string                `json:"login" doc:"The login" example:"alice"`
	Groups       []string              `json:"groups" nullable:"false" doc:"The groups of the caller"`
	Credential   string                `json:"credential" doc:"The credential of the request" example:"token:laptop"`
	Until        time.Time             `json:"until,omitzero" doc:"The time when the credential expires; absent: never"`
	Restrictions []explain.Restriction `json:"restrictions" nullable:"false" doc:"The restrictions of the credential; empty: all rights of the caller"`
	Rights       []tidewaiterRight     `json:"rights" nullable:"false" doc:"The caller's rights over Tidewaiter itself"`
}

// tidewaiterRight is a right over Tidewaiter itself.
type tidewaiterRight struct {
	Name    string   `json:"name" doc:"The resource" example:"accounts"`
	Actions []string `json:"actions" nullable:"false" enum:"read,write" doc:"The actions"`
}

func (a *API) whoamiRoutes() {
	contentRoute(a, tagSession, operation("whoami", "GET /whoami", "Get the caller and their rights", "The caller is the principal that the credential of this request identifies."),
		func(_ context.Context, by admin.Actor, _ *struct{}) (callerInfo, error) {
			p := by.Principal
			out := callerInfo{
				Kind: p.Kind, Source: p.Source, Name: p.Name, ID: p.ID, Login: username.Login(p), Groups: append([]string{}, p.Groups...),
				Credential: by.Credential, Until: inUTC(by.Until), Restrictions: explain.NewRestrictions(p.Limits), Rights: []tidewaiterRight{},
			}
			for _, name := range ruleset.Rights {
				var may scope.Actions
				for _, action := range []scope.Actions{scope.Read, scope.Write} {
					if a.Rulebook.May(by, name, action) {
						may |= action
					}
				}
				if may != 0 {
					out.Rights = append(out.Rights, tidewaiterRight{name, explain.ActionNames(may)})
				}
			}
			return out, nil
		})
}
