// Package tokenserver provides the token endpoint of a registry.
//
// [New] returns the endpoint as an http.Handler. It needs a function that authenticates
// clients, a [policy.Policy], a [token.Signer], and the names of the registries. It handles GET
// with Basic authentication and POST in the OAuth2 form. Clients such as docker, podman and
// containerd send these requests.
//
// The parts can be used separately: [Decode] parses a token request, and [Answer] and [Error]
// write responses that clients understand. A program that checks tokens with a [token.Verifier]
// calls [Bearer] to get the token of a request. If a request has no token, the program responds
// with a [Challenge], so that the client knows where to get a token.
//
// The Handler does not limit attempts to guess a password. The function Authenticate should
// limit them and return an [*Error] with the status 429.
//
// The package starts no goroutine. Its clock and its logger are passed in.
package tokenserver

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
	"github.com/tidewaiter/tidewaiter/token"
)

// DefaultLifetime is the lifetime of tokens if Options.Lifetime is 0.
const DefaultLifetime = 5 * time.Minute

// Options are the settings of a Handler. Issuer, Services, Policy, Signer and Now are required.
// The functions are called from many goroutines at once.
type Options struct {
	Issuer   string   // the name of this server in tokens, as configured in registries
	Services []string // names of the registries; requests for other registries are refused

	// Authenticate checks the credentials of a request and returns their principal. It is not
	// called for requests without credentials. Its errors are ErrRejected, ErrUnavailable,
	// errors of the context, and an *Error, which is sent to the client. Any other error is
	// logged, and the client gets "internal error". If Authenticate is nil, all credentials are
	// refused.
	Authenticate func(ctx context.Context, r *Request) (*policy.Principal, error)
	// SignIn refuses requests without credentials. If SignIn is false, such requests are
	// anonymous, and the policy decides about them.
	SignIn bool
	// Policy returns the policy in force. It may change between requests.
	Policy func() *policy.Policy
	// Signer returns the signer for a time. It is called for each token, because leaves expire.
	Signer func(now time.Time) (*token.Signer, error)
	// Lifetime is the lifetime of tokens. If it is 0, DefaultLifetime is used. A rule can shorten
	// the lifetime, but not below token.MinLifetime.
	Lifetime time.Duration
	// Remote returns a client's address for conditions. If Remote is nil, the address of the
	// connection is used. Behind a proxy, this is the address of the proxy.
	Remote func(*http.Request) netip.Addr
	// Decided is called for each decision, before the response is sent. It is optional.
	Decided func(context.Context, *policy.Request, *policy.Decision)

	Now func() time.Time
	Log *slog.Logger // logs refusals and their reasons; nil: no logging
}

// Handler is a token endpoint.
type Handler struct{ o Options }

// New returns a Handler.
func New(o Options) (*Handler, error) {
	switch {
	case o.Issuer == "":
		return nil, errors.New("making a token server: an issuer is needed")
	case len(o.Services) == 0 || slices.Contains(o.Services, ""):
		return nil, errors.New("making a token server: the names of its registries are needed")
	case o.Policy == nil || o.Signer == nil || o.Now == nil:
		return nil, errors.New("making a token server: a policy, a signer and a clock are needed")
	case o.Lifetime < 0:
		return nil, errors.New("making a token server: the lifetime is negative")
	}
	o.Now = clock.Wall(o.Now)
	o.Services = slices.Clone(o.Services)
	if o.Lifetime == 0 {
		o.Lifetime = DefaultLifetime
	}
	if o.Remote == nil {
		o.Remote = peer
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Handler{o}, nil
}

// peer returns the remote address of the connection.
func peer(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap()
}

// ServeHTTP handles a token request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	req, err := Decode(w, r)
	req.Remote = h.o.Remote(r)
	// A registry's token never contains rights over Tidewaiter.
	req.Scopes = slices.DeleteFunc(req.Scopes, func(s scope.Scope) bool { return s.Type == scope.TypeTidewaiter })
	if err == nil {
		var answer Answer
		if answer, err = h.issue(r.Context(), &req); err == nil {
			answer.Write(w)
			return
		}
	}
	h.refuse(r, &req, err).Write(w, r)
}

// issue returns the response to a decoded request.
func (h *Handler) issue(ctx context.Context, r *Request) (Answer, error) {
	service, known := scope.MatchService(r.Service, slices.Values(h.o.Services))
	if !known {
		return Answer{}, problem(http.StatusBadRequest, CodeUnsupported,
			"unknown service %q: there is no registry of this name", shorten(r.Service))
	}
	r.Service = service
	who, err := h.authenticate(ctx, r)
	if err != nil {
		return Answer{}, err
	}
	rules := h.o.Policy()
	if rules == nil {
		return Answer{}, errors.New("there is no policy")
	}
	now := h.o.Now()
	request := policy.Request{
		Principal: who, Registry: r.Service, Scopes: r.Scopes, IP: r.Remote, Client: r.Client, Now: now,
	}
	decision := rules.Decide(&request)
	claims := token.Claims{Issuer: h.o.Issuer, Subject: subject(who), Audience: r.Service, ID: rand.Text()}
	claims = claims.Grant(&decision, h.o.Lifetime, now)
	signer, err := h.o.Signer(now)
	if err != nil {
		return Answer{}, fmt.Errorf("finding the key: %w", err)
	}
	signer.Limit(&claims, now)
	signed, err := signer.Append(nil, &claims)
	if err != nil {
		return Answer{}, err
	}
	if h.o.Decided != nil {
		h.o.Decided(ctx, &request, &decision)
	}
	return Answer{Token: signed, ExpiresIn: int(claims.Expires.Sub(now) / time.Second), Granted: claims.Access}, nil
}

func (h *Handler) authenticate(ctx context.Context, r *Request) (*policy.Principal, error) {
	if r.Credentials.Kind == None {
		if h.o.SignIn {
			return nil, problem(http.StatusUnauthorized, CodeUnauthorized, "authentication required: use docker login")
		}
		return &policy.Principal{}, nil
	}
	if h.o.Authenticate == nil {
		return nil, ErrRejected
	}
	who, err := h.o.Authenticate(ctx, r)
	if err != nil {
		return nil, err
	}
	if who == nil { // a client without a principal must not become anonymous
		return nil, errors.New("Authenticate returned neither a principal nor an error")
	}
	return who, nil
}

// subject returns the name that a principal has in tokens. The registry uses this name in its
// events and logs. If a robot and a user have the same name, their names in tokens must be
// different.
func subject(who *policy.Principal) string {
	switch who.Kind {
	case policy.Anonymous:
		return ""
	case policy.User:
		return who.Name
	}
	return who.String()
}

// refuse returns the response to an error and logs the reason.
func (h *Handler) refuse(r *http.Request, req *Request, err error) *Error {
	e := Known(err)
	level := slog.LevelInfo
	switch {
	case e == nil:
		level = slog.LevelError
		e = problem(http.StatusInternalServerError, CodeUnknown, "internal error: see the log of the token server")
	case e.Status >= 500:
		level = slog.LevelWarn
	}
	if e.Cause != nil {
		err = fmt.Errorf("%w (%w)", err, e.Cause)
	}
	h.o.Log.LogAttrs(r.Context(), level, "token refused", slog.Int("status", e.Status), slog.Any("error", err),
		slog.String("service", shorten(req.Service)), slog.String("name", shorten(req.Credentials.Name)),
		slog.String("remote", req.Remote.String()))
	return e
}
