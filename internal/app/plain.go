package app

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

// plainHandler writes lines for a person who watches: the time of day, the message, and what else
// there is. Identifiers are left to the journal.
type plainHandler struct {
	mu    *sync.Mutex
	out   io.Writer
	level slog.Level
	attrs []slog.Attr
}

func newPlain(out io.Writer, level slog.Level) slog.Handler {
	return plainHandler{mu: new(sync.Mutex), out: out, level: level}
}

func (h plainHandler) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level }

func (h plainHandler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString(r.Time.Format("15:04:05 "))
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

func (h plainHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	h.attrs = append(h.attrs[:len(h.attrs):len(h.attrs)], attrs...)
	return h
}

// WithGroup changes nothing: these lines have no room for groups.
func (h plainHandler) WithGroup(string) slog.Handler { return h }
