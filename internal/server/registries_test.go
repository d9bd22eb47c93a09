package server_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/issuer"
	"github.com/tidewaiter/tidewaiter/internal/server"
)

// The proxy cache of Harbor treats an answer without issued_at as expired.
func TestIssuedAt(t *testing.T) {
	h := newHarness(t, func(_ *server.Options, l *issuer.Live) { l.Registries["b.example.com"].ShowsIssuedAt = true })
	for service, want := range map[string]bool{"a.example.com": false, "b.example.com": true} {
		r := h.ask("GET", "/token?service="+service, "")
		var answer struct {
			IssuedAt *time.Time `json:"issued_at"`
		}
		if err := json.Unmarshal([]byte(r.Body), &answer); err != nil {
			t.Fatalf("%s: %v", r.Body, err)
		}
		if got := answer.IssuedAt != nil; got != want {
			t.Errorf("%s: the answer has issued_at: %v, want %v", service, got, want)
		}
		if want && answer.IssuedAt.Unix() < h.claims(r).IssuedAt {
			t.Errorf("%s: issued_at %v is before iat %d", service, answer.IssuedAt, h.claims(r).IssuedAt)
		}
	}
}

// The web interface of a registry requests tokens by JavaScript. A page of another origin cannot
// read these tokens.
func TestPagesOfAllowedOrigins(t *testing.T) {
	h := newHarness(t, func(o *server.Options, _ *issuer.Live) { o.AllowedOrigins = []string{"https://ui.example.com"} })
	for _, tt := range []struct {
		about, method, origin, asks string
		status                      int
		want                        map[string]string
	}{
		{"a page", "GET", "https://ui.example.com", "", 200, map[string]string{"Access-Control-Allow-Origin": "https://ui.example.com"}},
		{"the preflight request", "OPTIONS", "https://ui.example.com", "GET", 204, map[string]string{
			"Access-Control-Allow-Origin": "https://ui.example.com", "Access-Control-Allow-Methods": "GET, POST",
			"Access-Control-Allow-Headers": "Authorization, Content-Type", "Access-Control-Max-Age": "600"}},
		{"another page", "GET", "https://evil.example.com", "", 200, map[string]string{}},
		{"the preflight request of another page", "OPTIONS", "https://evil.example.com", "GET", 405, map[string]string{}},
		{"no page", "GET", "", "", 200, map[string]string{}},
	} {
		r := h.ask(tt.method, "/token?service=a.example.com", "", "Origin", tt.origin, "Access-Control-Request-Method", tt.asks)
		got := map[string]string{}
		for name := range r.Header {
			if len(name) > 15 && name[:15] == "Access-Control-" {
				got[name] = r.Header.Get(name)
			}
		}
		if r.Status != tt.status || !cmp.Equal(tt.want, got) {
			t.Errorf("%s: status %d, headers %v, want %d, %v", tt.about, r.Status, got, tt.status, tt.want)
		}
		if r.Header.Get("Access-Control-Allow-Credentials") != "" || r.Header.Get("Vary") != "Origin" {
			t.Errorf("%s: %v", tt.about, r.Header)
		}
	}
	if r := newHarness(t, nil).ask("GET", "/token?service=a.example.com", "", "Origin", "https://ui.example.com"); r.Header.Get("Access-Control-Allow-Origin") != "" || r.Header.Get("Vary") != "" {
		t.Errorf("without the setting: %v", r.Header)
	}
	if r := h.ask("GET", "/token?service=a.example.com", "", "Origin", "https://ui.example.com", "Authorization", basic("ann", "wrong")); r.Status != http.StatusUnauthorized || r.Header.Get("Access-Control-Allow-Origin") == "" {
		t.Errorf("a page cannot read that the password is wrong: %d %v", r.Status, r.Header)
	}
}
