package logging

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"

	"github.com/tidewaiter/tidewaiter/internal/secret"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

// consoleHandler writes lines for a terminal: the time of day, the message, and the attributes. It
// omits attributes with ids, because the journal has the ids.
type consoleHandler struct {
	mu    *sync.Mutex
	out   io.Writer
	level slog.Level
	attrs []slog.Attr
}

func newConsole(out io.Writer, level slog.Level) slog.Handler {
	return consoleHandler{mu: new(sync.Mutex), out: out, level: level}
}

func (h consoleHandler) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level }

func (h consoleHandler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString(r.Time.Local().Format("15:04:05 "))
	if r.Level != slog.LevelInfo {
		b.WriteString(strings.ToLower(r.Level.String()))
		b.WriteString(": ")
	}
	b.WriteString(text.Escape(secret.Redact(r.Message)))
	write := func(a slog.Attr) bool {
		if a = redact(nil, a); a.Key != "id" {
			fmt.Fprintf(&b, " %s=%s", a.Key, text.Escape(a.Value.String()))
		}
		return true
	}
	for _, a := range h.attrs {
		write(a)
	}
	r.Attrs(write)
	b.WriteByte('\n')
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := io.WriteString(h.out, b.String())
	return err
}

func (h consoleHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	h.attrs = append(h.attrs[:len(h.attrs):len(h.attrs)], attrs...)
	return h
}

// WithGroup does nothing: these lines have no groups.
func (h consoleHandler) WithGroup(string) slog.Handler { return h }
