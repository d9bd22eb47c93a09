package password

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// Limits for the cost of a hash. Without them, one line of a file could overload the machine. With
// them, the most expensive hash takes about two seconds of one core.
const (
	minNewCost = 10 // bcrypt; OWASP's minimum
	maxCost    = 15 // bcrypt; each step doubles the time
	maxBcrypt  = 72 // bytes of a password that bcrypt uses

	maxMemory  = 256 << 10 // argon2id: KiB
	maxWork    = 1 << 20   // argon2id: KiB times passes
	maxThreads = 16        // argon2id
)

// parameters is a parsed hash.
type parameters interface {
	// ErrTooLong, or ErrMismatch if no hash of this kind can match
	checkPassword(password string) error
	matches(password string) bool // slow; the result does not affect the time
	needs() need
	cost() cost
}

// Check returns nil if Compare can use the hash. Otherwise it returns an error that explains how
// to get a usable hash. The error never contains the argument, because the argument can be a
// plain-text password.
func Check(hash string) error {
	_, err := parse(hash)
	return err
}

func parse(hash string) (parameters, error) {
	switch {
	case strings.HasPrefix(hash, "$2a$"), strings.HasPrefix(hash, "$2b$"), strings.HasPrefix(hash, "$2y$"):
		return parseBcrypt(hash)
	case strings.HasPrefix(hash, "$argon2id$"):
		return parseArgon2id(hash)
	}
	for _, weak := range []struct{ prefix, is string }{
		{"$2x$", "a bcrypt hash of a faulty version ($2x$)"},
		{"$2$", "a bcrypt hash of the first version ($2$)"},
		{"$apr1$", "an MD5 hash (apr1)"},
		{"$1$", "an MD5 hash (crypt)"},
		{"{SHA}", "an SHA-1 hash"},
		{"{SSHA}", "a salted SHA-1 hash"},
		{"$5$", "an SHA-256 hash (crypt)"},
		{"$6$", "an SHA-512 hash (crypt)"},
		{"$y$", "a yescrypt hash"},
		{"$7$", "an scrypt hash"},
		{"$argon2i$", "an argon2i hash"},
		{"$argon2d$", "an argon2d hash"},
	} {
		if strings.HasPrefix(hash, weak.prefix) {
			return nil, errors.New(weak.is + again)
		}
	}
	if hash == "" {
		return nil, errors.New("no hash" + again)
	}
	return nil, errors.New("neither a bcrypt nor an argon2id hash; it may be a DES hash or a plain-text password" + again)
}

const again = `: make one with "htpasswd -B" or "tidewaiter hash-password"`

// bcryptHash is a bcrypt hash. The zero value stands for a hash that is not computed yet.
type bcryptHash struct{ text string }

func parseBcrypt(hash string) (parameters, error) {
	const alphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	if len(hash) != 60 || hash[6] != '$' || strings.Trim(hash[7:], alphabet) != "" {
		return nil, fmt.Errorf("a damaged bcrypt hash: it has %d bytes instead of 60, or invalid characters", len(hash))
	}
	cost, err := strconv.ParseUint(hash[4:6], 10, 8)
	if err != nil || cost < 4 || cost > 31 {
		return nil, errors.New("a damaged bcrypt hash: its cost is not a number from 4 to 31")
	}
	if cost > maxCost {
		return nil, fmt.Errorf("a bcrypt hash of cost %d, which is too slow for a sign-in: use at most %d", cost, maxCost)
	}
	return bcryptHash{hash}, nil
}

// checkPassword rejects passwords that could match a hash only because of two weaknesses of
// bcrypt. First, bcrypt uses only maxBcrypt bytes, so all passwords with the same beginning would
// match. Second, bcrypt repeats the password and a NUL byte up to maxBcrypt bytes, so "a" and
// "a\x00a" would match.
func (b bcryptHash) checkPassword(password string) error {
	if len(password) > maxBcrypt {
		return ErrTooLong
	}
	if strings.IndexByte(password, 0) >= 0 {
		return ErrMismatch
	}
	return nil
}

func (b bcryptHash) matches(password string) bool {
	// CompareHashAndPassword compares in constant time.
	return bcrypt.CompareHashAndPassword([]byte(b.text), []byte(password)) == nil
}

