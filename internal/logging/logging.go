// Package logging defines the log: the format of a line, the levels, and the text that must not
// appear, such as tokens and control characters.
package logging

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/secret"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

// Log is a logger that also writes a line for each journal entry.
type Log struct {
	*slog.Logger
	out io.Writer

	lines slog.Handler // writes lines to the field block
	block bytes.Buffer // lines of a block of entries; only the journal's writer uses it
}

// New returns a log that writes to w. The format is "text", "json" or "plain" (for a
// terminal). The level is "debug", "info", "warn" or "error". If w is nil, the log discards
// everything. Each line is written with a single call.
func New(w io.Writer, format, level string) *Log {
	if w == nil {
		return &Log{Logger: slog.New(slog.DiscardHandler), lines: slog.DiscardHandler, out: io.Discard}
	}
	var least slog.Level
	_ = least.UnmarshalText([]byte(strings.ToUpper(level))) // an unknown level means info
	handler := func(w io.Writer, redact func([]string, slog.Attr) slog.Attr) slog.Handler {
		switch options := (&slog.HandlerOptions{Level: least, ReplaceAttr: redact}); format {
		case "json":
			return slog.NewJSONHandler(text.JSONWriter{W: w}, options)
		case "plain":
			return newConsole(w, least)
		default:
			return slog.NewTextHandler(w, options)
		}
	}
	l := &Log{out: &lockedWriter{w: w}}
	l.Logger = slog.New(handler(l.out, redact))
	l.lines = handler(&l.block, nil) // a summary contains no secrets
	return l
}

// Printable is a secret that is logged on purpose, because users must read it in the log. So
// redact does not remove it.
type Printable string

// redact removes secrets from a value, such as a token in a path or a name.
func redact(_ []string, a slog.Attr) slog.Attr {
	switch a.Value.Kind() {
	case slog.KindString:
	case slog.KindAny:
		if _, meant := a.Value.Any().(Printable); meant {
			return a
		}
	default:
		return a
	}
	if text := a.Value.String(); secret.Redact(text) != text {
		a.Value = slog.StringValue(secret.Redact(text))
	}
	return a
}

// maxBlock is the maximum size, in bytes, of a buffer that is kept for the next block.
const maxBlock = 256 << 10

// Entries writes a line for each entry. The journal's writer calls it with whole blocks when they
// are durable, so the log does not delay requests.
func (l *Log) Entries(entries []journal.Entry) {
	for i := range entries {
		e := &entries[i]
		level := slog.LevelInfo
		if d := e.Decision; d != nil && d.Refused != "" && d.Principal == nil || e.Service != nil && e.Service.Refused != "" {
			level = slog.LevelWarn
		}
		if !l.lines.Enabled(context.Background(), level) {
			continue
		}
		line := slog.NewRecord(e.Time.UTC(), level, e.Summary(), 0)
		line.AddAttrs(slog.String("id", e.ID.String()))
		_ = l.lines.Handle(context.Background(), line) // a buffer never fails
	}
	if l.block.Len() > 0 {
		_, _ = l.out.Write(l.block.Bytes())
	}
	if l.block.Reset(); l.block.Cap() > maxBlock {
		l.block = bytes.Buffer{}
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
