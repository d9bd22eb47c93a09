// Package endpoint has functions for connections to other services. It reports whether a service
// is on this machine, because secrets may be sent to such a service unencrypted. It also reads
// files with certificate authorities and with secrets for a connection.
package endpoint

import (
	"crypto/x509"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"os"
	"strings"
)

// Maximum sizes of files, in bytes.
const (
	maxRoots  = 4 << 20
	maxBearer = 16 << 10
)

// Local reports whether a host is this machine. It makes no DNS query.
func Local(host string) bool {
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.Unmap().IsLoopback()
}

// Safe reports whether nobody on the network can read or change the requests to a URL and its
// answers: the scheme is https, or it is http and the host is this machine.
func Safe(u *url.URL) bool {
	return u.Scheme == "https" || u.Scheme == "http" && Local(u.Hostname())
}

// Roots returns the certificate authorities of a PEM file. If file is "", it returns nil, which
// means the certificate authorities of the system.
func Roots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	text, err := ReadFile(file, maxRoots)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s contains no PEM certificate", file)
	}
	return roots, nil
}

// Bearer returns the secret in a file. Its errors do not contain the secret.
func Bearer(file string) (string, error) {
	text, err := ReadFile(file, maxBearer)
	if err != nil {
		return "", err
	}
	secret := strings.TrimSpace(string(text))
	if secret == "" || strings.ContainsFunc(secret, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("%s must contain exactly one secret", file)
	}
	return secret, nil
}

// ReadFile reads a regular file of at most limit bytes. Other files, such as pipes, are refused
// before they are opened, because opening a pipe would wait for its writer.
func ReadFile(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return Read(f, limit, path)
}

// Read reads r to its end. It fails if r has more than limit bytes. Errors contain the given name
// of the service or file.
func Read(r io.Reader, limit int64, name string) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading %s: %w", name, err)
	case int64(len(text)) > limit:
		return nil, fmt.Errorf("reading %s: it is larger than %d KiB", name, limit>>10)
	}
	return text, nil
}
