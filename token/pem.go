package token

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxPEM is the maximum size of each file in bytes. The largest valid key and certificate, RSA
// with 8192 bits, have 7 KiB together.
const maxPEM = 64 << 10

// ParseRoot parses a certificate and its key. The key may be PKCS#8, SEC1 or PKCS#1. The key's
// file may contain other blocks, such as those that "openssl ecparam" writes. The certificate's
// file must not contain a key, because registries get this file. Errors name the file and explain
// how to correct it.
func ParseRoot(certificatePEM, keyPEM []byte) (*Root, error) {
	certificate, err := parseCertificate(certificatePEM)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate: %w", err)
	}
	key, err := parseKey(keyPEM)
	if err != nil {
		return nil, fmt.Errorf("reading the key: %w", err)
	}
	return RootOf(certificate, key)
}

func parseCertificate(text []byte) (*x509.Certificate, error) {
	all, err := blocks(text, "x509")
	if err != nil {
		return nil, err
	}
	first := slices.IndexFunc(all, func(b *pem.Block) bool { return b.Type == "CERTIFICATE" })
	private := slices.ContainsFunc(all, isPrivateKey)
	switch {
	case first < 0 && private:
		return nil, errors.New("this is a private key; check that the two files are not swapped")
	case private:
		return nil, errors.New("a private key is in the same file; registries get this file, so move the key to a file of its own")
	case first < 0:
		return nil, notA("certificate", all[0])
	}
	// The other certificates are the issuers of the first certificate. A registry that trusts the
	// first certificate does not need them.
	certificate, err := x509.ParseCertificate(all[first].Bytes)
	if err != nil {
		return nil, fmt.Errorf("the CERTIFICATE block is damaged: %w", err)
	}
	return certificate, nil
}

func parseKey(text []byte) (crypto.Signer, error) {
	all, err := blocks(text, "pkey")
	if err != nil {
		return nil, err
	}
	keys := slices.DeleteFunc(slices.Clone(all), func(b *pem.Block) bool { return !isPrivateKey(b) })
	switch {
	case len(keys) == 0 && all[0].Type == "CERTIFICATE":
		return nil, errors.New("this is a certificate; check that the two files are not swapped")
	case len(keys) == 0:
		return nil, notA("private key", all[0])
	case len(keys) > 1:
		return nil, fmt.Errorf("there are %d private keys; keep only the private key of the certificate", len(keys))
	}
	b := keys[0]
	switch {
	case b.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(b.Headers["Proc-Type"], "ENCRYPTED"):
		return nil, errors.New("it is encrypted with a passphrase; store it without one, readable only to Tidewaiter: " +
			"openssl pkey -in KEY -out NEWKEY")
	case b.Type == "OPENSSH PRIVATE KEY":
		return nil, errors.New("it is in OpenSSH's own format; convert it: ssh-keygen -p -m PKCS8 -f KEY")
	}
	return decodeKey(b.Bytes)
}

// decodeKey parses a key in any of three encodings. It ignores the type of the PEM block, because
// wrong block types are common.
func decodeKey(der []byte) (crypto.Signer, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		if ec, errEC := x509.ParseECPrivateKey(der); errEC == nil {
			return ec, nil
		}
		if rsa, errRSA := x509.ParsePKCS1PrivateKey(der); errRSA == nil {
			return rsa, nil
		}
		return nil, fmt.Errorf("its block is damaged, or it is a kind of key or curve that cannot sign tokens (use EC P-256): %w", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("keys of type %T cannot sign; use EC P-256", key)
	}
	return signer, nil
}

func isPrivateKey(b *pem.Block) bool { return strings.HasSuffix(b.Type, "PRIVATE KEY") }

// blocks returns the PEM blocks of a file. A file without a block is an error. The argument tool
// is the openssl command for files of this kind. Error texts contain this command.
func blocks(text []byte, tool string) ([]*pem.Block, error) {
	if len(text) > maxPEM {
		return nil, fmt.Errorf("the file has %d bytes; the limit is %d", len(text), maxPEM)
	}
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")) // some editors write a byte order mark
	var all []*pem.Block
	for {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			break
		}
		all = append(all, b)
	}
	switch {
	case len(all) > 0:
		return all, nil
	case len(bytes.TrimSpace(text)) == 0:
		return nil, errors.New("the file is empty")
	case text[0] == 0x30:
		return nil, fmt.Errorf("the file is in DER; convert it to PEM: openssl %s -inform DER -in FILE -out FILE.pem", tool)
	case bytes.Contains(text, []byte("-----BEGIN ")):
		return nil, errors.New("its PEM block is damaged: lines are missing, joined or indented")
	}
	return nil, errors.New("it is not a PEM file: there is no -----BEGIN line")
}

// notA returns the error for a file that contains the block b instead of the expected block. The
// argument missing is the name of the expected block, such as "private key".
func notA(missing string, b *pem.Block) error {
	switch b.Type {
	case "CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST":
		return errors.New("this is a request for a certificate; create a certificate from it: openssl req -x509 -in REQUEST -key KEY -out CERTIFICATE")
	case "TRUSTED CERTIFICATE":
		return errors.New("this is in openssl's own format; convert it: openssl x509 -in FILE -out CERTIFICATE")
	case "PUBLIC KEY", "RSA PUBLIC KEY":
		return fmt.Errorf("this is a public key, not a %s", missing)
	}
	return fmt.Errorf("there is no %s, only %q", missing, b.Type)
}
