package tokenserver

import (
	"net/http"
	"strings"

	"github.com/tidewaiter/tidewaiter/scope"
)

// Values of Challenge.Error (RFC 6750, section 3.1).
const (
	InvalidToken      = "invalid_token"      // the token is refused; the client can request another
	InsufficientScope = "insufficient_scope" // the token is valid, but does not allow the request
)

// Challenge is a registry's response to a request without a sufficient token. It names the token
// endpoint.
type Challenge struct {
	Realm   string // URL of the token endpoint; clients refuse http if the registry has https
	Service string // the registry's name, which is the audience of its tokens
	Scopes  []scope.Scope
	Error   string // InvalidToken or InsufficientScope; "": no token was presented
}

// String returns the value of WWW-Authenticate, such as
//
//	Bearer realm="https://auth.example.com/token",service="registry.example.com",scope="repository:team/app:pull"
//
// Values are quoted as in RFC 9110. Control characters, which headers must not have, become spaces.
func (c Challenge) String() string {
	b := appendQuoted(make([]byte, 0, 256), "Bearer realm=", c.Realm)
	b = appendQuoted(b, ",service=", c.Service)
	if len(c.Scopes) > 0 {
		scopes := make([]string, len(c.Scopes))
		for i, s := range c.Scopes {
			scopes[i] = s.String()
		}
		b = appendQuoted(b, ",scope=", strings.Join(scopes, " "))
	}
	if c.Error != "" {
		b = appendQuoted(b, ",error=", c.Error)
	}
	return string(b)
}

// Write responds with the challenge. The response has the status 401 and the error in the JSON
// form that registries use, because clients check the status and the error.
func (c Challenge) Write(w http.ResponseWriter, r *http.Request) {
	e := problem(http.StatusUnauthorized, CodeUnauthorized, "authentication required")
	if c.Error == InsufficientScope {
		e = problem(http.StatusUnauthorized, CodeDenied, "requested access to the resource is denied")
	}
	e.Header = http.Header{"Www-Authenticate": {c.String()}}
	e.Write(w, r)
}

// appendQuoted appends a key and a quoted-string (RFC 9110, section 5.6.4).
func appendQuoted(b []byte, key, s string) []byte {
	b = append(append(b, key...), '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ' || c == 0x7f:
			b = append(b, ' ')
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

// Bearer returns the token in a request's Authorization header. It returns false if the request
// does not have exactly one such header, or if the header has another scheme.
func Bearer(r *http.Request) (token string, ok bool) {
	headers := r.Header["Authorization"]
	if len(headers) != 1 {
		return "", false
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	token = strings.TrimSpace(token)
	return token, strings.EqualFold(scheme, "Bearer") && token != ""
}
