package app

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"

	"github.com/tidewaiter/tidewaiter/internal/journal"
)

// Log is the log: a logger, and a line for each journal entry. Entries come from the journal's writer,
// a block at a time, when they are durable; their lines leave in one write, so that the log costs a
// request nothing.
type Log struct {
	*slog.Logger
	out     io.Writer
	entries slog.Handler
	block   *bytes.Buffer // where entries' lines gather; the journal's writer alone uses it
}

// NewLog returns a log that writes to w: format is "text", "json" or "plain" (for a person who watches); level is
// "debug", "info", "warn" or "error". A nil w discards. Lines of one Log are never mixed.
func NewLog(w io.Writer, format, level string) *Log {
	if w == nil {
		return &Log{Logger: slog.New(slog.DiscardHandler), entries: slog.DiscardHandler, out: io.Discard, block: new(bytes.Buffer)}
	}
	var least slog.Level
	_ = least.UnmarshalText([]byte(strings.ToUpper(level))) // what it does not know is info
	handler := func(w io.Writer) slog.Handler {
		options := &slog.HandlerOptions{Level: least}
		switch format {
		case "json":
			return slog.NewJSONHandler(w, options)
		case "plain":
			return newPlain(w, least)
		}
		return slog.NewTextHandler(w, options)
	}
	out := &oneAtATime{w: w}
	block := new(bytes.Buffer)
	return &Log{Logger: slog.New(handler(out)), out: out, entries: handler(block), block: block}
}

// maxBlock is how large a buffer is kept for the next block, in bytes.
const maxBlock = 256 << 10

// Entries writes a line for each entry.
func (l *Log) Entries(entries []journal.Entry) {
	for i := range entries {
		e := &entries[i]
		level := slog.LevelInfo
		if d := e.Decision; d != nil && d.Refused != "" && d.Principal == nil {
			level = slog.LevelWarn
		}
		if !l.entries.Enabled(context.Background(), level) {
			continue
		}
		line := slog.NewRecord(e.Time, level, e.Summary(), 0)
		line.AddAttrs(slog.String("id", e.ID.String()))
		_ = l.entries.Handle(context.Background(), line)
	}
	if l.block.Len() == 0 {
		return
	}
	_, _ = l.out.Write(l.block.Bytes())
	if l.block.Cap() > maxBlock {
		*l.block = bytes.Buffer{}
	}
	l.block.Reset()
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
