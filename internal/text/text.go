// Package text makes text from other parties safe to show to people.
//
// Names, claims, paths and headers can come from anyone. Without escapes, such a text can split a
// log line in two, or move the cursor of a terminal. It can also reverse the order of a line, or
// look like another name. So every package that prints such text uses these functions, and the
// architecture test forbids other ways:
//
//   - in a sentence, a log line or a table: [Escape], with [Shorten] if the length has no other
//     limit;
//   - in quotes: [Quote], which YAML and CEL can read, or %q of fmt for short names;
//   - as one word of a line that programs read: [AppendWord];
//   - as JSON: [JSONWriter], which a terminal may show; [AppendJSON] if speed matters and only
//     programs read the JSON.
//
// [Printable] and [OneLine] report whether a name or a value is allowed.
package text

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// isVisible reports whether a reader can see a character. These characters are not visible:
// control characters, line ends, all spaces except U+0020, marks that change the text direction,
// characters without width, unassigned characters, and U+FFFD, which replaces invalid text.
func isVisible(r rune) bool {
	if r < utf8.RuneSelf {
		return ' ' <= r && r <= '~'
	}
	const brailleBlank = '\u2800'
	return unicode.IsPrint(r) && r != utf8.RuneError && r != brailleBlank &&
		!unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// Printable reports whether s is UTF-8 and consists of visible characters. A name must be
// printable, so that no two names differ only in hidden characters. Printable does not check
// for spaces at the ends.
func Printable(s string) bool {
	for _, r := range s {
		if !isVisible(r) { // invalid UTF-8 is U+FFFD here
			return false
		}
	}
	return true
}

// OneLine reports whether s is UTF-8 without control characters, line ends and U+FFFD. A value
// that is compared must be one line. Direction marks and characters without width are allowed,
// because some languages need them.
func OneLine(s string) bool {
	for _, r := range s {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r == utf8.RuneError {
			return false
		}
	}
	return true
}

// Escape returns s with each invisible character escaped as in Go: \n, \x1b, \u202e. The result
// is Printable. If s is Printable, the result is s. The result has at most four times as many
// bytes as s.
func Escape(s string) string {
	if Printable(s) {
		return s
	}
	return string(appendEscaped(make([]byte, 0, len(s)+16), s, false))
}

// Quote returns s in double quotes, escaped as in Go. If s is UTF-8, YAML and CEL decode the
// result to s.
func Quote(s string) string { return string(AppendQuote(make([]byte, 0, len(s)+16), s)) }

// AppendQuote appends Quote of s to dst.
func AppendQuote(dst []byte, s string) []byte {
	return append(appendEscaped(append(dst, '"'), s, true), '"')
}

// QuoteShort returns Quote of at most 60 bytes of s. Messages use it for text from users.
func QuoteShort(s string) string { return Quote(Shorten(s, 60)) }

func appendEscaped(dst []byte, s string, quoted bool) []byte {
	for i, r := range s {
		switch {
		case quoted && (r == '"' || r == '\\'):
			dst = append(dst, '\\', byte(r))
		case isVisible(r):
			dst = utf8.AppendRune(dst, r)
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\ufffd"):
			const hex = "0123456789abcdef"
			dst = append(dst, '\\', 'x', hex[s[i]>>4], hex[s[i]&15])
		default:
			begin := len(dst)
			dst = strconv.AppendQuoteRuneToASCII(dst, r)
			dst = append(dst[:begin], dst[begin+1:len(dst)-1]...) // remove the quotes
		}
	}
	return dst
}

const mark = "…"

// Shorten limits the length of s in bytes. A longer s is cut after a whole character, and "…" is
// added. Different names can have the same shortened form, so do not compare shortened names.
func Shorten(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return s[:cut(s, max(0, limit-len(mark)))] + mark
}

// cut returns the greatest index up to end that does not split a character of s.
func cut(s string, end int) int {
	for i := end; i >= 0 && i > end-utf8.UTFMax; i-- {
		if utf8.RuneStart(s[i]) {
			return i
		}
	}
	return end // s is not UTF-8
}

// AppendWord appends s as one word. It quotes s if s is empty, not Printable, or has spaces,
// quotes or backslashes. If s is longer than the limit, in bytes, "…" replaces the rest.
func AppendWord(dst []byte, s string, limit int) []byte {
	more := ""
	if len(s) > limit {
		s, more = s[:cut(s, limit)], mark
	}
	if s == "" || strings.ContainsAny(s, ` "\`) || !Printable(s) {
		dst = AppendQuote(dst, s)
	} else {
		dst = append(dst, s...)
	}
	return append(dst, more...)
}

// AppendJSON appends s as a JSON string. As in encoding/json, invalid UTF-8 becomes U+FFFD.
func AppendJSON(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	done := 0 // s[:done] is already in dst
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

// Name returns the name s in a form that is safe in a sentence: escaped and shortened to 200
// bytes. For an empty name, it returns two double quotes.
func Name(s string) string {
	if s == "" {
		return `""`
	}
	return Escape(Shorten(s, 200))
}

// List joins names for a sentence, at most five of them: "a, b and c", "a, b, c, d, e or 2 more".
func List(names []string, conjunction string) string {
	const most = 5
	var b strings.Builder
	for i, name := range names {
		switch {
		case i == most:
			return b.String() + " " + conjunction + " " + strconv.Itoa(len(names)-most) + " more"
		case i > 0 && i == len(names)-1:
			b.WriteString(" " + conjunction + " ")
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString(Name(name))
	}
	return b.String()
}

// Verbs joins actions like List. It writes the action "*" of the catalog as "list".
func Verbs(actions []string, conjunction string) string {
	verbs := make([]string, len(actions))
	for i, action := range actions {
		if verbs[i] = action; action == "*" {
			verbs[i] = "list"
		}
	}
	return List(verbs, conjunction)
}

// Resource describes a resource for use in a sentence: "team/app", "the catalog",
// "tidewaiter:accounts".
func Resource(kind, name string) string {
	switch kind {
	case "repository":
		return Escape(name)
	case "registry":
		return "the " + Escape(name)
	}
	return Escape(kind) + ":" + Escape(name)
}
