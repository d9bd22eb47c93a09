package accounts

import (
	"bytes"
	"compress/gzip"
	"context"
	_ "embed" // for the list
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/password"
)

// The passwords that are tried first: the 3,000 commonest of at least eight bytes in the frequency list of zxcvbn (MIT), which
// was counted over leaked ones, and some that programs of this kind were shipped with. Sorted, in lower case, one a line.
//
//go:embed common.txt.gz
var common []byte

// checkPassword says what is wrong with a new password. Its length is what counts (NIST SP 800-63B,
// section 3.1.1.2); which kinds of characters it has does not.
func checkPassword(name, secret string) error {
	invalid := func(text string) error { return &InvalidError{Field: "password", Text: text} }
	switch {
	case len(secret) < password.MinLength:
		return invalid(fmt.Sprintf("it must have at least %d bytes", password.MinLength))
	case len(secret) > identity.MaxSecret:
		return invalid(fmt.Sprintf("it must have at most %d bytes", identity.MaxSecret))
	case strings.IndexByte(secret, 0) >= 0:
		return invalid("it must not have a NUL byte")
	}
	if what := identity.Misused(secret); what != "" {
		return invalid("it looks like " + what + ": a token is no password")
	}
	folded := strings.ToLower(secret)
	if name != "" && strings.Trim(folded, "0123456789!?.-_ ") == name {
		return invalid("it is the name, with at most digits around it")
	}
	known, err := isCommon(folded)
	if err != nil {
		return err
	}
	if known {
		return invalid("it is one of the commonest passwords, which are tried first")
	}
	return nil
}

// isCommon unpacks the list each time: passwords are set seldom, and it would take memory for good.
func isCommon(folded string) (bool, error) {
	unpack, err := gzip.NewReader(bytes.NewReader(common))
	if err != nil {
		return false, fmt.Errorf("unpacking the list of common passwords: %w", err)
	}
	text, err := io.ReadAll(unpack)
	if err != nil {
		return false, fmt.Errorf("unpacking the list of common passwords: %w", err)
	}
	_, found := slices.BinarySearch(strings.Fields(string(text)), folded)
	return found, nil
}

// hash makes the hash of a new user's password, or takes the one that was brought along.
func (a *Accounts) hash(ctx context.Context, u NewUser) (string, error) {
	brought, secret := u.Hash.Reveal(), u.Password.Reveal()
	switch {
	case brought != "" && secret != "":
		return "", &InvalidError{Field: "hash", Text: "there is a password as well"}
	case brought != "":
		if err := password.Check(brought); err != nil {
			return "", &InvalidError{Field: "hash", Text: err.Error()} // never shows the hash
		}
		return brought, nil
	case secret == "":
		return "", nil
	}
	return a.newHash(ctx, u.Name, secret)
}

func (a *Accounts) newHash(ctx context.Context, name, secret string) (string, error) {
	if err := checkPassword(name, secret); err != nil {
		return "", err
	}
	hash, err := a.o.Hashing.Hash(ctx, secret)
	if errors.Is(err, password.ErrTooShort) {
		err = &InvalidError{Field: "password", Text: "it is too short"}
	}
	return hash, err
}

// kindOfHash names the algorithm of a hash that password.Check takes.
func kindOfHash(hash string) string {
	switch {
	case hash == "":
		return ""
	case strings.HasPrefix(hash, "$argon2id$"):
		return "argon2id"
	}
	return "bcrypt"
}
