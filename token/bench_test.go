package token_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/scope"
	"github.com/tidewaiter/tidewaiter/token"
)

func BenchmarkAppend(b *testing.B) {
	for _, alg := range token.Algorithms() {
		b.Run(string(alg), func(b *testing.B) {
			signer := leaf(b, root(b, token.ES256), alg)
			claims := claims()
			dst := make([]byte, 0, 4096)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := signer.Append(dst, claims); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// The limit beside BenchmarkAppend/ES256: the signature alone.
func BenchmarkSignatureAlone(b *testing.B) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	digest := sha256.Sum256(make([]byte, 900))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ecdsa.SignASN1(rand.Reader, key, digest[:]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLeaf(b *testing.B) {
	r := root(b, token.ES256)
	b.ReportAllocs()
	for b.Loop() {
		leaf(b, r, token.ES256)
	}
}

// noon is the time at which the tests of this package happen: after those of testdata were made.
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
