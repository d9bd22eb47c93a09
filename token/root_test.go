package token_test

import (
	"bytes"
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
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/token"
)

func TestNewRootIsForLeavesAndNothingElse(t *testing.T) {
	for _, alg := range token.Algorithms() {
		t.Run(string(alg), func(t *testing.T) {
			r := root(t, alg)
			c := r.Certificate()
			if r.Algorithm() != alg || !r.IssuesLeaves() {
				t.Errorf("algorithm %s, issues leaves: %v", r.Algorithm(), r.IssuesLeaves())
			}
			if !c.IsCA || c.KeyUsage != x509.KeyUsageCertSign || c.MaxPathLen != 0 || !c.MaxPathLenZero {
				t.Errorf("CA: %v, key usage %b, path length %d", c.IsCA, c.KeyUsage, c.MaxPathLen)
			}
			if len(c.ExtKeyUsage) > 0 || len(c.DNSNames) > 0 {
				t.Errorf("it can serve TLS: %v %v", c.ExtKeyUsage, c.DNSNames)
			}
			if want := "CN=registry.example.com,OU=only for signing registry tokens,O=Tidewaiter"; c.Subject.String() != want {
				t.Errorf("subject %s", c.Subject)
			}
			if !c.NotBefore.Equal(noon.Add(-time.Hour)) || !c.NotAfter.Equal(noon.AddDate(10, 0, 0)) {
				t.Errorf("valid from %s to %s", c.NotBefore, c.NotAfter)
			}
			// What is written is what is read.
			key, err := r.KeyPEM()
			if err != nil {
				t.Fatal(err)
			}
			again, err := token.ParseRoot(r.Bundle(), key)
			if err != nil {
				t.Fatal(err)
			}
			if !again.Certificate().Equal(c) {
				t.Error("another certificate was read")
			}
			leaf(t, again, token.ES256)
		})
	}
	if _, err := token.NewRoot("x", token.ES256, noon, noon); err == nil {
		t.Error("a root without any time was made")
	}
	if _, err := token.NewRoot("x", "HS256", noon, noon.Add(time.Hour)); err == nil {
		t.Error("a root for HS256 was made")
	}
}

// x5c trust: our leaf carries no use that a TLS client or server would take, and is no CA.
func TestLeafIsForSigningAlone(t *testing.T) {
	s := leaf(t, root(t, token.ES256), token.ES256)
	c := s.Certificate()
	if c.KeyUsage != x509.KeyUsageDigitalSignature || len(c.ExtKeyUsage) > 0 || c.IsCA || !c.BasicConstraintsValid || len(c.DNSNames) > 0 {
		t.Errorf("key usage %b, extended %v, CA %v, names %v", c.KeyUsage, c.ExtKeyUsage, c.IsCA, c.DNSNames)
	}
	if !c.NotBefore.Equal(noon.Add(-time.Hour)) || !c.NotAfter.Equal(noon.Add(24*time.Hour)) || !s.Until().Equal(noon.Add(24*time.Hour-token.Leeway)) {
		t.Errorf("valid from %s to %s, signs until %s", c.NotBefore, c.NotAfter, s.Until())
	}
}

