package identity

import (
	"fmt"
	"io"
)

// Secret is a string that must not be printed: every verb and encoder prints [secret]. A Secret
// contains a pointer, because fmt prints a plain string in an unexported field without calling
// the methods of the type.
type Secret struct{ p *string }

// NewSecret returns s as a Secret.
func NewSecret(s string) Secret { return Secret{&s} }

// Reveal returns the secret itself, for comparing and hashing. Do not print it.
func (s Secret) Reveal() string {
	if s.p == nil {
		return ""
	}
	return *s.p
}

// Format writes "[secret]" for every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[secret]") }

// String returns "[secret]".
func (Secret) String() string { return "[secret]" }

// GoString returns "[secret]".
func (Secret) GoString() string { return "[secret]" }

// MarshalText returns "[secret]", for JSON and slog.
func (Secret) MarshalText() ([]byte, error) { return []byte("[secret]"), nil }
