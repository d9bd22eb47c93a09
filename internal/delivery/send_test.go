package delivery_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/delivery"
)

// test sends a test message to a URL over HTTP.
func (f *fixture) test(url string, private bool) delivery.Attempt {
	f.t.Helper()
	d, err := delivery.New(f.db, f.journal, delivery.Options{Webhooks: []delivery.Webhook{{Name: "ci", URL: url, Private: private}}, Now: f.clock})
	if err != nil {
		f.t.Fatal(err)
	}
	a, err := d.Test(f.t.Context(), admin.Operator("root"), "ci")
	if err != nil {
		f.t.Fatal(err)
	}
	delivery.CloseIdle(d)
	return a
}

func TestThreatRedirectsAreNotFollowed(t *testing.T) {
	f := newFixture(t, "sqlite::memory:")
	var followed atomic.Bool
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/other" {
			followed.Store(true)
			return
		}
		http.Redirect(w, r, "/other", http.StatusTemporaryRedirect)
	}))
	defer s.Close()
	a := f.test(s.URL, true)
	if a.Status != http.StatusTemporaryRedirect || !strings.Contains(a.Problem, "redirect") || followed.Load() {
		t.Errorf("%+v, followed: %t", a, followed.Load())
	}
}

func TestThreatAPrivateEndpointIsRefused(t *testing.T) {
	f := newFixture(t, "sqlite::memory:")
	var reached atomic.Bool
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store(true) }))
	defer s.Close()
	for _, url := range []string{s.URL, strings.Replace(s.URL, "127.0.0.1", "localhost", 1), strings.Replace(s.URL, "127.0.0.1", "[::ffff:127.0.0.1]", 1)} {
		if a := f.test(url, false); reached.Load() || a.Status != 0 || !strings.Contains(a.Problem, "set private_addresses: true for the webhook") {
			t.Errorf("%s: %+v", url, a)
		}
	}
	if a := f.test(s.URL, true); a.Status != 200 || a.Problem != "" {
		t.Errorf("with the setting: %+v", a)
	}
}

func TestAnEndlessAnswerIsNotRead(t *testing.T) {
	f := newFixture(t, "sqlite::memory:")
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	}))
	defer s.Close()
	if a := f.test(s.URL, true); a.Status != 200 || a.Problem != "" {
		t.Errorf("%+v", a)
	}
}
