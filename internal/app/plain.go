package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"

	"github.com/tidewaiter/tidewaiter/internal/secret"
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
	b.WriteString(oneLine(secret.Redact(r.Message)))
	write := func(a slog.Attr) bool {
		if a = redact(nil, a); a.Key != "id" {
			fmt.Fprintf(&b, " %s=%s", a.Key, oneLine(a.Value.String()))
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

// oneLine keeps a line whole, whatever is in it: control characters, which could move a terminal's
// cursor, are shown escaped.
func oneLine(s string) string {
	for _, r := range s {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' || r == '\ufffd' {
			quoted := strconv.QuoteToGraphic(s)
			return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
		}
	}
	return s
}
