package server_test

import (
	"net/http/httptest"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/server"
)

// Harbor GHSA-prh4-vhfh-24mj and similar: the details of a problem can name files and rules,
// and can contain the text of the rules. Remote clients see only that the server is not ready.
func TestRemoteClientsSeeNoDetails(t *testing.T) {
	h := server.New(server.Options{Notes: func(inFull bool) []string {
		if inFull {
			return []string{"policy: last good version, rules.yaml:3: who may see the secret project"}
		}
		return []string{"policy: last good version"}
	}}).Handler(server.Health)
	for _, tt := range []struct{ from, host, forwarded, want string }{
		{"127.0.0.1:1000", "localhost:8080", "", "ready\npolicy: last good version, rules.yaml:3: who may see the secret project\n"},
		{"192.0.2.7:1000", "localhost:8080", "", "ready\npolicy: last good version\n"},
		{"127.0.0.1:1000", "auth.example.com", "", "ready\npolicy: last good version\n"},
		{"127.0.0.1:1000", "localhost:8080", "192.0.2.7", "ready\npolicy: last good version\n"},
	} {
		r := httptest.NewRequest("GET", "/readyz", nil)
		r.RemoteAddr, r.Host = tt.from, tt.host
		if tt.forwarded != "" {
			r.Header.Set("X-Forwarded-For", tt.forwarded)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != 200 || w.Body.String() != tt.want {
			t.Errorf("from %s for %s (%q): %d %q, want %q", tt.from, tt.host, tt.forwarded, w.Code, w.Body, tt.want)
		}
	}
}
