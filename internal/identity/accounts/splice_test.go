package accounts

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/internal/identity"
)

// Gitea CVE-2026-58426: a MAC over concatenated texts was valid for other texts with the same
// concatenation. Cache keys include the length of each text.
func TestNamesAndSecretsCannotBeSpliced(t *testing.T) {
	m := newMACs()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringN(1, -1, 40).Draw(t, "text")
		i, j := rapid.IntRange(0, len(text)).Draw(t, "i"), rapid.IntRange(0, len(text)).Draw(t, "j")
		if (m.key(identity.Password, text[:i], text[i:]) == m.key(identity.Password, text[:j], text[j:])) != (i == j) {
			t.Errorf("a password: %q and %q are one", text[:i]+"|"+text[i:], text[:j]+"|"+text[j:])
		}
	})
}
