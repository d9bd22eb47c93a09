package accounts

import (
	"crypto/rand"
	"crypto/sha256"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/secret"
)

// The letters of kinds; package secret says what a secret is like.
const (
	letterAccess  = secret.Access
	letterRobot   = secret.Robot
	letterSession = secret.Session
	letterRefresh = secret.Refresh
	letterSetup   = secret.Setup
)

// letterOf is the letter of a token's secret.
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

// shownAs is the kind of credential that a secret with a letter may be shown as.
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

// digest is what is kept of a secret. It is not salted or slow: there are too many secrets to guess one.
type digest [sha256.Size]byte

// newSecret makes a secret.
func newSecret(letter byte) (identity.Secret, digest) {
	text := make([]byte, 0, secret.Length)
	text = append(text, secret.Prefix...)
	text = append(text, letter)
	var random [64]byte
	for end := len(text) + secret.RandomLength; len(text) < end; {
		rand.Read(random[:]) // never fails: crypto/rand ends the process first
		for _, b := range random {
			if b < 4*byte(len(secret.Alphabet)) && len(text) < end { // so that each letter is as likely as the next
				text = append(text, secret.Alphabet[b%byte(len(secret.Alphabet))])
			}
		}
	}
	text = secret.AppendSum(text)
	return identity.NewSecret(string(text)), sha256.Sum256(text)
}

// parseSecret says which kind of secret a text is, and what would be kept of it. It is false for what
// newSecret has not made, or somebody has mistyped. White space around it, as files and shells leave it, is not a part of it.
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
