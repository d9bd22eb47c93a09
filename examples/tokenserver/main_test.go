package main

import (
	"encoding/json"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/token"
)

// noon is the time in the tests.
var noon = time.Date(2036, 11, 23, 12, 0, 0, 0, time.UTC)

func TestCustomersGetTokens(t *testing.T) {
	folder := t.TempDir()
	if _, err := openRoot(folder, noon); err != nil {
		t.Fatal(err)
	}
	root, err := openRoot(folder, noon) // the root that was created above
	if err != nil {
		t.Fatal(err)
	}
	now := noon
	handler, err := newHandler(root, "registry.example.com", func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	registry, err := token.NewVerifier(token.VerifierOptions{Roots: root.Bundle(), Issuer: "shop", Audience: "registry.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, password, scope string
		status                int
		granted               string
	}{
		{"ann", "wonderland", "repository:ann/app:pull,push", 200, "repository:ann/app:pull,push"},
		{"ann", "wonderland", "repository:pro/app:pull,push", 200, "repository:pro/app:pull"},
		{"bob", "can we fix it", "repository:pro/app:pull", 200, ""},
		{"bob", "can we fix it", "repository:ann/app:pull", 200, ""},
		{"", "", "repository:free/app:pull", 200, "repository:free/app:pull"},
		{"ann", "wrong", "repository:free/app:pull", 401, ""},
		{"eve", "", "repository:free/app:pull", 401, ""},
	} {
		now = now.Add(11 * time.Hour) // leaves are renewed
		r := httptest.NewRequest("GET", "/token?service=registry.example.com&scope="+tt.scope, nil)
		if tt.name != "" {
			r.SetBasicAuth(tt.name, tt.password)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != tt.status {
			t.Errorf("%s: status %d: %s", tt.name, w.Code, w.Body)
		}
		if w.Code != 200 {
			continue
		}
		var answer struct{ Token, Scope string }
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
		claims, err := registry.Verify(answer.Token, now)
		if err != nil {
			t.Fatal(err)
		}
		if answer.Scope != tt.granted || claims.Subject != tt.name {
			t.Errorf("%s got %q as %q, want %q", tt.name, answer.Scope, claims.Subject, tt.granted)
		}
	}
}
