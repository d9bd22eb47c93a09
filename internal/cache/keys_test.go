package cache_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/internal/cache"
)

// Gitea CVE-2026-58426: a MAC over concatenated texts was valid for other texts with the same
// concatenation. Keys include the length of each text.
func TestTextsOfAKeyCannotBeSpliced(t *testing.T) {
	k := cache.NewKeys()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringN(1, -1, 40).Draw(t, "text")
		i, j := rapid.IntRange(0, len(text)).Draw(t, "i"), rapid.IntRange(0, len(text)).Draw(t, "j")
		if (k.Of(1, text[:i], text[i:]) == k.Of(1, text[:j], text[j:])) != (i == j) {
			t.Errorf("%q and %q have the same key", text[:i]+"|"+text[i:], text[:j]+"|"+text[j:])
		}
	})
}
