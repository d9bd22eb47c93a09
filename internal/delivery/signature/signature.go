// Package signature signs webhook messages as the specification Standard Webhooks describes.
//
// A message has an id, a time and a body. The signed text is "ID.SECONDS.BODY". A key is either a
// shared secret ("whsec_" and base64), whose signature is an HMAC-SHA256 with the prefix "v1,", or
// an Ed25519 private key ("whsk_" and base64), whose signature has the prefix "v1a,". Receivers
// refuse messages with an old time, so that nobody can repeat a recorded message.
package signature

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"
)

const (
	secretPrefix  = "whsec_"
	privatePrefix = "whsk_"
	publicPrefix  = "whpk_"

	// The specification limits the size of a shared secret, in bytes.
	minSecret = 24
	maxSecret = 64
)

// Key signs messages. It prints as [secret].
type Key struct {
	shared  []byte
	private ed25519.PrivateKey // nil: the key is a shared secret
}

// Parse parses a key. Its errors do not contain the key.
func Parse(text string) (Key, error) {
	encoded, isShared := strings.CutPrefix(text, secretPrefix)
	encoded, isPrivate := strings.CutPrefix(encoded, privatePrefix)
	if isShared == isPrivate {
		return Key{}, errors.New("the secret must begin with whsec_, or with whsk_ if it is an Ed25519 private key")
	}
	decoded, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return Key{}, errors.New("the secret is not base64 after its prefix; create one with: echo whsec_$(openssl rand -base64 32)")
	}
	switch {
	case isShared && (len(decoded) < minSecret || len(decoded) > maxSecret):
		return Key{}, errors.New("the secret must have 24 to 64 bytes, encoded as base64")
	case isShared:
		return Key{shared: decoded}, nil
	case len(decoded) == ed25519.SeedSize:
		return Key{private: ed25519.NewKeyFromSeed(decoded)}, nil
	case len(decoded) == ed25519.PrivateKeySize && string(ed25519.NewKeyFromSeed(decoded[:ed25519.SeedSize])) == string(decoded):
		return Key{private: decoded}, nil
	}
	return Key{}, errors.New("the Ed25519 private key must have 32 bytes, or 64 bytes of which the second half is its public key")
}

// Public returns the public key that verifies the signatures, with the prefix "whpk_". It returns
// "" for a shared secret.
func (k Key) Public() string {
	if k.private == nil {
		return ""
	}
	return publicPrefix + base64.StdEncoding.EncodeToString(k.private.Public().(ed25519.PublicKey))
}

// Sign returns the signature of a message, with its prefix.
func (k Key) Sign(id string, sent time.Time, body []byte) string {
	text := append([]byte(id+"."+Timestamp(sent)+"."), body...)
	if k.private != nil {
		return "v1a," + base64.StdEncoding.EncodeToString(ed25519.Sign(k.private, text))
	}
	mac := hmac.New(sha256.New, k.shared)
	mac.Write(text)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// Timestamp returns the time of a message in the form of the header webhook-timestamp.
func Timestamp(sent time.Time) string { return strconv.FormatInt(sent.Unix(), 10) }

// Equal reports whether two keys are the same.
func (k Key) Equal(other Key) bool {
	return hmac.Equal(k.shared, other.shared) && k.private.Equal(other.private)
}

// String and GoString keep the key out of logs and errors.
func (Key) String() string   { return "[secret]" }
func (Key) GoString() string { return "[secret]" }

// MarshalJSON keeps the key out of JSON.
func (Key) MarshalJSON() ([]byte, error) { return []byte(`"[secret]"`), nil }
