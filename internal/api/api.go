// Package api is the HTTP API for administration: users, groups, robots, tokens, sessions,
// namespaces, rules, roles, the journal, the catalog, webhooks, and queries about the policy.
//
// All paths are below /api/v1. /openapi.json describes them and is generated from this code.
// The command line has the same operations, and prints objects in the same form with --output
// json.
//
// # How to add a route
//
// Each kind of object has a file with its routes. A route has a handler. The handler gets the
// decoded request and the caller, calls one method of another package, and returns the response or
// an error:
//
//	func (a *API) groupRoutes() {
//		r := resource[string, accounts.Group, group]{a, tagGroups, a.Accounts.Group, NewGroup}
//		show[NamePath](r, operation("get-group", "GET /groups/{name}", "Get a group", ""))
//		…
//
// The input of a handler is a struct with all parameters and fields that the request can have. If
// a request has any other parameter or field, it is refused. Handlers do not check rights. They
// pass the caller to another package, and that package checks the caller's rights.
//
// # What all routes share
//
// server.Caller authenticates requests in the same way as the token endpoint does. Errors are
// problem details (RFC 9457), which problem.go creates. Errors never repeat a value of the
// request, because the value may be a secret. Lists have pages (page.go), changes can be
// conditional (version.go), and creations can be repeated (created.go). If a page of another
// origin makes a browser send a request, the request is refused. The size of a body and the
// duration of a request are limited.
package api

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/catalog"
	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/delivery"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/server"
	"github.com/tidewaiter/tidewaiter/policy"
)

// Prefix is the beginning of all paths of the API.
const Prefix = "/api/v1"

// Limits of a request.
const (
	maxBody = 1 << 20 // bytes
	maxTime = 30 * time.Second
)

// Options configures an API.
type Options struct {
	Server   func() *server.Server // returns the current server; a reload replaces the server
	Accounts *accounts.Accounts
	Rulebook *rulebook.Rulebook
	Journal  *journal.Journal
	Catalog  *catalog.Catalog
	Delivery func() *delivery.Delivery // returns the delivery for the webhooks of the config

	// Find looks up a login in the identity sources, in the order of the config. The error is
	// identity.ErrUnknown if no source knows the login.
	Find func(ctx context.Context, login string) (*policy.Principal, error)
	// VerifyIDToken verifies an ID token of a configured issuer (sources.Set.VerifyIDToken).
	VerifyIDToken func(context.Context, identity.Presented) (source string, _ identity.Verified, _ error)

	Now func() time.Time // nil: time.Now

	// Stopping is canceled when the service stops. Then the API ends its responses to clients that
	// follow the journal, so these responses do not delay the stop. If Stopping is nil, it is never
	// canceled.
	Stopping context.Context
}

// API is the handler of Prefix and /openapi.json. Routes are registered at the first request, and
// the description is generated when it is first requested. At the start of the service, this work
// would delay the first tokens.
type API struct {
	Options
	registered  sync.Once
	mux         *http.ServeMux
	huma        huma.API
	protection  *http.CrossOriginProtection
	feeds       feedCounts             // of the clients that follow the journal
	description func() ([]byte, error) // /openapi.json
}

// New returns an API. It starts no goroutine.
func New(o Options) *API {
	o.Now = clock.Wall(o.Now)
	if o.Stopping == nil {
		o.Stopping = context.Background()
	}
	return &API{Options: o}
}

// registerRoutes takes about 10 ms, because huma inspects the types of all requests and responses.
func (a *API) registerRoutes() {
	a.mux = http.NewServeMux()
	a.huma = humago.NewWithPrefix(a.mux, Prefix, a.config())
	a.huma.UseMiddleware(a.authenticate)
	a.setupRoutes()
	a.sessionRoutes()
	a.whoamiRoutes()
	a.userRoutes()
	a.robotRoutes()
	a.groupRoutes()
	a.tokenRoutes()
	a.namespaceRoutes()
	a.namespaceRoleRoutes()
	a.ruleRoutes()
	a.roleRoutes()
	a.queryRoutes()
	a.journalRoutes()
	a.feedRoutes()
	a.proofRoutes()
	a.catalogRoutes()
	a.webhookRoutes()
	a.registryRoutes()
	a.mux.Handle("GET /openapi.json", http.HandlerFunc(a.openAPI))
	a.mux.Handle("/", http.HandlerFunc(a.notFound))
	a.description = sync.OnceValues(a.describe)
	a.protection = http.NewCrossOriginProtection()
	a.protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.fail(w, r, refuse(http.StatusForbidden, "the request comes from a page of another origin"))
	}))
}

// ServeHTTP handles a request. Responses are never cached. A panic fails only its own request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.registered.Do(a.registerRoutes)
	c := &call{server: a.Server(), id: journal.NewID(a.Now()).String(), request: r}
	ctx, cancel := context.WithTimeout(context.WithValue(r.Context(), callKey{}, c), maxTime)
	defer cancel()
	r = r.WithContext(ctx)
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Request-Id", c.id)
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler { //nolint:errorlint // a panic value is never wrapped
			a.fail(w, r, server.Panicked(p))
		}
	}()
	if err := checkURL(r); err != nil {
		a.fail(w, r, err)
		return
	}
	a.protection.Handler(a.mux).ServeHTTP(w, r)
}

// openAPI serves the description of the API.
func (a *API) openAPI(w http.ResponseWriter, r *http.Request) {
	text, err := a.description()
	if err != nil {
		a.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/openapi+json")
	w.Header().Set("Cache-Control", "max-age=300")
	_, _ = w.Write(text) // an error means that the client is gone
}

// notFound handles requests without a route. The status is 405 if the path has routes for other
// methods, otherwise 404.
func (a *API) notFound(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := a.mux.Handler(other); pattern != "/" {
			allowed = append(allowed, method)
		}
	}
	if allowed == nil {
		a.fail(w, r, refuse(http.StatusNotFound, "unknown path: /openapi.json lists all paths"))
		return
	}
	w.Header()["Allow"] = allowed
	a.fail(w, r, refuse(http.StatusMethodNotAllowed, "this path does not have this method"))
}
