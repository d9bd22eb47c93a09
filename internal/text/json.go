package text

import (
	"fmt"
	"io"
	"unicode/utf16"
	"unicode/utf8"
)

// JSONWriter makes JSON safe for a terminal: it writes each invisible character as \uXXXX.
// The decoded value does not change. In JSON from an encoder, invisible characters occur only
// inside strings. Line ends are the exception: they occur only outside strings, so JSONWriter does
// not change them. The bytes of one Write must not end within a character. json.Encoder and
// slog.JSONHandler meet this condition, because they write whole values.
type JSONWriter struct{ W io.Writer }

func (w JSONWriter) Write(p []byte) (int, error) {
	var escaped []byte
	done := 0 // number of bytes of p that escaped has already
	for i := 0; i < len(p); {
		r, size := utf8.DecodeRune(p[i:]) // invalid UTF-8 is U+FFFD, like in encoding/json
		if r != '\n' && !isVisible(r) {
			escaped = append(escaped, p[done:i]...)
			for _, unit := range utf16.AppendRune(nil, r) { // two units for a rune above U+FFFF
				escaped = fmt.Appendf(escaped, `\u%04x`, unit)
			}
			done = i + size
		}
		i += size
	}
	whole := p
	if done > 0 {
		whole = append(escaped, p[done:]...)
	}
	if _, err := w.W.Write(whole); err != nil {
		return 0, err
	}
	return len(p), nil
}
