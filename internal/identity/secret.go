package identity

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

// String returns "[secret]".
func (Secret) String() string { return "[secret]" }

// GoString returns "[secret]".
func (Secret) GoString() string { return "[secret]" }

// MarshalText returns "[secret]", for JSON and slog.
func (Secret) MarshalText() ([]byte, error) { return []byte("[secret]"), nil }
