package scope

import (
	"fmt"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/text"
)

// shown returns what a client sent as it is shown to people.
func shown(s string) string { return text.Shorten(text.Escape(s), 256) }

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
func (s *Scope) UnmarshalText(written []byte) error {
	whole := string(written)
	empty := strings.HasSuffix(whole, ":")
	if empty {
		whole += "pull" // known for every type
	}
	parsed, reason := parse(whole)
	if reason != "" {
		return fmt.Errorf("reading scope %s: %s", text.Quote(text.Shorten(string(written), 256)), reason)
	}
	if empty {
		parsed.Actions = 0
	}
	*s = parsed
	return nil
}
