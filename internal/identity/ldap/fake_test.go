package ldap_test

import (
	"testing"

	client "github.com/go-ldap/ldap/v3"

	"github.com/tidewaiter/tidewaiter/internal/identity/ldap"
	"github.com/tidewaiter/tidewaiter/internal/identity/ldap/ldaptest"
)

// fake is a directory with configured answers.
type fake struct{ *ldaptest.Fake }

func newFake(t testing.TB) *fake {
	t.Helper()
	return &fake{ldaptest.NewFake(t)}
}

// options returns options for this directory.
func (f *fake) options() ldap.Options {
	return ldap.Options{
		Name: "ad", Servers: []string{"ldap://" + f.Address},
		User: ldap.User{Bases: []string{"dc=corp"}, Filter: "(sAMAccountName={name})", NameAttribute: "sAMAccountName"},
	}
}

// setPerson sets the attributes of ann.
func (f *fake) setPerson(lines ...string) {
	f.Entries["dc=corp sub (sAMAccountName=ann)"] = []*client.Entry{entry("CN=Ann,DC=corp", append(lines, "sAMAccountName: ann")...)}
}

func entry(dn string, lines ...string) *client.Entry { return ldaptest.Entry(dn, lines...) }
