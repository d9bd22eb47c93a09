package server

import (
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/issuer"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/ratelimit"
	"github.com/tidewaiter/tidewaiter/internal/secret"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/tokenserver"
)

// The codes of a registry's errors.
const (
	codeUnauthorized = tokenserver.CodeUnauthorized
	codeDenied       = tokenserver.CodeDenied
	codeUnsupported  = tokenserver.CodeUnsupported
	codeTooMany      = tokenserver.CodeTooMany
	codeUnavailable  = tokenserver.CodeUnavailable
	codeUnknown      = tokenserver.CodeUnknown
)

// clientError is an error that the client may see.
type clientError = tokenserver.Error

// requestError is a clientError with its kind for the log and the metrics.
type requestError struct {
	clientError
	// If kind is noMisconfiguration, the error is logged only if its status means an invalid
	// request. The log then has the kind badRequest.
	kind misconfiguration
}

func (e *requestError) oauth(code string) *requestError {
	e.OAuth2 = code
	return e
}

func (e *requestError) with(header, value string) *requestError {
	e.Header = http.Header{header: {value}}
	return e
}

// ofKind sets the kind of an error.
func (e *requestError) ofKind(kind misconfiguration) *requestError {
	e.kind = kind
	return e
}

func problem(status int, code, format string, args ...any) *requestError {
	return &requestError{clientError: clientError{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}}
}

// unavailableError returns a temporary error, which asks the client to try again after a few
// seconds.
func unavailableError(format string, args ...any) *requestError {
	return problem(http.StatusServiceUnavailable, codeUnavailable, format, args...).with("Retry-After", "5")
}

// errTooManyConnections means that a connection is over the limit of its listener.
var errTooManyConnections = errors.New("too many connections are open")

// Panicked returns an error for a panic of a handler. The error contains the stack, which only
// the log may show. The text of the error can contain text from the client, because panics of
// strconv and regexp quote their input.
func Panicked(p any) error {
	return fmt.Errorf("panic: %s\n%s", secret.Redact(fmt.Sprint(p)), debug.Stack())
}

// knownError maps an error of another package to the error that the client gets. It returns nil
// for an unexpected error.
func knownError(err error) *requestError {
	if e, ok := errors.AsType[*requestError](err); ok {
		return e
	}
	incomplete, isIncomplete := errors.AsType[*identity.IncompleteError](err)
	misplaced, isMisplaced := errors.AsType[*identity.MisplacedError](err)
	explained, isExplained := errors.AsType[*identity.ExplainedError](err)
	switch {
	case errors.Is(err, issuer.ErrUnknownRegistry):
		return problem(http.StatusBadRequest, codeUnsupported,
			"%s: no registry with this service name is configured; \"service\" must be a service in the config of Tidewaiter", err).ofKind(unknownService)
	case errors.Is(err, issuer.ErrSignIn):
		return problem(http.StatusUnauthorized, codeUnauthorized, "%s: use docker login", err)
	case errors.Is(err, issuer.ErrDenied):
		return problem(http.StatusForbidden, codeDenied, "%s", err).oauth("invalid_scope")
	case isIncomplete: // the credential is valid, so another credential would not help
		return problem(http.StatusForbidden, codeDenied, "sign-in refused: %s", incomplete).oauth("access_denied")
	case isMisplaced: // the reason depends only on the presented credential
		return problem(http.StatusUnauthorized, codeUnauthorized, "%s", misplaced).oauth("invalid_grant")
	case isExplained: // the credential is genuine, so only its owner sees the reason
		return problem(http.StatusUnauthorized, codeUnauthorized, "%s", explained).oauth("invalid_grant")
	case errors.Is(err, errInvalidToken): // the same text for all reasons
		return problem(http.StatusUnauthorized, codeUnauthorized, "the token is invalid").oauth("invalid_grant")
	case errors.Is(err, errInvalidSession):
		return problem(http.StatusUnauthorized, codeUnauthorized, "the session has ended: sign in again").oauth("invalid_grant")
	case errors.Is(err, identity.ErrRejected):
		// Unknown, wrong, disabled and expired credentials get the same text.
		return tokenserverError(tokenserver.ErrRejected)
	case errors.Is(err, identity.ErrRateLimited):
		// The password was not checked, so the status is not 401. A client that gets 401 would
		// prompt for another password.
		after := time.Second
		if t, ok := errors.AsType[*ratelimit.Error](err); ok {
			after = max(after, t.After)
		}
		return problem(http.StatusTooManyRequests, codeTooMany, "%s", err).oauth("slow_down").
			with("Retry-After", strconv.Itoa(int((after+time.Second-1)/time.Second)))
	case errors.Is(err, identity.ErrUnavailable):
		return tokenserverError(tokenserver.ErrUnavailable)
	case errors.Is(err, issuer.ErrUndecided):
		return unavailableError("your rights cannot be checked at the moment: try again")
	case errors.Is(err, issuer.ErrNotRecorded), errors.Is(err, errNotRecorded), errors.Is(err, journal.ErrClosed), errors.Is(err, journal.ErrFull):
		return unavailableError("the decision cannot be recorded at the moment: try again")
	case errors.Is(err, errTooManyConnections):
		return unavailableError("%s: try again", err)
	case store.Unavailable(err):
		return unavailableError("the database cannot be reached at the moment: try again")
	}
	return tokenserverError(err)
}

