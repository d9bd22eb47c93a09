package app_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/app"
	"github.com/tidewaiter/tidewaiter/internal/await"
	"github.com/tidewaiter/tidewaiter/internal/clock/clocktest"
	"github.com/tidewaiter/tidewaiter/internal/credentials"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/logging"
	"github.com/tidewaiter/tidewaiter/internal/server"
)

// The test puts a token of each kind into each field and header of a request, plain and wrapped in
// other text. The token must not appear in the log, the journal, a file of the database, a metric
// or a response, and must not be sent to a webhook.
func TestAMisplacedSecretIsStoredNowhere(t *testing.T) {
	var asked await.Log
	shop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(&asked, r.Body)
		_, _ = io.WriteString(w, `{"answer":"rejected"}`)
	}))
	defer shop.Close()
	f := newFolder(t)
	var log await.Log
	cfg := f.loadWith(fmt.Sprintf("identity: [{ accounts: {} }, { htpasswd: { file: users } }, { webhook: { name: shop, url: %q } }]\n", shop.URL) + `
listen: [{ address: "127.0.0.1:0", serve: [token, notifications, keys, health, metrics, api] }]
notifications: { open: true }
` + rule("**"))
	clock := clocktest.Noon()
	a, err := app.New(t.Context(), cfg, app.Options{Log: logging.New(&log, "text", "debug"), Now: clock.Now, Hashing: cheapHashes})
	if err != nil {
		t.Fatal(err)
	}
	log.Take() // the log contains the secret for the first administrator on purpose
	operator := admin.Operator("root")
	if _, err := a.Accounts().AddUser(t.Context(), operator, accounts.NewUser{Name: "bob", Password: identity.NewSecret("a long sentence")}); err != nil {
		t.Fatal(err)
	}
	_, access, err := a.Accounts().Credentials.AddToken(t.Context(), operator, credentials.NewToken{Owner: credentials.Owner{Name: "bob"}, Name: "laptop"})
	if err != nil {
		t.Fatal(err)
	}
	_, robot, err := a.Accounts().AddRobot(t.Context(), operator, accounts.NewRobot{Name: "ci"})
	if err != nil {
		t.Fatal(err)
	}
	bob := identity.NewPresented("bob", "a long sentence")
	bob.Registry = "r.example.com"
	who, err := a.Accounts().Authenticate(t.Context(), bob)
	if err != nil {
		t.Fatal(err)
	}
	refresh, err := a.Accounts().Credentials.IssueRefresh(t.Context(), bob, who)
	if err != nil {
		t.Fatal(err)
	}
	_, session, err := a.Accounts().Credentials.StartSession(t.Context(), bob, who)
	if err != nil {
		t.Fatal(err)
	}
	b64 := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	secrets := map[string]string{
		"access": access.Reveal(), "robot": robot.Reveal(), "refresh": refresh.Reveal(), "session": session.Reveal(),
		"ID token": b64(`{"alg":"ES256","kid":"k"}`) + "." + b64(`{"sub":"canary-of-an-id-token"}`) + "." + b64("canary of a signature"),
		"unsigned": b64(`{"alg":"none"}`) + "." + b64(`{"sub":"canary-without-signature"}`) + ".",
		"JWE":      b64(`{"alg":"dir","enc":"A128GCM"}`) + "." + b64("canary of a key") + "." + b64("canary of an iv") + "." + b64("canary of a text") + "." + b64("canary of a tag"),
	}
	basic := func(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte("ann:"+s)) }
	wrappings := []func(string) string{
		func(s string) string { return s }, func(s string) string { return `"` + s + `"` }, func(s string) string { return "Bearer " + s },
		func(s string) string { return `{"value":"` + s + `"}` }, func(s string) string { return "docker/28.2 (" + s + ")" },
		func(s string) string { return s + "=" },
		basic, func(s string) string { return "docker/28.2 Authorization: " + basic(s) + " (linux)" },
		func(s string) string { return s[:20] + " " + s[20:] }, func(s string) string { return "docker/28.2 " + s[:30] + " \t" + s[30:] + " (linux)" },
	}
	h := a.Handler(server.Token, server.Notifications, server.Keys, server.Health, server.Metric, server.API)
	answers := make(map[string]string)
	send := func(what string, r *http.Request) {
		clock.Pass(5 * time.Minute) // the delay after failed sign-ins is over
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		answers[what] = fmt.Sprint(w.Header(), w.Body)
	}
	const ask = "/token?service=r.example.com&scope=repository:a:pull"
	for kind, s := range secrets {
		for i, wrap := range wrappings {
			text, at := wrap(s), func(place string) string { return fmt.Sprintf("%s, wrapped as %d, in %s", kind, i, place) }
			for _, name := range []string{"client_id", "scope", "service", "account", "access_type", "offline_token", "nonce", s} {
				values := url.Values{"service": {"r.example.com"}, "scope": {"repository:a:pull"}}
				values.Set(name, text)
				send(at("the parameter "+name), httptest.NewRequest("GET", "/token?"+values.Encode(), nil))
				values.Set("grant_type", "password")
				values.Set("username", "bob")
				values.Set("password", "a long sentence")
				send(at("the form's "+name), newPost(values))
			}
			for _, one := range []string{"repository:" + text + ":pull", "repository:a:" + text, text + ":a:pull", "registry:" + text + ":*", "repository(" + text + "):a:pull"} {
				send(at("the scope "+one[:3]), httptest.NewRequest("GET", "/token?"+url.Values{"service": {"r.example.com"}, "scope": {one}}.Encode(), nil))
			}
			send(at("grant_type"), newPost(url.Values{"service": {"r.example.com"}, "grant_type": {text}}))
			send(at("username"), newPost(url.Values{"service": {"r.example.com"}, "grant_type": {"password"}, "username": {text}, "password": {"x-oauth-basic"}}))
			send(at("username and password"), newPost(url.Values{"service": {"r.example.com"}, "grant_type": {"password"}, "username": {text}, "password": {text}}))
			send(at("password"), newPost(url.Values{"service": {"r.example.com"}, "grant_type": {"password"}, "username": {"carol"}, "password": {text}}))
			if i > 0 { // the response to a valid refresh token contains the token
				send(at("refresh_token"), newPost(url.Values{"service": {"r.example.com"}, "grant_type": {"refresh_token"}, "refresh_token": {text}}))
			}
			for _, header := range []string{"User-Agent", "X-Forwarded-For", "Referer", "Origin", "Accept", "X-Request-Id", "Via"} {
				r := httptest.NewRequest("GET", ask, nil)
				r.Header.Set(header, text)
				send(at(header), r)
				r = httptest.NewRequest("GET", "/api/v1/whoami", nil)
				r.Header.Set(header, text)
				r.SetBasicAuth("bob", "a long sentence")
				send(at("the API's "+header), r)
			}
			r := httptest.NewRequest("GET", ask, nil)
			r.SetBasicAuth("carol", text)
			send(at("Basic"), r)
			r = httptest.NewRequest("GET", ask, nil)
			r.Header.Set("Authorization", text)
			send(at("Authorization"), r)
			send(at("the path"), httptest.NewRequest("GET", "/"+url.PathEscape(text), nil))
			send(at("the API's path"), httptest.NewRequest("GET", "/api/v1/users/"+url.PathEscape(text), nil))
			for _, post := range []struct{ path, body string }{
				{"users", `{"name":%s,"password":"long enough to be one"}`}, {"users", `{"name":"dora","password":%s}`}, {"session", `{"name":%s,"password":"x"}`},
				{"session", `{"name":"bob","password":%s}`}, {"explain", `{"as":%s,"actions":["pull"],"repository":"a"}`}, {"explain", `{"actions":["pull"],"repository":"a","client":%s,"ip":%[1]s}`},
				{"groups", `{"name":%s}`}, {"groups", `{%s:1}`}, {"robots", `{"name":%s}`}, {"tokens", `{"name":%s}`}, {"account/password", `{"current":%s,"password":%[1]s}`},
			} {
				value, _ := json.Marshal(text)
				r := httptest.NewRequest("POST", "/api/v1/"+post.path, strings.NewReader(fmt.Sprintf(post.body, value)))
				r.Header.Set("Content-Type", "application/json")
				r.Header.Set("Idempotency-Key", text)
				r.SetBasicAuth("bob", "a long sentence")
				send(at("the API's "+post.path+post.body), r)
			}
			value, _ := json.Marshal(text)
			r = httptest.NewRequest("POST", "/notifications", strings.NewReader(fmt.Sprintf(
				`{"events":[{"id":%[1]s,"action":"pull","timestamp":"2026-11-23T12:00:00Z","target":{"repository":%[1]s,"tag":%[1]s,"url":%[1]s},"actor":{"name":%[1]s},"request":{"id":%[1]s,"useragent":%[1]s,"host":%[1]s},"source":{"addr":%[1]s}},{"odd":%[1]s}]}`, value)))
			r.RemoteAddr = "127.0.0.1:1"
			send(at("an event"), r)
			r = httptest.NewRequest("POST", "/notifications", strings.NewReader(text))
			send(at("a body that is not an event"), r)
		}
	}
	r := httptest.NewRequest("GET", ask, nil)
	r.SetBasicAuth("carol", "an ordinary password")
	send("an ordinary password", r)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	answers["the metrics"] = w.Body.String()
	closed(t, a)

	kept := map[string]string{"the log": log.String(), "the requests to the webhook": asked.String()}
	files, err := filepath.Glob(filepath.Join(f.dir, "state.db*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		kept[filepath.Base(file)] = string(content)
	}
	for kind, s := range secrets {
		forms := []string{s, s[:len(s)-6], strings.TrimPrefix(basic(s), "Basic "), s[:20] + " ", " " + s[20:]}
		if parts := strings.Split(s, "."); len(parts) > 1 {
			forms = append(forms, parts[1]+"."+parts[2])
		}
		for _, form := range forms {
			for where, text := range kept {
				if i := strings.Index(text, form); i >= 0 {
					t.Errorf("%s is in %s: %q", kind, where, text[max(0, i-200):min(len(text), i+80)])
				}
			}
			for where, text := range answers {
				if i := strings.Index(text, form); i >= 0 {
					t.Errorf("%s is in the answer to %s: %q", kind, where, text[max(0, i-100):min(len(text), i+80)])
				}
			}
		}
	}
	if asked.String() == "" {
		t.Error("the webhook got no request, so the test proves nothing")
	}
	if !strings.Contains(log.String(), "[secret]") {
		t.Error("nothing in the log was redacted, so the test proves nothing")
	}
}
