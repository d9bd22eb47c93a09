package server_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tidewaiter/tidewaiter/internal/issuer"
	"github.com/tidewaiter/tidewaiter/internal/server"
)

// Requests that fail because of a wrong setup are logged with advice.
func TestWrongSetupIsLogged(t *testing.T) {
	for _, tt := range []struct {
		about, method, target, body string
		header                      map[string]string
		status                      int
		kind, says                  string
	}{
		{"a wrong secret", "POST", "/notifications", "{}", map[string]string{"Authorization": "Bearer wrong"},
			http.StatusUnauthorized, "notification_secret", "compare the header Authorization"},
		{"a wrong path for events", "POST", "/events", "{}", map[string]string{"Content-Type": "application/vnd.docker.distribution.events.v2+json"},
			http.StatusNotFound, "notification_path", "correct the URL of the endpoint"},
		{"a wrong realm", "GET", "/auth?service=a.example.com&scope=repository:team/app:pull", "", nil,
			http.StatusNotFound, "token_path", "correct the realm"},
		{"a realm without a path", "GET", "/?service=a.example.com&scope=repository:team/app:pull", "", nil,
			http.StatusNotFound, "token_path", "correct the realm"},
		{"a wrong realm of a client that has a refresh token", "POST", "/auth", "grant_type=refresh_token&service=a.example.com&refresh_token=x", map[string]string{"Content-Type": formType},
			http.StatusNotFound, "token_path", "correct the realm"},
		{"a realm that leads to the path for events", "GET", "/notifications?service=a.example.com", "", nil,
			http.StatusMethodNotAllowed, "token_path", "correct the realm"},
		{"events for the path of tokens", "POST", "/token", "{}", map[string]string{"Content-Type": "application/vnd.docker.distribution.events.v1+json"},
			http.StatusUnsupportedMediaType, "notification_path", "correct the URL of the endpoint"},
		{"an unknown service", "GET", "/token?service=nobody", "", nil,
			http.StatusBadRequest, "unknown_service", "correct the service"},
		{"no service", "GET", "/token?scope=repository:team/app:pull", "", nil,
			http.StatusBadRequest, "missing_service", "set the service"},
		{"a proxy that drops passwords", "GET", "/token?service=a.example.com&account=ann", "", nil,
			http.StatusOK, "account_without_credentials", "forward the header Authorization"},
		{"too many scopes", "GET", "/token?service=a.example.com" + manyScopes(101), "", nil,
			http.StatusOK, "too_many_scopes", "1 left out"},
		{"a proxy that is not in trusted_proxies", "GET", "/token?service=a.example.com", "", map[string]string{"X-Forwarded-For": "192.0.2.1"},
			http.StatusOK, "untrusted_proxy", "add it to trusted_proxies"},
		{"a broken escape", "GET", "/token?service=a.example.com&scope=%zz", "", nil,
			http.StatusBadRequest, "bad_request", "invalid %-escape"},
		{"an unknown method", "PUT", "/token?service=a.example.com", "", nil,
			http.StatusMethodNotAllowed, "bad_request", "PUT"},
	} {
		t.Run(tt.about, func(t *testing.T) {
			metrics := server.NewMetrics()
			now := time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)
			h := newHarness(t, func(o *server.Options, _ *issuer.Live) {
				o.Metrics, o.Now = metrics, func() time.Time { return now }
			})
			ask := func() {
				t.Helper()
				r := httptest.NewRequest(tt.method, tt.target, strings.NewReader(tt.body))
				for k, v := range tt.header {
					r.Header.Set(k, v)
				}
				w := httptest.NewRecorder()
				h.handler.ServeHTTP(w, r)
				if w.Code != tt.status {
					t.Fatalf("status %d, want %d: %s", w.Code, tt.status, w.Body)
				}
			}
			lines := func() int { return strings.Count(h.log.String(), "kind="+tt.kind) }
			ask()
			if lines() != 1 || !strings.Contains(h.log.String(), tt.says) {
				t.Fatalf("the log has %d lines of %s, or no %q:\n%s", lines(), tt.kind, tt.says, h.log)
			}
			for range 5 {
				ask()
			}
			if lines() != 1 {
				t.Errorf("%d lines within a minute:\n%s", lines(), h.log)
			}
			now = now.Add(time.Minute)
			ask()
			if lines() != 2 || !strings.Contains(h.log.String(), "lines_not_logged=5") {
				t.Errorf("after a minute:\n%s", h.log)
			}
			registry := prometheus.NewRegistry()
			registry.MustRegister(metrics)
			w := httptest.NewRecorder()
			promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
			if want := `tidewaiter_refused_requests_total{kind="` + tt.kind + `"} 7` + "\n"; !strings.Contains(w.Body.String(), want) {
				t.Errorf("the metrics have no line %q:\n%s", want, w.Body)
			}
		})
	}
}

