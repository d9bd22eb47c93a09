package ldap_test

import (
	"errors"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock/clocktest"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/identitytest"
	"github.com/tidewaiter/tidewaiter/internal/identity/ldap"
)

func TestADirectoryConforms(t *testing.T) {
	o := sharedDirectory(t)
	for how, change := range map[string]func(*ldap.Options){
		"search, then bind":            func(*ldap.Options) {},
		"by template, with an account": func(c *ldap.Options) { c.User = ldap.User{DN: "uid={name},ou=people,dc=example,dc=com"} },
		"remembering nothing":          func(c *ldap.Options) { c.Cache = 0 },
		"with groups by search": func(c *ldap.Options) {
			c.Groups = ldap.Groups{Bases: []string{"ou=groups,dc=example,dc=com"}, Nested: ldap.Walk}
		},
		"with groups by memberOf": func(c *ldap.Options) { c.Groups = ldap.Groups{MemberOf: true, Nested: ldap.Walk} },
	} {
		t.Run(how, func(t *testing.T) {
			clock := clocktest.Noon()
			between := newProxy(t, o.Address)
			options := o.options()
			options.Servers = []string{"ldap://" + between.address()}
			options.Cache, options.Now = time.Minute, clock.Now
			options.User.Attributes = map[string]string{"mail": "email"}
			change(&options)
			identitytest.Run(t, identitytest.Subject{
				Source: open(t, options), Kind: identity.Password, Name: "alice", Secret: "wonderland", Unknown: "nobody",
				Break: func() {
					between.setFault(refuse)
					clock.Pass(time.Hour)
				},
			})
		})
	}
}

// Without a service account, an unknown name is the same as a wrong password.
func TestATemplateWithoutAnAccountConforms(t *testing.T) {
	o := sharedDirectory(t)
	options := o.options()
	options.BindDN, options.BindPasswordFile = "", ""
	options.User = ldap.User{DN: "uid={name},ou=people,dc=example,dc=com"}
	d := open(t, options)
	v, err := d.Authenticate(t.Context(), identity.NewPresented("alice", "wonderland"))
	if err != nil || v.Principal.Name != "alice" {
		t.Errorf("alice: %v, %v", v.Principal, err)
	}
	for _, c := range []identity.Presented{identity.NewPresented("alice", "looking-glass"), identity.NewPresented("nobody", "wonderland")} {
		if _, err := d.Authenticate(t.Context(), c); !errors.Is(err, identity.ErrRejected) {
			t.Errorf("%s: %v, want %v", c.Name, err, identity.ErrRejected)
		}
	}
}
