package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/await"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/logging"
	"github.com/tidewaiter/tidewaiter/internal/setup"
)

// startStandalone starts a Standalone and returns a function that stops it.
func startStandalone(t *testing.T, data string, log *await.Log) (*Standalone, func()) {
	t.Helper()
	s, err := Open(t.Context(), Options{Data: data, Log: logging.New(log, "plain", "info")})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	return s, func() {
		t.Helper()
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// client is a registry client: it follows the challenge to the realm.
type client struct {
	*testing.T
	base, name, password string
}

func (c client) do(method, path, scope string, body []byte, header ...string) *http.Response {
	c.Helper()
	url := path
	if strings.HasPrefix(path, "/") {
		url = c.base + path
	}
	request := func() *http.Request {
		r, err := http.NewRequest(method, url, bytes.NewReader(body))
		if err != nil {
			c.Fatal(err)
		}
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		return r
	}
	first, err := http.DefaultClient.Do(request())
	if err != nil {
		c.Fatal(err)
	}
	first.Body.Close()
	if first.StatusCode != http.StatusUnauthorized {
		return first
	}
	found := regexp.MustCompile(`realm="([^"]+)",service="([^"]+)"`).FindStringSubmatch(first.Header.Get("WWW-Authenticate"))
	if found == nil {
		c.Fatalf("no challenge: %v", first.Header)
	}
	ask, err := http.NewRequest("GET", found[1]+"?service="+found[2]+"&scope="+scope, nil)
	if err != nil {
		c.Fatal(err)
	}
	if c.name != "" {
		ask.SetBasicAuth(c.name, c.password)
	}
	answer, err := http.DefaultClient.Do(ask)
	if err != nil {
		c.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return answer
	}
	var issued struct{ Token string }
	if err := json.NewDecoder(answer.Body).Decode(&issued); err != nil {
		c.Fatal(err)
	}
	again := request()
	again.Header.Set("Authorization", "Bearer "+issued.Token)
	second, err := http.DefaultClient.Do(again)
	if err != nil {
		c.Fatal(err)
	}
	second.Body.Close()
	return second
}

func (c client) push(repository, content string) int {
	c.Helper()
	scope := "repository:" + repository + ":pull,push"
	begun := c.do("POST", "/v2/"+repository+"/blobs/uploads/", scope, nil)
	if begun.StatusCode != http.StatusAccepted {
		return begun.StatusCode
	}
	at := begun.Header.Get("Location")
	return c.do("PUT", at+"&digest="+digestOf(content), scope, []byte(content), "Content-Type", "application/octet-stream").StatusCode
}

func digestOf(content string) string {
	sum := sha256.Sum256([]byte(content))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// pushImage pushes an image with one layer, and returns the digest of its manifest.
func (c client) pushImage(repository, tag, layer string) (digest string) {
	c.Helper()
	const config = "{}"
	const mediaType = "application/vnd.oci.image.manifest.v1+json"
	for _, blob := range []string{config, layer} {
		if got := c.push(repository, blob); got != http.StatusCreated {
			c.Fatalf("pushing a blob: %d", got)
		}
	}
	manifest := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,`+
		`"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":%d},`+
		`"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":%q,"size":%d}]}`,
		mediaType, digestOf(config), len(config), digestOf(layer), len(layer))
	answer := c.do("PUT", "/v2/"+repository+"/manifests/"+tag, "repository:"+repository+":pull,push", []byte(manifest), "Content-Type", mediaType)
	if answer.StatusCode != http.StatusCreated {
		c.Fatalf("pushing the manifest: %d", answer.StatusCode)
	}
	return digestOf(manifest)
}

// At its start, a registry logs the headers for events, so it could log the secret.
func TestNoSecretReachesALog(t *testing.T) {
	data := t.TempDir()
	log := new(await.Log)
	s, down := startStandalone(t, data, log)
	down()
	secret, err := os.ReadFile(s.setup.Path(setup.Notifications))
	if err != nil {
		t.Fatal(err)
	}
	said, err := os.ReadFile(filepath.Join(data, "registry.log"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(said), "configuring endpoint") {
		t.Errorf("the registry's log does not have the headers for events, so this test proves nothing: %s", said)
	}
	for name, text := range map[string]string{"the registry's log": string(said), "the log": log.String()} {
		if strings.Contains(text, strings.TrimSpace(string(secret))) {
			t.Errorf("%s has the secret of the events", name)
		}
	}
}

func TestPushedImagesSurviveARestart(t *testing.T) {
	data := t.TempDir()
	log := new(await.Log)
	s, down := startStandalone(t, data, log)
	welcome := s.Welcome()
	found := regexp.MustCompile(`password  (\S+) `).FindStringSubmatch(welcome)
	if found == nil || !strings.Contains(welcome, "docker login "+s.address) {
		t.Fatalf("the welcome has no password or no instructions: %s", welcome)
	}
	admin := client{t, "http://" + s.address, "admin", found[1]}
	if got := admin.do("GET", "/v2/", "", nil).StatusCode; got != http.StatusOK {
		t.Errorf("login: %d", got)
	}
	if got := admin.push("admin/app", "layer one"); got != http.StatusCreated {
		t.Errorf("push: %d", got)
	}
	wrong := client{t, admin.base, "admin", "wrong"}
	if got := wrong.do("GET", "/v2/", "", nil).StatusCode; got != http.StatusUnauthorized {
		t.Errorf("a wrong password: %d", got)
	}
	nobody := client{T: t, base: admin.base}
	if got := nobody.push("admin/app", "layer two"); got != http.StatusUnauthorized {
		t.Errorf("an anonymous push: %d", got)
	}
	down()
	for _, line := range []string{"granted pull,push", "event push admin/app", "invalid credentials"} {
		if !strings.Contains(log.String(), line) {
			t.Errorf("no line with %q in\n%s", line, log)
		}
	}
	if strings.Contains(log.String(), found[1]) {
		t.Error("the password is in the log")
	}

	// Start it again with another port and the same folder.
	again := new(await.Log)
	s, down = startStandalone(t, data, again)
	defer down()
	if strings.Contains(s.Welcome(), "password  ") {
		t.Error("the second start printed a password, too")
	}
	admin.base = "http://" + s.address
	digest := sha256.Sum256([]byte("layer one"))
	if got := admin.do("HEAD", "/v2/admin/app/blobs/sha256:"+hex.EncodeToString(digest[:]), "repository:admin/app:pull", nil).StatusCode; got != http.StatusOK {
		t.Errorf("the layer is missing: %d", got)
	}
}

// A change of the config, as the welcome describes it, needs no restart.
func TestAChangedConfigTakesEffect(t *testing.T) {
	data := t.TempDir()
	log := new(await.Log)
	s, down := startStandalone(t, data, log)
	defer down()
	password := regexp.MustCompile(`password  (\S+) `).FindStringSubmatch(s.Welcome())[1]
	admin := client{t, "http://" + s.address, "admin", password}
	if got := admin.push("admin/app", "a layer"); got != http.StatusCreated {
		t.Fatalf("push: %d", got)
	}
	digest := sha256.Sum256([]byte("a layer"))
	pull := func() int {
		return client{T: t, base: admin.base}.do("HEAD", "/v2/admin/app/blobs/sha256:"+hex.EncodeToString(digest[:]), "repository:admin/app:pull", nil).StatusCode
	}
	if got := pull(); got != http.StatusUnauthorized {
		t.Fatalf("an anonymous pull of a private repository: %d", got)
	}
	file := filepath.Join(data, "tidewaiter.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, "\n    - { name: open, subjects: [anyone], repositories: [admin/app], role: reader }\n"...)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	await.Until(t, "the pull", func(context.Context) error {
		if status := pull(); status != http.StatusOK {
			return fmt.Errorf("the status is %d:\n%s", status, log)
		}
		return nil
	})
}

func TestAPortInUseIsReported(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = Open(t.Context(), Options{Data: t.TempDir(), Port: l.Addr().(*net.TCPAddr).Port, Log: logging.New(io.Discard, "", "")})
	if err == nil || !strings.Contains(err.Error(), "PORT=") {
		t.Errorf("got %v", err)
	}
}

func TestAFolderIsUsedByOneProcess(t *testing.T) {
	data := t.TempDir()
	_, down := startStandalone(t, data, new(await.Log))
	_, err := Open(t.Context(), Options{Data: data, Log: logging.New(io.Discard, "", "")})
	if err == nil || !strings.Contains(err.Error(), "another `make up`") {
		t.Errorf("got %v", err)
	}
	down()
	_, down = startStandalone(t, data, new(await.Log))
	down()
}

// A user who follows the first advice in the error of a second `make up` must get a running
// registry.
func TestASecondStandaloneIsToldWhatItNeeds(t *testing.T) {
	data := t.TempDir()
	s, down := startStandalone(t, data, new(await.Log))
	defer down()
	port := s.outer[0].Addr().(*net.TCPAddr).Port
	for _, o := range []Options{{Data: data, Port: port}, {Data: data}} {
		o.Log = logging.New(io.Discard, "", "")
		_, err := Open(t.Context(), o)
		if !errors.Is(err, errInUse) || !strings.Contains(err.Error(), "DATA=other PORT=") {
			t.Errorf("port %d: %v", o.Port, err)
		}
	}
	other := filepath.Join(t.TempDir(), "my data")
	_, err := Open(t.Context(), Options{Data: other, Port: port, Log: logging.New(io.Discard, "", "")})
	if want := fmt.Sprintf("DATA='%s' PORT=%d make up", other, port+1); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v has no %q", err, want)
	}
}

// A folder of an older version continues to use its database, even if the config is written again.
func TestTheDatabaseIsInTheFolder(t *testing.T) {
	data := t.TempDir()
	s, down := startStandalone(t, data, new(await.Log))
	down()
	database := s.setup.Path("state.db")
	if _, err := os.Stat(database); err != nil {
		t.Error(err)
	}
	if got := newDatabase(data); got != "sqlite:state.db" {
		t.Errorf("a new config would have the database %q", got)
	}
	older := filepath.Join(t.TempDir(), "older")
	if err := os.MkdirAll(filepath.Join(older, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(older, "data", "state.db"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := newDatabase(older); got != "" {
		t.Errorf("a new config in an older folder would have the database %q", got)
	}
}

// The catalog needs the objects to which a manifest refers. Without these objects, the catalog
// would show the size of the manifest as the size of the image.
func TestTheRegistryReportsReferences(t *testing.T) {
	data := t.TempDir()
	s, down := startStandalone(t, data, new(await.Log))
	password := regexp.MustCompile(`password  (\S+) `).FindStringSubmatch(s.Welcome())[1]
	client{t, "http://" + s.address, "admin", password}.pushImage("admin/app", "v1", "layer")
	down() // stopping waits until all events have arrived
	s, down = startStandalone(t, data, new(await.Log))
	defer down()
	page, err := s.app.Journal().Search(t.Context(), journal.Query{Action: "push", Tag: "v1"}, 0, 1, func(int) bool { return false })
	if err != nil || len(page.Entries) != 1 {
		t.Fatalf("%v, %v", page.Entries, err)
	}
	if got := page.Entries[0].Event.References; len(got) != 2 {
		t.Errorf("the event has %d references: %v", len(got), got)
	}
}

func TestThePathOfTheCurrentFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{here: ".", filepath.Join(here, "data"): "./data", filepath.Dir(here): filepath.Dir(here)} {
		if got := shortPath(path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

// Events have their own listener. Clients reach only the other port, so they cannot post events.
func TestClientsCannotPostEvents(t *testing.T) {
	s, down := startStandalone(t, t.TempDir(), new(await.Log))
	defer down()
	r, err := http.NewRequestWithContext(await.Context(t), "POST", "http://"+s.address+"/notifications", strings.NewReader(`{"events":[]}`))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusNotFound {
		t.Errorf("status %d", answer.StatusCode)
	}
}

// In the journal and in tokens, the registry has the name that clients use. The name stays the
// same when the port changes, because rules and commands can contain the name.
func TestTheRegistryHasTheNameThatClientsUse(t *testing.T) {
	data := t.TempDir()
	service := func(s *Standalone) string {
		answer, err := http.Get("http://" + s.address + "/v2/")
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		found := regexp.MustCompile(`service="([^"]+)"`).FindStringSubmatch(answer.Header.Get("WWW-Authenticate"))
		if found == nil {
			t.Fatalf("no challenge: %v", answer.Header)
		}
		return found[1]
	}
	s, down := startStandalone(t, data, new(await.Log))
	first := s.address
	if got := service(s); got != first {
		t.Errorf("the registry at %s has the service %s", first, got)
	}
	down()
	s, down = startStandalone(t, data, new(await.Log))
	defer down()
	if got := service(s); got != first {
		t.Errorf("at %s, the registry has the service %s, and not the former one, %s", s.address, got, first)
	}
}
