package tokenserver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/tidewaiter/tidewaiter/internal/secret"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

// Codes of a registry's errors. Clients know these codes and print them.
const (
	CodeUnauthorized = "UNAUTHORIZED"
	CodeDenied       = "DENIED"
	CodeUnsupported  = "UNSUPPORTED"
	CodeTooMany      = "TOOMANYREQUESTS"
	CodeUnavailable  = "UNAVAILABLE"
	CodeUnknown      = "UNKNOWN"
)

var (
	// ErrRejected means that credentials are wrong. Authenticate should return it for unknown
	// names, wrong passwords and disabled accounts, so that the response does not reveal which
	// names exist.
	ErrRejected = errors.New("credentials rejected")
	// ErrUnavailable means that credentials cannot be checked at the moment. Authenticate should
	// return it if the source of accounts is down, so that users do not think that their password
	// is wrong.
	ErrUnavailable = errors.New("credentials cannot be checked")
	// ErrNoService means that a request has no parameter "service".
	ErrNoService = errors.New("no service")
)

// Error is an error together with the response for the client.
type Error struct {
	Status  int
	Code    string // CodeUnauthorized or another code of registries
	Message string // a text for the user of the client
	OAuth2  string // the error code of RFC 6749, for a POST; if empty, derived from Status
	Header  http.Header
	Cause   error // the cause, for errors.Is and the log; it is not sent to the client
}

// Error returns the message without the cause.
func (e *Error) Error() string {
	if e == nil {
		return "an *Error that is nil"
	}
	return e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error {
	if e == nil {
		return nil
	}
	return e.Cause
}

func (e *Error) as(oauth2 string) *Error {
	e.OAuth2 = oauth2
	return e
}

func problem(status int, code, format string, args ...any) *Error {
	return &Error{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

func unsupported(format string, args ...any) *Error {
	return problem(http.StatusBadRequest, CodeUnsupported, format, args...)
}

// Known returns the response to an error: the *Error that err wraps, or a new *Error for
// ErrRejected, ErrUnavailable or an error of a context. For any other error it returns nil. The
// caller should log such an error and not show it to the client.
func Known(err error) *Error {
	e, ok := errors.AsType[*Error](err)
	switch {
	case ok:
		return e
	case errors.Is(err, ErrRejected):
		return problem(http.StatusUnauthorized, CodeUnauthorized, "the name or the password is wrong").as("invalid_grant")
	case errors.Is(err, ErrUnavailable):
		e = problem(http.StatusServiceUnavailable, CodeUnavailable, "names and passwords cannot be checked at the moment: try again")
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		e = problem(http.StatusServiceUnavailable, CodeUnavailable, "this took too long: try again")
	default:
		return nil
	}
	e.Header = http.Header{"Retry-After": {"5"}}
	return e
}

// Write responds to a token request in the JSON form of a registry's errors, because every client
// prints errors in this form. The response to a POST also has the fields of RFC 6749. If the
// status is 401 and there is no WWW-Authenticate header, Write adds this header for Basic
// authentication. Text in the message that looks like a token is redacted.
func (e *Error) Write(w http.ResponseWriter, r *http.Request) {
	type one struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	body := struct {
		Errors      []one  `json:"errors"`
		Error       string `json:"error,omitempty"`
		Description string `json:"error_description,omitempty"`
	}{Errors: []one{{e.Code, text.Escape(secret.Redact(e.Message))}}}
	if r.Method == http.MethodPost {
		body.Error, body.Description = e.OAuth2, body.Errors[0].Message
		if body.Error == "" {
			body.Error = oauth2Code(e.Status)
		}
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if encoder.Encode(body) != nil {
		return // strings always encode
	}
	header := w.Header()
	header["Content-Type"] = headerJSON
	header["Cache-Control"] = headerNoStore
	header["X-Content-Type-Options"] = []string{"nosniff"}
	for name, values := range e.Header {
		header[http.CanonicalHeaderKey(name)] = values
	}
	if e.Status == http.StatusUnauthorized && header["Www-Authenticate"] == nil {
		header.Set("WWW-Authenticate", `Basic realm="tidewaiter"`)
	}
	status := e.Status
	if status < 400 || status > 599 {
		status = http.StatusInternalServerError
	}
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

// oauth2Code returns the error code of RFC 6749, section 5.2, for the given status.
func oauth2Code(status int) string {
	switch {
	case status == http.StatusUnauthorized:
		return "invalid_client"
	case status >= 500:
		return "temporarily_unavailable"
	}
	return "invalid_request"
}

// shorten shortens and redacts untrusted text for a message or the log.
func shorten(s string) string { return secret.Shorten(s, 100) }
