// Package ldaptest starts a real directory for tests: Debian's slapd with the users and groups of
// company.ldif. alice has the password "wonderland" and is in the group dev. The group dev is in
// ops, and ops is in staff.
package ldaptest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	_ "embed"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"text/template"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/tidewaiter/tidewaiter/internal/loopback"
)

// Names in the directory.
const (
	People     = "ou=people,dc=example,dc=com"
	Groups     = "ou=groups,dc=example,dc=com"
	Reader     = "cn=reader,dc=example,dc=com" // may read everything except passwords
	ReaderFile = "password"                    // file with its password, for File
	CAFile     = "ca.pem"                      // file with the certificate authority, for File

	admin         = "cn=admin,dc=example,dc=com"
	adminPassword = "of the directory, not of Tidewaiter"
)

//go:embed slapd.conf
var config string

//go:embed company.ldif
var company []byte

// OpenLDAP is a running directory.
type OpenLDAP struct {
	Address string // host:port
	Secure  string // host:port for LDAPS
	folder  string
	process *exec.Cmd
	ended   <-chan error
	held    []func() // release the ports
}

// Need skips the test if no directory can be started. In CI (CI=true), it fails the test
// instead.
func Need(t testing.TB) {
	t.Helper()
	switch _, err := find(); {
	case err == nil:
	case os.Getenv("CI") == "true":
		t.Fatal(err)
	default:
		t.Skip(err)
	}
}

// New starts a directory for one test.
func New(t testing.TB) *OpenLDAP {
	t.Helper()
	Need(t)
	o, err := Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.Stop)
	return o
}

func find() (string, error) {
	for _, name := range []string{"slapd", "/usr/sbin/slapd"} {
		if path, err := exec.LookPath(name); err == nil {
			if _, err := exec.LookPath("ldapmodify"); err == nil {
				return path, nil
			}
		}
	}
	return "", errors.New("this test asks a real OpenLDAP: apt-get install slapd ldap-utils")
}

// Start starts a directory that runs until Stop.
func Start() (_ *OpenLDAP, err error) {
	slapd, err := find()
	if err != nil {
		return nil, err
	}
	o := &OpenLDAP{}
	if o.folder, err = os.MkdirTemp("", "tidewaiter-ldap-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			o.Stop()
		}
	}()
	if err := errors.Join(os.Mkdir(o.File("data"), 0o700), o.writeCertificates(), o.writeConfig()); err != nil {
		return nil, err
	}
	if err = o.run(slapd); err != nil {
		return nil, err
	}
	if err := o.Load(company); err != nil {
		return nil, err
	}
	return o, nil
}

// Load adds the entries of an LDIF file.
func (o *OpenLDAP) Load(ldif []byte) error {
	load := exec.Command("ldapmodify", "-a", "-x", "-H", "ldap://"+o.Address, "-D", admin, "-w", adminPassword)
	load.Stdin = bytes.NewReader(ldif)
	if out, err := load.CombinedOutput(); err != nil {
		return fmt.Errorf("loading entries: %w\n%s", err, out)
	}
	return nil
}

// File returns the path of a file in the folder of the directory.
func (o *OpenLDAP) File(name string) string { return filepath.Join(o.folder, name) }

func (o *OpenLDAP) writeConfig() error {
	text, err := template.New("slapd.conf").Parse(config)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := text.Execute(&b, map[string]string{"Folder": o.folder, "Password": `"` + adminPassword + `"`}); err != nil {
		return err
	}
	write := func(name string, text []byte) error { return os.WriteFile(o.File(name), text, 0o600) }
	return errors.Join(write("slapd.conf", b.Bytes()), write(ReaderFile, []byte("reads everything\n")))
}

// writeCertificates writes a certificate authority, and a certificate that this authority has
// issued for 127.0.0.1.
func (o *OpenLDAP) writeCertificates() error {
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "directory CA"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	server := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "directory"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return err
	}
	serverDER, err := x509.CreateCertificate(rand.Reader, server, ca, &key.PublicKey, caKey)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	write := func(name, kind string, der []byte) error {
		return os.WriteFile(o.File(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
	}
	return errors.Join(write(CAFile, "CERTIFICATE", caDER), write("server.pem", "CERTIFICATE", serverDER), write("server.key", "PRIVATE KEY", keyDER))
}

// run starts slapd on free ports and waits until it answers.
func (o *OpenLDAP) run(slapd string) (err error) {
	for _, a := range []*string{&o.Address, &o.Secure} {
		if *a, err = o.freeAddress(); err != nil {
			return err
		}
	}
	var output bytes.Buffer
	o.process = exec.Command(slapd, "-d", "0", "-f", o.File("slapd.conf"), "-h", fmt.Sprintf("ldap://%s ldaps://%s", o.Address, o.Secure))
	o.process.Stdout, o.process.Stderr = &output, &output
	endWithParent(o.process)
	if err := o.process.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	o.ended = ended
	go func(p *exec.Cmd) { ended <- p.Wait() }(o.process)
	for range 2400 { // a minute; only a broken server needs more
		c, err := ldap.DialURL("ldap://" + o.Address)
		if err == nil {
			return c.Close()
		}
		select {
		case err := <-ended:
			o.process = nil
			return fmt.Errorf("slapd ended: %w\n%s", err, output.String())
		case <-time.After(25 * time.Millisecond): // slapd does not report that it listens
		}
	}
	o.kill()
	return fmt.Errorf("slapd does not answer at %s\n%s", o.Address, output.String())
}

// Stop stops the directory and deletes its files.
func (o *OpenLDAP) Stop() {
	o.kill()
	for _, release := range o.held {
		release()
	}
	_ = os.RemoveAll(o.folder)
}

func (o *OpenLDAP) kill() {
	if o.process != nil && o.process.Process != nil {
		_ = o.process.Process.Kill()
		<-o.ended
		o.process = nil
	}
}

// Admin returns a connection with all rights, which is closed when the test ends.
func (o *OpenLDAP) Admin(t testing.TB) *ldap.Conn {
	t.Helper()
	c, err := ldap.DialURL("ldap://" + o.Address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.Bind(admin, adminPassword); err != nil {
		t.Fatal(err)
	}
	return c
}

// freeAddress returns an address that is reserved until the directory stops.
func (o *OpenLDAP) freeAddress() (string, error) {
	port, release, err := loopback.Hold()
	if err != nil {
		return "", err
	}
	o.held = append(o.held, release)
	return fmt.Sprintf("127.0.0.1:%d", port), nil
}
