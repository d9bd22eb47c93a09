package token_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"regexp"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/tidewaiter/tidewaiter/token"
)

// These are the kids that registries 2.8.3, 3.0.0 and 3.1.2 compute for the keys in testdata.
// The test computes them independently of this package: openssl reads the certificate's public
// key.
func TestKeyIDByHand(t *testing.T) {
	r := parse(t, "ec-cert.pem", "ec.pem")
	block, _ := pem.Decode(file(t, "public.pem")) // openssl pkey -pubout
	sum := sha256.Sum256(block.Bytes)
	text := base32.StdEncoding.EncodeToString(sum[:30])
	var groups []string
	for ; text != ""; text = text[4:] {
		groups = append(groups, text[:4])
	}
	point := block.Bytes[len(block.Bytes)-64:] // a P-256 key ends with x and y
	hash := func(text string) string {
		sum := sha256.Sum256([]byte(text))
		return base64.RawURLEncoding.EncodeToString(sum[:])
	}
	b64 := base64.RawURLEncoding.EncodeToString
	// This is the generator point of the curve P-256, from SEC 2, section 2.4.2.
	gx, _ := hex.DecodeString("6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296")
	gy, _ := hex.DecodeString("4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5")

	for form, want := range map[token.KeyID]string{
		token.Libtrust:     strings.Join(groups, ":"),
		token.Thumbprint:   hash(`{"crv":"P-256","kty":"EC","x":"` + b64(point[:32]) + `","y":"` + b64(point[32:]) + `"}`),
		token.Thumbprint30: hash(`{"crv":"P-256","kty":"EC","x":"` + b64(gx) + `","y":"` + b64(gy) + `"}`),
	} {
		got, err := r.KeyID(form)
		if err != nil || got != want {
			t.Errorf("%s: %s, error %v, want %s", form, got, err, want)
		}
	}
	kid, _ := r.KeyID(token.Libtrust)
	if !regexp.MustCompile(`^([A-Z2-7]{4}:){11}[A-Z2-7]{4}$`).MatchString(kid) {
		t.Errorf("libtrust kid %s", kid)
	}
	if kid, err := r.KeyID(token.X5C); err == nil {
		t.Errorf("x5c has the kid %s", kid)
	}
}

// Registry 3.0 computes the same kid for all keys of a curve. For this kid, it uses the last
// certificate of the bundle with a key of that curve.
func TestThumbprint30DependsOnTheCurve(t *testing.T) {
	a, b := root(t, token.ES256), root(t, token.ES256)
	kidA, errA := a.KeyID(token.Thumbprint30)
	kidB, errB := b.KeyID(token.Thumbprint30)
	if errA != nil || errB != nil || kidA != kidB {
		t.Errorf("%s, %s, errors %v, %v", kidA, kidB, errA, errB)
	}
}

// RFC 7638, section 3.1: the example, and its result.
func TestThumbprintOfRFC7638(t *testing.T) {
	n, err := base64.RawURLEncoding.DecodeString("0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw")
	if err != nil {
		t.Fatal(err)
	}
	public := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: 65537}
	for _, form := range []token.KeyID{token.Thumbprint, token.Thumbprint30} {
		got, err := token.KeyIDOf(form, public)
		if want := "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"; err != nil || got != want {
			t.Errorf("%s: %s, error %v, want %s", form, got, err, want)
		}
	}
}

// Registry 3.1 hashes a coordinate without its leading zeros, contrary to RFC 7638. So for keys
// with such a coordinate, its kid differs from the kid of the RFC. go-jose computes the RFC's kid.
func TestThumbprintOfAShortCoordinate(t *testing.T) {
	short, full := 0, 0
	for short == 0 || full == 0 {
		// Three quarters of the keys of this curve have a coordinate with a leading zero byte.
		key, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		got, err := token.KeyIDOf(token.Thumbprint, key.Public())
		if err != nil {
			t.Fatal(err)
		}
		sum, err := (&jose.JSONWebKey{Key: key.Public()}).Thumbprint(crypto.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		rfc := base64.RawURLEncoding.EncodeToString(sum)
		point, err := key.PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		if point[1] == 0 || point[1+66] == 0 {
			short++
			x, y := new(big.Int).SetBytes(point[1:67]), new(big.Int).SetBytes(point[67:])
			sum := sha256.Sum256([]byte(`{"crv":"P-521","kty":"EC","x":"` + base64.RawURLEncoding.EncodeToString(x.Bytes()) +
				`","y":"` + base64.RawURLEncoding.EncodeToString(y.Bytes()) + `"}`))
			if want := base64.RawURLEncoding.EncodeToString(sum[:]); got != want || got == rfc {
				t.Errorf("the kid is %s, want %s instead of the RFC's %s", got, want, rfc)
			}
		} else {
			full++
			if got != rfc {
				t.Errorf("the kid is %s, want the RFC's %s", got, rfc)
			}
		}
	}
}

func TestThumbprintOfEd25519(t *testing.T) {
	r := parse(t, "ed25519-cert.pem", "ed25519.pem")
	sum, err := (&jose.JSONWebKey{Key: r.Certificate().PublicKey}).Thumbprint(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := r.KeyID(token.Thumbprint); err != nil || got != base64.RawURLEncoding.EncodeToString(sum) {
		t.Errorf("%s, error %v", got, err)
	}
}

func TestKeyIDOfUnknownKeys(t *testing.T) {
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if kid, err := token.KeyIDOf(token.Libtrust, p224.Public()); err == nil {
		t.Errorf("a key of P-224 has the kid %s", kid)
	}
}