// Valid requests are not logged as a wrong setup. If the clock is set back, lines are still
// logged. Text from a client cannot break the log.
func TestValidRequestsAreNotLogged(t *testing.T) {
	now := time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)
	h := newHarness(t, func(o *server.Options, _ *issuer.Live) { o.Now = func() time.Time { return now } })
	ask := func(target string, basic ...string) {
		r := httptest.NewRequest("GET", target, nil)
		if len(basic) == 2 {
			r.SetBasicAuth(basic[0], basic[1])
		}
		h.handler.ServeHTTP(httptest.NewRecorder(), r)
	}
	ask("/token?service=a.example.com&account=ann&scope=repository:team/app:pull", "ann", annPassword)
	ask("/token?service=a.example.com")
	ask("/favicon.ico")
	ask("/")
	ask("/?utm_source=x")
	if strings.Contains(h.log.String(), "kind=") {
		t.Errorf("valid requests were logged:\n%s", h.log)
	}
	ask("/token?service=nobody%0Aexists")
	now = now.Add(-time.Hour)
	ask("/token?service=nobody")
	if n := strings.Count(h.log.String(), "kind=unknown_service"); n != 2 {
		t.Errorf("%d lines across a step back of the clock, want 2:\n%s", n, h.log)
	}
	for line := range strings.Lines(h.log.String()) {
		if !strings.HasPrefix(line, "time=") {
			t.Errorf("a stranger's line break is in the log: %q", line)
		}
	}
}

func TestRootDescribesTheServer(t *testing.T) {
	h := newHarness(t, nil)
	for _, method := range []string{"GET", "HEAD"} {
		w := httptest.NewRecorder()
		h.handler.ServeHTTP(w, httptest.NewRequest(method, "/", nil))
		if w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
			t.Errorf("%s /: %d %s", method, w.Code, w.Header())
		}
		if !strings.Contains(w.Body.String(), "/token") || strings.Count(w.Body.String(), "\n") != 3 {
			t.Errorf("%s /: not three lines with the token's path:\n%s", method, w.Body)
		}
	}
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, httptest.NewRequest("POST", "/", nil))
	if w.Code != http.StatusNotFound {
		t.Errorf("POST /: %d", w.Code)
	}
}

// A tool that mirrors a registry requests access to all of the registry's repositories at once.
func TestFirstOfTooManyScopesAreAnswered(t *testing.T) {
	h := newHarness(t, nil)
	for _, r := range []reply{
		h.ask("GET", "/token?service=a.example.com"+manyScopes(300), ""),
		h.ask("POST", "/token", "grant_type=password&service=b.example.com"+manyScopes(1500), "Content-Type", formType),
	} {
		if r.Status != http.StatusOK {
			t.Fatalf("status %d: %s", r.Status, r.Body)
		}
	}
	for i, left := range []string{"200 left out", "1400 left out"} {
		d := h.entries()[i].Decision
		if len(d.Results) != 100 || len(d.Ignored) != 1 || !strings.Contains(d.Ignored[0].Reason, left) {
			t.Errorf("the journal has %d results, and ignored %v, want 100 and %q", len(d.Results), d.Ignored, left)
		}
	}
}

// zot reports no events, so the log does not ask for notifications.
func TestNoEventsAreExpectedOfAnEventlessRegistry(t *testing.T) {
	now := time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)
	h := newHarness(t, func(o *server.Options, _ *issuer.Live) {
		o.Now = func() time.Time { return now }
		o.Senders = []server.Sender{{Service: "a.example.com", Eventless: true}}
	})
	for range 3 {
		if r := h.ask("GET", "/token?service=a.example.com&scope=repository:team/app:pull,push", "", "Authorization", basic("ann", annPassword)); r.Status != http.StatusOK {
			t.Fatalf("status %d: %s", r.Status, r.Body)
		}
		now = now.Add(time.Hour)
	}
	if strings.Contains(h.log.String(), "kind=no_events") {
		t.Errorf("the log:\n%s", h.log)
	}
}

// If clients push and the registry reports no events, the registry's notifications are set up
// wrongly.
func TestSilentRegistryIsLogged(t *testing.T) {
	now := time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)
	h := newHarness(t, func(o *server.Options, _ *issuer.Live) { o.Now = func() time.Time { return now } })
	push := func() {
		t.Helper()
		r := h.ask("GET", "/token?service=a.example.com&scope=repository:team/app:pull,push", "", "Authorization", basic("ann", annPassword))
		if r.Status != http.StatusOK {
			t.Fatalf("status %d: %s", r.Status, r.Body)
		}
	}
	told := func() int { return strings.Count(h.log.String(), "kind=no_events") }
	push()
	now = now.Add(9 * time.Minute)
	push()
	if told() != 0 {
		t.Errorf("nine minutes after a push:\n%s", h.log)
	}
	now = now.Add(time.Minute)
	push()
	if told() != 1 || !strings.Contains(h.log.String(), "registry=a.example.com") {
		t.Errorf("ten minutes after a push:\n%s", h.log)
	}
	event := `{"events":[{"id":"1","action":"push","target":{"repository":"team/app","digest":"sha256:` + strings.Repeat("a", 64) + `"}}]}`
	if r := h.ask("POST", "/notifications", event, "Authorization", "Bearer "+eventSecret); r.Status != http.StatusOK {
		t.Fatalf("status %d: %s", r.Status, r.Body)
	}
	now = now.Add(time.Hour)
	push()
	if told() != 1 {
		t.Errorf("the first push after an event:\n%s", h.log)
	}
}
