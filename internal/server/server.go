// Package server is the face towards registries and their clients: the token endpoint, the receiver of
// events, public keys, health and metrics. A handler decodes, calls one room, encodes, and returns what
// went wrong; errors.go alone knows what that is over HTTP.
package server

import (
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
	"github.com/tidewaiter/tidewaiter/tokenserver"
)

// Options is what a Server needs. Issuer and Journal are required.
type Options struct {
	Issuer  *issuer.Issuer
	Journal *journal.Journal

	TokenPath         string   // default /token
	TokenAliases      []string // further paths of it
	NotificationsPath string   // default /notifications

	Senders        []Sender       // registries that may post events
	Open           bool           // anybody may post events
	TrustedProxies []netip.Prefix // whose X-Forwarded-For is believed
	PublicHost     string         // of the URL that clients know; "": not known, or clients are on this machine
	AllowedOrigins []string       // of web pages that may ask for tokens
	Pause          time.Duration  // before somebody is told to be throttled; 0: DefaultPause; negative: none

	Ready   []Check                    // what /readyz asks
	Notes   func(inFull bool) []string // what /readyz says beside that it is ready, in full to who may see all; nil: nothing
	Metrics *Metrics
	// Refusals logs requests that a wrong setup had refused; nil: one of its own.
	Refusals *Refusals
	Gather   http.Handler // answers /metrics
	API      http.Handler // answers /api/ and /openapi.json; nil: they are not served

	Now func() time.Time
	Log *slog.Logger
}

// Sender is a registry that posts events.
type Sender struct {
	Service   string
	Secret    identity.Secret // zero: only loopback may post for it
	Host      string          // host:port that its clients use: tells apart registries without a secret
	Eventless bool            // it reports nothing, so that nobody waits for its events
}

// Check is one thing that has to work before requests are sent here.
type Check struct {
	Name  string
	Ready func(context.Context) error
}

// Face is a part of what is served.
type Face string

// The faces.
const (
	Token         Face = "token"
	Notifications Face = "notifications"
	Keys          Face = "keys"
	Health        Face = "health"
	Metric        Face = "metrics"
	API           Face = "api"
)

// Server answers.
type Server struct {
	Options
	senders    []sender
	activities map[string]*activity // by service; nothing is added after New
	eventless  map[string]bool      // services of registries that report nothing
	pauses     *pauses
}

// New returns a Server. It starts nothing.
func New(o Options) *Server {
	if o.TokenPath == "" {
		o.TokenPath = "/token"
	}
	if o.NotificationsPath == "" {
		o.NotificationsPath = "/notifications"
	}
	o.Now = clock.Wall(o.Now)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics()
	}
	if o.Refusals == nil {
		o.Refusals = NewRefusals()
	}
	s := &Server{Options: o, senders: hideSenders(o.Senders), pauses: newPauses(o.Pause), activities: make(map[string]*activity), eventless: make(map[string]bool)}
	for _, sender := range o.Senders {
		s.activities[sender.Service] = o.Metrics.activity(sender.Service)
		s.eventless[sender.Service] = sender.Eventless
	}
	return s
}

// Handler returns a handler of some faces. What is not among them is not found there.
func (s *Server) Handler(faces ...Face) http.Handler {
	mux := http.NewServeMux()
	for _, f := range faces {
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
		case Health:
			mux.Handle("GET /healthz", s.handle(s.healthz))
			mux.Handle("GET /readyz", s.handle(s.readyz))
		case Metric:
			if s.Gather != nil {
				mux.Handle("GET /metrics", s.handle(served(s.Gather)))
			}
		case API:
			if s.API != nil {
				mux.Handle("/api/", s.handle(served(s.API)))
				mux.Handle("GET /openapi.json", s.handle(served(s.API)))
			}
		}
	}
	mux.Handle("/", s.handle(s.elsewhere))
	return mux
}

// handler returns what went wrong; nothing was written then.
type handler func(http.ResponseWriter, *http.Request) error

// served is a handler of another room, which writes itself what went wrong.
func served(h http.Handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		h.ServeHTTP(w, r)
		return nil
	}
}

// handle turns a handler into one of net/http: it maps errors, and keeps a panic to its own request.
func (s *Server) handle(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if p := recover(); p != nil && p != http.ErrAbortHandler { //nolint:errorlint // it is a value, never wrapped
				s.fail(w, r, panicked(p))
			}
		}()
		if surplus(r) {
			w.Header().Set("Connection", "close")
			s.fail(w, r, errCrowded)
			return
		}
		if err := h(w, r); err != nil {
			s.fail(w, r, err)
		}
	})
}

// elsewhere answers requests to a path that has no handler. A registry's config may name a wrong path for
// tokens or events: the client shows little of that, so the log tells the operator.
func (s *Server) elsewhere(w http.ResponseWriter, r *http.Request) error {
	forToken := wantsToken(w, r)
	if r.URL.Path == "/" && (r.Method == http.MethodGet || r.Method == http.MethodHead) && !forToken {
		return s.welcome(w)
	}
	e := problem(http.StatusNotFound, codeUnsupported,
		"nothing is here: clients get tokens at %s, registries post events to %s", s.TokenPath, s.NotificationsPath)
	switch {
	case postsEvents(r):
		e.kind = wrongNotification
	case forToken:
		e.kind = wrongTokenPath
	}
	return e
}

// eventsType begins the media type of what registries post.
const eventsType = "application/vnd.docker.distribution.events."

// postsEvents reports whether a registry sent a request.
func postsEvents(r *http.Request) bool {
	return r.Method == http.MethodPost && strings.HasPrefix(r.Header.Get("Content-Type"), eventsType)
}

// wantsToken reports whether a request is one for a token, wherever it was sent. It reads a form's body.
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

// welcome tells a browser, and a load balancer's default check, what this is.
func (s *Server) welcome(w http.ResponseWriter) error {
	header := w.Header()
	header["Content-Type"] = []string{"text/plain; charset=utf-8"}
	header["X-Content-Type-Options"] = []string{"nosniff"}
	_, _ = fmt.Fprintf(w, "Tidewaiter, the authorization service for container registries, runs here.\n"+
		"Registries send their clients to %s for tokens and post events to %s.\n"+
		"To use a registry, run docker login with the registry's own address.\n", s.TokenPath, s.NotificationsPath)
	return nil
}

// keys answers with the public keys that registries may be given in a file (JWKS).
func (s *Server) keys(w http.ResponseWriter, _ *http.Request) error {
	header := w.Header()
	header["Content-Type"] = []string{"application/jwk-set+json"}
	header["Cache-Control"] = []string{"public, max-age=300"}
	_, _ = w.Write(s.Issuer.Live().Keys.JWKS())
	return nil
}
