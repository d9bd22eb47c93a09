package token_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"testing"

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

// BenchmarkSignatureAlone measures only the signature. It is a lower limit for the time of
// BenchmarkAppend/ES256.
func BenchmarkSignatureAlone(b *testing.B) {
	key := newKey(b)
	digest := sha256.Sum256(make([]byte, 900))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ecdsa.SignASN1(rand.Reader, key, digest[:]); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAppendWithoutSignature measures the cost of a token without the cost of its signature,
// with an x5c header of the usual size.
func BenchmarkAppendWithoutSignature(b *testing.B) {
	r := root(b, token.ES256)
	der, err := ecdsa.SignASN1(rand.Reader, newKey(b), make([]byte, 32))
	if err != nil {
		b.Fatal(err)
	}
	signer, err := token.NewSigner(service{r.Certificate().PublicKey, der}, token.ES256, "", []*x509.Certificate{r.Certificate()})
	if err != nil {
		b.Fatal(err)
	}
	claims, dst := claims(), make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := signer.Append(dst, claims); err != nil {
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
