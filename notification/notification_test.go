package notification_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/notification"
)

var update = flag.Bool("update", false, "write new golden files")

// The total length of an event's descriptors has a limit. Without the limit, 256 descriptors with
// the longest names would add a quarter of a megabyte to an entry of the journal.
func TestDescriptorsAreLimitedByTheirLength(t *testing.T) {
	one := `{"mediaType":"` + strings.Repeat("m", notification.MaxName) + `","digest":"` + strings.Repeat("d", notification.MaxName) + `"},`
	events, bad := decode(t, `{"events":[{"action":"push","target":{"repository":"a","references":[`+strings.TrimSuffix(strings.Repeat(one, 200), ",")+`]}}]}`)
	if len(bad) > 0 || len(events) != 1 || len(events[0].References) != 64 || events[0].Omitted != 136 {
		t.Errorf("%d bad, %d references and %d omitted, want 64 and 136", len(bad), len(events[0].References), events[0].Omitted)
	}
}

// The bodies in testdata come from each version of the registry, one body for each case. For each
// body, a .golden file has the result of Decode.
func TestBodiesOfEachRegistry(t *testing.T) {
	files, err := filepath.Glob("testdata/[0-9]*/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("finding bodies: %v", err)
	}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		events, bad, err := notification.Decode(body)
		if err != nil || len(bad) > 0 {
			t.Errorf("%s: %v, %v", file, bad, err)
		}
		var got bytes.Buffer
		for _, event := range events {
			fmt.Fprintln(&got, event.Summary())
			text, err := json.MarshalIndent(event, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&got, "%s\n", text)
		}
		golden := strings.TrimSuffix(file, ".json") + ".golden"
		if *update {
			if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got.String()); diff != "" {
			t.Errorf("%s:\n%s", file, diff)
		}
	}
}

func decode(t *testing.T, body string) ([]notification.Event, []notification.Bad) {
	t.Helper()
	events, bad, err := notification.Decode([]byte(body))
	if err != nil {
		t.Fatalf("decoding %.200s: %v", body, err)
	}
	return events, bad
}

func TestInvalidEnvelopes(t *testing.T) {
	for _, body := range []string{
		"", " ", "hello", "null", "42", `"events"`, "[]", "{}", `{"event":"data"}`,
		`{"events":null}`, `{"events":{}}`, `{"events":"push"}`, `{"events":[}`, `{"events":[]} trailing`, `{"events":[{"id":"1"`,
		// This list is nested too deeply.
		`{"events":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`,
	} {
		events, bad, err := notification.Decode([]byte(body))
		if !errors.Is(err, notification.ErrNotEnvelope) || events != nil || bad != nil {
			t.Errorf("%.60s: %v, %v, %v, want ErrNotEnvelope", body, events, bad, err)
		}
	}
	if events, bad := decode(t, `{"events":[]}`); len(events)+len(bad) > 0 {
		t.Errorf("Decode of an empty envelope returned %v, %v", events, bad)
	}
}

