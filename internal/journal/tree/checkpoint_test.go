package tree_test

import (
	"crypto/rand"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/tidewaiter/tidewaiter/internal/journal/tree"
)

func newKey(t *testing.T, name string) (note.Signer, note.Verifier) {
	t.Helper()
	private, public, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	return signer, verifier
}

func TestACheckpointIsSignedAndOpened(t *testing.T) {
	signer, verifier := newKey(t, "auth.example.com/journal")
	other, otherVerifier := newKey(t, "other")
	c := tree.Checkpoint{Origin: "auth.example.com/journal", Size: 42, Root: tree.Hash{1, 2}}
	signed, err := c.Sign(signer)
	if err != nil {
		t.Fatal(err)
	}
	if got, _, err := tree.OpenCheckpoint(signed, otherVerifier, verifier); err != nil || got != c {
		t.Errorf("%+v, %v", got, err)
	}
	if _, _, err := tree.OpenCheckpoint(signed, otherVerifier); err == nil {
		t.Error("opened with the wrong key")
	}
	byOther, err := c.Sign(other)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := tree.OpenCheckpoint(byOther, otherVerifier, verifier); err == nil {
		t.Error("opened with the signature of a key with another name")
	}
	// The signature ends with "=", so two bits of the letter before it have no meaning.
	last := len(signed) - len("x=\n")
	for i := range signed {
		if i == last {
			continue
		}
		changed := append([]byte(nil), signed...)
		changed[i] ^= 1
		if _, _, err := tree.OpenCheckpoint(changed, verifier); err == nil {
			t.Errorf("opened with byte %d changed", i)
		}
	}
}

func TestACheckpointHasOneForm(t *testing.T) {
	root := tree.Hash{}.String()
	for _, text := range []string{
		"", "a", "a\n1\n" + root, "\n1\n" + root + "\n", "a\n-1\n" + root + "\n", "a\n01\n" + root + "\n", "a\n+1\n" + root + "\n",
		"a\n1\n" + strings.TrimRight(root, "=") + "\n", "a\n1\nAAAA\n", "a\n99999999999999999999\n" + root + "\n", "a\n4611686018427387905\n" + root + "\n", "a\n9223372036854775807\n" + root + "\n", "a\n1\n" + root[:42] + "B=\n",
	} {
		if c, err := tree.ParseCheckpoint(text); err == nil {
			t.Errorf("%q is %+v", text, c)
		}
	}
	if c, err := tree.ParseCheckpoint("a b\n0\n" + root + "\nmore\n"); err != nil || c.Origin != "a b" || c.Size != 0 {
		t.Errorf("%+v, %v", c, err)
	}
}

// These are the errors if a user copies the wrong file, or only a part of the right file.
func TestAProofThatIsNotComplete(t *testing.T) {
	_, verifier := newKey(t, "auth.example.com/journal")
	for text, want := range map[string]string{
		"":                         "reading the proof: it is empty",
		" \n":                      "reading the proof: it is empty",
		`{"format": "tidewaiter `:  "reading the proof: its end is missing",
		`{"format": "x", "entries`: "reading the proof: its end is missing",
		`{"format": "x"`:           "reading the proof: its end is missing",
		"{} {}":                    "reading the proof: unexpected data after it",
		"{} }":                     "reading the proof: unexpected data after it",
		`{"format": "tidewaiter journal entries 1", "checkpoint": ""}`: "the checkpoint's signature: malformed note",
		"{}": "reading the proof: this version does not support the format \"\"",
		"a":  "reading the proof: invalid character 'a' looking for beginning of value",
	} {
		if _, err := tree.Check([]byte(text), verifier); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}
