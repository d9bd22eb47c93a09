package api

import (
	"context"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/server"
	"github.com/tidewaiter/tidewaiter/policy"
)

// call is the state of one request.
type call struct {
	server  *server.Server
	id      string // the id of the request, in its response and in the log
	request *http.Request
	caller  server.Caller
}

type callKey struct{}

// callOf returns the state of a request from the request's context.
func callOf(ctx context.Context) *call {
	c, _ := ctx.Value(callKey{}).(*call)
	return c
}

// actorOf returns an authenticated caller as the actor of changes.
func actorOf(c server.Caller) admin.Actor {
	return admin.Actor{Principal: c.Principal, Remote: c.Remote(), Credential: c.Credential, Until: c.Until}
}

// operation describes a route. The pattern has the form of net/http: "GET /users/{name}".
func operation(id, pattern, summary, description string) huma.Operation {
	method, path, _ := strings.Cut(pattern, " ")
	return huma.Operation{OperationID: id, Method: method, Path: path, Summary: summary, Description: description}
}

// route adds a route for authenticated callers.
func route[I, O any](a *API, tag *huma.Tag, op huma.Operation, handle func(context.Context, admin.Actor, *I) (*O, error)) {
	op.Security = []map[string][]string{{byToken: {}}, {byName: {}}, {bySession: {}}}
	register(a, tag, op, func(ctx context.Context, in *I) (*O, error) { return handle(ctx, actorOf(callOf(ctx).caller), in) })
}

// publicRoute adds a route that needs no authentication.
func publicRoute[I, O any](a *API, tag *huma.Tag, op huma.Operation, handle func(context.Context, *I) (*O, error)) {
	op.Security = []map[string][]string{} // with nil, the API's default would apply
	register(a, tag, op, handle)
}

func register[I, O any](a *API, tag *huma.Tag, op huma.Operation, handle func(context.Context, *I) (*O, error)) {
	op.Tags = []string{tag.Name}
	op.MaxBodyBytes = maxBody
	op.RejectUnknownQueryParameters = true
	schema := a.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[problem](), true, "")
	if op.Responses == nil {
		op.Responses = make(map[string]*huma.Response)
	}
	op.Responses["default"] = &huma.Response{
		Description: "Error: see status and detail", Content: map[string]*huma.MediaType{problemJSON: {Schema: schema}},
	}
	huma.Register(a.huma, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := handle(ctx, in)
		if err != nil {
			return nil, a.toProblem(callOf(ctx), err)
		}
		return out, nil
	})
}

// The names of the authentication schemes in the description.
const (
	byToken   = "token"
	byName    = "basic"
	bySession = "session"
)

// authenticate authenticates the caller before huma reads the request.
func (a *API) authenticate(ctx huma.Context, next func(huma.Context)) {
	if len(ctx.Operation().Security) == 0 {
		next(ctx)
		return
	}
	c := callOf(ctx.Context())
	r, w := humago.Unwrap(ctx)
	var err error
	c.caller, err = c.server.Caller(r)
	if err == nil && c.caller.Principal.Kind == policy.Anonymous {
		err = refuse(http.StatusUnauthorized, "authenticate with a token, a name and a password, or a session")
	}
	if err != nil {
		if c.caller.Presented.Kind == identity.Session || r.Header["Authorization"] == nil && len(r.CookiesNamed(server.SessionCookie)) > 0 {
			http.SetCookie(w, expiredCookie()) // so that the browser no longer sends the cookie
		}
		a.fail(w, r, err)
		return
	}
	next(ctx)
}

// content is a response that has only a body.
type content[T any] struct{ Body T }

// contentRoute adds a route for authenticated callers. The route's response has only a body.
func contentRoute[I, T any](a *API, tag *huma.Tag, op huma.Operation, handle func(context.Context, admin.Actor, *I) (T, error)) {
	route(a, tag, op, func(ctx context.Context, caller admin.Actor, in *I) (*content[T], error) {
		body, err := handle(ctx, caller, in)
		return &content[T]{body}, err
	})
}
