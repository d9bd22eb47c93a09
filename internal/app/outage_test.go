package app_test

import (
	"bytes"
	"database/sql"
	"fmt"
	"net/http"
	"net/http/httptest"
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
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/logging"
	"github.com/tidewaiter/tidewaiter/internal/marker"
	"github.com/tidewaiter/tidewaiter/internal/offline"
	"github.com/tidewaiter/tidewaiter/internal/server"
)

func do(h http.Handler, method, target, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.RemoteAddr, r.Host = "127.0.0.1:1000", "localhost"
	r.Header.Set("Authorization", "Bearer a-secret-that-is-long")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// After the file is deleted, no event and no change is acknowledged, because acknowledged entries
// would be lost. /readyz has the reason. A log line per minute tells the operator what to do. The
// content is saved to a new file, which is complete.
func TestDeletedDatabase(t *testing.T) {
	f := newFolder(t)
	cfg := f.load(anyPort + rule("a"))
	file := filepath.Join(f.dir, "state.db")
	cfg.Database = "sqlite:" + file
	clock := clocktest.Noon()
	var log await.Log
	a, err := app.New(t.Context(), cfg, app.Options{Log: logging.New(&log, "text", "warn"), Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	h := a.Handler(server.Token, server.Notifications, server.Health)
	post := func(id string) int {
		return do(h, "POST", "/notifications", fmt.Sprintf(`{"events":[{"id":%q,"action":"push","target":{"repository":"a"}}]}`, id)).Code
	}
	if code := post("before"); code != 200 {
		t.Fatalf("before: %d", code)
	}
	log.Take()
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if code := post(fmt.Sprint("lost", i)); code != 503 {
			t.Fatalf("an event was answered %d", code)
		}
	}
	w := do(h, "GET", "/readyz", "")
	if w.Code != 503 || !strings.Contains(w.Body.String(), "state.db was deleted or moved away") {
		t.Errorf("/readyz: %d %s", w.Code, readableBody(w))
	}
	for range 180 {
		a.CheckDatabaseNow(t.Context())
		post("lost")
		clock.Pass(time.Second)
	}
	told := log.Take()
	minutes, rescued := 0, ""
	for _, line := range told {
		if strings.Contains(line, "the database cannot be used") {
			minutes++
		}
		if _, after, ok := strings.Cut(line, "the content is saved in "); ok {
			rescued, _, _ = strings.Cut(after, ":")
		}
	}
	// There is a line for the first failure, a line when the reason is found, a line when the
	// content is saved, and a line each minute. The app itself also checks the database, with the
	// real clock, so there can be more lines.
	if minutes < 4 || len(told) > 7 {
		t.Errorf("%d lines, %d of them about the database:\n%s", len(told), minutes, strings.Join(told, "\n"))
	}
	if !strings.Contains(told[len(told)-1], "lines_not_logged=") || strings.Contains(told[len(told)-1], "lines_not_logged=0") {
		t.Errorf("the final line has no counts: %s", told[len(told)-1])
	}
	closed(t, a)
	if err := os.Rename(rescued, file); err != nil {
		t.Fatalf("%q in %q: %v", rescued, told, err)
	}
	a, err = app.New(t.Context(), cfg, app.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, a)
	last, err := a.Journal().Last(t.Context())
	if err != nil || last < 1 {
		t.Errorf("the journal ends at %d, %v", last, err)
	}
}

func TestRecoveryOfTheDatabaseIsLogged(t *testing.T) {
	f := newFolder(t)
	cfg := f.load(anyPort + rule("a"))
	file := filepath.Join(f.dir, "state.db")
	cfg.Database = "sqlite:" + file
	var log await.Log
	a, err := app.New(t.Context(), cfg, app.Options{Log: logging.New(&log, "text", "info")})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, a)
	if err := os.Rename(file, file+".away"); err != nil {
		t.Fatal(err)
	}
	a.CheckDatabaseNow(t.Context())
	if err := os.Rename(file+".away", file); err != nil {
		t.Fatal(err)
	}
	a.CheckDatabaseNow(t.Context())
	if told := strings.Join(log.Take(), "\n"); !strings.Contains(told, "the database can be used again") {
		t.Errorf("the log says:\n%s", told)
	}
	if w := do(a.Handler(server.Health), "GET", "/readyz", ""); w.Code != 200 {
		t.Errorf("/readyz: %d %s", w.Code, readableBody(w))
	}
}

// If a config had a database, a start must not silently create an empty database.
func TestMissingDatabaseIsNotCreatedAgain(t *testing.T) {
	for what, lose := range map[string]func(t *testing.T, file string){
		"deleted": func(t *testing.T, file string) {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		},
		"emptied": func(t *testing.T, file string) {
			if err := os.Truncate(file, 0); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			f := newFolder(t)
			cfg := f.load(anyPort + rule("a"))
			file := filepath.Join(f.dir, "state.db")
			cfg.Database = "sqlite:" + file
			start := func(o app.Options) (string, error) {
				var log await.Log
				o.Log = logging.New(&log, "text", "info")
				a, err := app.New(t.Context(), cfg, o)
				if err == nil {
					closed(t, a)
				}
				return strings.Join(log.Take(), "\n"), err
			}
			log, err := start(app.Options{})
			if err != nil || !strings.Contains(log, "created a new database") {
				t.Fatalf("the first start: %v\n%s", err, log)
			}
			if log, err = start(app.Options{}); err != nil || strings.Contains(log, "a new database") {
				t.Fatalf("the second start: %v\n%s", err, log)
			}
			lose(t, file)
			for range 2 {
				if _, err := start(app.Options{}); err == nil || !strings.Contains(err.Error(), "--create-database") || !strings.Contains(err.Error(), "database restore") {
					t.Fatalf("a start without the database: %v", err)
				}
			}
			if _, closing, err := offline.OpenAccounts(t.Context(), cfg); err == nil {
				_ = closing()
				t.Error("a command created a new database")
			}
			if log, err = start(app.Options{CreateDatabase: true}); err != nil || !strings.Contains(log, "created a new database") {
				t.Errorf("a start with --create-database: %v\n%s", err, log)
			}
			if _, err = start(app.Options{}); err != nil {
				t.Errorf("a start after --create-database: %v", err)
			}
			// A new path in the config can be a typing error. So the start fails, because the
			// database that this config had is missing.
			cfg.Database = "sqlite:" + filepath.Join(f.dir, "elsewhere.db")
			if _, err := start(app.Options{}); err == nil {
				t.Error("a database was created at another path")
			}
			// To start over, delete the marker too.
			if err := os.Remove(filepath.Join(f.dir, marker.FileName)); err != nil {
				t.Fatal(err)
			}
			if _, err = start(app.Options{}); err != nil {
				t.Errorf("a start without a marker: %v", err)
			}
			// An unreadable marker does not prevent a start.
			f.write(marker.FileName, "{")
			if log, err = start(app.Options{}); err != nil || !strings.Contains(log, "cannot read whether this config had a database") {
				t.Errorf("a start with a broken marker: %v\n%s", err, log)
			}
		})
	}
}