func TestInvalidEventsDoNotHideOthers(t *testing.T) {
	good := `{"id":"%s","action":"push","target":{"repository":"team/app"}}`
	events, bad := decode(t, `{"events":[`+strings.Join([]string{
		fmt.Sprintf(good, "1"),
		`null`, `7`, `"push"`, `[]`, `{}`,
		`{"action":"push"}`,
		`{"action":"push","target":{"repository":""}}`,
		`{"action":"push","target":{"repository":7}}`,
		`{"action":"push","target":[]}`,
		`{"action":["push"],"target":{"repository":"a"}}`,
		`{"target":{"repository":"a"}}`,
		`{"action":"push","target":{"repository":"` + strings.Repeat("a", notification.MaxName+1) + `"}}`,
		`{"action":"` + strings.Repeat("a", notification.MaxName+1) + `","target":{"repository":"a"}}`,
		fmt.Sprintf(good, "2"),
	}, ",")+`]}`)
	if len(events) != 2 || events[0].ID != "1" || events[1].ID != "2" {
		t.Errorf("got the events %+v, want 1 and 2", events)
	}
	var got []string
	for _, b := range bad {
		got = append(got, fmt.Sprintf("%d %s", b.Index, b.Reason))
	}
	want := []string{
		"1 it is not an object", "2 it is not an object", "3 it is not an object", "4 it is not an object", "5 it has no action",
		"6 it has no repository", "7 it has no repository", "8 it has no repository", "9 it has no repository",
		"10 it has no action", "11 it has no action",
		"12 its repository is longer than 512 bytes", "13 its action is longer than 512 bytes",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if string(bad[1].Text) != "7" {
		t.Errorf("the text of a bad event is %q, want the original text", bad[1].Text)
	}
}

func TestInvalidFieldsDoNotLoseEvents(t *testing.T) {
	bare := notification.Event{Action: "push", Repository: "team/app"}
	for _, field := range []string{"id", "timestamp", "request", "actor", "source", "unknown"} {
		for _, value := range []string{"null", "7", "[]", "{}", `""`, "true", `[{"a":[1]}]`, `{"name":7,"id":{},"addr":[],"instanceID":null}`} {
			events, bad := decode(t, fmt.Sprintf(`{"events":[{"action":"push","target":{"repository":"team/app"},%q:%s}]}`, field, value))
			if diff := cmp.Diff([]notification.Event{bare}, events); diff != "" || len(bad) > 0 {
				t.Errorf("%s: %s: %s %v", field, value, diff, bad)
			}
		}
	}
	for _, field := range []string{"mediaType", "digest", "tag", "url", "fromRepository", "size", "length", "references", "platform", "annotations", "urls"} {
		for _, value := range []string{"null", "[]", "{}", `""`, "true", "-1", "1.5", "1e400", "[7,null,{}]", `"7` + strings.Repeat("x", 2000) + `"`} {
			events, bad := decode(t, fmt.Sprintf(`{"events":[{"action":"push","target":{"repository":"team/app",%q:%s}}]}`, field, value))
			if len(events) == 1 {
				events[0].URL = "" // the URL may be shortened
			}
			if diff := cmp.Diff([]notification.Event{bare}, events); diff != "" || len(bad) > 0 {
				t.Errorf("%s: %.40s: %s %v", field, value, diff, bad)
			}
		}
	}
}

func TestUnknownFieldsAreSkippedAtAnyDepth(t *testing.T) {
	deep := strings.Repeat(`{"a":[`, 4000) + strings.Repeat(`]}`, 4000)
	events, bad := decode(t, `{"x":`+deep+`,"events":[{"x":`+deep+`,"action":"push","target":{"x":`+deep+`,"repository":"team/app"}}]}`)
	if len(events) != 1 || len(bad) > 0 {
		t.Errorf("got %d events, %d bad", len(events), len(bad))
	}
}

func TestSizes(t *testing.T) {
	for _, tt := range []struct {
		fields string
		want   int64
	}{
		{`"size":7,"length":8`, 7},
		{`"length":8`, 8},
		{`"size":0,"length":8`, 8},
		{`"size":"7","length":8`, 8},
		{`"size":1e3`, 1000},
		{`"size":9007199254740993`, 9007199254740993}, // not a float64
		{`"size":9223372036854775807`, 1<<63 - 1},
		{`"size":9223372036854775808`, 0},
		{`"size":-7`, 0},
	} {
		events, _ := decode(t, `{"events":[{"action":"push","target":{"repository":"a",`+tt.fields+`}}]}`)
		if got := events[0].Size; got != tt.want {
			t.Errorf("%s: %d, want %d", tt.fields, got, tt.want)
		}
	}
}

func TestTimes(t *testing.T) {
	for _, tt := range []struct {
		text string
		want time.Time
	}{
		{"2026-11-23T18:20:31.123456789Z", time.Date(2026, 11, 23, 18, 20, 31, 123456789, time.UTC)},
		{"2026-11-23T19:20:31+01:00", time.Date(2026, 11, 23, 18, 20, 31, 0, time.UTC)},
		{"0001-01-01T00:00:00Z", time.Time{}},
		{"9999-12-31T23:59:59-23:59", time.Time{}}, // the year 10000, which JSON can't write
		{"0000-01-01T00:00:00+01:00", time.Time{}},
		{"yesterday", time.Time{}},
		{"1764000000", time.Time{}},
	} {
		events, _ := decode(t, `{"events":[{"action":"push","target":{"repository":"a"},"timestamp":"`+tt.text+`"}]}`)
		if got := events[0].Time; !got.Equal(tt.want) || got.Location() != time.UTC {
			t.Errorf("%s: %s, want %s", tt.text, got, tt.want)
		}
		if _, err := json.Marshal(events[0]); err != nil {
			t.Errorf("%s: %v", tt.text, err)
		}
	}
}

func TestBoundedMemoryEverywhere(t *testing.T) {
	// An element of two bytes must not use hundreds of bytes of memory.
	events, bad := decode(t, `{"events":[`+strings.Repeat("0,", 1<<18)+`0]}`)
	if len(events) != 0 || len(bad) != notification.MaxEvents+1 {
		t.Errorf("%d events, %d bad", len(events), len(bad))
	}
	if want := fmt.Sprintf("the envelope has %d events: this event and the later ones were not read", 1<<18+1); bad[notification.MaxEvents].Reason != want {
		t.Errorf("the reason of the last bad event is %q, want %q", bad[notification.MaxEvents].Reason, want)
	}
	long := `"` + strings.Repeat("é", 1<<15) + `"`
	references := strings.Repeat(`{"digest":"d","size":1},`, notification.MaxReferences)
	body := `{"events":[{"action":"push","id":L,"timestamp":L,
		"target":{"repository":"a","mediaType":L,"digest":L,"tag":L,"url":L,"fromRepository":L,"references":[` + references + `{"digest":"cut"}]},
		"request":{"id":L,"addr":L,"host":L,"method":L,"useragent":L},"actor":{"name":L},"source":{"addr":L,"instanceID":L}},
		{"action":"push","text":L}]}`
	events, bad = decode(t, strings.ReplaceAll(body, "L", long))
	cut := strings.Repeat("é", (notification.MaxText-len("…"))/2) + "…"
	want := notification.Event{
		Action: "push", Repository: "a", URL: cut, Actor: cut,
		Request:    notification.Request{Address: cut, Host: cut, UserAgent: cut},
		Source:     notification.Source{Address: cut, Instance: cut},
		References: make([]notification.Descriptor, notification.MaxReferences),
		Omitted:    1,
	}
	for i := range want.References {
		want.References[i] = notification.Descriptor{Digest: "d", Size: 1}
	}
	if diff := cmp.Diff([]notification.Event{want}, events); diff != "" {
		t.Error(diff)
	}
	if len(bad) != 1 || len(bad[0].Text) != 4<<10 {
		t.Errorf("bad: %d, of %d bytes", len(bad), len(bad[0].Text))
	}
}

func TestSummariesAreOneHarmlessLine(t *testing.T) {
	for _, tt := range []struct {
		event notification.Event
		want  string
	}{
		{notification.Event{Action: "push", Repository: "team/app", Tag: "v1", Digest: "sha256:fea8895f450959fa676b", Actor: "alice"},
			"push team/app:v1 sha256:fea8895f4509… by alice"},
		{notification.Event{Action: "delete", Repository: "team/app", Tag: "v1"}, "delete team/app:v1"},
		{notification.Event{Action: "mount", Repository: "team/app", Digest: "sha256:abc", FromRepository: "library/base", Actor: "bob"},
			"mount team/app sha256:abc from library/base by bob"},
		{notification.Event{Action: "pull", Repository: "a", Actor: "anna", Request: notification.Request{Method: "HEAD"}}, "pull a by anna (HEAD)"},
		{notification.Event{Action: "push", Repository: "a b", Actor: "x\" by root"}, `push "a b" by "x\" by root"`},
		{notification.Event{Action: "push", Repository: "a\nlevel=ERROR", Actor: "\x1b[2J\x00"}, `push "a\nlevel=ERROR" by "\x1b[2J\x00"`},
		{notification.Event{Action: "push", Repository: "a", Actor: "\u202eecila\u2028"}, `push a by "\u202eecila\u2028"`},
		{notification.Event{Action: "push", Repository: "a", Actor: strings.Repeat("é", 200)}, "push a by " + strings.Repeat("é", 64) + "…"},
		{notification.Event{Action: "push", Repository: "日本/語", Actor: "bad\xff"}, `push 日本/語 by "bad\xff"`},
		{notification.Event{}, `"" ""`},
	} {
		if got := tt.event.Summary(); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("testdata/[0-9]*/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Add([]byte(`{"events":[null,{"action":"push","target":{"repository":"a\u0000\n","size":1e400}}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		events, bad, err := notification.Decode(body)
		if err != nil {
			if !errors.Is(err, notification.ErrNotEnvelope) || events != nil || bad != nil {
				t.Errorf("%v, %v, %v", events, bad, err)
			}
			return
		}
		if len(events) > notification.MaxEvents || len(bad) > notification.MaxEvents+1 {
			t.Errorf("%d events, %d bad", len(events), len(bad))
		}
		for _, b := range bad {
			if b.Reason == "" || len(b.Text) > 4<<10 {
				t.Errorf("bad event %d: %q, %d bytes", b.Index, b.Reason, len(b.Text))
			}
		}
		for _, event := range events {
			if event.Action == "" || event.Repository == "" || len(event.ID) > notification.MaxName || event.Size < 0 {
				t.Errorf("an event that should be bad: %+v", event)
			}
			summary := event.Summary()
			if !utf8.ValidString(summary) || len(summary) > 4096 ||
				strings.ContainsFunc(summary, func(r rune) bool { return r != ' ' && !unicode.IsGraphic(r) }) {
				t.Errorf("the summary is not a single line of printable text: %q", summary)
			}
			// An event that was encoded as JSON is decoded to the same event.
			text, err := json.Marshal(event)
			if err != nil {
				t.Fatal(err)
			}
			var again notification.Event
			if err := json.Unmarshal(text, &again); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(event, again); diff != "" {
				t.Error(diff)
			}
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	body, err := os.ReadFile("testdata/3.1/push-manifest-by-tag.json")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if _, _, err := notification.Decode(body); err != nil {
			b.Fatal(err)
		}
	}
}
