package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/server"
	"github.com/tidewaiter/tidewaiter/policy"
)

// call is a request on its way through the API.
type call struct {
	server  *server.Server
	id      string // of the request, in its answer and the log
	request *http.Request
	caller  server.Caller
}

type callKey struct{}

// calling returns the call of a context.
func calling(ctx context.Context) *call {
	c, _ := ctx.Value(callKey{}).(*call)
	return c
}

func (c *call) actor() Actor {
	return Actor{Principal: c.caller.Principal, Remote: c.caller.Remote(), Credential: c.caller.Credential, Until: c.caller.Until}
}

// route adds a route for those who are signed in. do is given what the request says, and who asks.
func route[I, O any](a *API, op huma.Operation, do func(context.Context, Actor, *I) (*O, error)) {
	op.Security = signedIn()
	add(a, op, func(ctx context.Context, in *I) (*O, error) { return do(ctx, calling(ctx).actor(), in) })
}

// open adds a route for everybody.
func open[I, O any](a *API, op huma.Operation, do func(context.Context, *I) (*O, error)) {
	op.Security = []map[string][]string{} // which is not the same as none
	add(a, op, do)
}

func add[I, O any](a *API, op huma.Operation, do func(context.Context, *I) (*O, error)) {
	op.MaxBodyBytes = maxBody
	op.RejectUnknownQueryParameters = true
	huma.Register(a.huma, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := do(ctx, in)
		if err != nil {
			return nil, a.problem(calling(ctx), err)
		}
		return out, nil
	})
}

// The ways to sign in, by their names in the description.
const (
	byToken   = "token"
	byName    = "basic"
	bySession = "session"
)

func signedIn() []map[string][]string {
	return []map[string][]string{{byToken: {}}, {byName: {}}, {bySession: {}}}
}

// door says who calls, before anything of the request is looked at.
func (a *API) door(ctx huma.Context, next func(huma.Context)) {
	if len(ctx.Operation().Security) == 0 {
		next(ctx)
		return
	}
	c := calling(ctx.Context())
	r, w := humago.Unwrap(ctx)
	var err error
	c.caller, err = c.server.Caller(r)
	if err == nil && c.caller.Principal.Kind == policy.Anonymous {
		err = refuse(http.StatusUnauthorized, "who is asking? Sign in with a token, a name and a password, or a session")
	}
	if err != nil {
		if c.caller.Presented.Kind == identity.Session || r.Header["Authorization"] == nil && len(r.CookiesNamed(server.SessionCookie)) > 0 {
			http.SetCookie(w, noSession()) // so that the browser does not show it for ever
		}
		a.fail(w, r, err)
		return
	}
	next(ctx)
}
