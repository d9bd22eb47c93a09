package ldap_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	client "github.com/go-ldap/ldap/v3"
	"go.uber.org/goleak"

	"github.com/tidewaiter/tidewaiter/internal/identity/ldap"
	"github.com/tidewaiter/tidewaiter/internal/identity/ldap/ldaptest"
)

// directory is the real directory that all tests share.
type directory struct{ *ldaptest.OpenLDAP }

var shared struct {
	start sync.Once
	directory
	err error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.OpenLDAP != nil {
		shared.Stop()
	}
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, "connections and requests that have not ended:", err)
		code = 1
	}
	os.Exit(code)
}

// sharedDirectory returns the shared directory. The first call starts the directory.
func sharedDirectory(t testing.TB) directory {
	t.Helper()
	ldaptest.Need(t)
	shared.start.Do(func() { shared.OpenLDAP, shared.err = ldaptest.Start() })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.directory
}

// options returns options for this directory.
func (o directory) options() ldap.Options {
	return ldap.Options{
		Name: "corp", Servers: []string{"ldap://" + o.Address},
		BindDN: "cn=reader,dc=example,dc=com", BindPasswordFile: o.File(ldaptest.ReaderFile),
		User: ldap.User{Bases: []string{"ou=people,dc=example,dc=com"}},
	}
}

// open returns a Directory that is closed when the test ends.
func open(t testing.TB, o ldap.Options) *ldap.Directory {
	t.Helper()
	d, err := ldap.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// port returns the port of an address.
func port(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }

// attribute returns an attribute of an entry.
func (o directory) attribute(t testing.TB, dn, name string) string {
	t.Helper()
	result, err := o.Admin(t).Search(&client.SearchRequest{BaseDN: dn, Filter: "(objectClass=*)", Attributes: []string{name}})
	if err != nil {
		t.Fatal(err)
	}
	return result.Entries[0].GetAttributeValue(name)
}

// add adds a user, and removes the user when the test ends.
func (o directory) add(t testing.TB, dn, password string) {
	t.Helper()
	err := o.Admin(t).Add(&client.AddRequest{DN: dn, Attributes: []client.Attribute{
		{Type: "objectClass", Vals: []string{"inetOrgPerson"}}, {Type: "cn", Vals: []string{"x"}}, {Type: "sn", Vals: []string{"x"}},
		{Type: "userPassword", Vals: []string{password}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := o.Admin(t).Del(&client.DelRequest{DN: dn}); err != nil && !client.IsErrorWithCode(err, client.LDAPResultNoSuchObject) {
			t.Error(err)
		}
	})
}

func (o directory) delete(t testing.TB, dn string) {
	t.Helper()
	if err := o.Admin(t).Del(&client.DelRequest{DN: dn}); err != nil {
		t.Fatal(err)
	}
}

// write writes a file.
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

// certificate returns an unknown certificate authority in PEM.
func certificate(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile(ldaptest.New(t).File(ldaptest.CAFile))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
