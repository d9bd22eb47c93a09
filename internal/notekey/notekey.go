// Package notekey holds the keys that sign notes: the checkpoints of the journal, and the
// cosignatures of a witness. A key is an Ed25519 key with a name, in the format of
// golang.org/x/mod/sumdb/note.
package notekey

import (
	"cmp"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/tidewaiter/tidewaiter/internal/durable"
)

// Key is a private key.
type Key struct {
	note.Signer
	private ed25519.PrivateKey
	text    string // the content of the file
}

// New returns a new key.
func New(name string) (*Key, error) {
	text, _, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		return nil, fmt.Errorf("creating a key for notes: %w", err)
	}
	return parse(text)
}

// Read reads a key file. If the file does not exist, the error is fs.ErrNotExist.
func Read(path string) (*Key, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	key, err := parse(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return key, nil
}

// parse never repeats the text in an error, because the text is secret.
func parse(text string) (*Key, error) {
	signer, err := note.NewSigner(text)
	if err != nil {
		return nil, errors.New("it is not a private key for notes")
	}
	// NewSigner has accepted the text, so it has the form PRIVATE+KEY+name+id+key.
	encoded, err := base64.StdEncoding.DecodeString(strings.SplitN(text, "+", 5)[4])
	if err != nil || len(encoded) != 1+ed25519.SeedSize {
		return nil, errors.New("it is not an Ed25519 key for notes")
	}
	return &Key{Signer: signer, private: ed25519.NewKeyFromSeed(encoded[1:]), text: text}, nil
}

// Write writes the key to a new file that only its owner can read. The file appears complete or
// not at all, and survives a crash. If the file exists, the error is fs.ErrExist.
func (k *Key) Write(path string) error {
	return durable.WriteFile(path, []byte(k.text+"\n"), 0o600, false)
}

// Public returns the public key, with which others verify the notes.
func (k *Key) Public() string {
	public, err := note.NewEd25519VerifierKey(k.Name(), k.private.Public().(ed25519.PublicKey))
	if err != nil {
		return "" // cannot happen: New and Read check the name
	}
	return public
}

// String hides the key.
func (k *Key) String() string { return "[secret]" }

// Name returns the name of the key of a journal. The name is the public URL without its scheme,
// followed by "/journal". Without a public URL, the issuer of the tokens is used instead.
// Checkpoints begin with this name.
func Name(publicURL, issuer string) string {
	name := issuer
	if u, err := url.Parse(publicURL); err == nil && u.Host != "" {
		name = u.Host + strings.TrimRight(u.EscapedPath(), "/")
	}
	name = strings.Map(func(r rune) rune {
		if r <= ' ' || r == '+' || r > '~' {
			return '-' // not allowed in the name of a key
		}
		return r
	}, name)
	return cmp.Or(name, "tidewaiter") + "/journal"
}
