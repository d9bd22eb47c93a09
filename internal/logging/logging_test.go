package logging

import (
	"bytes"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/internal/text/texttest"
	"github.com/tidewaiter/tidewaiter/policy"
)

func TestLinesStayWhole(t *testing.T) {
	for _, h := range texttest.All {
		for _, format := range []string{"text", "json", "plain"} {
			var b bytes.Buffer
			log := New(&b, format, "info")
			log.Warn(h.Text, "name", h.Text)
			log.Entries([]journal.Entry{{Text: []byte(h.Text)}, {Decision: &journal.Decision{Name: h.Text, Refused: h.Text}}})
			lines := strings.Split(b.String(), "\n")
			if len(lines) != 4 {
				t.Errorf("%s, %s: %d lines of 3: %q", h.Harm, format, len(lines)-1, lines)
			}
			visible := text.Printable
			if format == "text" { // slog has its own rules for quotes
				visible = func(line string) bool {
					return !strings.ContainsFunc(line, func(r rune) bool { return !strconv.IsPrint(r) })
				}
			}
			for _, line := range lines {
				if !visible(line) {
					t.Errorf("%s, %s: the harmful text is in the log: %q", h.Harm, format, line)
				}
			}
		}
	}
}

func TestALineOfAnEntry(t *testing.T) {
	e := journal.Entry{Decision: &journal.Decision{Name: "ann", Refused: "invalid credentials"}}
	e.Time = time.Date(2026, 11, 1, 12, 30, 0, 5e6, time.FixedZone("", 3600))
	e.ID = journal.NewID(e.Time)
	for format, want := range map[string]string{
		"text":  `time=2026-11-01T11:30:00.005Z level=WARN msg="decision ann: no token: invalid credentials" id=` + e.ID.String(),
		"json":  `{"time":"2026-11-01T11:30:00.005Z","level":"WARN","msg":"decision ann: no token: invalid credentials","id":"` + e.ID.String() + `"}`,
		"plain": e.Time.Local().Format(time.TimeOnly) + ` warn: decision ann: no token: invalid credentials`,
	} {
		var b bytes.Buffer
		New(&b, format, "info").Entries([]journal.Entry{e})
		if b.String() != want+"\n" {
			t.Errorf("%s:\n got %s\nwant %s", format, b.String(), want)
		}
	}
}

func TestALogShowsWhatItsLevelSays(t *testing.T) {
	var b bytes.Buffer
	log := New(&b, "text", "warn")
	log.Entries([]journal.Entry{{Decision: &journal.Decision{Name: "ann"}}, {Decision: &journal.Decision{Name: "bob", Refused: "invalid credentials"}}})
	if strings.Contains(b.String(), "ann") || !strings.Contains(b.String(), "bob") {
		t.Errorf("got %q", b.String())
	}
}

func BenchmarkEntries(b *testing.B) {
	e := journal.Entry{Time: time.Now(), ID: journal.NewID(time.Now()), Registry: "registry.example.com",
		Decision: &journal.Decision{Principal: &policy.Principal{Kind: policy.User, Name: "ann"}}}
	for _, format := range []string{"text", "json", "plain"} {
		b.Run(format, func(b *testing.B) {
			l := New(io.Discard, format, "info")
			b.ReportAllocs()
			for b.Loop() {
				l.Entries([]journal.Entry{e})
			}
		})
	}
}
