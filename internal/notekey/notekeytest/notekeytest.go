// Package notekeytest creates keys for tests.
package notekeytest

import (
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/tidewaiter/tidewaiter/internal/notekey"
)

// New returns a new key of a journal, and the verifier of its signatures.
func New(t testing.TB) (*notekey.Key, note.Verifier) {
	t.Helper()
	key, err := notekey.New("auth.example.com/journal")
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return key, verifier
}