// tokenserverError returns an error of package tokenserver as a requestError, or nil for any
// other error.
func tokenserverError(err error) *requestError {
	e := tokenserver.Known(err)
	switch {
	case e == nil:
		return nil
	case errors.Is(e, tokenserver.ErrNoService):
		return (&requestError{clientError: *e}).ofKind(missingService)
	}
	return &requestError{clientError: *e}
}

// fail writes an error in the format of registry errors, which every client shows. The response
// to a POST also has the fields of RFC 6749. An unexpected error is logged with an id, and the
// client gets only the id.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	s.tarpit.delay(r.Context(), err)
	e := knownError(err)
	switch {
	case e == nil:
		id := journal.NewID(s.Now()).String()
		s.Log.Error("internal error", "id", id, "method", secret.Brief(r.Method, maxShown), "path", secret.Brief(r.URL.Path, maxShown), "error", err)
		e = problem(http.StatusInternalServerError, codeUnknown, "internal error %s: see the log of Tidewaiter", id)
	case e.Status >= 500:
		s.Log.Warn("request failed", "status", e.Status, "path", secret.Brief(r.URL.Path, maxShown), "error", err)
	default:
		s.logRefusal(r, e)
	}
	e.Write(w, r)
}

// logRefusal logs a bad request. For a request with events, it also writes a journal entry. Other
// bad requests get no entry, because no rule has decided about them.
func (s *Server) logRefusal(r *http.Request, e *requestError) {
	kind := e.kind
	if kind == noMisconfiguration {
		switch e.Status {
		case http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusRequestEntityTooLarge,
			http.StatusRequestURITooLong, http.StatusUnsupportedMediaType:
			kind = badRequest
		default:
			return
		}
	}
	switch kind {
	case wrongSecret:
		why, _, _ := strings.Cut(e.Message, ": ") // the problem, without the advice
		s.recordRefusedEvents(r, "", why)
	case wrongNotification:
		s.recordRefusedEvents(r, "", "they were posted to a path that is not served")
	}
	s.note(r, kind, "error", secret.Redact(e.Message))
}

// maxShown is the maximum length of client text in a log line, in bytes.
const maxShown = 100

// note counts a request of the given kind, and logs at most one line a minute for the kind.
func (s *Server) note(r *http.Request, kind misconfiguration, attrs ...any) {
	s.Metrics.Refused.WithLabelValues(string(kind)).Inc()
	remote := "unknown"
	if client, _ := s.findClient(r); client.IsValid() {
		remote = client.String()
	}
	attrs = append(attrs, "remote", remote, "peer", peer(r).String(), "method", secret.Brief(r.Method, maxShown), "path", secret.Brief(r.URL.Path, maxShown), "user_agent", secret.Brief(r.UserAgent(), maxShown))
	s.Misconfigurations.note(s.Log, s.Now(), kind, attrs...)
}

// outcome returns the label of a request with this error in the metrics.
func outcome(err error) string {
	e := knownError(err)
	switch {
	case e == nil:
		return "fault"
	case e.Status == http.StatusUnauthorized:
		return "rejected"
	case e.Status == http.StatusForbidden:
		return "denied"
	case e.Status == http.StatusTooManyRequests:
		return "throttled"
	case e.Status >= 500:
		return "unavailable"
	}
	return "bad_request"
}
