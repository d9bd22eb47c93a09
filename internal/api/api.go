// Package api answers: how do programs look after Tidewaiter over HTTP?
//
// It is the same that the command line does, for whoever has the rights: users, groups, robots and tokens, sessions, the
// journal, and questions to the policy. All of it is under /api/v1, and described by /openapi.json, which is made from this
// code.
//
// # How a route is made
//
// A file is a resource, and begins with its routes. A route is a handler that decodes nothing and writes nothing: it is given
// what the request says, calls one method of one room, and returns what is answered, or what went wrong.
//
//	func (a *API) groupRoutes() {
//		route(a, huma.Operation{
//			OperationID: "get-group", Method: http.MethodGet, Path: "/groups/{name}", Tags: groups,
//			Summary: "Show a group",
//		}, func(ctx context.Context, by Actor, in *Named) (*one[Group], error) {
//			g, err := a.Accounts.Group(ctx, by, in.Name)
//			return tagged(g.ID, g.Version, NewGroup(&g), err)
//		})
//		…
//
// What a request may say is the handler's input, a struct: anything else in it, also a key of its JSON that is not there, is refused.
// Whether the caller may do it is asked by the room that does it, with the Actor: here nobody decides.
//
// # What all routes have in common
//
// Who calls is said by server.Caller, as at the token endpoint. Errors are problem details (RFC 9457), made in problem.go
// alone: they show no value that was sent, since it may be a secret. Lists are pages (page.go), changes can be made
// conditional on what was seen (tag.go), and creations can be repeated (made.go). Browsers of other origins are refused. A
// request has a megabyte and half a minute.
package api

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/identity/accounts"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/server"
	"github.com/tidewaiter/tidewaiter/policy"
)

// Prefix is what the paths of the API begin with.
const Prefix = "/api/v1"

// The bounds of a request.
const (
	maxBody = 1 << 20 // bytes
	maxTime = 30 * time.Second
)

// Actor is who calls.
type Actor = rulebook.Actor

// Options is what an API stands on.
type Options struct {
	Server   func() *server.Server // the present one: a reload makes another
	Accounts *accounts.Accounts
	Rulebook *rulebook.Rulebook
	Journal  *journal.Journal

	// Find looks up who signs in with a name, in the order of the sources. It is identity.ErrUnknown for who is unknown.
	Find func(ctx context.Context, login string) (*policy.Principal, error)

	Now func() time.Time // nil: time.Now

}

// API is the admin API: a handler of Prefix and /openapi.json. It is made when it is first asked for something, and its
// description when somebody wants that: a service that starts has clients waiting, and they want tokens.
type API struct {
	Options
	made   sync.Once
	mux    *http.ServeMux
	huma   huma.API
	guard  *http.CrossOriginProtection
	openly func() ([]byte, error) // /openapi.json
}

// New returns an API. It starts nothing.
func New(o Options) *API {
	o.Now = clock.Wall(o.Now)
	return &API{Options: o}
}

// make takes some 10 ms: huma looks at the forms of all that a route takes and gives.
func (a *API) make() {
	a.mux = http.NewServeMux()
	a.huma = humago.NewWithPrefix(a.mux, Prefix, a.described())
	a.huma.UseMiddleware(a.door)
	a.routes()
	a.mux.Handle("GET /openapi.json", http.HandlerFunc(a.openAPI))
	a.mux.Handle("/", http.HandlerFunc(a.elsewhere))
	a.describe()
	a.openly = sync.OnceValues(a.write)
	a.guard = http.NewCrossOriginProtection()
	a.guard.SetDenyHandler(http.HandlerFunc(a.foreign))
}

// routes is all that there is.
func (a *API) routes() {
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
	a.questionRoutes()
	a.journalRoutes()
	a.registryRoutes()
}

// ServeHTTP answers a request. Nothing of an answer is for caches, and a panic stays with its request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.made.Do(a.make)
	c := &call{server: a.Server(), id: journal.NewID(a.Now()).String(), request: r}
	ctx, cancel := context.WithTimeout(context.WithValue(r.Context(), callKey{}, c), maxTime)
	defer cancel()
	r = r.WithContext(ctx)
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Request-Id", c.id)
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler { //nolint:errorlint // it is a value, never wrapped
			a.fail(w, r, server.Panicked(p))
		}
	}()
	if p := plain(r); p != nil {
		a.fail(w, r, p)
		return
	}
	a.guard.Handler(a.mux).ServeHTTP(w, r)
}

// openAPI answers with the description of the API.
func (a *API) openAPI(w http.ResponseWriter, r *http.Request) {
	text, err := a.openly()
	if err != nil {
		a.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/openapi+json")
	w.Header().Set("Cache-Control", "max-age=300")
	_, _ = w.Write(text) // the client is gone: nothing to be done
}

// elsewhere answers what is no route.
func (a *API) elsewhere(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := a.mux.Handler(other); pattern != "/" {
			allowed = append(allowed, method)
		}
	}
	if allowed == nil {
		a.fail(w, r, refuse(http.StatusNotFound, "nothing is here: /openapi.json says what there is"))
		return
	}
	for _, method := range allowed {
		w.Header().Add("Allow", method)
	}
	a.fail(w, r, refuse(http.StatusMethodNotAllowed, "this method is not understood here"))
}

// foreign answers a browser that makes a request for a page of another origin.
func (a *API) foreign(w http.ResponseWriter, r *http.Request) {
	a.fail(w, r, refuse(http.StatusForbidden, "this request is from a page of another origin"))
}

// jsonFormat reads and writes JSON. Keys that are written twice are refused, since whoever stands in between may read the other one.
func jsonFormat() huma.Format {
	f := huma.DefaultJSONFormat
	f.Unmarshal = func(data []byte, v any) error {
		if err := oneOfEach(data); err != nil {
			return err
		}
		return json.Unmarshal(data, v)
	}
	return f
}
