package ldap

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Gitea CVE-2026-58426: a MAC over texts that were written one after the other held for others
// that are the same in a row. A key of the result cache contains the length of the name.
func TestNamesAndPasswordsCannotBeSpliced(t *testing.T) {
	c := newResultCache(time.Minute, time.Now)
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringN(1, -1, 40).Draw(t, "text")
		i, j := rapid.IntRange(0, len(text)).Draw(t, "i"), rapid.IntRange(0, len(text)).Draw(t, "j")
		if (c.key(text[:i], text[i:]) == c.key(text[:j], text[j:])) != (i == j) {
			t.Errorf("%q and %q are one", text[:i]+"|"+text[i:], text[:j]+"|"+text[j:])
		}
	})
}
