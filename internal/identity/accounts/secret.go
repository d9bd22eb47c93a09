package accounts

import (
	"crypto/rand"
	"crypto/sha256"
	"hash/crc32"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/identity"
)

// A secret is the prefix, a letter that says what it is, 32 random characters (190 bits), and 6 that
// are the CRC-32 of all before: "twp_a…". Letters and digits alone, so that a double click takes all of
// it, and a scanner finds it by twp_[abcrs][0-9A-Za-z]{38}.
const (
	letters      = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	randomLength = 32
	sumLength    = 6
	secretLength = len(identity.AccessTokenPrefix) + 1 + randomLength + sumLength
)

// The letters of kinds.
const (
	letterAccess  byte = 'a'
	letterRobot   byte = 'b'
	letterSession byte = 'c' // of the console
	letterRefresh byte = 'r'
	letterSetup   byte = 's'
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
	text := make([]byte, 0, secretLength)
	text = append(text, identity.AccessTokenPrefix...)
	text = append(text, letter)
	var random [64]byte
	for end := len(text) + randomLength; len(text) < end; {
		rand.Read(random[:]) // never fails: crypto/rand ends the process first
		for _, b := range random {
			if b < 4*byte(len(letters)) && len(text) < end { // so that each letter is as likely as the next
				text = append(text, letters[b%byte(len(letters))])
			}
		}
	}
	text = appendSum(text)
	return identity.NewSecret(string(text)), sha256.Sum256(text)
}

// parseSecret says which kind of secret a text is, and what would be kept of it. It is false for what
// newSecret has not made, or somebody has mistyped. White space around it, as files and shells leave it, is not a part of it.
func parseSecret(text string) (letter byte, d digest, ok bool) {
	text = strings.TrimSpace(text)
	if len(text) != secretLength || !strings.HasPrefix(text, identity.AccessTokenPrefix) {
		return 0, digest{}, false
	}
	var room [secretLength]byte
	begin := secretLength - sumLength
	if string(appendSum(append(room[:0], text[:begin]...))) != text {
		return 0, digest{}, false
	}
	copy(room[:], text)
	return text[len(identity.AccessTokenPrefix)], sha256.Sum256(room[:]), true
}

// appendSum appends the checksum of text.
func appendSum(text []byte) []byte {
	sum := crc32.ChecksumIEEE(text)
	var digits [sumLength]byte // 62^6 is more than 2^32
	for i := sumLength - 1; i >= 0; i-- {
		digits[i] = letters[sum%uint32(len(letters))]
		sum /= uint32(len(letters))
	}
	return append(text, digits[:]...)
}
