package ldap_test

import (
	"fmt"
	"strings"
	"testing"

	client "github.com/go-ldap/ldap/v3"
	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/ldap"
)

const groupsBase = "ou=groups,dc=example,dc=com"

func TestGroups(t *testing.T) {
	people := map[string]string{"alice": "wonderland", "bob": "can he fix it", "dora": "backpack", "zoë": "two dots"}
	for _, tt := range []struct {
		how    string
		groups ldap.Groups
		name   string
		in     string
	}{
		{"none", ldap.Groups{}, "alice", ""},
		{"search", ldap.Groups{Bases: []string{groupsBase}}, "alice", "dev"},
		{"search", ldap.Groups{Bases: []string{groupsBase}}, "bob", "dev"},
		{"search", ldap.Groups{Bases: []string{groupsBase}}, "zoë", ""},
		{"search, the other department too", ldap.Groups{Bases: []string{"dc=example,dc=com"}}, "bob", "dev ops"},
		{"search by name", ldap.Groups{Bases: []string{groupsBase}, Filter: "(memberUid={name})"}, "alice", "nix"},
		{"search by both", ldap.Groups{Bases: []string{groupsBase}, Filter: "(|(member={dn})(memberUid={name}))"}, "alice", "dev nix"},
		{"search, DNs", ldap.Groups{Bases: []string{groupsBase}, NameAttribute: "dn"}, "alice", "cn=dev,ou=groups,dc=example,dc=com"},
		{"search, another attribute", ldap.Groups{Bases: []string{groupsBase}, Filter: "(memberUid={name})", NameAttribute: "gidNumber"}, "alice", "100"},
		{"search and walk", ldap.Groups{Bases: []string{groupsBase}, Nested: ldap.Walk}, "alice", "dev ops staff"},
		{"search and walk in a cycle", ldap.Groups{Bases: []string{groupsBase}, Nested: ldap.Walk}, "dora", "egg hen staff"},
		{"search and walk", ldap.Groups{Bases: []string{groupsBase}, Nested: ldap.Walk}, "zoë", ""},
		{"memberOf", ldap.Groups{MemberOf: true}, "alice", "dev"},
		{"memberOf", ldap.Groups{MemberOf: true}, "zoë", ""},
		{"memberOf, the other department too", ldap.Groups{MemberOf: true}, "bob", "dev ops"},
		{"memberOf below a base", ldap.Groups{MemberOf: true, Bases: []string{"OU=Groups, DC=example,DC=com"}}, "bob", "dev"},
		{"memberOf, DNs", ldap.Groups{MemberOf: true, NameAttribute: "dn"}, "bob", "cn=dev,ou=groups,dc=example,dc=com cn=ops,ou=elsewhere,dc=example,dc=com"},
		{"memberOf, an attribute that is looked up", ldap.Groups{MemberOf: true, NameAttribute: "objectClass"}, "alice", "groupOfNames"},
		{"memberOf and walk", ldap.Groups{MemberOf: true, Nested: ldap.Walk}, "alice", "dev ops staff"},
		{"memberOf and walk in a cycle", ldap.Groups{MemberOf: true, Nested: ldap.Walk}, "dora", "egg hen staff"},
	} {
		t.Run(tt.how+" of "+tt.name, func(t *testing.T) {
			options := sharedDirectory(t).options()
			options.Groups = tt.groups
			d := open(t, options)
			v, err := d.Authenticate(t.Context(), identity.NewPresented(tt.name, people[tt.name]))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.Fields(tt.in), v.Principal.Groups, emptyIsNil); diff != "" {
				t.Errorf("groups (-want +got):\n%s", diff)
			}
			found, err := d.Find(t.Context(), tt.name, v.Principal.ID)
			if diff := cmp.Diff(v.Principal, found); err != nil || diff != "" {
				t.Errorf("found without a password: %v %s", err, diff)
			}
		})
	}
}

var emptyIsNil = cmp.Transformer("empty", func(list []string) string { return strings.Join(list, "\n") })

// With a template and no service account, users read their own groups.
func TestUsersReadTheirOwnGroups(t *testing.T) {
	options := sharedDirectory(t).options()
	options.User, options.BindDN, options.BindPasswordFile = ldap.User{DN: "uid={name},ou=people,dc=example,dc=com"}, "", ""
	options.Groups = ldap.Groups{Bases: []string{groupsBase}, Nested: ldap.Walk}
	v, err := open(t, options).Authenticate(t.Context(), identity.NewPresented("alice", "wonderland"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"dev", "ops", "staff"}, v.Principal.Groups); diff != "" {
		t.Error(diff)
	}
}

// zot CVE-2025-23208: users kept a group that was removed at the identity provider. In Tidewaiter,
// the groups are read at each sign-in and each refresh.
func TestARemovedGroupIsGone(t *testing.T) {
	o := sharedDirectory(t)
	o.add(t, "uid=eve,ou=people,dc=example,dc=com", "apple")
	group := o.group(t, "garden", "uid=eve,ou=people,dc=example,dc=com", "uid=bob,ou=people,dc=example,dc=com")
	options := o.options()
	options.Groups = ldap.Groups{Bases: []string{groupsBase}}
	d := open(t, options)
	groups := func() (list []string) {
		t.Helper()
		v, err := d.Authenticate(t.Context(), identity.NewPresented("eve", "apple"))
		if err != nil {
			t.Fatal(err)
		}
		found, err := d.Find(t.Context(), "eve", v.Principal.ID)
		if diff := cmp.Diff(v.Principal, found); err != nil || diff != "" {
			t.Errorf("found: %v %s", err, diff)
		}
		return v.Principal.Groups
	}
	if got := groups(); len(got) != 1 || got[0] != "garden" {
		t.Errorf("in the group: %q", got)
	}
	leave := &client.ModifyRequest{DN: group}
	leave.Delete("member", []string{"uid=eve,ou=people,dc=example,dc=com"})
	if err := o.Admin(t).Modify(leave); err != nil {
		t.Fatal(err)
	}
	if got := groups(); len(got) != 0 {
		t.Errorf("after the membership was removed: %q", got)
	}
}

// If there are too many groups, some would be left out, and there could be a deny rule for such a
// group. So too many groups are an error.
func TestTooManyGroupsAreAnError(t *testing.T) {
	o := sharedDirectory(t)
	o.add(t, "uid=joiner,ou=people,dc=example,dc=com", "everything")
	below := "uid=joiner,ou=people,dc=example,dc=com"
	for i := range 40 { // each group is a member of the next one
		below = o.group(t, fmt.Sprintf("level-%02d", i), below)
	}
	for _, groups := range []ldap.Groups{{Bases: []string{groupsBase}, Nested: ldap.Walk}, {MemberOf: true, Nested: ldap.Walk}} {
		options := o.options()
		options.Groups = groups
		_, err := open(t, options).Authenticate(t.Context(), identity.NewPresented("joiner", "everything"))
		if err == nil || !strings.Contains(err.Error(), "more than 32 levels deep") {
			t.Errorf("%v", err)
		}
	}
}

// group adds a group, and removes the group when the test ends.
func (o directory) group(t testing.TB, name string, members ...string) (dn string) {
	t.Helper()
	dn = "cn=" + name + "," + groupsBase
	err := o.Admin(t).Add(&client.AddRequest{DN: dn, Attributes: []client.Attribute{
		{Type: "objectClass", Vals: []string{"groupOfNames"}}, {Type: "cn", Vals: []string{name}}, {Type: "member", Vals: members},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := o.Admin(t).Del(&client.DelRequest{DN: dn}); err != nil {
			t.Error(err)
		}
	})
	return dn
}
