package ldap_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"text/template"
	"time"

	client "github.com/go-ldap/ldap/v3"

	"github.com/tidewaiter/tidewaiter/internal/identity/ldap"
)

// openLDAP is a real directory with the entries of testdata/company.ldif.
type openLDAP struct {
	folder, address, secure string // addresses are host:port; the second speaks TLS at once
	process                 *exec.Cmd
	output                  bytes.Buffer
}

const (
	adminDN       = "cn=admin,dc=example,dc=com"
	adminPassword = "of the directory, not of Tidewaiter"
)

var shared struct { // one directory serves all tests
	start sync.Once
	*openLDAP
	err error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.openLDAP != nil {
		shared.stop()
	}
	os.Exit(code)
}

// company returns the directory that all tests share, and starts it at first.
func company(t testing.TB) *openLDAP {
	t.Helper()
	slapd, err := findSlapd()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	shared.start.Do(func() { shared.openLDAP, shared.err = startOpenLDAP(slapd) })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.openLDAP
}

func findSlapd() (string, error) {
	for _, name := range []string{"slapd", "/usr/sbin/slapd"} {
		if path, err := exec.LookPath(name); err == nil {
			if _, err := exec.LookPath("ldapmodify"); err == nil {
				return path, nil
			}
		}
	}
	return "", errors.New("this test asks a real OpenLDAP: apt-get install slapd ldap-utils")
}

func startOpenLDAP(slapd string) (_ *openLDAP, err error) {
	o := &openLDAP{}
	if o.folder, err = os.MkdirTemp("", "tidewaiter-ldap-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			o.stop()
		}
	}()
	for _, a := range []*string{&o.address, &o.secure} {
		if *a, err = freeAddress(); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(os.Mkdir(o.file("data"), 0o700), o.writeCertificates(), o.writeConfig()); err != nil {
		return nil, err
	}
	o.process = exec.Command(slapd, "-d", "0", "-f", o.file("slapd.conf"), "-h", fmt.Sprintf("ldap://%s ldaps://%s", o.address, o.secure))
	o.process.Stdout, o.process.Stderr = &o.output, &o.output
	if err := o.process.Start(); err != nil {
		return nil, err
	}
	if err := o.await(); err != nil {
		return nil, err
	}
	load := exec.Command("ldapmodify", "-a", "-x", "-H", "ldap://"+o.address, "-D", adminDN, "-w", adminPassword, "-f", "testdata/company.ldif")
	if out, err := load.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("loading company.ldif: %w\n%s", err, out)
	}
	return o, nil
}

func (o *openLDAP) file(name string) string { return filepath.Join(o.folder, name) }

func (o *openLDAP) writeConfig() error {
	text, err := template.ParseFiles("testdata/slapd.conf")
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := text.Execute(&b, map[string]string{"Folder": o.folder, "Password": `"` + adminPassword + `"`}); err != nil {
		return err
	}
	return errors.Join(os.WriteFile(o.file("slapd.conf"), b.Bytes(), 0o600), os.WriteFile(o.file("password"), []byte("reads everything\n"), 0o600))
}

// writeCertificates makes an authority of its own, and a certificate for 127.0.0.1 under it.
func (o *openLDAP) writeCertificates() error {
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
		return os.WriteFile(o.file(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
	}
	return errors.Join(write("ca.pem", "CERTIFICATE", caDER), write("server.pem", "CERTIFICATE", serverDER), write("server.key", "PRIVATE KEY", keyDER))
}

// await waits until the directory answers.
func (o *openLDAP) await() error {
	var err error
	for range 400 {
		var c *client.Conn
		if c, err = client.DialURL("ldap://" + o.address); err == nil {
			return c.Close()
		}
		time.Sleep(25 * time.Millisecond) // it cannot say when it listens
	}
	return fmt.Errorf("slapd does not answer: %w\n%s", err, o.output.String())
}

func (o *openLDAP) stop() {
	if o.process != nil && o.process.Process != nil {
		_ = o.process.Process.Kill()
		_ = o.process.Wait()
	}
	_ = os.RemoveAll(o.folder)
}

// admin returns a connection that may do everything.
func (o *openLDAP) admin(t testing.TB) *client.Conn {
	t.Helper()
	c, err := client.DialURL("ldap://" + o.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.Bind(adminDN, adminPassword); err != nil {
		t.Fatal(err)
	}
	return c
}

// options are those of somebody who runs this directory.
func (o *openLDAP) options() ldap.Options {
	return ldap.Options{
		Name: "corp", Servers: []string{"ldap://" + o.address},
		BindDN: "cn=reader,dc=example,dc=com", BindPasswordFile: o.file("password"),
		User: ldap.User{Base: "ou=people,dc=example,dc=com"},
	}
}

// open returns a Directory that is closed with the test.
func open(t testing.TB, o ldap.Options) *ldap.Directory {
	t.Helper()
	d, err := ldap.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// port returns the port of an address.
func port(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }

// attribute returns the value that an entry has.
func (o *openLDAP) attribute(t testing.TB, dn, name string) string {
	t.Helper()
	result, err := o.admin(t).Search(&client.SearchRequest{BaseDN: dn, Filter: "(objectClass=*)", Attributes: []string{name}})
	if err != nil {
		t.Fatal(err)
	}
	return result.Entries[0].GetAttributeValue(name)
}

// add adds a person, until the test ends.
func (o *openLDAP) add(t testing.TB, dn, password string) {
	t.Helper()
	err := o.admin(t).Add(&client.AddRequest{DN: dn, Attributes: []client.Attribute{
		{Type: "objectClass", Vals: []string{"inetOrgPerson"}}, {Type: "cn", Vals: []string{"x"}}, {Type: "sn", Vals: []string{"x"}},
		{Type: "userPassword", Vals: []string{password}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := o.admin(t).Del(&client.DelRequest{DN: dn}); err != nil && !client.IsErrorWithCode(err, client.LDAPResultNoSuchObject) {
			t.Error(err)
		}
	})
}

func (o *openLDAP) delete(t testing.TB, dn string) {
	t.Helper()
	if err := o.admin(t).Del(&client.DelRequest{DN: dn}); err != nil {
		t.Fatal(err)
	}
}

// write makes a file.
func write(t testing.TB, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	rewrite(t, file, text)
	return file
}

func rewrite(t testing.TB, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// certificate returns an authority that nobody knows, in PEM.
func certificate(t testing.TB) []byte {
	t.Helper()
	o := &openLDAP{folder: t.TempDir()}
	if err := o.writeCertificates(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(o.file("ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return text
}
