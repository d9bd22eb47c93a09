package scope

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxShown bounds foreign text that is shown to people, in bytes.
const maxShown = 256

// String returns the scope as it is written: "repository(plugin):team/app:pull,push". Parse reads
// each Scope that it returned back from its String.
func (s Scope) String() string {
	text, _ := s.AppendText(make([]byte, 0, len(s.Type)+len(s.Class)+len(s.Name)+32))
	return string(text)
}

// AppendText appends String to dst. The error is always nil.
func (s Scope) AppendText(dst []byte) ([]byte, error) {
	dst = append(dst, s.Type...)
	if s.Class != "" {
		dst = append(dst, '(')
		dst = append(dst, s.Class...)
		dst = append(dst, ')')
	}
	dst = append(dst, ':')
	dst = append(dst, s.Name...)
	dst = append(dst, ':')
	return s.Actions.AppendText(dst)
}

// MarshalText is String as bytes, so that a scope is one string in JSON.
func (s Scope) MarshalText() ([]byte, error) { return s.AppendText(nil) }

// UnmarshalText reads what MarshalText wrote, under the grammar of Parse, except that a scope may
// have no actions: nothing of it was granted.
func (s *Scope) UnmarshalText(text []byte) error {
	whole := string(text)
	empty := strings.HasSuffix(whole, ":")
	if empty {
		whole += "pull" // known for every type
	}
	parsed, reason := parse(whole)
	if reason != "" {
		return fmt.Errorf("reading scope %q: %s", printable(string(text), maxShown), reason)
	}
	if empty {
		parsed.Actions = 0
	}
	*s = parsed
	return nil
}

// printable returns at most limit bytes of s with all that is not printable escaped as in Go's
// strings: control characters, line ends, direction marks, invalid UTF-8. It keeps foreign text from
// writing lines of a log or commands to a terminal.
func printable(s string, limit int) string {
	if len(s) <= limit && plain(s) {
		return s
	}
	shown := make([]byte, 0, limit)
	for s != "" {
		r, size := utf8.DecodeRuneInString(s)
		var one [16]byte
		piece := one[:0]
		switch {
		case r == utf8.RuneError && size == 1:
			const hex = "0123456789abcdef"
			piece = append(piece, '\\', 'x', hex[s[0]>>4], hex[s[0]&15])
		case strconv.IsPrint(r):
			piece = utf8.AppendRune(piece, r)
		default:
			quoted := strconv.AppendQuoteRune(one[:0], r)
			piece = quoted[1 : len(quoted)-1]
		}
		if len(shown)+len(piece) > limit {
			break
		}
		shown = append(shown, piece...)
		s = s[size:]
	}
	return string(shown)
}

func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
