// Package text answers: how is text that somebody else wrote shown to a person?
//
// Names, claims, paths and headers come from strangers. Printed as they are, they can break a line
// of the log in two, move a terminal's cursor, turn the order of a line around, or look like
// another name. So each package that prints such text uses this one, and the test of the
// architecture forbids others:
//
//   - in a sentence, a log line or a table: [Escape], with [Shorten] where nothing else bounds it;
//   - in quotes: [Quote], which YAML and CEL read as well, or %q of fmt for a short name;
//   - as one word of a line that programs read: [AppendWord];
//   - as JSON, where speed counts: [AppendJSON].
//
// [Printable] and [OneLine] report what a name and a value may hold.
package text

import (
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// visible reports whether a character is shown as something of its own. These are not: control
// characters, line ends, spaces but the usual one, marks that change the direction of text,
// characters without width, those that no font has, and U+FFFD, which stands for lost text.
func visible(r rune) bool {
	if r < utf8.RuneSelf {
		return ' ' <= r && r <= '~'
	}
	const brailleBlank = '\u2800'
	return unicode.IsPrint(r) && r != utf8.RuneError && r != brailleBlank &&
		!unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// Printable reports whether s is UTF-8 and all of it can be seen: what a name must be, so that no
// two names look alike by what is hidden in them. Whether a space stands at an end is for the
// caller.
func Printable(s string) bool {
	for _, r := range s {
		if !visible(r) { // invalid UTF-8 is U+FFFD here
			return false
		}
	}
	return true
}

// OneLine reports whether s is UTF-8 without control characters and line ends, and without U+FFFD:
// what a value must be that is compared. Marks of direction and of no width are allowed, since
// some languages need them.
func OneLine(s string) bool {
	for _, r := range s {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r == utf8.RuneError {
			return false
		}
	}
	return true
}

// Escape returns s with each character that cannot be seen escaped as in Go: \n, \x1b, \u202e. The
// result is Printable, and is s if s is. It has at most four times as many bytes.
func Escape(s string) string {
	if Printable(s) {
		return s
	}
	return string(appendEscaped(make([]byte, 0, len(s)+16), s, false))
}

// Quote returns s in double quotes, escaped as in Go. YAML and CEL read the result as s if s is
// UTF-8.
func Quote(s string) string { return string(AppendQuote(make([]byte, 0, len(s)+16), s)) }

// AppendQuote appends Quote of s to dst.
func AppendQuote(dst []byte, s string) []byte {
	return append(appendEscaped(append(dst, '"'), s, true), '"')
}

// QuoteShort returns Quote of at most 60 bytes of s: how a message shows what somebody typed.
func QuoteShort(s string) string { return Quote(Shorten(s, 60)) }

func appendEscaped(dst []byte, s string, quoted bool) []byte {
	for i, r := range s {
		switch {
		case quoted && (r == '"' || r == '\\'):
			dst = append(dst, '\\', byte(r))
		case visible(r):
			dst = utf8.AppendRune(dst, r)
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\ufffd"):
			const hex = "0123456789abcdef"
			dst = append(dst, '\\', 'x', hex[s[i]>>4], hex[s[i]&15])
		default:
			begin := len(dst)
			dst = strconv.AppendQuoteRuneToASCII(dst, r)
			dst = append(dst[:begin], dst[begin+1:len(dst)-1]...) // without its quotes
		}
	}
	return dst
}

const mark = "…"

// Shorten returns s if it has at most the given number of bytes, and otherwise as many whole
// characters as fit with "…" behind them. A name that is shortened may be another name: it is for
// people alone.
func Shorten(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return s[:cut(s, max(0, most-len(mark)))] + mark
}

// cut returns the number of bytes, end at most, after which no character of s is cut in two.
func cut(s string, end int) int {
	for i := end; i >= 0 && i > end-utf8.UTFMax; i-- {
		if utf8.RuneStart(s[i]) {
			return i
		}
	}
	return end // it is not UTF-8
}

// AppendWord appends s as one word: as it is if it can be seen and has neither spaces, quotes nor
// backslashes in it, and quoted otherwise. Of more than the given number of bytes, "…" stands for
// the rest.
func AppendWord(dst []byte, s string, most int) []byte {
	more := ""
	if len(s) > most {
		s, more = s[:cut(s, most)], mark
	}
	if s == "" || strings.ContainsAny(s, ` "\`) || !Printable(s) {
		dst = AppendQuote(dst, s)
	} else {
		dst = append(dst, s...)
	}
	return append(dst, more...)
}

// AppendJSON appends s as a string of JSON. As with encoding/json, what is not UTF-8 becomes
// U+FFFD.
func AppendJSON(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	done := 0 // bytes of s that are in dst
	for i := 0; i < len(s); {
		c, size := s[i], 1
		switch {
		case c >= utf8.RuneSelf:
			var r rune
			if r, size = utf8.DecodeRuneInString(s[i:]); r == utf8.RuneError && size == 1 {
				dst = append(append(dst, s[done:i]...), `\ufffd`...)
				done = i + 1
			}
		case c == '"' || c == '\\':
			dst = append(append(dst, s[done:i]...), '\\', c)
			done = i + 1
		case c < ' ':
			dst = append(append(dst, s[done:i]...), '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			done = i + 1
		}
		i += size
	}
	return append(append(dst, s[done:]...), '"')
}

// Duration returns d without the units that are zero: 15m, not 15m0s.
func Duration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
