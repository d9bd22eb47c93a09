package app

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/notification"
	"github.com/tidewaiter/tidewaiter/policy"
)

// The lines that are written by hand are those that slog writes.
func TestLinesAreThoseOfSlog(t *testing.T) {
	at := time.Date(2026, 11, 1, 12, 30, 0, 5e6, time.FixedZone("", 3600))
	for _, e := range []journal.Entry{
		{Decision: &journal.Decision{Principal: &policy.Principal{Kind: policy.User, Name: "ann"}}},
		{Decision: &journal.Decision{Name: "a \"b\" \\ c\n\x00\x1b\xff\u2028é漢", Refused: "invalid credentials"}},
		{Event: &notification.Event{Action: "push", Repository: "team/app", Tag: "v1\r\n", Actor: "ann\u202e"}},
		{Text: []byte("{\"event\":\"data\"}\xc3\x28\x9b")},
	} {
		e.ID, e.Time = journal.NewID(at), at
		for _, level := range []slog.Level{slog.LevelInfo, slog.LevelWarn} {
			record := slog.NewRecord(e.Time.UTC(), level, e.Summary(), 0)
			record.AddAttrs(slog.String("id", e.ID.String()))
			var want bytes.Buffer
			if err := slog.NewTextHandler(&want, nil).Handle(context.Background(), record); err != nil {
				t.Fatal(err)
			}
			if got := textLine(nil, level, &e); string(got) != want.String() {
				t.Errorf("text\n got %q\nwant %q", got, want.String())
			}
			want.Reset()
			if err := slog.NewJSONHandler(&want, nil).Handle(context.Background(), record); err != nil {
				t.Fatal(err)
			}
			var a, b map[string]any
			got := jsonLine(nil, level, &e)
			if err := json.Unmarshal(got, &a); err != nil {
				t.Fatalf("%q: %v", got, err)
			}
			if err := json.Unmarshal(want.Bytes(), &b); err != nil {
				t.Fatal(err)
			}
			for _, key := range []string{"level", "msg", "id"} {
				if a[key] != b[key] {
					t.Errorf("%s: got %q, want %q", key, a[key], b[key])
				}
			}
		}
	}
}

func BenchmarkLine(b *testing.B) {
	e := journal.Entry{Time: time.Now(), ID: journal.NewID(time.Now()), Registry: "registry.example.com",
		Decision: &journal.Decision{Principal: &policy.Principal{Kind: policy.User, Name: "ann"}}}
	b.ReportAllocs()
	var line []byte
	for b.Loop() {
		line = textLine(line[:0], slog.LevelInfo, &e)
	}
}
