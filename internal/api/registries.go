package api

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"
)

// Registry is one that trusts Tidewaiter.
type Registry struct {
	Service string `json:"service" doc:"Its service name: what its tokens are for" example:"registry.example.com"`
}

// Keys are public keys, as a JSON Web Key Set (RFC 7517).
type Keys struct {
	Keys []map[string]any `json:"keys" nullable:"false" doc:"The keys, each with its certificate"`
}

func (a *API) registryRoutes() {
	tags := []string{tagRegistries}
	route(a, huma.Operation{
		OperationID: "list-registries", Method: http.MethodGet, Path: "/registries", Tags: tags,
		Summary: "List the registries", Description: "All of them on one page: the config names them.",
	}, func(ctx context.Context, _ Actor, _ *struct{}) (*list[Registry], error) {
		names := slices.Sorted(maps.Keys(calling(ctx).server.Issuer.Live().Registries))
		return listed(ctx, names, "", func(name *string) Registry { return Registry{*name} }, nil)
	})
	route(a, huma.Operation{
		OperationID: "list-keys", Method: http.MethodGet, Path: "/keys", Tags: tags,
		Summary: "Show the public keys that tokens are verified by", Description: "What /.well-known/jwks.json serves.",
	}, func(ctx context.Context, _ Actor, _ *struct{}) (*body[Keys], error) {
		out := new(body[Keys])
		if err := json.Unmarshal(calling(ctx).server.Issuer.Live().Keys.JWKS(), &out.Body); err != nil {
			return nil, fmt.Errorf("reading the public keys: %w", err)
		}
		return out, nil
	})
}
