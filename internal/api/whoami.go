package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Caller is who calls.
type Caller struct {
	Kind       policy.Kind `json:"kind" enum:"user,robot,workload" doc:"What the caller is"`
	Source     string      `json:"source" doc:"The source that knows the caller" example:"accounts"`
	Name       string      `json:"name" doc:"The name there" example:"alice"`
	ID         string      `json:"id" doc:"The id there"`
	Login      string      `json:"login" doc:"What the caller signs in as" example:"alice"`
	Groups     []string    `json:"groups" nullable:"false" doc:"The groups that the caller is in"`
	Credential string      `json:"credential" doc:"What was shown" example:"token:laptop"`
	Until      time.Time   `json:"until,omitzero" doc:"When that ends; left out if never"`
	Limits     []Limit     `json:"limits" nullable:"false" doc:"What it narrows the caller's rights to; none: nothing"`
	Rights     []Right     `json:"rights" nullable:"false" doc:"What the caller may do with Tidewaiter itself"`
}

// Right is something that one may do with Tidewaiter itself.
type Right struct {
	Name    string   `json:"name" doc:"What it is about" example:"accounts"`
	Actions []string `json:"actions" nullable:"false" enum:"read,write" doc:"See it, change it"`
}

// rights are the names of what there is to be allowed.
func rights() []string {
	return []string{"accounts", "administrators", "journal", "policy", "namespaces"}
}

func (a *API) whoamiRoutes() {
	route(a, huma.Operation{
		OperationID: "whoami", Method: http.MethodGet, Path: "/whoami", Tags: []string{tagSession},
		Summary: "Say who is calling, and with which rights", Description: "By the credential that this request shows.",
	}, func(_ context.Context, by Actor, _ *struct{}) (*body[Caller], error) {
		p := by.Principal
		groups := p.Groups
		if groups == nil {
			groups = []string{}
		}
		out := Caller{
			Kind: p.Kind, Source: p.Source, Name: p.Name, ID: p.ID, Login: identity.Login(p), Groups: groups,
			Credential: by.Credential, Until: utc(by.Until), Limits: NewLimits(p.Limits), Rights: []Right{},
		}
		for _, name := range rights() {
			var may scope.Actions
			for _, action := range []scope.Actions{scope.Read, scope.Write} {
				if a.Accounts.May(by, name, action) {
					may |= action
				}
			}
			if may != 0 {
				out.Rights = append(out.Rights, Right{name, words(may)})
			}
		}
		return &body[Caller]{out}, nil
	})
}

// body is an answer that is nothing else.
type body[T any] struct{ Body T }
