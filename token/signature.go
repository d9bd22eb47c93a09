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
	"math/big"
)

// Limits of RSA keys in bits. Shorter keys are insecure. Longer keys sign too slowly.
const minRSA, maxRSA = 2048, 8192

// algorithmOf returns the algorithm for a public key. For RSA keys, it returns RS256, although RSA
// keys fit other algorithms, too (see fitsAny). It is an error if the key is nil or incomplete.
func algorithmOf(public crypto.PublicKey) (Algorithm, error) {
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		if k == nil || k.Curve == nil || k.X == nil || k.Y == nil { //nolint:staticcheck // SA1019: without them Bytes panics
			return "", errNoKey
		}
		var alg Algorithm
		switch k.Curve {
		case elliptic.P256():
			alg = ES256
		case elliptic.P384():
			alg = ES384
		case elliptic.P521():
			alg = ES512
		default:
			return "", fmt.Errorf("the curve %s has no algorithm that registries know; use P-256", k.Curve.Params().Name)
		}
		if x, _ := coordinates(k); x == nil {
			return "", errors.New("the key is not a point of its curve")
		}
		return alg, nil
	case *rsa.PublicKey:
		if k == nil || k.N == nil {
			return "", errNoKey
		}
		if n := k.N.BitLen(); n < minRSA || n > maxRSA {
			return "", fmt.Errorf("the RSA key has %d bits; it needs %d to %d", n, minRSA, maxRSA)
		}
		return RS256, nil
	case ed25519.PublicKey:
		if len(k) != ed25519.PublicKeySize {
			return "", errNoKey
		}
		return EdDSA, nil
	}
	return "", fmt.Errorf("keys of type %T cannot sign tokens; use EC P-256", public)
}

var errNoKey = errors.New("the key is empty")

// publicOf returns the public key of a signer. It returns an error for a nil or empty key of the
// standard library, whose Public would panic.
func publicOf(key crypto.Signer) (crypto.PublicKey, error) {
	empty := false
	switch k := key.(type) {
	case nil:
		return nil, errors.New("there is no key")
	case *ecdsa.PrivateKey:
		empty = k == nil || k.Curve == nil || k.D == nil //nolint:staticcheck // SA1019: without it Sign panics
	case *rsa.PrivateKey:
		empty = k == nil || k.N == nil || k.D == nil
	case ed25519.PrivateKey:
		empty = len(k) != ed25519.PrivateKeySize
	case *ed25519.PrivateKey:
		empty = k == nil || len(*k) != ed25519.PrivateKeySize
	}
	if empty {
		return nil, errNoKey
	}
	return key.Public(), nil
}

// fitsAny reports whether the public key can verify signatures of the algorithm alg. This check
// prevents an attack on a verifier that trusts the algorithm in a token: an attacker creates a
// token with the algorithm HMAC, and signs it with the public RSA key as the secret.
func fitsAny(public crypto.PublicKey, alg Algorithm) bool {
	own, err := algorithmOf(public)
	switch {
	case err != nil:
		return false
	case own == RS256:
		return alg == RS256 || alg == RS384 || alg == RS512 || alg == PS256 || alg == PS384 || alg == PS512
	}
	return alg == own
}

// digestOf returns the input for signing a message: the digest of the message, and the hash
// function. For EdDSA, it returns the message itself and 0.
func digestOf(alg Algorithm, message []byte) ([]byte, crypto.Hash) {
	switch alg {
	case ES256, RS256, PS256:
		digest := sha256.Sum256(message)
		return digest[:], crypto.SHA256
	case ES384, RS384, PS384:
		digest := sha512.Sum384(message)
		return digest[:], crypto.SHA384
	case ES512, RS512, PS512:
		digest := sha512.Sum512(message)
		return digest[:], crypto.SHA512
	}
	return message, 0
}

// isValidSignature reports whether the signature of a message is valid. The key must fit the
// algorithm.
func isValidSignature(public crypto.PublicKey, alg Algorithm, message, signature []byte) bool {
	digest, hash := digestOf(alg, message)
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		if len(signature) != signatureSize(k) {
			return false
		}
		half := len(signature) / 2
		return ecdsa.Verify(k, digest, new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:]))
	case *rsa.PublicKey:
		if alg == PS256 || alg == PS384 || alg == PS512 {
			return rsa.VerifyPSS(k, hash, digest, signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
		}
		return rsa.VerifyPKCS1v15(k, hash, digest, signature) == nil
	case ed25519.PublicKey:
		return ed25519.Verify(k, message, signature)
	}
	return false
}

// checkFit returns an error if the public key cannot be used with the algorithm.
func checkFit(public crypto.PublicKey, alg Algorithm) error {
	own, err := algorithmOf(public)
	if err != nil {
		return err
	}
	if own != alg {
		return fmt.Errorf("the key is for %s, not for %s", own, alg)
	}
	return nil
}

// signatureSize returns the length in bytes of a JWS signature by a key.
func signatureSize(public crypto.PublicKey) int {
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		return 2 * ((k.Params().BitSize + 7) / 8)
	case *rsa.PublicKey:
		return k.Size()
	}
	return ed25519.SignatureSize
}

// equalKeys reports whether two public keys are equal.
func equalKeys(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

// generate generates a key for an algorithm.
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

// sign appends the JWS signature of message to dst. An ECDSA signature in a JWS is r and s,
// padded to the same size (RFC 7518, section 3.4). A crypto.Signer returns r and s in DER.
func (s *Signer) sign(dst, message []byte) ([]byte, error) {
	digest, hash := digestOf(s.alg, message)
	der, err := s.key.Sign(rand.Reader, digest, hash)
	if err != nil {
		return nil, err
	}
	if s.alg == RS256 || s.alg == EdDSA {
		return append(dst, der...), nil
	}
	size := s.size / 2
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

var errSignature = errors.New("the key returned an invalid ECDSA signature")

// element splits off the first DER element. The element must have the tag, and its content must
// be shorter than 256 bytes. The largest signature, a signature by P-521, has 139 bytes.
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
