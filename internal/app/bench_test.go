package app_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/app"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/credentials"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/logging"
)

// BenchmarkToken measures a token request without net/http. Requests are anonymous, or have a
// credential whose verification is cached. The token is signed at the first request and then
// reused. The time of the journal and the log is included.
func BenchmarkToken(b *testing.B) {
	f := newFolder(b)
	const asked = "/token?service=r.example.com&scope=repository%3Ateam%2Fapp%3Apull"
	f.write("tidewaiter.yaml", `
listen: [{ address: "127.0.0.1:0" }]
database: sqlite:state.db
signing: { root: { folder: . } }
token: { reuse: true }
registries: [{ service: r.example.com }]
identity: [{ accounts: {} }]
`+rule("team/**"))
	cfg := must(config.Load(f.dir+"/tidewaiter.yaml", config.Options{}))(b)
	a := must(app.New(b.Context(), cfg, app.Options{Log: logging.New(io.Discard, "text", "info")}))(b)
	ctx, stop := context.WithCancel(b.Context())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- a.Run(ctx, func() { close(ready) }) }()
	<-ready
	defer func() {
		stop()
		if err := <-done; err != nil {
			b.Error(err)
		}
	}()

	const password = "not a secret: made for one benchmark"
	operator := admin.Operator("root")
	if _, err := a.Accounts().AddUser(ctx, operator, accounts.NewUser{Name: "alice", Password: identity.NewSecret(password)}); err != nil {
		b.Fatal(err)
	}
	_, secret, err := a.Accounts().Credentials.AddToken(ctx, operator, credentials.NewToken{Owner: credentials.Owner{Name: "alice"}, Name: "laptop"})
	if err != nil {
		b.Fatal(err)
	}
	h := a.Handler()
	signedIn := func(secret, more string) *http.Request {
		r := httptest.NewRequest("GET", asked+more, nil)
		r.SetBasicAuth("alice", secret)
		return r
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, signedIn(password, "&offline_token=true&client_id=bench"))
	var answer struct {
		RefreshToken string `json:"refresh_token"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.RefreshToken == "" {
		b.Fatalf("no refresh token: %v: %s", err, w.Body)
	}
	form := url.Values{
		"client_id": {"bench"}, "grant_type": {"refresh_token"}, "refresh_token": {answer.RefreshToken},
		"service": {"r.example.com"}, "scope": {"repository:team/app:pull"},
	}.Encode()

	for _, one := range []struct {
		what    string
		request *http.Request
		body    string
	}{
		{"nobody", httptest.NewRequest("GET", asked, nil), ""},
		{"password", signedIn(password, ""), ""},
		{"access token", signedIn(secret.Reveal(), ""), ""},
		{"refresh token", httptest.NewRequest("POST", "/token", nil), form},
	} {
		one.request.RemoteAddr = "127.0.0.1:4711"
		if one.body != "" {
			one.request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			one.request.ContentLength = int64(len(one.body))
		}
		b.Run(one.what, func(b *testing.B) {
			b.ReportAllocs()
			w := &discarder{header: make(http.Header)}
			body := strings.NewReader("")
			for b.Loop() {
				body.Reset(one.body)
				one.request.Body = io.NopCloser(body)
				clear(w.header)
				h.ServeHTTP(w, one.request)
			}
			if w.wrong != 0 {
				b.Fatalf("answered %d", w.wrong)
			}
		})
	}
}

// discarder discards responses.
type discarder struct {
	header http.Header
	wrong  int // the last status that was not 200; 0: none
}

func (w *discarder) Header() http.Header         { return w.header }
func (w *discarder) Write(b []byte) (int, error) { return len(b), nil }
func (w *discarder) WriteHeader(status int) {
	if status != http.StatusOK {
		w.wrong = status
	}
}
