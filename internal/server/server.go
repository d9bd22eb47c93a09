// Package server is the HTTP server for registries and their clients. It has the token endpoint,
// the receiver of registry notifications, public keys, health checks and metrics, and it mounts
// the API.
//
// A handler decodes the request, calls one package, and encodes the answer. If a step fails,
// the handler returns the error, and errors.go maps the error to an HTTP response.
package server

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/issuer"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/journal/checkpoint"
	"github.com/tidewaiter/tidewaiter/tokenserver"
)

// Options configures a Server. Issuer and Journal are required.
type Options struct {
	Issuer  *issuer.Issuer
	Journal *journal.Journal
	// Checkpoints are served to everyone. If it is nil, no checkpoints are served.
	Checkpoints *checkpoint.Checkpoints

	TokenPath         string   // default: /token
	TokenAliases      []string // further paths of the token endpoint
	NotificationsPath string   // default: /notifications

	Senders []Sender // registries that may post events
	Open    bool     // anyone may post events, without a secret
	// Own is the login that events have if Tidewaiter itself pulls. These pulls are not recorded,
	// because a comparison of a registry with the catalog already has its own entry. "": no
	// login.
	Own            string
	TrustedProxies []netip.Prefix // proxies whose X-Forwarded-For is trusted
	// The host of the public URL; "": unknown, or all clients are on this machine.
	PublicHost     string
	AllowedOrigins []string // origins of web pages that may request tokens
	// The delay before a rate-limited client gets its answer; 0: defaultPause; negative: none.
	Pause time.Duration

	Ready []Check // the checks of /readyz
	// Notes returns warnings for /readyz; nil: none. The argument inFull means that the client
	// may see file names and rules.
	Notes   func(inFull bool) []string
	Metrics *Metrics
	// Misconfigurations logs requests that fail because of a wrong setup; nil: a new one.
	Misconfigurations *Misconfigurations
	Gather            http.Handler // serves /metrics
	API               http.Handler // serves /api/ and /openapi.json; nil: they do not exist

	Now func() time.Time
	Log *slog.Logger
}

// Sender is a registry that posts events.
type Sender struct {
	Service string
	Secret  identity.Secret // zero: only programs on this machine may post
	// The host:port that the registry's clients use. It distinguishes registries without a secret.
	Host      string
	Eventless bool // the registry never reports events
}

// Check is one condition of readiness.
type Check struct {
	Name  string
	Ready func(context.Context) error
}

// EndpointGroup is a group of endpoints. A listener serves one or more of them.
type EndpointGroup string

const (
	Token         EndpointGroup = "token"
	Notifications EndpointGroup = "notifications"
	Keys          EndpointGroup = "keys"
	Health        EndpointGroup = "health"
	Metric        EndpointGroup = "metrics"
	API           EndpointGroup = "api"
)

// Server serves the endpoints. Its methods may be called from any goroutine.
type Server struct {
	Options
	senders    []sender
	activities map[string]*activity // by service; nothing is added after New
	eventless  map[string]bool      // services of registries that never report events
	tarpit     *tarpit
}

// New returns a Server. It starts no goroutine.
func New(o Options) *Server {
	o.TokenPath = cmp.Or(o.TokenPath, "/token")
	o.NotificationsPath = cmp.Or(o.NotificationsPath, "/notifications")
	o.Now = clock.Wall(o.Now)
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	if o.Metrics == nil {
		o.Metrics = NewMetrics()
	}
	if o.Misconfigurations == nil {
		o.Misconfigurations = NewMisconfigurations()
	}
	s := &Server{
		Options:    o,
		senders:    hideSenders(o.Senders),
		tarpit:     newTarpit(o.Pause),
		activities: make(map[string]*activity),
		eventless:  make(map[string]bool),
	}
	for _, sender := range o.Senders {
		s.activities[sender.Service] = o.Metrics.activity(sender.Service)
		s.eventless[sender.Service] = sender.Eventless
	}
	return s
}

// Handler returns a handler of the given groups. All other paths answer 404.
func (s *Server) Handler(groups ...EndpointGroup) http.Handler {
	mux := http.NewServeMux()
	for _, f := range groups {
		switch f {
		case Token:
			mux.Handle(s.TokenPath, s.handle(s.token))
			for _, path := range s.TokenAliases {
				mux.Handle(path, s.handle(s.token))
			}
		case Notifications:
			mux.Handle(s.NotificationsPath, s.handle(s.notifications))
		case Keys:
			mux.Handle("GET /.well-known/jwks.json", s.handle(s.keys))
			if s.Checkpoints != nil {
				mux.Handle("GET /journal/checkpoint", s.handle(s.checkpoint))
				mux.Handle("GET /journal/key", s.handle(s.journalKey))
			}
		case Health:
			mux.Handle("GET /healthz", s.handle(s.healthz))
			mux.Handle("GET /readyz", s.handle(s.readyz))
		case Metric:
			if s.Gather != nil {
				mux.Handle("GET /metrics", s.handle(delegate(s.Gather)))
			}
		case API:
			if s.API != nil {
				mux.Handle("/api/", s.handle(delegate(s.API)))
				mux.Handle("GET /openapi.json", s.handle(delegate(s.API)))
			}
		}
	}
	mux.Handle("/", s.handle(s.notFound))
	return mux
}

