package app

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/secret"
)

// Log is a logger that also writes a line for each journal entry. The writer of the journal
// passes entries in blocks when they are durable. Their lines are written at once, so the log
// does not delay requests.
type Log struct {
	*slog.Logger
	out  io.Writer
	line func([]byte, slog.Level, *journal.Entry) []byte

	outage *outage // of the database, which is logged once a minute
	block  []byte  // buffer for the lines of entries; only the journal writer uses it
}

// NewLog returns a log that writes to w. format is "text", "json" or "plain" (for a terminal).
// level is "debug", "info", "warn" or "error". A nil w discards everything. Lines are written
// whole.
func NewLog(w io.Writer, format, level string) *Log {
	if w == nil {
		return &Log{Logger: slog.New(slog.DiscardHandler), out: io.Discard, outage: newOutage()}
	}
	var least slog.Level
	_ = least.UnmarshalText([]byte(strings.ToUpper(level))) // an unknown level means info
	out := &lockedWriter{w: w}
	options := &slog.HandlerOptions{Level: least, ReplaceAttr: redact}
	l := &Log{out: out, line: textLine, outage: newOutage()}
	var handler slog.Handler
	switch format {
	case "json":
		handler, l.line = slog.NewJSONHandler(out, options), jsonLine
	case "plain":
		handler, l.line = newConsole(out, least), consoleLine
	default:
		handler = slog.NewTextHandler(out, options)
	}
	l.Logger = slog.New(outageFilter{handler, l.outage})
	return l
}

// printable is a secret that may appear in the log.
type printable string

// redact removes secrets from a value, such as a token in a path or a name.
func redact(_ []string, a slog.Attr) slog.Attr {
	switch a.Value.Kind() {
	case slog.KindString:
		if text := a.Value.String(); secret.Redact(text) != text {
			a.Value = slog.StringValue(secret.Redact(text))
		}
	case slog.KindAny:
		if _, meant := a.Value.Any().(printable); meant {
			return a
		}
		if text := a.Value.String(); secret.Redact(text) != text {
			a.Value = slog.StringValue(secret.Redact(text))
		}
	}
	return a
}

// maxBlock is the largest buffer that is kept for the next block, in bytes.
const maxBlock = 256 << 10

// Entries writes a line for each entry.
func (l *Log) Entries(entries []journal.Entry) {
	block := l.block[:0]
	for i := range entries {
		e := &entries[i]
		level := slog.LevelInfo
		if d := e.Decision; d != nil && d.Refused != "" && d.Principal == nil {
			level = slog.LevelWarn
		}
		if l.Enabled(context.Background(), level) {
			block = l.line(block, level, e)
		}
	}
	if len(block) > 0 {
		_, _ = l.out.Write(block)
	}
	if l.block = block; cap(block) > maxBlock {
		l.block = nil
	}
}

// lockedWriter serializes writes.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (o *lockedWriter) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.w.Write(p)
}
