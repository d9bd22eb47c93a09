package scope

import (
	"fmt"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/text"
)

// makePrintable returns text from a client in a form that is safe to print.
func makePrintable(s string) string { return text.Shorten(text.Escape(s), 256) }

// String returns the scope as text: "repository(plugin):team/app:pull,push". If Parse returned the
// Scope, parsing the result of String returns the same Scope again.
func (s Scope) String() string {
	text, _ := s.AppendText(make([]byte, 0, len(s.Type)+len(s.Class)+len(s.Name)+32))
	return string(text)
}

// AppendText appends the text of String to dst. The error is always nil.
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

// MarshalText returns the text of String. In JSON, a scope is one string.
func (s Scope) MarshalText() ([]byte, error) { return s.AppendText(nil) }

// UnmarshalText parses the text that MarshalText returns, with the grammar of Parse. Unlike
// Parse, it accepts a scope without actions, because a granted scope can have no actions.
func (s *Scope) UnmarshalText(written []byte) error {
	whole := string(written)
	empty := strings.HasSuffix(whole, ":")
	if empty {
		whole += "pull" // a valid action of every type
	}
	parsed, reason := parse(whole)
	if reason != "" {
		return fmt.Errorf("parsing scope %s: %s", text.Quote(text.Shorten(string(written), 256)), reason)
	}
	if empty {
		parsed.Actions = 0
	}
	*s = parsed
	return nil
}
