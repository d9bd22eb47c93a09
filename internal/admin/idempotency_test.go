package admin

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/policy"
)

// Gitea CVE-2026-58426: a MAC over concatenated texts was valid for other texts with the same
// concatenation. To prevent this, the digest of an idempotency key includes the length of the
// caller's name.
func TestCallerAndKeyCannotBeSpliced(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringN(1, -1, 40).Draw(t, "text")
		i, j := rapid.IntRange(0, len(text)).Draw(t, "i"), rapid.IntRange(0, len(text)).Draw(t, "j")
		digest := func(at int) [32]byte {
			return keyDigest(Actor{Principal: &policy.Principal{Source: "accounts", ID: text[:at]}, Key: text[at:]})
		}
		if (digest(i) == digest(j)) != (i == j) {
			t.Errorf("%q and %q have the same digest", text[:i]+"|"+text[i:], text[:j]+"|"+text[j:])
		}
	})
}

// A key belongs to one caller. No key gives a caller access to an object that another caller
// created.
func TestKeysOfTwoCallersDiffer(t *testing.T) {
	seen := make(map[[32]byte]string)
	for _, k := range [][3]string{
		{"a", "b", "cd"}, {"a", "bc", "d"}, {"a", "bcd", ""}, {"a", "", "bcd"}, {"ab", "", "cd"}, {"", "ab", "cd"}, {"b", "b", "cd"}, {"a", "c", "cd"},
		{"a", "b", "c"}, {"a", "b", "\x00cd"}, {"a", "b\x00", "cd"},
	} {
		d := keyDigest(Actor{Principal: &policy.Principal{Source: k[0], ID: k[1]}, Key: k[2]})
		if other, ok := seen[d]; ok {
			t.Errorf("%q and %s have the same digest", k, other)
		}
		seen[d] = fmt.Sprintf("%q", k)
	}
}
