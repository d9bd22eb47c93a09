package server

import (
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/issuer"
	"github.com/tidewaiter/tidewaiter/internal/journal"
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

// clientError is an error that the client is told.
type clientError = tokenserver.Error

// requestError is a clientError with what the operator is told.
type requestError struct {
	clientError
	kind refusal // what the operator is told of; noRefusal: nothing, or badRequest where the status says so
}

func (e *requestError) oauth(code string) *requestError {
	e.OAuth2 = code
	return e
}

func (e *requestError) with(header, value string) *requestError {
	e.Header = http.Header{header: {value}}
	return e
}

// of gives an error its kind, for the operator.
func (e *requestError) of(kind refusal) *requestError {
	e.kind = kind
	return e
}

func problem(status int, code, format string, args ...any) *requestError {
	return &requestError{clientError: clientError{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}}
}

// errCrowded means that a request came on a connection that is one too many.
var errCrowded = errors.New("too many connections are open")

// panicked makes an error of what a handler panicked with. The stack goes to the log alone. What
// somebody sent may be in the text, as in that of strconv and regexp.
func panicked(p any) error {
	return fmt.Errorf("panic: %s\n%s", secret.Redact(fmt.Sprint(p)), debug.Stack())
}

// known maps the errors of other rooms. It returns nil for those that nobody foresaw.
func known(err error) *requestError {
	if e := (*requestError)(nil); errors.As(err, &e) {
		return e
	}
	incomplete, isIncomplete := errors.AsType[*identity.IncompleteError](err)
	misplaced, isMisplaced := errors.AsType[*identity.MisplacedError](err)
	explained, isExplained := errors.AsType[*identity.ExplainedError](err)
	switch {
	case errors.Is(err, issuer.ErrUnknownRegistry):
		return problem(http.StatusBadRequest, codeUnsupported,
			"%s: no registry of that name is known here; \"service\" must be one that the configuration lists", err).of(unknownService)
	case errors.Is(err, issuer.ErrSignIn):
		return problem(http.StatusUnauthorized, codeUnauthorized, "%s: use docker login", err)
	case errors.Is(err, issuer.ErrDenied):
		return problem(http.StatusForbidden, codeDenied, "%s", err).oauth("invalid_scope")
	case isIncomplete: // the credential is right, and asking for another one helps nobody
		return problem(http.StatusForbidden, codeDenied, "sign-in refused: %s", incomplete).oauth("access_denied")
	case isMisplaced: // it depends on what was presented alone
		return problem(http.StatusUnauthorized, codeUnauthorized, "%s", misplaced).oauth("invalid_grant")
	case isExplained: // the credential is genuine: only its holder has it
		return problem(http.StatusUnauthorized, codeUnauthorized, "%s", explained).oauth("invalid_grant")
	case errors.Is(err, identity.ErrRejected):
		// One text for unknown, wrong, disabled and expired.
		return told(tokenserver.ErrRejected)
	case errors.Is(err, identity.ErrRateLimited):
		// Not 401: nobody looked at the password, and a client that would ask for another one is not to.
		after := time.Second
		if t := (*identity.RateLimitedError)(nil); errors.As(err, &t) {
			after = max(after, t.After)
		}
		return problem(http.StatusTooManyRequests, codeTooMany, "%s", err).oauth("slow_down").
			with("Retry-After", strconv.Itoa(int((after+time.Second-1)/time.Second)))
	case errors.Is(err, identity.ErrUnavailable):
		return told(tokenserver.ErrUnavailable)
	case errors.Is(err, issuer.ErrUndecided):
		return problem(http.StatusServiceUnavailable, codeUnavailable,
			"what you may do cannot be decided at the moment: try again").with("Retry-After", "5")
	case errors.Is(err, issuer.ErrNotKept), errors.Is(err, errNotTaken), errors.Is(err, journal.ErrClosed), errors.Is(err, journal.ErrFull):
		return problem(http.StatusServiceUnavailable, codeUnavailable,
			"what happens cannot be recorded at the moment: try again").with("Retry-After", "5")
	case errors.Is(err, errCrowded):
		return problem(http.StatusServiceUnavailable, codeUnavailable, "%s: try again", err).with("Retry-After", "5")
	case store.Unavailable(err):
		return problem(http.StatusServiceUnavailable, codeUnavailable,
			"the database cannot be reached at the moment: try again").with("Retry-After", "5")
	}
	return told(err)
}

// told is what tokenserver.Known says of an error, or nil.
func told(err error) *requestError {
	e := tokenserver.Known(err)
	switch {
	case e == nil:
		return nil
	case errors.Is(e, tokenserver.ErrNoService):
		return (&requestError{clientError: *e}).of(missingService)
	}
	return &requestError{clientError: *e}
}

// fail answers with what went wrong: in the form of a registry's errors, which every client shows, and
// for a POST also in that of RFC 6749. What nobody foresaw is logged under a number and not shown.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	s.pauses.before(r.Context(), err)
	e := known(err)
	switch {
	case e == nil:
		id := journal.NewID(s.Now()).String()
		s.Log.Error("internal error", "id", id, "method", r.Method, "path", secret.Brief(r.URL.Path, maxShown), "error", err)
		e = problem(http.StatusInternalServerError, codeUnknown, "internal error %s: the log of Tidewaiter says more", id)
	case e.Status >= 500:
		s.Log.Warn("request not answered", "status", e.Status, "path", secret.Brief(r.URL.Path, maxShown), "error", err)
	default:
		s.refused(r, e)
	}
	e.Write(w, r)
}

// refused notes a request that nobody's rights decided, so that it is in no journal entry.
func (s *Server) refused(r *http.Request, e *requestError) {
	kind := e.kind
	if kind == noRefusal {
		switch e.Status {
		case http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusRequestEntityTooLarge,
			http.StatusRequestURITooLong, http.StatusUnsupportedMediaType:
			kind = badRequest
		default:
			return
		}
	}
	s.note(r, kind, "error", secret.Redact(e.Message))
}

// maxShown bounds what is logged of what a client sent, in bytes.
const maxShown = 100

// note counts a request that is not what it should be, and logs it once a minute a kind.
func (s *Server) note(r *http.Request, kind refusal, attrs ...any) {
	s.Metrics.Refused.WithLabelValues(string(kind)).Inc()
	remote := "unknown"
	if client, _ := s.client(r); client.IsValid() {
		remote = client.String()
	}
	attrs = append(attrs, "remote", remote, "peer", peer(r).String(), "method", r.Method, "path", secret.Brief(r.URL.Path, maxShown), "user_agent", secret.Brief(r.UserAgent(), maxShown))
	s.Refusals.note(s.Log, s.Now(), kind, attrs...)
}

// outcome names an error for the metrics.
func outcome(err error) string {
	e := known(err)
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
