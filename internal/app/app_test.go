package app_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/app"
	"github.com/tidewaiter/tidewaiter/internal/await"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/doctor"
	"github.com/tidewaiter/tidewaiter/internal/logging"
	"github.com/tidewaiter/tidewaiter/internal/password"
	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
	"github.com/tidewaiter/tidewaiter/internal/text/texttest"
	"github.com/tidewaiter/tidewaiter/token"
)

// folder is a folder with a signing root and a config.
type folder struct {
	testing.TB
	dir string
}

func newFolder(t testing.TB) *folder {
	t.Helper()
	f := &folder{t, t.TempDir()}
	f.newRoot()
	hash, err := bcrypt.GenerateFromPassword([]byte("ann-password"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	f.write("users", "ann:"+string(hash)+"\n")
	return f
}

// newRoot writes a new root.
func (f *folder) newRoot() {
	f.Helper()
	// The root is valid now, and also at the time of a test's clock.
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	root, err := token.NewRoot("test", token.ES256, begin, begin.AddDate(100, 0, 0))
	if err != nil {
		f.Fatal(err)
	}
	key, err := root.KeyPEM()
	if err != nil {
		f.Fatal(err)
	}
	f.write("cert.pem", string(root.Bundle()))
	f.write("privatekey.pem", string(key))
}

// cheapHashes are the options with which new password hashes take little time.
var cheapHashes = password.Options{HashMemory: 64}

func (f *folder) write(name, text string) {
	f.Helper()
	if err := os.WriteFile(filepath.Join(f.dir, name), []byte(text), 0o600); err != nil {
		f.Fatal(err)
	}
}

const anyPort = `
listen: [{ address: "127.0.0.1:0" }]
`

// load reads a config that consists of the common parts and the given text.
func (f *folder) load(more string) *config.Config {
	f.Helper()
	f.write("tidewaiter.yaml", `
database: sqlite:state.db
signing: { root: { folder: . } }
registries: [{ service: r.example.com, notifications: { secret: a-secret-that-is-long } }]
identity: [{ htpasswd: { file: users } }]
`+more)
	cfg, err := config.Load(filepath.Join(f.dir, "tidewaiter.yaml"), config.Options{})
	if err != nil {
		f.Fatal(err)
	}
	return cfg
}

func rule(repository string) string {
	return fmt.Sprintf("policy: { rules: [{ name: r, subjects: [anyone], repositories: [%q], actions: [pull] }] }\n", repository)
}

// requestScopes requests pull of the repositories a and b, and returns the granted scopes.
func requestScopes(t testing.TB, h http.Handler) string {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/token?service=r.example.com&scope=repository:a:pull&scope=repository:b:pull", nil))
	_, after, ok := strings.Cut(w.Body.String(), `"scope":"`)
	if !ok {
		t.Fatalf("%d %s", w.Code, readableBody(w))
	}
	granted, _, _ := strings.Cut(after, `"`)
	return granted
}

// newPost returns a request that posts a form to the token endpoint.
func newPost(values url.Values) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader(values.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// postGrant posts a form as docker does, and returns the status and the refresh token of the
// response.
func postGrant(h http.Handler, form url.Values) (status int, refresh string) {
	form.Set("service", "r.example.com")
	form.Set("client_id", "docker")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, newPost(form))
	var response struct {
		Refresh string `json:"refresh_token"`
	}
	_ = json.Unmarshal(w.Body.Bytes(), &response)
	return w.Code, response.Refresh
}

// readableBody returns the body of an answer for the message of a failed test.
func readableBody(w *httptest.ResponseRecorder) string { return texttest.Readable(w.Body.String()) }

func closed(t testing.TB, a *app.App) {
	t.Helper()
	if err := a.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestAnAppCanBePartOfAnotherProgram(t *testing.T) {
	f := newFolder(t)
	a, err := app.New(t.Context(), f.load(anyPort+rule("a")), app.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, a)
	if got := requestScopes(t, a.Handler()); got != "repository:a:pull" {
		t.Errorf("granted %q", got)
	}
}

func TestReloadIsAllOrNothing(t *testing.T) {
	f := newFolder(t)
	a, err := app.New(t.Context(), f.load(anyPort+rule("a")), app.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, a)
	h := a.Handler()
	if err := a.Reload(t.Context(), f.load(anyPort+rule("b"))); err != nil {
		t.Fatal(err)
	}
	if got := requestScopes(t, h); got != "repository:b:pull" {
		t.Errorf("after a reload: %q", got)
	}
	for what, broken := range map[string]struct{ file, text string }{
		"users":       {"users", "ann:plain-text\n"},
		"certificate": {"cert.pem", "no certificate"},
	} {
		before, err := os.ReadFile(filepath.Join(f.dir, broken.file))
		if err != nil {
			t.Fatal(err)
		}
		cfg := f.load(anyPort + rule("a"))
		f.write(broken.file, broken.text)
		if err := a.Reload(t.Context(), cfg); err == nil {
			t.Errorf("%s: the reload succeeded", what)
		}
		f.write(broken.file, string(before))
		if got := requestScopes(t, h); got != "repository:b:pull" {
			t.Errorf("%s: after a failed reload: %q", what, got)
		}
	}
}

func TestAnInvalidConfigCreatesNoDatabase(t *testing.T) {
	f := newFolder(t)
	cfg := f.load(anyPort + rule("a"))
	f.write("privatekey.pem", "nothing")
	if _, err := app.New(t.Context(), cfg, app.Options{}); err == nil {
		t.Fatal("started without a key")
	}
	if _, err := os.Stat(filepath.Join(f.dir, "state.db")); !os.IsNotExist(err) {
		t.Errorf("the database: %v", err)
	}
}

// address returns the address of listener n, from the log.
func address(t testing.TB, log *await.Log, n int) string {
	t.Helper()
	lines := strings.Split(log.String(), "\n")
	for _, line := range lines {
		if _, after, ok := strings.Cut(line, "msg=listening address="); ok {
			if n--; n < 0 {
				at, _, _ := strings.Cut(after, " ")
				return at
			}
		}
	}
	t.Fatalf("not listening:\n%s", log)
	return ""
}

func TestRunServesAndTheJournalSurvivesARestart(t *testing.T) {
	f := newFolder(t)
	cfg := f.load(`
listen:
  - { address: "127.0.0.1:0", tls: { self_signed: true } }
  - { address: "127.0.0.1:0", serve: [notifications, metrics] }
` + rule("a"))
	log := new(await.Log)
	a, err := app.New(t.Context(), cfg, app.Options{Log: logging.New(log, "text", "info"), Version: "1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- a.Run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-done:
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // the certificate was made a moment ago
	}}
	get := func(method, url, body string) (int, string) {
		r, err := http.NewRequest(method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer a-secret-that-is-long")
		if method == "GET" {
			r.Header.Del("Authorization")
		}
		w, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Body.Close()
		text, err := io.ReadAll(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		return w.StatusCode, string(text)
	}
	tlsAt, plainAt := "https://"+address(t, log, 0), "http://"+address(t, log, 1)
	if status, body := get("GET", tlsAt+"/token?service=r.example.com&scope=repository:a:pull", ""); status != 200 {
		t.Errorf("token: %d %s", status, body)
	}
	if status, _ := get("GET", plainAt+"/token?service=r.example.com", ""); status != 404 {
		t.Errorf("a token request to a listener that does not serve tokens: %d", status)
	}
	if status, body := get("POST", plainAt+"/notifications", `{"event":"data"}`); status != 200 {
		t.Errorf("notification: %d %s", status, body)
	}
	if status, body := get("GET", plainAt+"/metrics", ""); status != 200 || !strings.Contains(body, `tidewaiter_token_requests_total{outcome="signed"} 1`) {
		t.Errorf("metrics: %d %s", status, body)
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"decision", "event", "granted pull"} {
		if !strings.Contains(log.String(), line) {
			t.Errorf("the log has no line of %q:\n%s", line, log)
		}
	}
	// After a restart, the journal has all entries.
	a, err = app.New(context.Background(), cfg, app.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, a)
	var kept []string
	for e, err := range a.Journal().Read(context.Background(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, e.Summary())
	}
	for i, line := range kept { // fingerprints differ
		kept[i] = regexp.MustCompile(`[0-9a-f]{64}`).ReplaceAllString(line, "LEAF")
	}
	want := []string{ // no other entry for the second New
		"change policy.load by tidewaiter: rules of tidewaiter.yaml came into force, 1 in all, added r",
		"service started version 1.2.3", "service issued the signing certificate LEAF",
		`decision anonymous pull on a at r.example.com: granted pull (rule "r")`, `text at r.example.com: "{\"event\":\"data\"}"`,
		"service stopped version 1.2.3",
	}
	if diff := cmp.Diff(want, kept); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// The journal records a new root, after a restart and after a reload.
func TestNewRootIsInTheJournal(t *testing.T) {
	f := newFolder(t)
	cfg := f.load(anyPort + rule("a"))
	var got []string
	run := func(then func(*app.App)) {
		a, err := app.New(t.Context(), cfg, app.Options{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		stop() // Run ends after the start
		if err := a.Run(ctx, func() { then(a) }); err != nil {
			t.Fatal(err)
		}
	}
	nothing := func(*app.App) {}
	run(nothing)
	run(nothing)
	f.newRoot()
	run(nothing)
	run(func(a *app.App) {
		f.newRoot()
		if err := a.Reload(t.Context(), cfg); err != nil {
			t.Error(err)
		}
	})
	run(nothing)
	a, err := app.New(t.Context(), cfg, app.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, a)
	roots := make(map[string]bool)
	for e, err := range a.Journal().Read(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		switch s := e.Service; {
		case s == nil:
		case s.Action == "service.start":
			got = append(got, "start")
		case s.Action == "key.root":
			if s.Details["before"] == s.Target || roots[s.Target] {
				t.Errorf("not a new root: %+v", s)
			}
			roots[s.Target] = true
			got = append(got, "root")
		}
	}
	if want := "start start start root start root start"; strings.Join(got, " ") != want {
		t.Errorf("the journal has %q, want %q", got, want)
	}
}

func TestTheErrorNamesAnAddressInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f := newFolder(t)
	a, err := app.New(t.Context(), f.load(fmt.Sprintf("listen: [{ address: %q }]\n", l.Addr())+rule("a")), app.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Run(t.Context(), nil); err == nil || !strings.Contains(err.Error(), l.Addr().String()+": the address is in use") {
		t.Errorf("got %v", err)
	}
}

// runDoctor checks a config, and the files and database that it names.
func runDoctor(t *testing.T, cfg *config.Config, o doctor.Options) doctor.Report {
	t.Helper()
	o.Now = time.Now()
	r, err := doctor.Check(t.Context(), cfg, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// check returns the errors of a config and of the files that it names.
func check(t *testing.T, cfg *config.Config) strictyaml.Problems {
	t.Helper()
	return runDoctor(t, cfg, doctor.Options{FilesOnly: true}).Errors
}
