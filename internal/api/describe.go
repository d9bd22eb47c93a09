package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tidewaiter/tidewaiter/internal/server"
)

// described is what the description of the API begins with. huma adds a route and its forms with each Register; its own pages, which
// load programs from elsewhere, are not served.
func (a *API) described() huma.Config {
	format := jsonFormat()
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title: "Tidewaiter", Version: "1",
				Description: "The admin API of Tidewaiter. docs/api.md tells how it is used. The forms of data are those that " +
					"the command line prints with --output json.",
			},
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
				SecuritySchemes: map[string]*huma.SecurityScheme{
					byToken: {Type: "http", Scheme: "bearer", Description: "A personal access token, a robot's secret, or an ID token of a source that takes those"},
					byName:  {Type: "http", Scheme: "basic", Description: "A name and a password, or one of those in place of the password"},
					bySession: {
						Type: "apiKey", In: "cookie", Name: server.SessionCookie,
						Description: "What POST /session sets, for browsers",
					},
				},
			},
			Tags: []*huma.Tag{
				{Name: tagSession, Description: "Who is calling, and the sessions of browsers"},
				{Name: tagUsers, Description: "People with an account of Tidewaiter's own"},
				{Name: tagRobots, Description: "Accounts for programs"},
				{Name: tagGroups, Description: "Groups of users and robots"},
				{Name: tagTokens, Description: "What was handed out: personal access tokens, robots' secrets, refresh tokens, sessions"},
				{Name: tagNamespaces, Description: "What teams own: repositories, members and their roles"},
				{Name: tagPolicy, Description: "The policy in force, questions to it, and the rules and roles of the database"},
				{Name: tagJournal, Description: "What happened"},
				{Name: tagRegistries, Description: "The registries that trust Tidewaiter, and what they trust it by"},
			},
		},
		Formats:       map[string]huma.Format{"application/json": format, "json": format},
		DefaultFormat: "application/json",
		Transformers:  []huma.Transformer{a.strip},
	}
}

// The tags of routes.
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

//go:generate go test . -run TestTheDescriptionIsWrittenFromTheCode -update

// describe lets each route answer with a Problem where huma would describe one of its own.
func (a *API) describe() {
	doc := a.huma.OpenAPI()
	forms := doc.Components.Schemas
	refused := map[string]*huma.MediaType{problemJSON: {Schema: forms.Schema(reflect.TypeFor[Problem](), true, "Problem")}}
	for _, path := range doc.Paths {
		for _, op := range []*huma.Operation{path.Get, path.Post, path.Put, path.Patch, path.Delete} {
			if op == nil {
				continue
			}
			for status, answer := range op.Responses {
				if answer.Description == "" || answer.Description == http.StatusText(http.StatusOK) {
					answer.Description = "Done"
				}
				if status == "default" {
					delete(op.Responses, status)
				}
			}
			op.Responses["default"] = &huma.Response{Description: "It went wrong: see status and detail", Content: refused}
		}
	}
	delete(forms.Map(), "ErrorModel")
	delete(forms.Map(), "ErrorDetail")
}

// write returns /openapi.json.
func (a *API) write() ([]byte, error) {
	text, err := json.MarshalIndent(a.huma.OpenAPI(), "", "  ")
	if err != nil {
		return nil, fmt.Errorf("describing the API: %w", err)
	}
	return append(text, '\n'), nil
}

// Description is the API in the form of OpenAPI 3.1.
func (a *API) Description() ([]byte, error) {
	a.made.Do(a.make)
	return a.openly()
}