func (b bcryptHash) needs() need { return need{Slots: 1, Memory: 4 << 10} }

func (b bcryptHash) cost() cost {
	if b.text == "" {
		return cost{}
	}
	return cost{bcrypt: b.text[4:6]}
}

func newBcrypt(password string, cost int) (string, error) {
	hash, err := bcrypt.GenerateFromPassword([]byte(password), cost)
	if err != nil {
		return "", fmt.Errorf("computing a bcrypt hash: %w", err)
	}
	return string(hash), nil
}

// argon2idHash is an argon2id hash.
type argon2idHash struct {
	memory, passes uint32 // memory in KiB; number of passes
	threads        uint8
	salt, sum      []byte
}

func parseArgon2id(hash string) (parameters, error) {
	part := strings.Split(hash, "$") // "", argon2id, v=19, m=…,t=…,p=…, salt, sum
	if len(part) != 6 {
		return nil, errors.New("a damaged argon2id hash: it is not $argon2id$v=19$m=…,t=…,p=…$salt$hash")
	}
	if part[2] != "v=19" {
		return nil, errors.New("an argon2id hash of another version than 19" + again)
	}
	number := strings.Split(part[3], ",")
	if len(number) != 3 {
		return nil, errors.New("a damaged argon2id hash: its parameters are not m=…,t=…,p=…")
	}
	memory, err1 := parameter(number[0], "m=")
	passes, err2 := parameter(number[1], "t=")
	threads, err3 := parameter(number[2], "p=")
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, errors.New("a damaged argon2id hash: its parameters are not m=…,t=…,p=…")
	}
	if passes < 1 || threads < 1 || threads > maxThreads || memory < 8*threads || memory > maxMemory || memory*passes > maxWork {
		return nil, fmt.Errorf("an argon2id hash with a cost out of range: p is 1 to %d, m is 8 times p to %d (KiB), m times t at most %d", maxThreads, maxMemory, maxWork)
	}
	salt, err1 := base64.RawStdEncoding.Strict().DecodeString(part[4])
	sum, err2 := base64.RawStdEncoding.Strict().DecodeString(part[5])
	if strings.ContainsAny(hash, "\r\n") { // the decoder would skip them
		err1 = errors.New("a line break")
	}
	if err1 != nil || err2 != nil || len(salt) < 8 || len(salt) > 64 || len(sum) < 16 || len(sum) > 64 {
		return nil, errors.New("a damaged argon2id hash: the salt is 8 to 64 bytes and the hash 16 to 64, in base64 without padding")
	}
	return argon2idHash{memory: uint32(memory), passes: uint32(passes), threads: uint8(threads), salt: salt, sum: sum}, nil
}

// parameter parses a number of the PHC string format: decimal, no sign, no leading zero.
func parameter(s, name string) (uint64, error) {
	digits, ok := strings.CutPrefix(s, name)
	if !ok || strings.HasPrefix(digits, "0") || strings.HasPrefix(digits, "+") {
		return 0, errors.New("no number")
	}
	return strconv.ParseUint(digits, 10, 31)
}

func (a argon2idHash) checkPassword(string) error { return nil }

func (a argon2idHash) matches(password string) bool {
	sum := argon2.IDKey([]byte(password), a.salt, a.passes, a.memory, a.threads, uint32(len(a.sum)))
	return subtle.ConstantTimeCompare(sum, a.sum) == 1
}

func (a argon2idHash) needs() need {
	return need{Slots: int(a.threads), Memory: int64(a.memory) << 10}
}

func (a argon2idHash) cost() cost {
	return cost{memory: a.memory, passes: a.passes, threads: uint32(a.threads)}
}

// hash returns a new hash with the parameters of a.
func (a argon2idHash) hash(password string) string {
	a.salt = make([]byte, len(a.salt))
	rand.Read(a.salt) // never fails: crypto/rand ends the process first
	a.sum = argon2.IDKey([]byte(password), a.salt, a.passes, a.memory, a.threads, uint32(len(a.sum)))
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, a.memory, a.passes, a.threads, b64(a.salt), b64(a.sum))
}