// A handler returns an error only if it has written nothing.
type handler func(http.ResponseWriter, *http.Request) error

// delegate wraps a handler of another package, which writes its own errors.
func delegate(h http.Handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		h.ServeHTTP(w, r)
		return nil
	}
}

// handle turns a handler into an http.Handler. The http.Handler writes errors as responses, and
// recovers panics.
func (s *Server) handle(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if p := recover(); p != nil && p != http.ErrAbortHandler { //nolint:errorlint // it is a value, never wrapped
				s.fail(w, r, Panicked(p))
			}
		}()
		if overLimit(r) {
			w.Header().Set("Connection", "close")
			s.fail(w, r, errTooManyConnections)
			return
		}
		if err := h(w, r); err != nil {
			s.fail(w, r, err)
		}
	})
}

// notFound handles paths without a handler. If a registry's config has a wrong path for tokens or
// events, clients show little about the cause. So the request is logged for the operator.
func (s *Server) notFound(w http.ResponseWriter, r *http.Request) error {
	forToken := wantsToken(w, r)
	if r.URL.Path == "/" && (r.Method == http.MethodGet || r.Method == http.MethodHead) && !forToken {
		return s.welcome(w)
	}
	e := problem(http.StatusNotFound, codeUnsupported,
		"not found: clients get tokens at %s, registries post events to %s", s.TokenPath, s.NotificationsPath)
	switch {
	case postsEvents(r):
		e.kind = wrongNotification
	case forToken:
		e.kind = wrongTokenPath
	}
	return e
}

// eventsType is the prefix of the media types that registries post.
const eventsType = "application/vnd.docker.distribution.events."

// postsEvents reports whether a request looks like the notification of a registry.
func postsEvents(r *http.Request) bool {
	return r.Method == http.MethodPost && strings.HasPrefix(r.Header.Get("Content-Type"), eventsType)
}

// wantsToken reports whether a request looks like a token request, on any path. It reads the
// body of a form.
func wantsToken(w http.ResponseWriter, r *http.Request) bool {
	if strings.Contains(r.URL.RawQuery, "service=") || strings.Contains(r.URL.RawQuery, "scope=") {
		return true
	}
	if r.Method != http.MethodPost {
		return false
	}
	_, err := tokenserver.Decode(w, r)
	return err == nil
}

// welcome describes the server to a browser, and to the default check of a load balancer.
func (s *Server) welcome(w http.ResponseWriter) error {
	header := w.Header()
	header["Content-Type"] = []string{"text/plain; charset=utf-8"}
	header["X-Content-Type-Options"] = []string{"nosniff"}
	_, _ = fmt.Fprintf(w, "Tidewaiter, the authorization service for container registries, runs here.\n"+
		"Registries send their clients to %s for tokens and post events to %s.\n"+
		"To use a registry, run docker login with the registry's own address.\n", s.TokenPath, s.NotificationsPath)
	return nil
}

// keys serves the public keys (JWKS), which registries may read from a file.
func (s *Server) keys(w http.ResponseWriter, _ *http.Request) error {
	header := w.Header()
	header["Content-Type"] = []string{"application/jwk-set+json"}
	header["Cache-Control"] = []string{"public, max-age=300"}
	_, _ = w.Write(s.Issuer.Live().Keys.JWKS())
	return nil
}

// checkpoint serves the newest signed root of the journal's tree. A checkpoint reveals only the
// number of entries.
func (s *Server) checkpoint(w http.ResponseWriter, _ *http.Request) error {
	return writeNote(w, s.Checkpoints.Latest(), "no checkpoint is signed yet")
}

// journalKey serves the public key that verifies the checkpoints.
func (s *Server) journalKey(w http.ResponseWriter, _ *http.Request) error {
	var line []byte
	if key := s.Checkpoints.Key; key != "" {
		line = []byte(key + "\n")
	}
	return writeNote(w, line, "the journal's checkpoints are not signed")
}

func writeNote(w http.ResponseWriter, text []byte, missing string) error {
	header := w.Header()
	header["Content-Type"] = []string{"text/plain; charset=utf-8"}
	header["X-Content-Type-Options"] = []string{"nosniff"}
	header["Cache-Control"] = []string{"no-cache"}
	if text == nil {
		w.WriteHeader(http.StatusNotFound)
		text = []byte(missing + "\n")
	}
	_, _ = w.Write(text)
	return nil
}
