package secret

import (
	"crypto/rand"
	"crypto/sha256"
	"hash/crc32"
	"strings"
)

// A credential of Tidewaiter consists of the prefix, a letter for its kind, 32 random
// characters (190 bits), and 6 characters with the CRC-32 of all characters before them:
// "twp_a…". A credential has only letters, digits and "_", so that a double click selects all
// of it. Scanners find credentials by twp_[abcrs][0-9A-Za-z]{38}.
const (
	Prefix       = "twp_"
	Alphabet     = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	RandomLength = 32
	sumLength    = 6
	Length       = len(Prefix) + 1 + RandomLength + sumLength
)

// The letters of the kinds.
const (
	Access  byte = 'a'
	Robot   byte = 'b'
	Session byte = 'c' // the secret of a browser session
	Refresh byte = 'r'
	Setup   byte = 's'
)

// minCut is a length. A text of at least this length that begins like a credential of Tidewaiter,
// but has a wrong checksum, counts as a mistyped or truncated credential. Such a text must not be
// sent to another service as a password.
const minCut = 24

// AppendSum appends the checksum of a credential.
func AppendSum(text []byte) []byte {
	digits := sumOf(text)
	return append(text, digits[:]...)
}

func sumOf(text []byte) (digits [sumLength]byte) { // 62^6 > 2^32, so sumLength letters are enough
	// sumOf does not call crc32.ChecksumIEEE, because ChecksumIEEE calls a function variable. The
	// argument would then escape to the heap.
	sum := ^uint32(0)
	for _, c := range text {
		sum = crc32.IEEETable[byte(sum)^c] ^ sum>>8
	}
	sum = ^sum
	for i := sumLength - 1; i >= 0; i-- {
		digits[i] = Alphabet[sum%uint32(len(Alphabet))]
		sum /= uint32(len(Alphabet))
	}
	return digits
}

// ownCredential returns the credential of Tidewaiter that starts at text[begin]. The second result
// is false if no credential begins there.
func ownCredential[T string | []byte](text T, begin int) (Found, bool) {
	start := begin + len(Prefix)
	if start >= len(text) || string(text[begin:start]) != Prefix {
		return Found{}, false
	}
	switch text[start] {
	case Access, Robot, Session, Refresh, Setup:
	default:
		return Found{}, false
	}
	end := start
	for end < len(text) && alphanumeric(text[end]) {
		end++
	}
	f := Found{Kind: Own, Letter: text[start], Begin: begin, End: end}
	if end-begin >= Length {
		var whole [Length]byte // on the stack, because this runs in every request
		copy(whole[:], text[begin:])
		if sumOf(whole[:Length-sumLength]) == [sumLength]byte(whole[Length-sumLength:]) {
			f.Valid, f.End = true, begin+Length
			return f, true
		}
	}
	return f, end-begin >= minCut
}

func alphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// Digest is the stored form of a credential. It needs no salt and no slow hash, because a random
// secret cannot be guessed.
type Digest [sha256.Size]byte

// New returns a new credential of a kind, and its digest.
func New(letter byte) (string, Digest) {
	text := make([]byte, 0, Length)
	text = append(text, Prefix...)
	text = append(text, letter)
	var random [64]byte
	for end := len(text) + RandomLength; len(text) < end; {
		rand.Read(random[:]) // never fails: crypto/rand ends the process first
		for _, b := range random {
			// A byte is skipped if it is 4*len(Alphabet) or greater, so that all letters are
			// equally likely.
			if b < 4*byte(len(Alphabet)) && len(text) < end {
				text = append(text, Alphabet[b%byte(len(Alphabet))])
			}
		}
	}
	text = AppendSum(text)
	return string(text), sha256.Sum256(text)
}

// Parse returns the kind and the digest of a credential. It returns false if the format or the
// checksum is wrong. Parse ignores white space around the credential, because files and shells
// add white space.
func Parse(text string) (letter byte, d Digest, ok bool) {
	text = strings.TrimSpace(text)
	if len(text) != Length {
		return 0, Digest{}, false
	}
	f, ok := Find(text)
	if !ok || !f.Valid || f.Begin != 0 {
		return 0, Digest{}, false
	}
	var fixed [Length]byte
	copy(fixed[:], text)
	return f.Letter, sha256.Sum256(fixed[:]), true
}
