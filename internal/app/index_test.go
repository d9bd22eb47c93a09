package app_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/app"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/server"
)

// While the index cannot be written, events are accepted, searches find everything, and /readyz
// reports the problem. As soon as the index can be written, the running service builds it.
func TestAnIndexThatCannotBeWritten(t *testing.T) {
	f := newFolder(t)
	cfg := f.load(anyPort + rule("a"))
	cfg.Database = "sqlite:" + filepath.Join(f.dir, "state.db")
	file := filepath.Join(f.dir, "state.db.index")
	if err := os.Mkdir(file, 0o700); err != nil {
		t.Fatal(err)
	}
	a, err := app.New(t.Context(), cfg, app.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := a.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	h := a.Handler(server.Notifications, server.Health)
	w := do(h, "POST", "/notifications", `{"events":[{"id":"1","action":"push","target":{"repository":"a","tag":"v1"}}]}`)
	if w.Code != 200 {
		t.Errorf("an event: %d %s", w.Code, readableBody(w))
	}
	if err := a.CatchUp(t.Context()); err == nil {
		t.Error("a folder is an index")
	}
	note := func() bool { return strings.Contains(do(h, "GET", "/readyz", "").Body.String(), "search index: ") }
	if w := do(h, "GET", "/readyz", ""); w.Code != 200 || !note() {
		t.Errorf("/readyz: %d %s", w.Code, readableBody(w))
	}
	page, err := a.Journal().Search(t.Context(), journal.Query{Tag: "v1"}, 0, 10, func(int) bool { return false })
	if err != nil || len(page.Entries) != 1 {
		t.Errorf("%d entries: %v", len(page.Entries), err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := a.CatchUp(t.Context()); err != nil {
		t.Error(err)
	}
	if note() {
		t.Error("/readyz still reports a problem, but the index can be written")
	}
}
