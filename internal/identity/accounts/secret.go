package accounts

import (
	"crypto/rand"
	"crypto/sha256"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/secret"
)

// The letters in secrets that identify their kinds. Package secret documents the format.
const (
	letterAccess  = secret.Access
	letterRobot   = secret.Robot
	letterSession = secret.Session
	letterRefresh = secret.Refresh
	letterSetup   = secret.Setup
)

// letterOf returns the letter in the secret of a token.
func letterOf(use Use) byte {
	switch use {
	case Robot:
		return letterRobot
	case Refresh:
		return letterRefresh
	case Session:
		return letterSession
	}
	return letterAccess
}

// shownAs returns the kind of credential that a secret with this letter is accepted as.
func shownAs(letter byte) identity.Kind {
	switch letter {
	case letterAccess, letterRobot:
		return identity.AccessToken
	case letterRefresh:
		return identity.RefreshToken
	case letterSession:
		return identity.Session
	}
	return identity.None
}

// digest is the stored form of a secret. It needs no salt and no slow hash: a random secret
// cannot be guessed.
type digest [sha256.Size]byte

// newSecret returns a random secret and its digest.
func newSecret(letter byte) (identity.Secret, digest) {
	text := make([]byte, 0, secret.Length)
	text = append(text, secret.Prefix...)
	text = append(text, letter)
	var random [64]byte
	for end := len(text) + secret.RandomLength; len(text) < end; {
		rand.Read(random[:]) // never fails: crypto/rand crashes the process first
		for _, b := range random {
			// Values from four times the alphabet on are skipped, so that all letters are equally
			// likely.
			if b < 4*byte(len(secret.Alphabet)) && len(text) < end {
				text = append(text, secret.Alphabet[b%byte(len(secret.Alphabet))])
			}
		}
	}
	text = secret.AppendSum(text)
	return identity.NewSecret(string(text)), sha256.Sum256(text)
}

// parseSecret returns the kind and the digest of a secret. It returns false if the format or the
// checksum is wrong. White space around the secret, as files and shells add it, is ignored.
func parseSecret(text string) (letter byte, d digest, ok bool) {
	text = strings.TrimSpace(text)
	if len(text) != secret.Length {
		return 0, digest{}, false
	}
	f, ok := secret.Find(text)
	if !ok || !f.Valid || f.Begin != 0 {
		return 0, digest{}, false
	}
	var room [secret.Length]byte
	copy(room[:], text)
	return f.Letter, sha256.Sum256(room[:]), true
}
