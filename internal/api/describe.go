package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tidewaiter/tidewaiter/internal/server"
)

// The tags that group routes in the description.
const (
	tagSession    = "Session"
	tagUsers      = "Users"
	tagRobots     = "Robots"
	tagGroups     = "Groups"
	tagTokens     = "Tokens"
	tagNamespaces = "Namespaces"
	tagPolicy     = "Policy"
	tagJournal    = "Journal"
	tagRegistries = "Registries"
)

// config returns huma's config, with the description of the API. huma adds the routes and their
// schemas. Its own HTML pages load scripts from other hosts and are not served.
func (a *API) config() huma.Config {
	format := jsonFormat()
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
					byName:  {Type: "http", Scheme: "basic", Description: "A name and a password, or one of those instead of the password"},
					bySession: {
						Type: "apiKey", In: "cookie", Name: server.SessionCookie,
						Description: "The cookie that POST /session sets, for browsers",
					},
				},
			},
			Tags: []*huma.Tag{
				{Name: tagSession, Description: "The caller, and browser sessions"},
				{Name: tagUsers, Description: "Local users"},
				{Name: tagRobots, Description: "Local accounts for programs"},
				{Name: tagGroups, Description: "Groups of users and robots"},
				{Name: tagTokens, Description: "Issued credentials: personal access tokens, robots' secrets, refresh tokens, sessions"},
				{Name: tagNamespaces, Description: "The repositories that teams own, with members and roles"},
				{Name: tagPolicy, Description: "The policy in effect, queries about it, and the rules and roles in the database"},
				{Name: tagJournal, Description: "The audit log"},
				{Name: tagRegistries, Description: "The registries that trust Tidewaiter, and the keys that verify its tokens"},
			},
		},
		Formats:       map[string]huma.Format{"application/json": format, "json": format},
		DefaultFormat: "application/json",
		Transformers:  []huma.Transformer{a.redactErrors},
	}
}

//go:generate go test . -run TestTheDescriptionIsGeneratedFromTheCode -update

// describeProblems replaces huma's own schema of errors by problem in all routes.
func (a *API) describeProblems() {
	doc := a.huma.OpenAPI()
	schemas := doc.Components.Schemas
	body := map[string]*huma.MediaType{problemJSON: {Schema: schemas.Schema(reflect.TypeFor[problem](), true, "")}}
	for _, path := range doc.Paths {
		for _, op := range []*huma.Operation{path.Get, path.Post, path.Put, path.Patch, path.Delete} {
			if op == nil {
				continue
			}
			for _, response := range op.Responses {
				if response.Description == "" || response.Description == http.StatusText(http.StatusOK) {
					response.Description = "Success"
				}
			}
			op.Responses["default"] = &huma.Response{Description: "Error: see status and detail", Content: body}
		}
	}
	delete(schemas.Map(), "ErrorModel")
	delete(schemas.Map(), "ErrorDetail")
}

// describe returns /openapi.json.
func (a *API) describe() ([]byte, error) {
	text, err := json.MarshalIndent(a.huma.OpenAPI(), "", "  ")
	if err != nil {
		return nil, fmt.Errorf("describing the API: %w", err)
	}
	return append(text, '\n'), nil
}

// Description returns the description of the API in OpenAPI 3.1.
func (a *API) Description() ([]byte, error) {
	a.registered.Do(a.register)
	return a.description()
}
