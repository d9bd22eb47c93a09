package token_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/token"
)

// A certificate with a huge RSA key is refused before the key is used to verify a signature.
// Anyone can send such a certificate, and the verification would take half a second.
func TestVerifyRefusesHugeKeysBeforeUsingThem(t *testing.T) {
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	huge := &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 16_000, 1), E: 65537}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: noon.Add(-time.Hour), NotAfter: noon.Add(time.Hour)}
	intermediate, err := x509.CreateCertificate(rand.Reader, c, c, huge, signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: c.NotBefore, NotAfter: c.NotAfter}, c, signer.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	header, err := json.Marshal(map[string]any{"alg": "ES256", "typ": "JWT", "x5c": [][]byte{leaf, intermediate}})
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	text := b64(header) + "." + b64([]byte(`{"iss":"a","aud":"b"}`)) + "." + b64(make([]byte, 64))
	_, err = verifier(t, nil, root(t, token.ES256)).Verify(text, noon)
	if !errors.Is(err, token.ErrUntrusted) || !strings.Contains(err.Error(), "16001 bits") {
		t.Errorf("%v", err)
	}
}
