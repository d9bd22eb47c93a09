package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
)

// Bounds of an RSA key in bits: less is broken, more takes longer to sign than a token is worth.
const minRSA, maxRSA = 2048, 8192

// algorithmOf returns the algorithm that fits a public key, or says why none does.
func algorithmOf(public crypto.PublicKey) (Algorithm, error) {
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return ES256, nil
		case elliptic.P384():
			return ES384, nil
		case elliptic.P521():
			return ES512, nil
		}
		return "", fmt.Errorf("the curve %s has no algorithm that registries know; use P-256", k.Curve.Params().Name)
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < minRSA || n > maxRSA {
			return "", fmt.Errorf("the RSA key has %d bits; it needs %d to %d", n, minRSA, maxRSA)
		}
		return RS256, nil
	case ed25519.PublicKey:
		return EdDSA, nil
	}
	return "", fmt.Errorf("keys of type %T cannot sign tokens; use EC P-256", public)
}

// fits reports, as an error, that a key is not for an algorithm.
func fits(public crypto.PublicKey, alg Algorithm) error {
	own, err := algorithmOf(public)
	if err != nil {
		return err
	}
	if own != alg {
		return fmt.Errorf("the key is for %s, not for %s", own, alg)
	}
	return nil
}

// signatureSize returns the length of a JWS signature by a key that fits some algorithm, in bytes.
func signatureSize(public crypto.PublicKey) int {
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		return 2 * ((k.Params().BitSize + 7) / 8)
	case *rsa.PublicKey:
		return k.Size()
	}
	return ed25519.SignatureSize
}

// same reports whether two public keys are equal.
func same(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

// generate makes a new key for an algorithm.
func generate(alg Algorithm) (crypto.Signer, error) {
	switch alg {
	case ES256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case ES384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case ES512:
		return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case RS256:
		return rsa.GenerateKey(rand.Reader, minRSA)
	case EdDSA:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	return nil, fmt.Errorf("there is no algorithm %q", string(alg))
}

// sign appends the JWS signature of message to dst.
func (s *Signer) sign(dst, message []byte) ([]byte, error) {
	switch s.alg {
	case ES256:
		digest := sha256.Sum256(message)
		return s.signEC(dst, digest[:], crypto.SHA256, 32)
	case ES384:
		digest := sha512.Sum384(message)
		return s.signEC(dst, digest[:], crypto.SHA384, 48)
	case ES512:
		digest := sha512.Sum512(message)
		return s.signEC(dst, digest[:], crypto.SHA512, 66)
	case RS256:
		digest := sha256.Sum256(message)
		signature, err := s.key.Sign(rand.Reader, digest[:], crypto.SHA256)
		return append(dst, signature...), err
	case EdDSA:
		signature, err := s.key.Sign(rand.Reader, message, crypto.Hash(0))
		return append(dst, signature...), err
	}
	return nil, fmt.Errorf("there is no algorithm %q", string(s.alg)) // NewSigner lets none through
}

// signEC appends r and s, each as size bytes: JWS has them so (RFC 7518, section 3.4), where a
// crypto.Signer, be it a key in memory or in a key service, returns them in DER.
func (s *Signer) signEC(dst, digest []byte, hash crypto.Hash, size int) ([]byte, error) {
	der, err := s.key.Sign(rand.Reader, digest, hash)
	if err != nil {
		return nil, err
	}
	body, rest, ok := element(der, 0x30) // SEQUENCE
	if !ok || len(rest) > 0 {
		return nil, errSignature
	}
	for range 2 {
		var number []byte
		if number, body, ok = element(body, 0x02); !ok { // INTEGER
			return nil, errSignature
		}
		for len(number) > 0 && number[0] == 0 {
			number = number[1:]
		}
		if len(number) > size {
			return nil, errSignature
		}
		for range size - len(number) {
			dst = append(dst, 0)
		}
		dst = append(dst, number...)
	}
	if len(body) > 0 {
		return nil, errSignature
	}
	return dst, nil
}

var errSignature = errors.New("the key returned what is no ECDSA signature")

// element cuts the first DER element off der, if it has the tag and fewer than 256 bytes of content:
// the largest signature, of P-521, has 139.
func element(der []byte, tag byte) (content, rest []byte, ok bool) {
	if len(der) < 2 || der[0] != tag {
		return nil, nil, false
	}
	length, from := int(der[1]), 2
	if length == 0x81 && len(der) > 2 {
		length, from = int(der[2]), 3
	} else if length > 0x7f {
		return nil, nil, false
	}
	if len(der)-from < length {
		return nil, nil, false
	}
	return der[from : from+length], der[from+length:], true
}
