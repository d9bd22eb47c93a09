package text

import (
	"fmt"
	"io"
	"unicode/utf16"
	"unicode/utf8"
)

// JSONWriter makes JSON safe for a terminal. It writes each invisible character as \uXXXX, so the
// decoded value does not change. In JSON from an encoder, line ends occur only outside strings,
// and JSONWriter does not change line ends. All other invisible characters occur only inside
// strings. The bytes of one Write must not end within a character. json.Encoder and
// slog.JSONHandler meet this condition, because they write whole values.
type JSONWriter struct{ W io.Writer }

func (w JSONWriter) Write(p []byte) (int, error) {
	var escaped []byte
	done := 0 // p[:done] is already in escaped
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
