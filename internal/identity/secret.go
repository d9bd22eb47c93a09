package identity

import (
	"fmt"
	"io"
)

// Secret is something that must not be seen: it prints as [secret] with every verb and encoder. It
// holds a pointer, because fmt prints a plain string type in an unexported field without asking it.
type Secret struct{ p *string }

// NewSecret takes s into hiding.
func NewSecret(s string) Secret { return Secret{&s} }

// Reveal returns the secret itself: for comparing and hashing, never for showing.
func (s Secret) Reveal() string {
	if s.p == nil {
		return ""
	}
	return *s.p
}

// Format writes "[secret]", whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[secret]") }

// String returns "[secret]".
func (Secret) String() string { return "[secret]" }

// GoString returns "[secret]".
func (Secret) GoString() string { return "[secret]" }

// MarshalText returns "[secret]", for JSON and slog.
func (Secret) MarshalText() ([]byte, error) { return []byte("[secret]"), nil }