// If a sign-in reads a damaged page, the result is an outage, not a refusal. Afterwards, /readyz
// and the log tell the operator what to do.
func TestDamagedDatabase(t *testing.T) {
	f := newFolder(t)
	file := filepath.Join(f.dir, "state.db")
	f.write("tidewaiter.yaml", `
listen: [{ address: "127.0.0.1:0" }]
database: sqlite:`+file+`
signing: { root: { folder: . } }
registries: [{ service: r.example.com }]
identity: [{ accounts: {} }]
`+rule("a"))
	cfg := must(config.Load(filepath.Join(f.dir, "tidewaiter.yaml"), config.Options{}))(t)
	a := must(app.New(t.Context(), cfg, app.Options{}))(t)
	user := accounts.NewUser{Name: "user0", Password: identity.NewSecret("correct horse of everybody")}
	if _, err := a.Accounts().AddUser(t.Context(), admin.Operator("root"), user); err != nil {
		t.Fatal(err)
	}
	closed(t, a)
	db := must(sql.Open("sqlite", file))(t)
	var page, size int64
	if err := db.QueryRow("SELECT rootpage, page_size FROM sqlite_schema, pragma_page_size WHERE name = 'accounts'").Scan(&page, &size); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	raw := must(os.OpenFile(file, os.O_WRONLY, 0))(t)
	if _, err := raw.WriteAt(bytes.Repeat([]byte{0xa5}, int(size)), (page-1)*size); err != nil {
		t.Fatal(err)
	}
	if err := raw.Close(); err != nil {
		t.Fatal(err)
	}

	var log await.Log
	a = must(app.New(t.Context(), cfg, app.Options{Log: logging.New(&log, "text", "warn")}))(t)
	defer closed(t, a)
	r := httptest.NewRequest("GET", "/token?service=r.example.com&scope=repository:a:pull", nil)
	r.SetBasicAuth("user0", "correct horse of everybody")
	w := httptest.NewRecorder()
	a.Handler(server.Token).ServeHTTP(w, r)
	if w.Code != 503 {
		t.Errorf("a sign-in: %d %s", w.Code, readableBody(w))
	}
	w = do(a.Handler(server.Health), "GET", "/readyz", "")
	if w.Code != 503 || !strings.Contains(w.Body.String(), "tidewaiter database restore") {
		t.Errorf("/readyz: %d %s", w.Code, readableBody(w))
	}
	a.CheckDatabaseNow(t.Context())
	if told := strings.Join(log.Take(), "\n"); !strings.Contains(told, "the database cannot be used") || !strings.Contains(told, "tidewaiter database restore") {
		t.Errorf("the log says:\n%s", told)
	}
}
