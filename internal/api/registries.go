package api

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/tidewaiter/tidewaiter/internal/admin"
)

// registry is a registry that trusts Tidewaiter.
type registry struct {
	Service string `json:"service" doc:"The service name, which is the audience of the registry's tokens" example:"registry.example.com"`
}

// keys is a JSON Web Key Set (RFC 7517).
type keys struct {
	Keys []map[string]any `json:"keys" nullable:"false" doc:"The keys, each with its certificate"`
}

func (a *API) registryRoutes() {
	route(a, tagRegistries, operation("list-registries", "GET /registries", "List registries", "All registries of the config, on one page."),
		func(ctx context.Context, _ admin.Actor, _ *struct{}) (*pageResponse[registry], error) {
			return newPage(ctx, registryNames(ctx), "", func(name *string) registry { return registry{*name} }, nil)
		})
	contentRoute(a, tagRegistries, operation("list-keys", "GET /keys", "List the public keys that verify tokens", "The same as /.well-known/jwks.json."),
		func(ctx context.Context, _ admin.Actor, _ *struct{}) (out keys, err error) {
			if err := json.Unmarshal(callOf(ctx).server.Issuer.Live().Keys.JWKS(), &out); err != nil {
				return out, fmt.Errorf("decoding the public keys: %w", err)
			}
			return out, nil
		})
}

// registryNames returns the service names of all registries.
func registryNames(ctx context.Context) []string {
	return slices.Sorted(maps.Keys(callOf(ctx).server.Issuer.Live().Registries))
}
