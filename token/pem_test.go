package token_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/token"
)

func TestParseRootReads(t *testing.T) {
	ec := file(t, "ec.pem")
	for _, tt := range []struct {
		what             string
		certificate, key []byte
		leaves           bool
	}{
		{"the output of openssl ecparam, with parameters first", file(t, "ec-cert.pem"), ec, true},
		{"PKCS#8", file(t, "ec-cert.pem"), file(t, "ec-pkcs8.pem"), true},
		{"P-384 in SEC1", file(t, "p384-cert.pem"), file(t, "p384.pem"), true},
		{"P-521 in SEC1", file(t, "p521-cert.pem"), file(t, "p521.pem"), true},
		{"RSA in PKCS#1", file(t, "rsa-cert.pem"), file(t, "rsa.pem"), true},
		{"Ed25519", file(t, "ed25519-cert.pem"), file(t, "ed25519.pem"), true},
		{"a certificate that is no CA", file(t, "ec-no-ca.pem"), ec, false},
		{"a certificate with its text", file(t, "ec-cert-text.pem"), ec, true},
		{"line ends and a byte order mark of Windows", append([]byte("\xef\xbb\xbf"), bytes.ReplaceAll(file(t, "ec-cert.pem"), []byte("\n"), []byte("\r\n"))...), ec, true},
		{"a key and its certificate in one file", file(t, "ec-cert.pem"), append(file(t, "ec-cert.pem"), ec...), true},
		{"a key with the block type of another kind", file(t, "ec-cert.pem"), bytes.ReplaceAll(file(t, "ec-pkcs8.pem"), []byte(" PRIVATE"), []byte(" EC PRIVATE")), true},
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
		{"swapped files", key, cert, "reading the certificate: this is a private key; check that the two files are not swapped"},
		{"the certificate twice", cert, cert, "reading the key: this is a certificate; check that the two files are not swapped"},
		{"an empty certificate", nil, key, "reading the certificate: the file is empty"},
		{"a key file with only white space", cert, []byte(" \n"), "reading the key: the file is empty"},
		{"a certificate in DER", file(t, "cert.der"), key, "reading the certificate: the file is in DER; convert it to PEM: openssl x509 -inform DER -in FILE -out FILE.pem"},
		{"a key in DER", cert, file(t, "key.der"), "reading the key: the file is in DER; convert it to PEM: openssl pkey -inform DER -in FILE -out FILE.pem"},
		{"no PEM", []byte("hello\n"), key, "reading the certificate: it is not a PEM file: there is no -----BEGIN line"},
		{"PEM indented in YAML", bytes.ReplaceAll(cert, []byte("\n"), []byte("\n  ")), key, "reading the certificate: its PEM block is damaged: lines are missing, joined or indented"},
		{"half a certificate", cert[:len(cert)/2], key, "reading the certificate: its PEM block is damaged: lines are missing, joined or indented"},
		{"a damaged certificate", damaged(cert), key, "reading the certificate: the CERTIFICATE block is damaged: x509: malformed certificate"},
		{"a chain that begins with another certificate", append(file(t, "rsa-cert.pem"), cert...), key, "reading the key: it is not the key of the certificate"},
		{"two keys", cert, twice(key), "reading the key: there are 2 private keys; keep only the private key of the certificate"},
		{"a private key in the certificate's file", append(bytes.Clone(key), cert...), key,
			"reading the certificate: a private key is in the same file; registries get this file, so move the key to a file of its own"},
		{"a request", file(t, "request.pem"), key, "reading the certificate: this is a request for a certificate; create a certificate from it: openssl req -x509 -in REQUEST -key KEY -out CERTIFICATE"},
		{"openssl's own certificate", file(t, "trusted.pem"), key, "reading the certificate: this is in openssl's own format; convert it: openssl x509 -in FILE -out CERTIFICATE"},
		{"a public key", cert, file(t, "public.pem"), "reading the key: this is a public key, not a private key"},
		{"only EC parameters", cert, key[:bytes.Index(key, []byte("-----BEGIN EC PRIVATE"))], `reading the key: there is no private key, only "EC PARAMETERS"`},
		{"an encrypted key", cert, file(t, "encrypted-pkcs8.pem"),
			"reading the key: it is encrypted with a passphrase; store it without one, readable only to Tidewaiter: openssl pkey -in KEY -out NEWKEY"},
		{"an encrypted key in an old format", cert, file(t, "encrypted-sec1.pem"),
			"reading the key: it is encrypted with a passphrase; store it without one, readable only to Tidewaiter: openssl pkey -in KEY -out NEWKEY"},
		{"a key of ssh-keygen", cert, file(t, "openssh.pem"), "reading the key: it is in OpenSSH's own format; convert it: ssh-keygen -p -m PKCS8 -f KEY"},
		{"another key", cert, file(t, "p384.pem"), "reading the key: it is not the key of the certificate; make a new certificate for it: openssl req -new -x509 -key KEY -out CERTIFICATE"},
		{"the curve secp256k1", cert, file(t, "secp256k1.pem"), "reading the key: its block is damaged, or it is a kind of key or curve that cannot sign tokens (use EC P-256): x509: "},
		{"a curve with explicit parameters", cert, file(t, "explicit.pem"), "reading the key: its block is damaged, or it is a kind of key or curve that cannot sign tokens (use EC P-256): x509: "},
		{"a key that cannot sign", cert, file(t, "x25519.pem"), "reading the key: keys of type *ecdh.PrivateKey cannot sign; use EC P-256"},
		{"a small curve", file(t, "p224-cert.pem"), file(t, "p224.pem"), "reading the certificate: the curve P-224 has no algorithm that registries know; use P-256"},
		{"a small RSA key", file(t, "rsa1024-cert.pem"), file(t, "rsa1024.pem"), "reading the certificate: the RSA key has 1024 bits; it needs 2048 to 8192"},
		{"a file that is too long", bytes.Repeat(cert, 200), key, "reading the certificate: the file has 121400 bytes; the limit is 65536"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			r, err := token.ParseRoot(tt.certificate, tt.key)
			if err == nil {
				t.Fatalf("ParseRoot accepted %v", r.Certificate().Subject)
			}
			if !strings.HasPrefix(err.Error(), tt.says) {
				t.Errorf("it says\n%s\nnot\n%s", err, tt.says)
			}
		})
	}
}

// In a file with a chain, ParseRoot treats the first certificate as the key's certificate, as
// most programs do.
func TestParseRootUsesTheFirstOfAChain(t *testing.T) {
	cert, key := file(t, "ec-cert.pem"), file(t, "ec.pem")
	alone, err := token.ParseRoot(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := token.ParseRoot(append(bytes.Clone(cert), file(t, "rsa-cert.pem")...), key)
	if err != nil {
		t.Fatal(err)
	}
	if !chain.Certificate().Equal(alone.Certificate()) || !bytes.Equal(chain.Bundle(), alone.Bundle()) {
		t.Errorf("the certificate is %v, and the bundle is\n%s", chain.Certificate().Subject, chain.Bundle())
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
