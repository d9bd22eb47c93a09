package ldap_test

import (
	"errors"
	"testing"

	client "github.com/go-ldap/ldap/v3"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/ldap"
)

// OpenLDAP accepts a bind after a password reset, and ignores shadowExpire. Tidewaiter refuses
// both accounts, with and without a service account.
func TestUnusableAccountsThatOpenLDAPAccepts(t *testing.T) {
	o := sharedDirectory(t)
	service, template := o.options(), o.options()
	template.BindDN, template.BindPasswordFile = "", ""
	template.User = ldap.User{DN: "uid={name},ou=people,dc=example,dc=com"}
	for _, tt := range []struct {
		what    string
		changes map[string][]string
		enters  bool
		found   bool
	}{
		{"nothing", nil, true, true},
		{"pwdReset", map[string][]string{"pwdReset": {"TRUE"}}, false, false},
		{"a lock without an end", map[string][]string{"pwdAccountLockedTime": {"000001010000Z"}}, false, false},
		{"shadowExpire", map[string][]string{"objectClass": {"inetOrgPerson", "shadowAccount"}, "shadowExpire": {"1000"}}, false, false},
		{"shadowExpire that is negative", map[string][]string{"objectClass": {"inetOrgPerson", "shadowAccount"}, "shadowExpire": {"-1"}}, true, true},
	} {
		t.Run(tt.what, func(t *testing.T) {
			const dn = "uid=erin,ou=people,dc=example,dc=com"
			o.add(t, dn, "the correct password")
			if tt.changes != nil {
				change := client.NewModifyRequest(dn, nil)
				for attribute, values := range tt.changes {
					change.Replace(attribute, values)
				}
				if err := o.Admin(t).Modify(change); err != nil {
					t.Fatal(err)
				}
			}
			errs := map[bool]error{false: identity.ErrRejected}
			for how, options := range map[string]ldap.Options{"a service account": service, "a template": template} {
				d := open(t, options)
				for range 2 { // the second attempt is on a used connection
					if _, err := d.Authenticate(t.Context(), identity.NewPresented("erin", "the correct password")); !errors.Is(err, errs[tt.enters]) {
						t.Errorf("%s: the right password: %v, want %v", how, err, errs[tt.enters])
					}
					if _, err := d.Authenticate(t.Context(), identity.NewPresented("alice", "wonderland")); err != nil {
						t.Errorf("%s: another user after that: %v", how, err)
					}
				}
			}
			if _, err := open(t, service).Find(t.Context(), "erin", ""); !errors.Is(err, errs[tt.found]) {
				t.Errorf("looked up: %v, want %v", err, errs[tt.found])
			}
		})
	}
}

// The generation changes exactly when the password changes. A sign-in and Find return the same
// generation.
func TestAPasswordsGeneration(t *testing.T) {
	o := sharedDirectory(t)
	const dn = "uid=finn,ou=people,dc=example,dc=com"
	o.add(t, dn, "the first one")
	d := open(t, o.options())
	look := func(password string) (signedIn, found string) {
		t.Helper()
		v, err := d.Authenticate(t.Context(), identity.NewPresented("finn", password))
		if err != nil {
			t.Fatal(err)
		}
		_, found, err = d.FindGeneration(t.Context(), "finn", v.Principal.ID)
		if err != nil {
			t.Fatal(err)
		}
		return v.Generation, found
	}
	before, found := look("the first one")
	if before == "" || before != found {
		t.Errorf("%q at sign-in, %q when looked up", before, found)
	}
	change := client.NewModifyRequest(dn, nil)
	change.Replace("mail", []string{"finn@example.com"})
	if err := o.Admin(t).Modify(change); err != nil {
		t.Fatal(err)
	}
	if same, _ := look("the first one"); same != before {
		t.Errorf("after a change of another attribute: %q, before: %q", same, before)
	}
	change = client.NewModifyRequest(dn, nil)
	change.Replace("userPassword", []string{"the second one"})
	// Set pwdChangedTime to another time. It has a resolution of one second, so without this line
	// it could stay the same.
	change.Replace("pwdChangedTime", []string{"20261123120000Z"})
	change.Controls = []client.Control{client.NewControlString("1.3.6.1.4.1.4203.666.5.12", true, "")}
	if err := o.Admin(t).Modify(change); err != nil {
		t.Fatal(err)
	}
	after, found := look("the second one")
	if after == before || after != found {
		t.Errorf("after the change %q, by Find %q, before %q", after, found, before)
	}
}
