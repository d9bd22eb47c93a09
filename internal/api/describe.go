package api

import (
	"encoding/json"
	"fmt"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tidewaiter/tidewaiter/internal/server"
)

// The tags that group routes in the description.
var (
	tagSession    = &huma.Tag{Name: "Session", Description: "The caller, and browser sessions"}
	tagUsers      = &huma.Tag{Name: "Users", Description: "Local users"}
	tagRobots     = &huma.Tag{Name: "Robots", Description: "Local accounts for programs"}
	tagGroups     = &huma.Tag{Name: "Groups", Description: "Groups of users and robots"}
	tagTokens     = &huma.Tag{Name: "Tokens", Description: "Issued credentials: personal access tokens, robots' secrets, refresh tokens, sessions"}
	tagNamespaces = &huma.Tag{Name: "Namespaces", Description: "The repositories that teams own, with members and roles"}
	tagPolicy     = &huma.Tag{Name: "Policy", Description: "The policy in effect, queries about it, and the rules and roles in the database"}
	tagJournal    = &huma.Tag{Name: "Journal", Description: "The audit log"}
	tagCatalog    = &huma.Tag{Name: "Catalog", Description: "The content of the registries, as they report it"}
	tagWebhooks   = &huma.Tag{Name: "Webhooks", Description: "The delivery of the journal's entries to endpoints"}
	tagRegistries = &huma.Tag{Name: "Registries", Description: "The registries that trust Tidewaiter, and the keys that verify its tokens"}
)

// config returns huma's config, with the description of the API. huma adds the routes and their
// schemas. The HTML pages of huma are not served, because they load scripts from other hosts.
func (a *API) config() huma.Config {
	format := huma.DefaultJSONFormat
	format.Unmarshal = func(data []byte, v any) error {
		if err := checkJSON(data); err != nil {
			return err
		}
		return json.Unmarshal(data, v)
	}
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title: "Tidewaiter", Version: "1",
				Description: "The admin API of Tidewaiter. docs/api.md is a guide. The command line prints the same schemas with --output json.",
			},
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
				SecuritySchemes: map[string]*huma.SecurityScheme{
					byToken: {Type: "http", Scheme: "bearer", Description: "A personal access token, a robot's secret, or an ID token of a source that accepts them"},
					byName:  {Type: "http", Scheme: "basic", Description: "A name and a password, or a name and one of the credentials above as the password"},
					bySession: {
						Type: "apiKey", In: "cookie", Name: server.SessionCookie,
						Description: "The cookie that POST /session sets, for browsers",
					},
				},
			},
			Tags: []*huma.Tag{
				tagSession, tagUsers, tagRobots, tagGroups, tagTokens, tagNamespaces, tagPolicy, tagJournal, tagCatalog, tagWebhooks, tagRegistries,
			},
		},
		Formats:       map[string]huma.Format{"application/json": format, "json": format},
		DefaultFormat: "application/json",
		Transformers:  []huma.Transformer{a.redactErrors},
	}
}

//go:generate go test . -run TestTheDescriptionIsGeneratedFromTheCode -update

// describe returns /openapi.json. The schemas of huma's own errors are not used.
func (a *API) describe() ([]byte, error) {
	schemas := a.huma.OpenAPI().Components.Schemas.Map()
	delete(schemas, "ErrorModel")
	delete(schemas, "ErrorDetail")
	text, err := json.MarshalIndent(a.huma.OpenAPI(), "", "  ")
	if err != nil {
		return nil, fmt.Errorf("describing the API: %w", err)
	}
	return append(text, '\n'), nil
}

// Description returns the description of the API in OpenAPI 3.1.
func (a *API) Description() ([]byte, error) {
	a.registered.Do(a.registerRoutes)
	return a.description()
}
