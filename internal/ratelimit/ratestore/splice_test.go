package ratestore

import (
	"testing"

	"pgregory.net/rapid"
)

// Gitea CVE-2026-58426: a MAC over concatenated texts was valid for other texts with the same
// concatenation. Here, the place of one name must never equal the place of another name. Keys of
// different kinds must never be equal.
func TestNamesAndPlacesCannotBeSpliced(t *testing.T) {
	secret := []byte("a key of a test, of thirty-two b")
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringN(1, -1, 40).Draw(t, "text")
		i, j := rapid.IntRange(0, len(text)).Draw(t, "i"), rapid.IntRange(0, len(text)).Draw(t, "j")
		if (sum(secret, ofPlace, text[:i], text[i:]) == sum(secret, ofPlace, text[:j], text[j:])) != (i == j) {
			t.Errorf("%q and %q have the same HMAC", text[:i]+"|"+text[i:], text[:j]+"|"+text[j:])
		}
		if sum(secret, ofPlace, text) == sum(secret, ofName, text) || sum(secret, ofPlace, text) == sum(secret, ofPlace, text, "") {
			t.Error("HMACs of two kinds are equal")
		}
	})
}
