package server

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/issuer"
)

// Headers that never change; net/http only reads them.
var (
	headerJSON    = []string{"application/json"}
	headerNoStore = []string{"no-store"}
)

// token answers a request for a registry token.
func (s *Server) token(w http.ResponseWriter, r *http.Request) error {
	if s.crossOrigin(w, r) {
		return nil
	}
	if s.silent(r) {
		s.note(r, silentProxy, "host", brief(r.Host))
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
	if a := s.activities[service]; a != nil && a.granted(s.Now(), answer.Decision.Results) {
		s.note(r, noEvents, "registry", service)
	}
	writeAnswer(w, &answer)
	return nil
}

// crossOrigin lets pages of the allowed origins read answers, and answers the question that browsers ask
// before (CORS). It reports whether that was all. Credentials that the browser holds are not sent along:
// the page has to present its own.
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

// buffers hold a form or an answer, of about 2 kB, since the token stands in it twice. An answer may make one longer.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, bufferBytes); return &b }}

const bufferBytes = 4096

// writeAnswer writes what clients read: token for GET, access_token for POST, both always, because
// some know only one. There is no issued_at unless the registry's setting wants it: with it, clients compare
// our clock to theirs, and one that is late caches the token forever (buildkit). A token is [A-Za-z0-9._-], so it needs no escaping.
func writeAnswer(w http.ResponseWriter, a *issuer.Answer) {
	buffer := buffers.Get().(*[]byte)
	b := append((*buffer)[:0], `{"token":"`...)
	b = append(b, a.Token...)
	b = append(b, `","access_token":"`...)
	b = append(b, a.Token...)
	b = append(b, `","expires_in":`...)
	b = strconv.AppendInt(b, int64(a.ExpiresIn), 10)
	if a.Registry.ShowsIssuedAt {
		b = append(b, `,"issued_at":"`...)
		b = a.IssuedAt.UTC().Truncate(time.Second).AppendFormat(b, time.RFC3339)
		b = append(b, '"')
	}
	b = append(b, `,"scope":"`...)
	for i, n := 0, 0; i < len(a.Decision.Results); i++ {
		granted := a.Decision.Results[i].Asked
		if granted.Actions = a.Decision.Results[i].Granted; granted.Actions == 0 {
			continue
		}
		if n++; n > 1 {
			b = append(b, ' ')
		}
		b, _ = granted.AppendText(b) // never fails; what was parsed holds nothing that JSON escapes
	}
	b = append(b, '"')
	if secret := a.Refresh.Reveal(); secret != "" {
		b = append(b, `,"refresh_token":`...)
		b = appendString(b, strings.TrimSpace(secret))
	}
	b = append(b, "}\n"...)

	header := w.Header()
	header["Content-Type"] = headerJSON
	header["Cache-Control"] = headerNoStore
	header["Content-Length"] = []string{strconv.Itoa(len(b))}
	_, _ = w.Write(b) // the client is gone: nothing to be done
	*buffer = b
	buffers.Put(buffer)
}

// appendString writes a JSON string. What we make ourselves holds nothing to escape, and is copied.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			text, _ := json.Marshal(s) // strings always encode
			return append(b, text...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
