package server

import (
	"encoding/base64"
	"net/http"
	"net/netip"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/secret"
	"github.com/tidewaiter/tidewaiter/tokenserver"
)

// SessionCookie is the name of the cookie that bears a session. By its prefix browsers take it over TLS only (or from their own
// machine), for this host alone and for all its paths, so that no neighbour of the host can set it.
const SessionCookie = "__Host-tidewaiter"

// Caller is who makes a request of a room that stands on this one.
type Caller struct {
	identity.Verified                      // its Principal is anonymous where nothing was shown
	Shown             identity.Credentials // what was shown, and from where
}

// Remote is the address that the caller is at.
func (c Caller) Remote() netip.Addr { return c.Shown.Remote }

// Caller says who makes a request, by what it shows: "Authorization: Bearer" with a token or a robot's secret, "Authorization:
// Basic" with a name and a password or one of those, or the cookie of a session. It is judged as at the token endpoint: by the same
// sources and the same throttle, and a narrowing stays inside the principal.
//
// A header that is there is all that counts: if it is wrong, the cookie is not looked at.
func (s *Server) Caller(r *http.Request) (Caller, error) {
	shown, err := authorization(r)
	if err != nil {
		return Caller{}, err
	}
	return s.SignIn(r, shown)
}

// SignIn is Caller for what was shown elsewhere in the request, as in a form.
func (s *Server) SignIn(r *http.Request, shown identity.Credentials) (Caller, error) {
	s.locate(r, &shown)
	shown.Client = tokenserver.ClientName(r.UserAgent())
	who, err := s.Issuer.Live().Chain.Authenticate(r.Context(), shown)
	if err != nil {
		return Caller{}, err
	}
	return Caller{who, shown}, nil
}

// authorization reads what a request shows in its headers.
func authorization(r *http.Request) (identity.Credentials, error) {
	headers := r.Header["Authorization"]
	switch len(headers) {
	case 0:
		return session(r)
	case 1:
	default:
		return identity.Credentials{}, problem(http.StatusBadRequest, codeUnsupported, "the header Authorization is there twice")
	}
	scheme, text, _ := strings.Cut(headers[0], " ")
	text = strings.TrimSpace(text)
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		shown := identity.NewCredentials("", text)
		if shown.Kind != identity.AccessToken && shown.Kind != identity.IDToken {
			// A password is none: it would be one without a name.
			return identity.Credentials{}, identity.ErrRejected
		}
		return shown, nil
	case strings.EqualFold(scheme, "Basic"):
		plain, err := base64.StdEncoding.DecodeString(text)
		name, secret, ok := strings.Cut(string(plain), ":")
		if err != nil || !ok {
			return identity.Credentials{}, problem(http.StatusBadRequest, codeUnsupported, "the Authorization is not a name and a password in base64")
		}
		if name == "" && secret == "" {
			return identity.Credentials{}, identity.ErrRejected // it is there, so it is no way to be anonymous
		}
		return identity.NewCredentials(name, secret), nil
	}
	return identity.Credentials{}, problem(http.StatusBadRequest, codeUnsupported, "this kind of Authorization is not understood: use Bearer or Basic")
}

// session reads the cookie of a session; nothing where there is none.
func session(r *http.Request) (identity.Credentials, error) {
	switch cookies := r.CookiesNamed(SessionCookie); len(cookies) {
	case 0:
		return identity.Credentials{}, nil
	case 1:
		return identity.NewSession(cookies[0].Value), nil
	}
	return identity.Credentials{}, problem(http.StatusBadRequest, codeUnsupported, "the cookie %s is there twice", SessionCookie)
}

// Failure is what went wrong, as a client is told.
type Failure struct {
	Status     int
	Text       string
	RetryAfter string // of the header; "": not said
}

// Failure says what a client is told of an error, and waits for a moment before it says that somebody is throttled. What nobody
// foresaw is logged under id, and not shown.
func (s *Server) Failure(r *http.Request, id string, err error) Failure {
	s.pauses.before(r.Context(), err)
	e := known(err)
	switch {
	case e == nil:
		s.Log.Error("internal error", "id", id, "method", r.Method, "path", secret.Brief(r.URL.Path, maxShown), "error", err)
		return Failure{http.StatusInternalServerError, "internal error " + id + ": the log of Tidewaiter says more", ""}
	case e.Status >= 500:
		s.Log.Warn("request not answered", "id", id, "status", e.Status, "path", secret.Brief(r.URL.Path, maxShown), "error", err)
	}
	return Failure{Status: e.Status, Text: e.Message, RetryAfter: e.Header.Get("Retry-After")}
}

// Located returns credentials with nothing but the addresses that a request comes from.
func (s *Server) Located(r *http.Request) (c identity.Credentials) {
	s.locate(r, &c)
	return c
}

// Panicked makes an error of what a handler panicked with. The stack goes to the log alone.
func Panicked(p any) error { return panicked(p) }
