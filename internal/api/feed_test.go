package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/await"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
)

// stream is a client that follows the journal.
type stream struct {
	t     *testing.T
	lines *bufio.Reader
	close func()
}

func (h *harness) follow(t *testing.T, path string, options ...option) *stream {
	t.Helper()
	ctx, end := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, "GET", h.url+"/api/v1"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range options {
		o(r)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	s := &stream{t, bufio.NewReader(response.Body), func() { end(); _ = response.Body.Close() }}
	t.Cleanup(s.close)
	if kind := response.Header.Get("Content-Type"); response.StatusCode != 200 || kind != "text/event-stream" {
		body, _ := io.ReadAll(response.Body)
		t.Fatalf("%d %s %s", response.StatusCode, kind, body)
	}
	s.event() // the comment at the beginning
	return s
}

// event returns the fields of the next event: the repository or action of the entry, and the id.
// At the end of the stream, both are empty.
func (s *stream) event() (about, id string) {
	s.t.Helper()
	for {
		line, err := s.lines.ReadString('\n')
		switch {
		case err == io.EOF && line == "":
			return "", ""
		case err != nil:
			s.t.Fatal(err)
		case line == "\n":
			return about, id
		}
		if text, ok := strings.CutPrefix(line, "data: "); ok {
			var e struct {
				Event  struct{ Repository string }
				Change struct{ Action string }
			}
			if err := json.Unmarshal([]byte(text), &e); err != nil {
				s.t.Fatal(err)
			}
			about = e.Event.Repository + e.Change.Action
		}
		if text, ok := strings.CutPrefix(line, "id: "); ok {
			id = strings.TrimSpace(text)
		}
	}
}

func TestTheJournalCanBeFollowed(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		h.addMember("carol", admin.Auditors)
		_, secret := h.createToken("carol", "t")
		carol := bearer(secret)
		h.push("old/a")
		s := h.follow(t, "/journal/feed?kind=event", carol)
		h.push("team/a", "team/b")
		about, first := s.event()
		if about != "team/a" {
			t.Errorf("received %q first", about)
		}
		if about, _ := s.event(); about != "team/b" {
			t.Errorf("received %q, want team/b", about)
		}
		s.close()

		// The next connection continues after the last id.
		h.push("team/c")
		s = h.follow(t, "/journal/feed?kind=event", carol, header("Last-Event-ID", first))
		for _, want := range []string{"team/b", "team/c"} {
			if about, _ := s.event(); about != want {
				t.Errorf("received %q, want %q", about, want)
			}
		}
		if about, _ := h.follow(t, "/journal/feed?after=0&repository=old/**", carol).event(); about != "old/a" {
			t.Errorf("received %q, want old/a", about)
		}

		// At the end, a position is sent without an entry.
		s = h.follow(t, "/journal/feed?after=0&kind=text", carol)
		h.stop()
		if about, id := s.event(); about != "" || id == "" {
			t.Errorf("the end is %q %q", about, id)
		}
		if about, id := s.event(); about != "" || id != "" {
			t.Errorf("after the end: %q %q", about, id)
		}
	})
}

// One caller cannot use all feeds.
func TestThreatOneCallerHasFewFeeds(t *testing.T) {
	h := newHarness(t, storetest.SQLite().Ready(t))
	h.addMember("carol", admin.Auditors)
	h.addMember("dave", admin.Auditors)
	_, secret := h.createToken("carol", "t")
	carol := bearer(secret)
	status := func() int {
		r, err := http.NewRequestWithContext(t.Context(), "GET", h.url+"/api/v1/journal/feed", nil)
		if err != nil {
			t.Fatal(err)
		}
		carol(r)
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		return response.StatusCode
	}
	var last *stream
	for range 4 {
		last = h.follow(t, "/journal/feed", carol)
	}
	if code := status(); code != http.StatusTooManyRequests {
		t.Errorf("the fifth feed: %d", code)
	}
	_, secret = h.createToken("dave", "t")
	h.follow(t, "/journal/feed", bearer(secret))
	last.close()
	await.Until(t, "the end of a feed", func(context.Context) error {
		if code := status(); code != http.StatusOK {
			return fmt.Errorf("after the end of a feed: %d", code)
		}
		return nil
	})
}

// An entry is sent only if the caller may see it at the moment when it is sent.
func TestThreatAFeedEndsWithTheRights(t *testing.T) {
	h := newHarness(t, "sqlite::memory:")
	h.addUser("olga")
	_, secret := h.createToken("olga", "t")
	if _, err := h.rulebook.AddNamespace(t.Context(), operator, rulebook.NewNamespace{Name: "team", Owners: []string{"user:olga"}}); err != nil {
		t.Fatal(err)
	}
	h.requireStatus(422, bearer(secret), "GET", "/journal/feed", nil, header("Last-Event-ID", "x"))
	s := h.follow(t, "/journal/feed", bearer(secret))
	h.clock.Pass(time.Hour)
	h.push("other/a", "team/a")
	if about, _ := s.event(); about != "team/a" {
		t.Errorf("received %q, want team/a", about)
	}
	if err := h.rulebook.DeleteNamespace(t.Context(), operator, "team", 0); err != nil {
		t.Fatal(err)
	}
	if err := h.rulebook.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.push("team/b")
	for {
		about, id := s.event()
		if about == "team/b" {
			t.Error("an entry was sent after the right was gone")
		}
		if about+id == "" {
			break
		}
	}
}
