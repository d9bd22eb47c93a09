package server

import (
	"net/http"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/issuer"
	"github.com/tidewaiter/tidewaiter/internal/secret"
	"github.com/tidewaiter/tidewaiter/scope"
	"github.com/tidewaiter/tidewaiter/token"
	"github.com/tidewaiter/tidewaiter/tokenserver"
)

// token handles a registry token request.
func (s *Server) token(w http.ResponseWriter, r *http.Request) error {
	if s.crossOrigin(w, r) {
		return nil
	}
	if s.hidesClient(r) {
		s.note(r, silentProxy, "host", secret.Brief(r.Host, maxShown))
	}
	req, err := s.decodeTokenRequest(w, r)
	if err != nil {
		s.Metrics.Tokens.WithLabelValues(outcome(err)).Inc()
		return err
	}
	answer, err := s.Issuer.Issue(r.Context(), &req)
	if err != nil {
		s.Metrics.Tokens.WithLabelValues(outcome(err)).Inc()
		return err
	}
	s.Metrics.answered(answer.Reused)
	service := answer.Registry.Service
	if a := s.activities[service]; a != nil && a.recordToken(s.Now(), answer.Decision.Results) && !s.eventless[service] {
		s.note(r, noEvents, "registry", service)
	}
	var grants [8]scope.Scope
	written := tokenserver.Answer{
		Token: answer.Token, ExpiresIn: answer.ExpiresIn, RefreshToken: strings.TrimSpace(answer.Refresh.Reveal()),
		Granted: token.AppendGranted(grants[:0], answer.Decision.Results),
	}
	if answer.Registry.ShowsIssuedAt {
		written.IssuedAt = answer.IssuedAt
	}
	written.Write(w)
	return nil
}

// decodeTokenRequest decodes a token request, and logs signs of a wrong setup between the client
// and this server.
func (s *Server) decodeTokenRequest(w http.ResponseWriter, r *http.Request) (issuer.Request, error) {
	req, err := tokenserver.Decode(w, r)
	switch {
	case err != nil && postsEvents(r):
		return issuer.Request{}, knownError(err).ofKind(wrongNotification)
	case err != nil:
		return issuer.Request{}, err
	}
	if req.NamesAccount && r.Method != http.MethodPost && r.Header["Authorization"] == nil {
		// docker sends an account only together with a password, so the password was removed
		// on the way.
		s.note(r, droppedPassword)
	}
	if req.TooMuch != nil {
		s.note(r, tooManyScopes, "error", req.TooMuch)
	}
	var credentials identity.Presented
	switch req.Credentials.Kind {
	case tokenserver.None:
	case tokenserver.Password:
		credentials = identity.NewPresented(req.Credentials.Name, req.Credentials.Secret())
	case tokenserver.RefreshToken:
		credentials = identity.NewRefresh(req.Credentials.Secret())
	}
	s.setAddresses(r, &credentials)
	credentials.Client = req.Client
	return issuer.Request{
		Service: req.Service, Scopes: req.Scopes, Ignored: req.Ignored, Credentials: credentials,
		ShowsText: showsText(req.ClientID, r.UserAgent()),
		Offline:   req.Offline,
	}, nil
}

// crossOrigin sets the CORS headers for pages of the allowed origins, and answers preflight
// requests. It reports whether it has answered the request. The browser must not add credentials
// that it stores for this server, so the page has to present credentials itself.
func (s *Server) crossOrigin(w http.ResponseWriter, r *http.Request) (answered bool) {
	if len(s.AllowedOrigins) == 0 {
		return false
	}
	header := w.Header()
	header["Vary"] = []string{"Origin"}
	origin := r.Header.Get("Origin")
	if !slices.Contains(s.AllowedOrigins, origin) {
		return false
	}
	header["Access-Control-Allow-Origin"] = []string{origin}
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	header["Access-Control-Allow-Methods"] = []string{"GET, POST"}
	header["Access-Control-Allow-Headers"] = []string{"Authorization, Content-Type"}
	header["Access-Control-Max-Age"] = []string{"600"}
	w.WriteHeader(http.StatusNoContent)
	return true
}
