package app_test

import (
	"bytes"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/app"
	"github.com/tidewaiter/tidewaiter/internal/logging"
	"github.com/tidewaiter/tidewaiter/internal/server"
)

// Tidewaiter detects a proxy that hides its clients by the host of the public URL. If that host is
// this machine, there is no such check.
func TestAProxyThatHidesItsClientsIsDetected(t *testing.T) {
	for public, told := range map[string]bool{
		"https://auth.example.com":      true,
		"https://auth.example.com:8443": true,
		"https://example.com":           false, // it is the request's own host
		"https://EXAMPLE.com:8443":      false,
		"http://localhost:5001":         false,
		"http://127.0.0.2:5001":         false,
		"http://[::1]:5001":             false,
	} {
		t.Run(public, func(t *testing.T) {
			var log bytes.Buffer
			a, err := app.New(t.Context(), newFolder(t).load(anyPort+rule("a")+"trusted_proxies: [192.0.2.0/24]\npublic_url: \""+public+"\"\n"), app.Options{Log: logging.New(&log, "text", "warn")})
			if err != nil {
				t.Fatal(err)
			}
			defer closed(t, a)
			r := httptest.NewRequest("GET", "/token?service=r.example.com", nil)
			a.Handler(server.Token).ServeHTTP(httptest.NewRecorder(), r)
			if got := strings.Contains(log.String(), "kind=silent_proxy"); got != told {
				t.Errorf("the log: %s", log.String())
			}
		})
	}
}
