package app_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/app"
	"github.com/tidewaiter/tidewaiter/internal/await"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/logging"
)

// docker_auth: an invalid backend in a reload ended the process. This test breaks one file of each
// kind after the other while clients request tokens. The responses stay the same, each error is in
// the journal, /readyz names the active policy, and a repaired file takes effect.
func TestReloadWithEveryKindOfBrokenFileUnderLoad(t *testing.T) {
	f := newFolder(t)
	if err := os.Mkdir(filepath.Join(f.dir, "policy"), 0o700); err != nil {
		t.Fatal(err)
	}
	const good = "rules:\n  - { name: b, subjects: [anyone], repositories: [b], actions: [pull] }\n"
	f.write("policy/p.yaml", good)
	file := filepath.Join(f.dir, "tidewaiter.yaml")
	cfg := f.load(anyPort + "policy:\n  watch: false\n  files: [\"policy/*.yaml\"]\n  rules: [{ name: a, subjects: [anyone], repositories: [a], actions: [pull] }]\n")
	log := new(await.Log)
	a, err := app.New(t.Context(), cfg, app.Options{Log: logging.New(log, "text", "info")})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, a)
	following, stop := context.WithCancel(t.Context())
	again, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		a.Watch(following, new(app.Files), func(seen func(folder, name string)) (*config.Config, error) {
			return config.Load(file, config.Options{Seen: seen})
		}, again)
	}()
	defer func() { stop(); <-done }()

	h := a.Handler()
	both := requestScopes(t, h)
	ask := func() {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/token?service=r.example.com&scope=repository:a:pull&scope=repository:b:pull", nil))
		if w.Code != 200 || !strings.Contains(w.Body.String(), `"scope":"`+both+`"`) {
			t.Errorf("while files are broken: %d %s", w.Code, readableBody(w))
		}
	}
	refusals := func() int { return strings.Count(log.String(), "reload failed, nothing changed") }
	broken := 0
	breaks := func(name, text string) {
		t.Helper()
		path := filepath.Join(f.dir, name)
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		switch text {
		case "gone":
			err = os.Remove(path)
		case "a folder":
			err = errors.Join(os.Remove(path), os.Mkdir(path, 0o700))
		default:
			f.write(name, text)
		}
		if err != nil {
			t.Fatal(err)
		}
		broken++
		var asking sync.WaitGroup
		for range 4 {
			asking.Go(func() {
				for range 5 {
					ask()
				}
			})
		}
		again <- struct{}{}
		await.Until(t, "a refusal of "+name, func(context.Context) error {
			if refusals() < broken {
				return errors.New("the file was not refused")
			}
			return nil
		})
		asking.Wait()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/readyz", nil))
		if w.Code != 200 || !strings.Contains(w.Body.String(), "policy: last good version ") {
			t.Errorf("ready: %d %s", w.Code, readableBody(w))
		}
		if text == "a folder" {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
		f.write(name, string(before))
	}
	kinds := []string{"", "\x00\x00\x00", "{", "- a list\n", "unknown: 1\n", strings.Repeat("x", 1<<20), strings.Repeat("[", 10_000), "a: &a [*a, *a]\n", "gone", "a folder"}
	for _, name := range []string{"tidewaiter.yaml", "policy/p.yaml", "users", "cert.pem", "privatekey.pem"} {
		for _, text := range kinds {
			if name == "policy/p.yaml" && text == "gone" {
				continue // a pattern without a file is tested below
			}
			breaks(name, text)
		}
	}
	breaks("policy/p.yaml", good+good)
	breaks("policy/p.yaml", strings.Replace(good, "name: b", "name: a", 1))
	breaks("policy/p.yaml", strings.Replace(good, "[b]", `["b//c"]`, 1))
	breaks("policy/p.yaml", strings.Replace(good, "actions: [pull]", "role: none", 1))
	breaks("policy/p.yaml", strings.Replace(good, "actions: [pull]", "actions: [pull], when: user ==", 1))

	f.write("policy/p.yaml", strings.Replace(good, "[b]", "[c]", 1))
	again <- struct{}{}
	await.Until(t, "the repaired file takes effect", func(context.Context) error {
		if got := requestScopes(t, h); got != "repository:a:pull" {
			return errors.New("granted " + got)
		}
		return nil
	})
	await.Until(t, "the reload ends and writes its journal entry", func(context.Context) error {
		if !strings.Contains(log.String(), "msg=reloaded ") {
			return errors.New("the reload has not ended")
		}
		return nil
	})
	refused, loaded := 0, 0
	for e, err := range a.Journal().Read(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case e.Service != nil && e.Service.Action == "policy.refuse":
			refused++
			if problems, _ := e.Service.Details["problems"].([]any); len(problems) == 0 || e.Service.Refused != problems[0] || e.Service.Target != file {
				t.Errorf("an entry without a reason: %+v", e.Service)
			}
		case e.Change == nil:
		case e.Change.Action == "policy.load":
			loaded++
		}
	}
	if refused != broken || loaded != 2 {
		t.Errorf("the journal has %d refusals of %d, and %d policies of 2", refused, broken, loaded)
	}
}
