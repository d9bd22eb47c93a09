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

// Log is the log: a logger, and a line for each journal entry. Entries come from the journal's writer,
// a block at a time, when they are durable; their lines leave in one write, so that the log costs a
// request nothing.
type Log struct {
	*slog.Logger
	out  io.Writer
	line func([]byte, slog.Level, *journal.Entry) []byte

	outage *outage // of the database, which is told once a minute
	block  []byte  // where entries' lines gather; the journal's writer alone uses it
}

// NewLog returns a log that writes to w: format is "text", "json" or "plain" (for a person who watches); level is
// "debug", "info", "warn" or "error". A nil w discards. Lines of one Log are never mixed.
func NewLog(w io.Writer, format, level string) *Log {
	if w == nil {
		return &Log{Logger: slog.New(slog.DiscardHandler), out: io.Discard, outage: newOutage()}
	}
	var least slog.Level
	_ = least.UnmarshalText([]byte(strings.ToUpper(level))) // what it does not know is info
	out := &oneAtATime{w: w}
	options := &slog.HandlerOptions{Level: least, ReplaceAttr: redact}
	l := &Log{out: out, line: textLine, outage: newOutage()}
	var handler slog.Handler
	switch format {
	case "json":
		handler, l.line = slog.NewJSONHandler(out, options), jsonLine
	case "plain":
		handler, l.line = newPlain(out, least), plainLine
	default:
		handler = slog.NewTextHandler(out, options)
	}
	l.Logger = slog.New(quieted{handler, l.outage})
	return l
}

// printable is a secret that is meant to be printed in the log.
type printable string

// redact takes credentials out of a line that somebody has put where they do not belong, as in a path or a name.
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

// maxBlock is how large a buffer is kept for the next block, in bytes.
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

// oneAtATime keeps writes of several goroutines whole.
type oneAtATime struct {
	mu sync.Mutex
	w  io.Writer
}

func (o *oneAtATime) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.w.Write(p)
}
