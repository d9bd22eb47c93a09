package token

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"

	"github.com/tidewaiter/tidewaiter/internal/strictjson"
)

// maxJWKS is the maximum size of a key set in bytes.
const maxJWKS = 1 << 20

// trustKeys adds the keys of a JWKS. Like registry 3, a Verifier finds a key only by its kid: a
// key without a kid verifies no token, even if the token has the key's thumbprint. Keys that
// cannot verify a token are ignored, as RFC 7517 requires, because a set can contain keys for
// other uses. A set without a usable key is an error. A secret key is an error, too.
func (v *Verifier) trustKeys(text []byte) error {
	if len(text) > maxJWKS {
		return fmt.Errorf("it has %d bytes; the limit is %d", len(text), maxJWKS)
	}
	set, err := strictjson.Object(text, maxDepth)
	if err != nil {
		return err
	}
	list, ok := set["keys"].([]any)
	if !ok {
		return errors.New("it has no list \"keys\"")
	}
	found := false
	seen := map[string]crypto.PublicKey{}
	for i, item := range list {
		k, ok := item.(map[string]any)
		if !ok {
			return fmt.Errorf("keys[%d] is not an object", i)
		}
		for _, secret := range []string{"d", "k"} {
			if _, has := k[secret]; has {
				return fmt.Errorf("keys[%d] is a secret key; give a verifier only public keys", i)
			}
		}
		public, alg, err := publicKey(k)
		kid, _ := k["kid"].(string)
		if err != nil || kid == "" {
			continue
		}
		found = true
		if other, has := seen[kid]; has && !equalKeys(other, public) {
			return fmt.Errorf("two keys have the kid %s", quote(kid))
		}
		seen[kid] = public
		v.keys[kid] = verifyingKey{public, alg}
	}
	if !found {
		return errors.New("it has no key with a kid that can verify a token")
	}
	return nil
}

// publicKey parses one key of a JWKS (RFC 7517, RFC 7518 section 6, RFC 8037).
func publicKey(k map[string]any) (crypto.PublicKey, Algorithm, error) {
	text := func(name string) string { s, _ := k[name].(string); return s }
	number := func(name string) []byte {
		b, _ := decodePart(text(name)) // nil on an error
		return b
	}
	if use := text("use"); use != "" && use != "sig" {
		return nil, "", fmt.Errorf("its use is %q", use)
	}
	var public crypto.PublicKey
	switch text("kty") {
	case "EC":
		curve := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}[text("crv")]
		if curve == nil {
			return nil, "", errors.New("its curve is unknown")
		}
		size := (curve.Params().BitSize + 7) / 8
		x, y := number("x"), number("y")
		if len(x) != size || len(y) != size {
			return nil, "", errors.New("its coordinates do not have the curve's length")
		}
		key, err := ecdsa.ParseUncompressedPublicKey(curve, bytes.Join([][]byte{{4}, x, y}, nil))
		if err != nil {
			return nil, "", err
		}
		public = key
	case "RSA":
		e := new(big.Int).SetBytes(number("e"))
		if !e.IsInt64() || e.Int64() < 3 || e.Int64() > 1<<31-1 || e.Bit(0) == 0 {
			return nil, "", errors.New("its exponent is out of bounds")
		}
		public = &rsa.PublicKey{N: new(big.Int).SetBytes(number("n")), E: int(e.Int64())}
	case "OKP":
		if text("crv") != "Ed25519" {
			return nil, "", errors.New("its curve is unknown")
		}
		public = ed25519.PublicKey(number("x"))
	default:
		return nil, "", errors.New("its type is unknown")
	}
	if _, err := algorithmOf(public); err != nil {
		return nil, "", err
	}
	alg := Algorithm(text("alg"))
	if alg != "" && !fitsAny(public, alg) {
		return nil, "", fmt.Errorf("it is not for %q", string(alg))
	}
	return public, alg, nil
}
