package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
)

// The response to every body is a success or a problem document, and never has a 5xx status. No
// error repeats a value of the body.
func FuzzBodies(f *testing.F) {
	h := newHarness(f, storetest.SQLite().Ready(f))
	h.addMember("root", admin.Administrators)
	_, secret := h.createToken("root", "t")
	const canary = "canary-that-sings"
	for _, seed := range []string{
		`{"name":"x"}`, `{"name":"x","password":"` + canary + `"}`, `{"name":"` + canary + ``, `{"name":"x","NAME":"y"}`, `{"expires":"2027-01-01T00:00:00Z"}`,
		`{"name":"x","restrictions":[{"names":["a/**"],"actions":["pull"]}]}`, `{"mine":true,"use":"access"}`, `{"overlap":1e400}`, "\xff", "null", "[[[[", `{"a":{"b":[{}]}}`,
	} {
		for i := range routes {
			f.Add(uint8(i), seed)
		}
	}
	f.Fuzz(func(t *testing.T, route uint8, body string) {
		r := routes[int(route)%len(routes)]
		if strings.Contains(r.path, "{") || r.method == http.MethodGet || strings.Contains(r.path, "root") {
			return
		}
		h := *h
		h.TB = t
		got := h.request(bearer(secret), r.method, r.path, body)
		if got.Status >= 500 || strings.Contains(got.Body, canary) && strings.Contains(body, `:"`+canary) && got.Status >= 400 {
			t.Fatalf("%s %s %q: %d %s", r.method, r.path, body, got.Status, got.Body)
		}
		if got.Status >= 400 && !json.Valid([]byte(got.Body)) {
			t.Fatalf("%s %s %q: %d %s", r.method, r.path, body, got.Status, got.Body)
		}
	})
}
