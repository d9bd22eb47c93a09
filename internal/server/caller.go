package server

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/secret"
	"github.com/tidewaiter/tidewaiter/tokenserver"
)

// SessionCookie is the name of the cookie with a session. Because of the prefix __Host-, browsers
// accept the cookie only over TLS (or from localhost), for this host only and for all paths. So
// another host of the same domain cannot set the cookie.
const SessionCookie = "__Host-tidewaiter"

// Caller is the principal that makes a request.
type Caller struct {
	identity.Verified                    // without credentials, Principal is anonymous
	Presented         identity.Presented // credentials of the request, and addresses of the client
}

// Remote returns the address of the caller.
func (c Caller) Remote() netip.Addr { return c.Presented.Remote }

// Caller authenticates a request. It accepts the session cookie and two kinds of the
// Authorization header. "Bearer" has a token or a robot's secret. "Basic" has a name, and a
// password, a token or a robot's secret. Caller uses the identity sources and the rate limits of
// the token endpoint. The returned principal keeps the restrictions of the credential.
//
// If the Authorization header is present, the cookie is ignored, even if the header is wrong.
func (s *Server) Caller(r *http.Request) (Caller, error) {
	presented, err := authorization(r)
	switch {
	case errors.Is(err, identity.ErrRejected):
		return Caller{}, s.Issuer.RefuseSignIn(r.Context(), s.Located(r), err)
	case err != nil: // the request is malformed
		return Caller{}, err
	}
	caller, err := s.SignIn(r, presented)
	switch {
	case presented.Name != "" || !errors.Is(err, identity.ErrRejected):
	case presented.Kind == identity.Session:
		err = fmt.Errorf("%w: %w", errInvalidSession, err)
	default:
		err = fmt.Errorf("%w: %w", errInvalidToken, err)
	}
	return caller, err
}

// Errors for a rejected token or session. A request with a token or a session has no user name.
// Both errors wrap identity.ErrRejected.
var (
	errInvalidToken   = fmt.Errorf("%w: invalid token", identity.ErrRejected)
	errInvalidSession = fmt.Errorf("%w: invalid session", identity.ErrRejected)
)

// SignIn authenticates a request by credentials that are not in its headers, for example in a
// form.
func (s *Server) SignIn(r *http.Request, presented identity.Presented) (Caller, error) {
	s.setAddresses(r, &presented)
	presented.Client = tokenserver.ClientName(r.UserAgent())
	who, err := s.Issuer.Live().Chain.Authenticate(r.Context(), presented)
	if err != nil {
		return Caller{}, s.Issuer.RefuseSignIn(r.Context(), presented, err)
	}
	return Caller{who, presented}, nil
}

// authorization returns the credentials in the headers of a request.
func authorization(r *http.Request) (identity.Presented, error) {
	headers := r.Header["Authorization"]
	switch len(headers) {
	case 0:
		return session(r)
	case 1:
	default:
		return identity.Presented{}, problem(http.StatusBadRequest, codeUnsupported, "the header Authorization is given twice")
	}
	scheme, text, _ := strings.Cut(headers[0], " ")
	text = strings.TrimSpace(text)
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		presented := identity.NewPresented("", text)
		if presented.Kind != identity.AccessToken && presented.Kind != identity.IDToken {
			// Any other text would be a password without a name.
			return identity.Presented{}, errInvalidToken
		}
		return presented, nil
	case strings.EqualFold(scheme, "Basic"):
		plain, err := base64.StdEncoding.DecodeString(text)
		name, secret, ok := strings.Cut(string(plain), ":")
		if err != nil || !ok {
			return identity.Presented{}, problem(http.StatusBadRequest, codeUnsupported, "invalid Basic Authorization: want base64 of NAME:PASSWORD")
		}
		if name == "" && secret == "" {
			// An empty header does not make the request anonymous.
			return identity.Presented{}, identity.ErrRejected
		}
		return identity.NewPresented(name, secret), nil
	}
	return identity.Presented{}, problem(http.StatusBadRequest, codeUnsupported, "unsupported kind of Authorization: use Bearer or Basic")
}

// session returns the session cookie, or the zero Presented if there is no cookie.
func session(r *http.Request) (identity.Presented, error) {
	switch cookies := r.CookiesNamed(SessionCookie); len(cookies) {
	case 0:
		return identity.Presented{}, nil
	case 1:
		return identity.NewSession(cookies[0].Value), nil
	}
	return identity.Presented{}, problem(http.StatusBadRequest, codeUnsupported, "the cookie %s is given twice", SessionCookie)
}

// Failure describes an error as the client sees it.
type Failure struct {
	Status     int
	Text       string
	RetryAfter string // value of the header Retry-After; "": no header
}

// Failure maps an error to the response for the client. It delays the answer if the caller is
// rate limited. An unexpected error is logged with the request's id and not shown to the
// client.
func (s *Server) Failure(r *http.Request, id string, err error) Failure {
	s.tarpit.delay(r.Context(), err)
	e := knownError(err)
	switch {
	case e == nil:
		s.Log.Error("internal error", "id", id, "method", r.Method, "path", secret.Brief(r.URL.Path, maxShown), "error", err)
		return Failure{http.StatusInternalServerError, "internal error " + id + ": see the log of Tidewaiter", ""}
	case e.Status >= 500:
		s.Log.Warn("request failed", "id", id, "status", e.Status, "path", secret.Brief(r.URL.Path, maxShown), "error", err)
	}
	return Failure{Status: e.Status, Text: e.Message, RetryAfter: e.Header.Get("Retry-After")}
}

// Located returns a Presented that has only the addresses of a request.
func (s *Server) Located(r *http.Request) (c identity.Presented) {
	s.setAddresses(r, &c)
	return c
}
