package token_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/tidewaiter/tidewaiter/scope"
	"github.com/tidewaiter/tidewaiter/token"
)

// Helpers that the tests of this package share.

// noon is the current time in the tests of this package. The certificates in testdata are
// older.
var noon = time.Date(2036, 11, 23, 12, 0, 0, 0, time.UTC)

func claims() *token.Claims {
	return &token.Claims{
		Issuer:    "https://auth.example.com",
		Subject:   "ann",
		Audience:  "registry.example.com",
		ID:        "019ab0f2-7d5c-7cc1-9d3e-0e7a41c2a5b6",
		IssuedAt:  noon,
		NotBefore: noon.Add(-10 * time.Second),
		Expires:   noon.Add(5 * time.Minute),
		Access: []scope.Scope{
			{Type: scope.TypeRepository, Name: "team/app", Actions: scope.Pull | scope.Push},
			{Type: scope.TypeRepository, Name: "library/base", Actions: scope.Pull},
		},
	}
}

func root(t testing.TB, alg token.Algorithm) *token.Root {
	t.Helper()
	r, err := token.NewRoot("registry.example.com", alg, noon.Add(-time.Hour), noon.AddDate(10, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func leaf(t testing.TB, r *token.Root, alg token.Algorithm) *token.Signer {
	t.Helper()
	s, err := r.Leaf(alg, noon.Add(-time.Hour), noon.Add(24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// newRoot returns a root with a new key. The argument c is the template of its certificate.
func newRoot(t *testing.T, c *x509.Certificate) *token.Root {
	t.Helper()
	key := newKey(t)
	r, err := token.RootOf(certificate(t, key, c), key)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func certificate(t *testing.T, key crypto.Signer, c *x509.Certificate) *x509.Certificate {
	t.Helper()
	c.SerialNumber = big.NewInt(1)
	if c.Subject.String() == "" {
		c.Subject = pkix.Name{CommonName: "x"}
	}
	if c.NotAfter.IsZero() {
		c.NotBefore, c.NotAfter = noon.Add(-time.Hour), noon.AddDate(1, 0, 0)
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func pool(r *token.Root) *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(r.Certificate())
	return p
}

// file reads a file that openssl created; see testdata/openssl/make.sh.
func file(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "openssl", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func parse(t testing.TB, certificate, key string) *token.Root {
	t.Helper()
	r, err := token.ParseRoot(file(t, certificate), file(t, key))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func parsePKCS8(t *testing.T, text []byte) crypto.Signer {
	t.Helper()
	block, _ := pem.Decode(text)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key.(crypto.Signer)
}

func sign(t testFailer, s *token.Signer, c *token.Claims) []byte {
	t.Helper()
	out, err := s.Append(nil, c)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// verify checks a token with a public key and another implementation (go-jose). It returns the
// token's claims.
func verify(t testFailer, text []byte, public crypto.PublicKey) ([]byte, jose.Header) {
	t.Helper()
	parsed, err := jose.ParseSignedCompact(string(text), []jose.SignatureAlgorithm{jose.ES256, jose.ES384, jose.ES512, jose.RS256, jose.EdDSA})
	if err != nil {
		t.Fatal(err)
	}
	payload, err := parsed.Verify(public)
	if err != nil {
		t.Fatal(err)
	}
	return payload, parsed.Signatures[0].Protected
}
