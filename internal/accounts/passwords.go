package accounts

import (
	"bytes"
	"compress/gzip"
	"context"
	_ "embed" // for common
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/password"
	"github.com/tidewaiter/tidewaiter/internal/secret"
)

// commonPasswords is a list of passwords that attackers try first. It has the 3,000 most common
// passwords of at least eight bytes. These passwords come from zxcvbn (MIT). zxcvbn counted how
// often each password was leaked. The list also has the default passwords of similar programs.
// The list is sorted, in lower case, with one password per line.
//
//go:embed common.txt.gz
var commonPasswords []byte

// checkPassword checks the length of a new password. It rejects tokens, the user name, and common
// passwords. As NIST SP 800-63B section 3.1.1.2 recommends, it does not require certain classes of
// characters.
func checkPassword(name, text string) error {
	invalid := func(why string) error { return admin.Invalid("password", "%s", why) }
	switch {
	case len(text) < password.MinLength:
		return invalid(fmt.Sprintf("it must have at least %d bytes", password.MinLength))
	case len(text) > identity.MaxSecret:
		return invalid(fmt.Sprintf("it must have at most %d bytes", identity.MaxSecret))
	case strings.IndexByte(text, 0) >= 0:
		return invalid("it must not have a NUL byte")
	}
	if what := secret.Misused(text); what != "" {
		return invalid("it looks like " + what + ": a token is not a password")
	}
	folded := strings.ToLower(text)
	if name != "" && strings.Trim(folded, "0123456789!?.-_ ") == name {
		return invalid("it is the user name, with only digits or punctuation added")
	}
	known, err := isCommon(folded)
	if err != nil {
		return err
	}
	if known {
		return invalid("it is one of the most common passwords, which attackers try first")
	}
	return nil
}

// isCommon reports whether a password, in lower case, is in the list of common passwords. It
// unpacks the list at each call, because passwords are rarely set, and because an unpacked list
// would always need memory.
func isCommon(folded string) (_ bool, err error) {
	defer admin.Wrap(&err, "unpacking the list of common passwords")
	unpack, err := gzip.NewReader(bytes.NewReader(commonPasswords))
	if err != nil {
		return false, err
	}
	text, err := io.ReadAll(unpack)
	if err != nil {
		return false, err
	}
	_, found := slices.BinarySearch(strings.Fields(string(text)), folded)
	return found, nil
}

// hash returns the hash of a new user's password, or the imported hash.
func (a *Accounts) hash(ctx context.Context, u NewUser) (string, error) {
	brought, secret := u.Hash.Reveal(), u.Password.Reveal()
	switch {
	case brought != "" && secret != "":
		return "", admin.Invalid("hash", "give a password or a hash, not both")
	case brought != "":
		if err := password.Check(brought); err != nil {
			// err does not contain the hash.
			return "", admin.Invalid("hash", "%s", err.Error())
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
		err = admin.Invalid("password", "it is too short")
	}
	return hash, err
}

// kindOfHash returns the algorithm of a hash that password.Check accepts.
func kindOfHash(hash string) string {
	switch {
	case hash == "":
		return ""
	case strings.HasPrefix(hash, "$argon2id$"):
		return "argon2id"
	}
	return "bcrypt"
}
