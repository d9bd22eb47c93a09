package delivery_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/delivery"
	"github.com/tidewaiter/tidewaiter/internal/journal"
)

// withFile makes the fixture write to a file.
func withFile(f *fixture, maxSize int64, maxFiles int) string {
	path := filepath.Join(f.t.TempDir(), "journal.jsonl")
	f.hook = delivery.Webhook{Name: "siem", File: &delivery.File{Path: path, MaxSize: maxSize, MaxFiles: maxFiles}, Filter: delivery.Filter{Kinds: []journal.Kind{journal.KindEvent}}}
	f.driver.Release(f.t.Context())
	f.start()
	f.t.Cleanup(func() { delivery.CloseFiles(f.d) })
	return path
}

// tagsIn returns the tags of the events in a file.
func tagsIn(t *testing.T, path string) (tags []string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var e struct{ Event struct{ Tag string } }
		if err := json.Unmarshal([]byte(line), &e); err != nil || !strings.HasSuffix(line, "\n") {
			t.Fatalf("%s: the line %q: %v", path, line, err)
		}
		tags = append(tags, e.Event.Tag)
	}
	return tags
}

func TestEntriesAreWrittenToAFile(t *testing.T) {
	f := newFixture(t, "sqlite::memory:")
	path := withFile(f, 0, 0)
	f.push("a:1", "b:2")
	f.round()
	if got := tagsIn(t, path); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("the file has %v", got)
	}
	if s := f.status(); s.Behind != 0 || s.Failures != 0 {
		t.Errorf("the status is %+v", s)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	// Another program renames the file.
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	f.push("a:3")
	f.round() // the line is in the renamed file, and then this is noticed
	f.push("a:4")
	f.round()
	if old, got := tagsIn(t, path+".old"), tagsIn(t, path); !slices.Equal(old, []string{"1", "2", "3"}) || !slices.Equal(got, []string{"4"}) {
		t.Errorf("the renamed file has %v, the new file has %v", old, got)
	}
}

func TestAnIncompleteLineIsRemoved(t *testing.T) {
	f := newFixture(t, "sqlite::memory:")
	path := withFile(f, 0, 0)
	f.push("a:1")
	f.driver.Round(t.Context(), 100) // the state is not saved
	for _, torn := range []string{`{"position":2,`, strings.Repeat("x", 10_000)} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, append(text, torn...), 0o600); err != nil {
			t.Fatal(err)
		}
		delivery.CloseFiles(f.d)
		f.start() // after a crash
		f.push("a:2")
		f.round()
		tagsIn(t, path)
	}
	if got := tagsIn(t, path); !slices.Equal(slices.Compact(got), []string{"1", "2"}) {
		t.Errorf("the file has %v", got)
	}
}

// A mistyped path must not destroy a database, a key or a config.
func TestAFileOfAnotherPurposeIsNotChanged(t *testing.T) {
	for _, text := range []string{"SQLite format 3\x00 \n page", "-----BEGIN PRIVATE KEY-----\nMIGH", "# a config\nlisten:", "\n"} {
		f := newFixture(t, "sqlite::memory:")
		path := withFile(f, 0, 0)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		f.push("a:1")
		f.round()
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("%q became %q, %v", text, got, err)
		}
		if s := f.status(); s.Behind == 0 || s.Failures == 0 {
			t.Errorf("%q: the status is %+v", text, s)
		}
	}
}

func TestFilesAreRotated(t *testing.T) {
	f := newFixture(t, "sqlite::memory:")
	path := withFile(f, 1000, 2)
	var want []string
	for i := range 30 {
		want = append(want, fmt.Sprint(i))
		f.push("a:" + want[i])
	}
	f.round()
	var got []string
	for _, name := range []string{path + ".2", path + ".1", path} {
		info, err := os.Stat(name)
		if err != nil || info.Size() > 1000 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
		got = append(got, tagsIn(t, name)...)
	}
	if len(got) < 4 || !slices.Equal(got, want[30-len(got):]) {
		t.Errorf("the files have %v", got)
	}
	if files, err := filepath.Glob(path + "*"); err != nil || len(files) != 3 {
		t.Errorf("%v, %v", files, err)
	}
}

func TestAFileThatCannotBeWrittenIsRetried(t *testing.T) {
	f := newFixture(t, "sqlite::memory:")
	path := withFile(f, 0, 0)
	f.hook.File.Path = filepath.Join(path, "file") // the folder does not exist
	f.driver.Release(t.Context())
	f.start()
	f.push("a:1", "b:2", "a:3")
	f.round()
	if s := f.status(); s.Behind != 3 || s.Failures == 0 {
		t.Errorf("the status is %+v", s)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	for f.status().Behind > 0 {
		f.now = f.now.Add(max(f.round(), time.Second))
	}
	got := tagsIn(t, f.hook.File.Path)
	slices.Sort(got)
	if !slices.Equal(got, []string{"1", "2", "3"}) {
		t.Errorf("the file has %v", got)
	}
}
