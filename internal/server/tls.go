package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
)

// CertificateFiles returns a TLS configuration with the certificate of two PEM files. When a
// client connects, the files are checked for changes, at most once a second. So a program that
// renews certificates only has to write the files. If a new pair cannot be read, the previous pair
// stays in use, and the error is logged once.
func CertificateFiles(certificate, key string, now func() time.Time, log *slog.Logger) (*tls.Config, error) {
	p := &pair{certificate: certificate, key: key, now: now, log: log}
	if err := p.load(); err != nil {
		return nil, fmt.Errorf("reading the TLS certificate %s and key %s: %w", certificate, key, err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: p.get}, nil
}

// pair is a certificate and its key in files.
type pair struct {
	certificate, key string
	now              func() time.Time
	log              *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	looked  time.Time
	stamp   [2]time.Time // modification times of the newest pair that load has read
}

func (p *pair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := p.now(); clock.For(p.looked, time.Second).Over(now) {
		p.looked = now
		if stamp := p.modified(); stamp != p.stamp {
			if err := p.load(); err != nil {
				p.stamp = stamp
				p.log.Error("cannot read the new TLS certificate; the previous certificate stays in use", "certificate", p.certificate, "error", err)
			}
		}
	}
	return p.current, nil
}

// load reads the pair. While a program replaces the pair, one file can be new and the other old.
// Loading such a pair fails. When the program has written the second file, the modification time
// of this file is new, so the next check loads the new pair.
func (p *pair) load() error {
	stamp := p.modified()
	c, err := tls.LoadX509KeyPair(p.certificate, p.key)
	if err != nil {
		return err
	}
	p.current, p.stamp = &c, stamp
	return nil
}

func (p *pair) modified() (stamp [2]time.Time) {
	for i, name := range [2]string{p.certificate, p.key} {
		if info, err := os.Stat(name); err == nil {
			stamp[i] = info.ModTime()
		}
	}
	return stamp
}

// SelfSigned returns a TLS configuration with a new certificate for testing. No client trusts
// it.
func SelfSigned(now time.Time) (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generating a TLS key: %w", err)
	}
	names := []string{"localhost"}
	if host, err := os.Hostname(); err == nil && host != "localhost" {
		names = append(names, host)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: "Tidewaiter, self-signed for testing"},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.AddDate(1, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     names,
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("creating a TLS certificate: %w", err)
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
	}, nil
}
