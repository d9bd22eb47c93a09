package token

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"math/big"
	"slices"
)

// KeyIDOf computes the kid by which a registry finds a public key of its rootcertbundle. For each
// form, it computes the kid in the same way as a certain version of the registry. It repeats the
// errors of that version, because a registry only finds the kid that it computes itself. X5C is an
// error, because it has no kid. A key of a type that the registries of the form do not support is
// an error, too.
func KeyIDOf(form KeyID, public crypto.PublicKey) (string, error) {
	alg, err := algorithmOf(public)
	if err != nil {
		return "", err
	}
	switch form {
	case Libtrust:
		if alg == EdDSA {
			return "", fmt.Errorf("the form %q is for registry 2.8, which does not support Ed25519 keys", form)
		}
		return libtrust(public)
	case Thumbprint:
		return thumbprint(public, false), nil
	case Thumbprint30:
		if alg == EdDSA {
			return "", fmt.Errorf("the form %q is for registry 3.0, which does not support Ed25519 keys by kid", form)
		}
		return thumbprint(public, true), nil
	}
	return "", fmt.Errorf("the form %q has no kid", form)
}

// libtrust returns the kid of registry 2.8, a fingerprint. It is 240 bits of the SHA-256 of the
// public key (PKIX DER), written in base32 in groups of four characters.
func libtrust(public crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "", fmt.Errorf("encoding the public key: %w", err)
	}
	sum := sha256.Sum256(der)
	text := base32.StdEncoding.AppendEncode(nil, sum[:30])
	return string(bytes.Join(slices.Collect(slices.Chunk(text, 4)), []byte(":"))), nil
}

// thumbprint returns the SHA-256 thumbprint of RFC 7638 as registry 3 computes it. The RFC
// requires the leading zeros of a point's coordinates, but registry 3 omits them. So for one P-256
// key in 128, the kid differs from the kid of the RFC. Registry 3.0 hashes the curve's generator
// instead of the point, so all keys of a curve have the same kid.
func thumbprint(public crypto.PublicKey, generator bool) string {
	var text string
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		x, y := coordinates(k)
		x, y = bytes.TrimLeft(x, "\x00"), bytes.TrimLeft(y, "\x00")
		if generator {
			x, y = k.Params().Gx.Bytes(), k.Params().Gy.Bytes()
		}
		text = `{"crv":"` + k.Params().Name + `","kty":"EC","x":"` + encode(x) + `","y":"` + encode(y) + `"}`
	case *rsa.PublicKey:
		text = `{"e":"` + encode(exponent(k)) + `","kty":"RSA","n":"` + encode(k.N.Bytes()) + `"}`
	case ed25519.PublicKey:
		text = `{"crv":"Ed25519","kty":"OKP","x":"` + encode(k) + `"}`
	}
	sum := sha256.Sum256([]byte(text))
	return encode(sum[:])
}

// coordinates returns x and y, each at the full length of the curve's coordinates. It returns
// nil for a point that is not on the curve.
func coordinates(k *ecdsa.PublicKey) (x, y []byte) {
	point, err := k.Bytes() // 4, x, y
	if err != nil {
		return nil, nil
	}
	half := len(point) / 2
	return point[1 : 1+half], point[1+half:]
}

func exponent(k *rsa.PublicKey) []byte { return big.NewInt(int64(k.E)).Bytes() }

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
