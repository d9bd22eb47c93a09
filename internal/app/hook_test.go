package app_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/app"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
)

func TestAWebhookAuthenticatesAndAuthorizes(t *testing.T) {
	var down atomic.Bool
	shop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case down.Load():
			w.WriteHeader(http.StatusBadGateway)
		case r.URL.Path == "/decide":
			_, _ = io.WriteString(w, `{"scopes":[{"type":"repository","name":"b","granted":["pull"]}]}`)
		case strings.Contains(string(body), `"password":"wonderland"`):
			_, _ = io.WriteString(w, `{"answer":"accepted","name":"carol","id":"1"}`)
		default:
			_, _ = io.WriteString(w, `{"answer":"rejected"}`)
		}
	}))
	defer shop.Close()
	f := newFolder(t)
	settings := fmt.Sprintf("identity: [{ webhook: { name: shop, url: %q } }]\nauthorizer: { webhook: { name: shop, url: %q, grants: replace } }\n", shop.URL+"/in", shop.URL+"/decide")
	cfg := f.loadWith(settings + anyPort + rule("a"))
	a, err := app.New(t.Context(), cfg, app.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, a)
	ask := func(password string) (int, string) {
		r := httptest.NewRequest("GET", "/token?service=r.example.com&scope=repository:a:pull&scope=repository:b:pull", nil)
		r.SetBasicAuth("carol", password)
		w := httptest.NewRecorder()
		a.Handler().ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	if code, body := ask("wonderland"); code != 200 || !strings.Contains(body, `"scope":"repository:b:pull"`) {
		t.Errorf("%d %s", code, body)
	}
	if code, _ := ask("guess"); code != 401 {
		t.Errorf("a wrong password: %d", code)
	}
	down.Store(true)
	if code, _ := ask("wonderland"); code != 503 {
		t.Errorf("while the webhook is down: %d", code)
	}
}

// If a webhook can look up users, its users get refresh tokens. A refresh token ends when the
// webhook reports that the account is closed.
func TestUsersOfAWebhookHaveRefreshTokens(t *testing.T) {
	var closedThere atomic.Bool
	shop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		accepted := strings.Contains(string(body), `"password":"wonderland"`) || strings.Contains(string(body), `{"find":{"name":"carol","id":"1"}}`)
		if accepted && !closedThere.Load() {
			_, _ = io.WriteString(w, `{"answer":"accepted","name":"carol","id":"1","groups":["paying"]}`)
			return
		}
		_, _ = io.WriteString(w, `{"answer":"unknown"}`)
	}))
	defer shop.Close()
	for _, find := range []bool{false, true} {
		f := newFolder(t)
		cfg := f.loadWith(fmt.Sprintf("identity: [{ accounts: {} }, { webhook: { name: shop, url: %q, find: %t } }]\n", shop.URL, find) + anyPort + rule("a"))
		a, err := app.New(t.Context(), cfg, app.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer closed(t, a)
		code, refresh := postGrant(a.Handler(), url.Values{"grant_type": {"password"}, "username": {"carol"}, "password": {"wonderland"}, "access_type": {"offline"}})
		if code != 200 || (refresh != "") != find {
			t.Fatalf("find: %t: %d, with a refresh token: %t", find, code, refresh != "")
		}
		if !find {
			continue
		}
		if code, _ := postGrant(a.Handler(), url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}}); code != 200 {
			t.Errorf("the refresh token: %d", code)
		}
		closedThere.Store(true)
		if code, _ := postGrant(a.Handler(), url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}}); code != 401 {
			t.Errorf("the refresh token of a closed account: %d", code)
		}
	}
}

// Errors in the settings of a webhook have a position in the config.
func TestErrorsInAWebhookHaveAPosition(t *testing.T) {
	f := newFolder(t)
	cfg := f.loadWith("identity: [{ webhook: { name: shop, url: \"http://shop.example.com/in\" } }]\n" + anyPort + rule("a"))
	_, err := app.New(t.Context(), cfg, app.Options{})
	problems, ok := errors.AsType[strictyaml.Problems](err)
	if !ok || len(problems) != 1 || problems[0].Line == 0 || !strings.Contains(problems[0].Text, "unencrypted") {
		t.Errorf("%v", err)
	}
	if wrong := check(t, cfg); len(wrong) != 1 || wrong[0] != problems[0] {
		t.Errorf("check: %v", wrong)
	}
	good := f.loadWith("identity: [{ webhook: { name: shop, url: \"https://shop.example.com/in\" } }]\n" +
		"authorizer: { webhook: { name: shop, url: \"https://shop.example.com/decide\" } }\n" + anyPort + rule("a"))
	if wrong := check(t, good); len(wrong) != 0 {
		t.Errorf("check of a valid config: %v", wrong)
	}
	bad := f.loadWith("authorizer: { exec: { name: shop, command: [decide] } }\n" + anyPort + rule("a"))
	if wrong := check(t, bad); len(wrong) != 1 || !strings.Contains(wrong[0].Text, "must be absolute") {
		t.Errorf("the check of a program without an absolute path: %v", wrong)
	}
}

// A reload must not discard the counts. Otherwise an attacker could guess again after each reload.
func TestFailuresAreCountedAcrossReloads(t *testing.T) {
	f := newFolder(t)
	limits := "limits: { max_failures_per_pair: 2, max_delay: 1h }\n"
	a, err := app.New(t.Context(), f.load(limits+anyPort+rule("a")), app.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, a)
	guess := func(password string) int {
		r := httptest.NewRequest("GET", "/token?service=r.example.com", nil)
		r.SetBasicAuth("ann", password)
		w := httptest.NewRecorder()
		a.Handler().ServeHTTP(w, r)
		return w.Code
	}
	var codes []int
	for i := range 12 { // the delays double, so the final delay is longer than the test
		codes = append(codes, guess(fmt.Sprint("guess ", i)))
	}
	if codes[0] != 401 || codes[11] != 429 {
		t.Fatalf("%v", codes)
	}
	before := a.Limiter()
	if err := a.Reload(t.Context(), f.load(limits+anyPort+rule("b"))); err != nil {
		t.Fatal(err)
	}
	if after := a.Limiter(); after == nil || after != before {
		t.Error("a reload with the same limits discards the counts")
	}
	if err := a.Reload(t.Context(), f.load("limits: { throttle: false }\n"+anyPort+rule("b"))); err != nil {
		t.Fatal(err)
	}
	if code := guess("another"); code != 401 || a.Limiter() != nil {
		t.Errorf("with throttle: false: %d", code)
	}
}

// loadWith reads a config whose identity section is the given text.
func (f *folder) loadWith(more string) *config.Config {
	f.Helper()
	f.write("external.yaml", "database: sqlite:state.db\nsigning: { root: { folder: . } }\nregistries: [{ service: r.example.com }]\n"+more)
	cfg, err := config.Load(f.dir+string(os.PathSeparator)+"external.yaml", config.Options{})
	if err != nil {
		f.Fatal(err)
	}
	return cfg
}
