package keyring

import (
	"fmt"
	"os"

	"github.com/tidewaiter/tidewaiter/token"
)

// ReadRoot reads a root from the files of its certificate and its key.
func ReadRoot(certificate, key string) (*token.Root, error) {
	pem, err := os.ReadFile(certificate)
	if err != nil {
		return nil, fmt.Errorf("reading the root certificate: %w (create a root with tidewaiter init, or with openssl as in docs/keys.md)", err)
	}
	keyPEM, err := os.ReadFile(key)
	if err != nil {
		return nil, fmt.Errorf("reading the root key: %w", err)
	}
	root, err := token.ParseRoot(pem, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("reading the root %s and %s: %w", certificate, key, err)
	}
	return root, nil
}

// Shared reports whether a problem of the root means that other parties could have certificates
// under the root. With such a certificate, they could sign tokens.
func Shared(p token.Problem) bool {
	return p.Kind == "server-authentication" || p.Kind == "public-issuer" || p.Kind == "shared-issuer"
}
