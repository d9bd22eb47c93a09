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
	// rootYears is how long a root lasts. To put another in its place, each registry has to be told and
	// restarted: that should be a decision, and no surprise.
	rootYears = 10
	// rootBackdate is how far its begin lies back: registries judge it by their own clocks, without leeway.
	rootBackdate = 24 * time.Hour
)

// WriteRoot makes a root in a folder: cert.pem, which registries are given, and privatekey.pem, which
// nobody is given. If there is one of them, it makes nothing.
//
// The key comes first: of two that write to the same folder at the same moment, the one that finds a
// key stops, and never adds a certificate that does not fit.
func WriteRoot(folder string, alg token.Algorithm, now time.Time) (certificate, key string, err error) {
	certificate, key = filepath.Join(folder, certificateName), filepath.Join(folder, keyName)
	for _, path := range []string{certificate, key} {
		if there, err := exists(path); err != nil {
			return "", "", err
		} else if there {
			return "", "", fmt.Errorf("making a root: %s is there already, and nothing is overwritten", path)
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
	if err := place(key, secret, 0o600); err != nil {
		return "", "", fmt.Errorf("making a root: %w", err)
	}
	if err := place(certificate, root.Bundle(), 0o600); err != nil {
		_ = os.Remove(key) // ours, and good for nothing: nobody has its certificate
		return "", "", fmt.Errorf("making a root: %w", err)
	}
	return certificate, key, nil
}
