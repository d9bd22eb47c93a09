package server_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/issuer"
	"github.com/tidewaiter/tidewaiter/internal/server"
)

// push is an event as registry 3 posts it.
func push(id, host string) string {
	return `{"events":[{"id":"` + id + `","timestamp":"2026-11-01T10:00:00.5Z","action":"push","target":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:` +
		strings.Repeat("ab", 32) + `","size":7,"repository":"team/app","tag":"v1"},"request":{"id":"r","addr":"192.0.2.9","host":"` + host + `","method":"PUT","useragent":"docker"},"actor":{"name":"ann"}}]}`
}

func TestWhoMayPostEvents(t *testing.T) {
	const remote, here = "192.0.2.7:1", "127.0.0.1:1"
	for _, tt := range []struct {
		what   string
		header []string
		status int
		of     string
	}{
		{"a registry by its secret", []string{"From", remote, "Authorization", "Bearer " + eventSecret}, 200, "a.example.com"},
		{"a registry by Basic, with any name", []string{"From", remote, "Authorization", basic("x", eventSecret)}, 200, "a.example.com"},
		{"a wrong secret", []string{"From", remote, "Authorization", "Bearer wrong"}, 401, ""},
		{"a wrong secret from this machine", []string{"From", here, "Authorization", "Bearer wrong"}, 401, ""},
		{"an empty secret", []string{"From", remote, "Authorization", "Bearer "}, 401, ""},
		{"a registry without a secret, from this machine", []string{"From", here}, 200, "b.example.com"},
		{"no secret, from another machine", []string{"From", remote}, 401, ""},
		{"no secret, from another machine through a proxy on this machine", []string{"From", here, "X-Forwarded-For", "192.0.2.7"}, 401, ""},
		{"no secret, through a proxy that sends another client address", []string{"From", here, "Forwarded", "for=192.0.2.7"}, 401, ""},
		{"no secret, through a proxy that sends only the client's scheme", []string{"From", here, "X-Forwarded-Proto", "https"}, 401, ""},
		{"no secret, through a proxy of a content delivery network", []string{"From", here, "Cf-Connecting-Ip", "192.0.2.7"}, 401, ""},
		{"no secret, through a proxy that does not change the host", []string{"From", here, "Host", "auth.example.com"}, 401, ""},
		{"no secret, from a page of another site in a browser on this machine", []string{"From", here, "Origin", "https://example.org"}, 401, ""},
		{"no secret, from a page without an origin in a browser on this machine", []string{"From", here, "Sec-Fetch-Site", "cross-site"}, 401, ""},
		{"no secret, from a page whose host name resolves to this machine", []string{"From", here, "Host", "rebound.example.org:8080"}, 401, ""},
		{"no secret, by an IP address of this machine", []string{"From", "[::1]:1", "Host", "[::1]:8080"}, 200, "b.example.com"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			h := newHarness(t, nil)
			got := h.ask("POST", "/notifications", push("1", "b.example.com"), tt.header...)
			if got.Status != tt.status {
				t.Fatalf("status %d: %s", got.Status, got.Body)
			}
			var of []string
			for _, e := range h.entries() {
				if s := e.Service; s != nil {
					of = append(of, s.Action+": "+s.Refused)
					continue
				}
				of = append(of, e.Registry)
			}
			want := []string{tt.of}
			switch {
			case tt.status == 200:
			case slices.Contains(tt.header, "Authorization"):
				want = []string{"notification.refuse: no registry has this secret"}
			default:
				want = []string{"notification.refuse: events need a registry's secret"}
			}
			if diff := cmp.Diff(want, of); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// Anyone can post, so a flood of refused posts must write few entries, even if the posts differ.
func TestRefusedEventsAreCounted(t *testing.T) {
	now := time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)
	h := newHarness(t, func(o *server.Options, _ *issuer.Live) { o.Now = func() time.Time { return now } })
	for i := range 100 {
		h.ask("POST", "/notifications", "{}", "From", "192.0.2.7:1", "Authorization", fmt.Sprint("Bearer wrong", i), "User-Agent", fmt.Sprint("agent ", i))
		h.ask("POST", fmt.Sprint("/events", i), "{}", "From", "192.0.2.7:1", "Content-Type", "application/vnd.docker.distribution.events.v2+json")
	}
	if err := h.journal.Close(t.Context()); err != nil { // Close writes the counted refusals
		t.Fatal(err)
	}
	var got []string
	for e, err := range h.journal.Read(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e.Summary())
	}
	const times = "; 99 times more from 09:00:00 to 09:00:00 UTC"
	secret, path := "service refused events from 192.0.2.7: no registry has this secret", "service refused events from 192.0.2.7: they were posted to a path that is not served"
	if diff := cmp.Diff([]string{secret, path, secret + times, path + times}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestEventIsRecordedOnce(t *testing.T) {
	h := newHarness(t, nil)
	for range 3 {
		if got := h.ask("POST", "/notifications", push("same", ""), "Authorization", "Bearer "+eventSecret); got.Status != 200 {
			t.Fatal(got)
		}
	}
	if n := len(h.entries()); n != 1 {
		t.Errorf("%d entries", n)
	}
}

// When Tidewaiter compares a registry with the catalog, it pulls each tag. These pulls are not
// recorded, because the comparison has its own journal entry.
func TestOwnPullsAreNotRecorded(t *testing.T) {
	h := newHarness(t, func(o *server.Options, _ *issuer.Live) { o.Own = "tidewaiter:1" })
	for i, change := range []*strings.Replacer{
		strings.NewReplacer(`"ann"`, `"tidewaiter:1"`, `"push"`, `"pull"`),
		strings.NewReplacer(`"ann"`, `"tidewaiter:1"`, `"push"`, `"delete"`),
		strings.NewReplacer(`"push"`, `"pull"`),
	} {
		if got := h.ask("POST", "/notifications", change.Replace(push(fmt.Sprint(i), "")), "Authorization", "Bearer "+eventSecret); got.Status != 200 {
			t.Fatal(got)
		}
	}
	var got []string
	for _, e := range h.entries() {
		got = append(got, e.Event.Action+" by "+e.Event.Actor)
	}
	if diff := cmp.Diff([]string{"delete by tidewaiter:1", "pull by ann"}, got); diff != "" {
		t.Error(diff)
	}
}

// A registry repeats a notification forever until the answer is 200, and its later events wait
// meanwhile.
func TestUndecodableBodyIsRecordedAsText(t *testing.T) {
	h := newHarness(t, nil)
	for _, body := range []string{
		`{"event":"data"}`, `not json`, "", `{"events":[{"id":7,"action":"push"}]}`, strings.Repeat("x", 5<<20), "line\nbreak\x1b[2J\x00",
	} {
		if got := h.ask("POST", "/notifications", body, "Authorization", "Bearer "+eventSecret); got.Status != 200 {
			t.Errorf("%.40q: status %d: %s", body, got.Status, got.Body)
		}
	}
	for _, e := range h.entries() {
		if len(e.Text) > 4096 {
			t.Errorf("%d bytes of text", len(e.Text))
		}
		if strings.ContainsAny(e.Summary(), "\n\x00\x1b") {
			t.Errorf("an incomplete line: %q", e.Summary())
		}
	}
}

// A full disk is a temporary outage, so the answer is 503 and not an internal error with an id.
func TestEventsThatCannotBeRecordedGet503(t *testing.T) {
	h := newHarness(t, nil)
	if err := h.state.Close(); err != nil {
		t.Fatal(err)
	}
	got := h.ask("POST", "/notifications", push("1", ""), "Authorization", "Bearer "+eventSecret)
	if got.Status != 503 || got.Header.Get("Retry-After") == "" || !strings.Contains(got.Body, "recorded") {
		t.Errorf("status %d, Retry-After %q: %s", got.Status, got.Header.Get("Retry-After"), got.Body)
	}
	if !strings.Contains(h.log.String(), "closed") {
		t.Errorf("the log has no reason: %s", h.log)
	}
}

func TestOpenReceiverAcceptsEventsFromAnyone(t *testing.T) {
	h := newHarness(t, func(o *server.Options, _ *issuer.Live) { o.Open = true })
	for _, header := range [][]string{nil, {"Authorization", basic("x", "y")}} {
		if got := h.ask("POST", "/notifications", `{"event":"data"}`, header...); got.Status != 200 {
			t.Errorf("%v: %s", header, got)
		}
	}
}

func TestHealth(t *testing.T) {
	h := newHarness(t, nil)
	for path, status := range map[string]int{
		"/healthz": 200, "/readyz": 200, "/.well-known/jwks.json": 200,
		"/journal/checkpoint": 404, "/journal/key": 404, // not served without a key
	} {
		if got := h.ask("GET", path, ""); got.Status != status {
			t.Errorf("%s: %s", path, got)
		}
	}
	if got := h.ask("GET", "/metrics", ""); got.Status != 404 {
		t.Errorf("metrics at a listener that does not serve them: %d", got.Status)
	}
}

// An event without a time gets the time of its arrival. If the registry posts the event again
// later, the server recognizes the second post as a repeat.
func TestEventWithoutATimeIsRecordedOnce(t *testing.T) {
	now := time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)
	h := newHarness(t, func(o *server.Options, _ *issuer.Live) { o.Now = func() time.Time { return now } })
	const event = `{"events":[{"id":"e1","action":"push","target":{"repository":"team/app","tag":"1"}}]}`
	for range 3 {
		if r := h.ask("POST", "/notifications", event, "Authorization", "Bearer "+eventSecret); r.Status != http.StatusOK {
			t.Fatalf("status %d: %s", r.Status, r.Body)
		}
		now = now.Add(time.Hour)
	}
	entries := h.entries()
	if len(entries) != 1 || !entries[0].Event.Time.Equal(time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)) {
		t.Errorf("the journal has %v", entries)
	}
}
