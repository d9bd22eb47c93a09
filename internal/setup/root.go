package setup

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/tidewaiter/tidewaiter/token"
)

// The names of a root's files in its folder.
const (
	certificateName = "cert.pem"
	keyName         = "privatekey.pem"
)

const (
	// rootYears is the validity of a root. It is long, because a new root must be installed in
	// each registry, and each registry must then be restarted.
	rootYears = 10
	// A root is valid from rootBackdate before its creation. Registries check the validity with
	// their own clocks, without leeway.
	rootBackdate = 24 * time.Hour
)

// WriteRoot creates a root in a folder: cert.pem, for registries, and privatekey.pem, which stays
// secret. If one of these files exists, WriteRoot creates nothing.
//
// The key is written before the certificate. If two calls run for the same folder at the same
// time, the second call finds the key of the first call and fails. So the certificate always fits
// the key.
func WriteRoot(folder string, alg token.Algorithm, now time.Time) (certificate, key string, err error) {
	certificate, key = filepath.Join(folder, certificateName), filepath.Join(folder, keyName)
	for _, path := range []string{certificate, key} {
		if there, err := pathExists(path); err != nil {
			return "", "", err
		} else if there {
			return "", "", fmt.Errorf("creating a root: %s exists and is not overwritten", path)
		}
	}
	root, err := token.NewRoot("Tidewaiter root of "+now.UTC().Format(time.DateOnly), alg, now.Add(-rootBackdate), now.AddDate(rootYears, 0, 0))
	if err != nil {
		return "", "", err
	}
	secret, err := root.KeyPEM()
	if err != nil {
		return "", "", err
	}
	if err := createFile(key, secret, 0o600); err != nil {
		return "", "", fmt.Errorf("creating a root: %w", err)
	}
	if err := createFile(certificate, root.Bundle(), 0o600); err != nil {
		_ = os.Remove(key) // the key is useless without its certificate
		return "", "", fmt.Errorf("creating a root: %w", err)
	}
	return certificate, key, nil
}