func TestLeafUnderEveryRoot(t *testing.T) {
	for _, name := range []string{"ec", "p384", "p521", "rsa", "ed25519"} {
		t.Run(name, func(t *testing.T) {
			r := parse(t, name+"-cert.pem", name+".pem")
			from := r.Certificate().NotBefore
			s, err := r.Leaf(token.ES256, from, from.Add(time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Certificate().Verify(x509.VerifyOptions{Roots: pool(r), CurrentTime: from, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestLeafEndsWithItsRoot(t *testing.T) {
	r, err := token.NewRoot("x", token.ES256, noon.Add(-time.Hour), noon.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.Leaf(token.ES256, noon.Add(-time.Hour), noon.Add(24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Certificate().NotAfter; !got.Equal(noon.Add(time.Hour)) {
		t.Errorf("the leaf ends %s", got)
	}
	if _, err := r.Leaf(token.ES256, noon.Add(time.Hour), noon.Add(2*time.Hour)); err == nil {
		t.Error("a leaf was made after the root's end")
	}
	if _, err := r.Leaf("HS256", noon.Add(-time.Hour), noon); err == nil {
		t.Error("a leaf for HS256 was made")
	}
}

func TestWhichCertificatesIssueLeaves(t *testing.T) {
	for _, tt := range []struct {
		what   string
		c      x509.Certificate
		issues bool
	}{
		{"a CA that may sign certificates", x509.Certificate{BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign}, true},
		{"a CA that does not say what its key is for", x509.Certificate{BasicConstraintsValid: true, IsCA: true}, true},
		{"a CA that may sign anything else", x509.Certificate{BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageDigitalSignature}, false},
		{"no CA", x509.Certificate{BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature}, false},
		{"a certificate without any constraints", x509.Certificate{}, false},
	} {
		t.Run(tt.what, func(t *testing.T) {
			r := made(t, &tt.c)
			if got := r.IssuesLeaves(); got != tt.issues {
				t.Errorf("issues leaves: %v", got)
			}
			s, err := r.Leaf(token.ES256, noon.Add(-time.Hour), noon.Add(time.Hour))
			if (err == nil) != tt.issues {
				t.Fatalf("making a leaf: %v", err)
			}
			if tt.issues {
				if _, err := s.Certificate().Verify(x509.VerifyOptions{Roots: pool(r), CurrentTime: noon, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
					t.Error(err)
				}
			}
			// The root's own key signs in any case, and its own certificate is trusted.
			s, err = r.Direct(token.X5C)
			if err != nil {
				t.Fatal(err)
			}
			_, header := verify(t, sign(t, s, claims()), r.Certificate().PublicKey)
			if _, err := header.Certificates(x509.VerifyOptions{Roots: pool(r), CurrentTime: noon, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestDirectWithEveryKeyAndForm(t *testing.T) {
	want := map[string]token.Algorithm{
		"ec": token.ES256, "p384": token.ES384, "p521": token.ES512, "rsa": token.RS256, "ed25519": token.EdDSA,
	}
	for name, alg := range want {
		r := parse(t, name+"-cert.pem", name+".pem")
		for _, form := range token.KeyIDs() {
			s, err := r.Direct(form)
			if alg == token.EdDSA && (form == token.Libtrust || form == token.Thumbprint30) {
				if err == nil {
					t.Errorf("%s %s: a signer that no registry knows was made", name, form)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			_, header := verify(t, sign(t, s, claims()), r.Certificate().PublicKey)
			if s.Algorithm() != alg || header.Algorithm != string(alg) || header.KeyID != s.KeyID() || (form == token.X5C) != (s.KeyID() == "") {
				t.Errorf("%s %s: algorithm %s, kid %q, header %+v", name, form, s.Algorithm(), s.KeyID(), header)
			}
			if form != token.X5C && (!s.Until().IsZero() || s.Certificate() != nil) {
				t.Errorf("%s %s: registries do not look at the dates of a kid", name, form)
			}
		}
	}
}

// A root's key may be kept where it cannot be read.
func TestRootOfAKeyService(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r, err := token.RootOf(root(t, token.ES256).Certificate(), key)
	if err == nil {
		t.Fatalf("%v was made of another's key", r)
	}
	c := certificate(t, key, &x509.Certificate{BasicConstraintsValid: true, IsCA: true})
	r, err = token.RootOf(c, struct{ crypto.Signer }{key})
	if err != nil {
		t.Fatal(err)
	}
	leaf(t, r, token.ES256)
	if text, err := r.KeyPEM(); err == nil {
		t.Errorf("a key that cannot be read was read: %d bytes", len(text))
	}
}

// made makes a root of a certificate with the given extensions.
func made(t *testing.T, c *x509.Certificate) *token.Root {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
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

// file reads one that openssl made; see testdata/openssl/make.sh.
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

func TestParseRootReads(t *testing.T) {
	ec := file(t, "ec.pem")
	for _, tt := range []struct {
		what             string
		certificate, key []byte
		leaves           bool
	}{
		{"what openssl ecparam writes, parameters first", file(t, "ec-cert.pem"), ec, true},
		{"PKCS#8", file(t, "ec-cert.pem"), file(t, "ec-pkcs8.pem"), true},
		{"P-384 in SEC1", file(t, "p384-cert.pem"), file(t, "p384.pem"), true},
		{"P-521 in SEC1", file(t, "p521-cert.pem"), file(t, "p521.pem"), true},
		{"RSA in PKCS#1", file(t, "rsa-cert.pem"), file(t, "rsa.pem"), true},
		{"Ed25519", file(t, "ed25519-cert.pem"), file(t, "ed25519.pem"), true},
		{"a certificate that is no CA", file(t, "ec-no-ca.pem"), ec, false},
		{"a certificate with its text", file(t, "ec-cert-text.pem"), ec, true},
		{"line ends and a beginning of Windows", append([]byte("\xef\xbb\xbf"), bytes.ReplaceAll(file(t, "ec-cert.pem"), []byte("\n"), []byte("\r\n"))...), ec, true},
		{"a key with its certificate beside it", file(t, "ec-cert.pem"), append(file(t, "ec-cert.pem"), ec...), true},
		{"a key under another kind's name", file(t, "ec-cert.pem"), bytes.ReplaceAll(file(t, "ec-pkcs8.pem"), []byte(" PRIVATE"), []byte(" EC PRIVATE")), true},
	} {
		t.Run(tt.what, func(t *testing.T) {
			r, err := token.ParseRoot(tt.certificate, tt.key)
			if err != nil {
				t.Fatal(err)
			}
			if r.IssuesLeaves() != tt.leaves {
				t.Errorf("issues leaves: %v", r.IssuesLeaves())
			}
		})
	}
}

func TestParseRootRefuses(t *testing.T) {
	cert, key := file(t, "ec-cert.pem"), file(t, "ec.pem")
	twice := func(b []byte) []byte { return bytes.Repeat(b, 2) }
	damaged := func(b []byte) []byte { return bytes.Replace(b, []byte("MII"), []byte("AAA"), 1) }
	for _, tt := range []struct {
		what             string
		certificate, key []byte
		says             string
	}{
		{"swapped files", key, cert, "reading the certificate: this is a private key; the two files may be swapped"},
		{"the certificate twice", cert, cert, "reading the key: this is a certificate; the two files may be swapped"},
		{"an empty certificate", nil, key, "reading the certificate: the file is empty"},
		{"a key of blanks", cert, []byte(" \n"), "reading the key: the file is empty"},
		{"a certificate in DER", file(t, "cert.der"), key, "reading the certificate: the file is in DER; convert it to PEM: openssl x509 -inform DER -in FILE -out FILE.pem"},
		{"a key in DER", cert, file(t, "key.der"), "reading the key: the file is in DER; convert it to PEM: openssl pkey -inform DER -in FILE -out FILE.pem"},
		{"no PEM", []byte("hello\n"), key, "reading the certificate: it is no PEM file: there is no -----BEGIN line"},
		{"PEM indented in YAML", bytes.ReplaceAll(cert, []byte("\n"), []byte("\n  ")), key, "reading the certificate: its PEM block is damaged: lines are missing, joined or indented"},
		{"half a certificate", cert[:len(cert)/2], key, "reading the certificate: its PEM block is damaged: lines are missing, joined or indented"},
		{"a damaged certificate", damaged(cert), key, "reading the certificate: the CERTIFICATE block is damaged: x509: malformed certificate"},
		{"two certificates", twice(cert), key, "reading the certificate: there are 2 certificates; keep only the one that belongs to the key (a registry's rootcertbundle may hold more)"},
		{"two keys", cert, twice(key), "reading the key: there are 2 private keys; keep only the one of the certificate"},
		{"a private key in the certificate's file", append(bytes.Clone(key), cert...), key,
			"reading the certificate: a private key is in the same file; registries are given this file, so move the key to its own"},
		{"a request", file(t, "request.pem"), key, "reading the certificate: this is a request for a certificate; make one of it: openssl req -x509 -in REQUEST -key KEY -out CERTIFICATE"},
		{"openssl's own certificate", file(t, "trusted.pem"), key, "reading the certificate: this is in openssl's own format; convert it: openssl x509 -in FILE -out CERTIFICATE"},
		{"a public key", cert, file(t, "public.pem"), "reading the key: this is a public key, not a private key"},
		{"parameters alone", cert, key[:bytes.Index(key, []byte("-----BEGIN EC PRIVATE"))], `reading the key: there is no private key, only "EC PARAMETERS"`},
		{"an encrypted key", cert, file(t, "encrypted-pkcs8.pem"),
			"reading the key: it is encrypted with a passphrase; store it without one, readable only to Tidewaiter: openssl pkey -in KEY -out NEWKEY"},
		{"an encrypted key of old", cert, file(t, "encrypted-sec1.pem"),
			"reading the key: it is encrypted with a passphrase; store it without one, readable only to Tidewaiter: openssl pkey -in KEY -out NEWKEY"},
		{"a key of ssh-keygen", cert, file(t, "openssh.pem"), "reading the key: it is in OpenSSH's own format; convert it: ssh-keygen -p -m PKCS8 -f KEY"},
		{"another key", cert, file(t, "p384.pem"), "reading the key: it is not the key of the certificate; make a new certificate for it: openssl req -new -x509 -key KEY -out CERTIFICATE"},
		{"a curve of coins", cert, file(t, "secp256k1.pem"), "reading the key: its block is damaged, or of a kind or curve that cannot sign tokens (use EC P-256): x509: "},
		{"a curve in full", cert, file(t, "explicit.pem"), "reading the key: its block is damaged, or of a kind or curve that cannot sign tokens (use EC P-256): x509: "},
		{"a key that cannot sign", cert, file(t, "x25519.pem"), "reading the key: keys of type *ecdh.PrivateKey cannot sign; use EC P-256"},
		{"a small curve", file(t, "p224-cert.pem"), file(t, "p224.pem"), "reading the certificate: the curve P-224 has no algorithm that registries know; use P-256"},
		{"a small RSA key", file(t, "rsa1024-cert.pem"), file(t, "rsa1024.pem"), "reading the certificate: the RSA key has 1024 bits; it needs 2048 to 8192"},
		{"a file that is too long", bytes.Repeat(cert, 200), key, "reading the certificate: the file has 121400 bytes; the limit is 65536"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			r, err := token.ParseRoot(tt.certificate, tt.key)
			if err == nil {
				t.Fatalf("%v was read", r.Certificate().Subject)
			}
			if !strings.HasPrefix(err.Error(), tt.says) {
				t.Errorf("it says\n%s\nnot\n%s", err, tt.says)
			}
		})
	}
}

func FuzzParseRoot(f *testing.F) {
	f.Add(file(f, "ec-cert.pem"), file(f, "ec.pem"))
	f.Add(file(f, "rsa-cert.pem"), file(f, "rsa.pem"))
	f.Add(file(f, "ed25519-cert.pem"), file(f, "ed25519.pem"))
	f.Add(file(f, "request.pem"), file(f, "encrypted-sec1.pem"))
	f.Add(file(f, "cert.der"), file(f, "openssh.pem"))
	f.Fuzz(func(t *testing.T, certificate, key []byte) {
		r, err := token.ParseRoot(certificate, key)
		if err != nil {
			if r != nil || strings.Contains(err.Error(), "\n") {
				t.Fatalf("root %v, error %q", r, err)
			}
			return
		}
		text, err := r.KeyPEM()
		if err != nil {
			t.Fatal(err)
		}
		again, err := token.ParseRoot(r.Bundle(), text)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(r.Bundle(), again.Bundle()); diff != "" {
			t.Fatal(diff)
		}
		if _, err := r.JWKS(token.X5C, token.Thumbprint); err != nil {
			t.Fatal(err)
		}
		r.Problems(token.X5C, noon)
		if r.IssuesLeaves() {
			_, _ = r.Leaf(token.ES256, noon.Add(-time.Hour), noon)
		}
	})
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
