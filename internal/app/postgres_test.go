package app_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/app"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
)

// While PostgreSQL is stopped, requests that need the database get the answer for an outage, and
// all other requests succeed. When PostgreSQL runs again, all requests succeed.
func TestAnOutageOfPostgreSQLAffectsOnlyWhatNeedsIt(t *testing.T) {
	s := storetest.NewServer(t)
	f := newFolder(t)
	cfg := f.load(anyPort + rule("a"))
	cfg.Database = s.Database(t, "template0")
	a, err := app.New(t.Context(), cfg, app.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, a)
	ask := func(method, path, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		if method == "POST" {
			r.Header.Set("Authorization", "Bearer a-secret-that-is-long")
		}
		w := httptest.NewRecorder()
		a.Handler().ServeHTTP(w, r)
		return w
	}
	event := `{"events": [{"id": "1", "timestamp": "2026-11-23T12:00:00Z", "action": "push", "target": {"repository": "a", "tag": "v1"}}]}`
	for _, tt := range []struct {
		when   string
		begin  func() error
		status int
	}{
		{"at first", nil, http.StatusOK},
		{"while PostgreSQL is stopped", s.Stop, http.StatusServiceUnavailable},
		{"after PostgreSQL is started again", s.Start, http.StatusOK},
	} {
		if tt.begin != nil {
			if err := tt.begin(); err != nil {
				t.Fatal(err)
			}
		}
		if w := ask("POST", "/notifications", event); w.Code != tt.status || tt.status != 200 && w.Header().Get("Retry-After") == "" {
			t.Errorf("%s: an event: %d %v %s", tt.when, w.Code, w.Header(), w.Body)
		}
		if w := ask("GET", "/readyz", ""); w.Code != tt.status {
			t.Errorf("%s: readiness: %d %s", tt.when, w.Code, readableBody(w))
		}
		if got := requestScopes(t, a.Handler()); got != "repository:a:pull" {
			t.Errorf("%s: granted %s", tt.when, got)
		}
	}
	n := 0
	for e, err := range a.Journal().Read(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Event != nil {
			n++
		}
	}
	if n != 1 {
		t.Errorf("the journal has the event %d times", n)
	}
}
