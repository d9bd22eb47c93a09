package ldap_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	client "github.com/go-ldap/ldap/v3"
	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/ldap"
)

// Groups may list their members by any attribute of the user.
func TestGroupsAreFoundByAnAttributeOfTheMember(t *testing.T) {
	o := sharedDirectory(t)
	const dn = "uid=numbered,ou=people,dc=example,dc=com"
	o.add(t, dn, "one two three")
	change := client.NewModifyRequest(dn, nil)
	change.Add("employeeNumber", []string{"4711"})
	change.Add("mail", []string{"a@example.com", "b@example.com"})
	if err := o.Admin(t).Modify(change); err != nil {
		t.Fatal(err)
	}
	o.posixGroup(t, "counted", "4711")
	o.posixGroup(t, "mailed-a", "a@example.com")
	o.posixGroup(t, "mailed-b", "b@example.com")
	o.posixGroup(t, "called", "numbered")
	group := o.group(t, "4711", dn) // the group's name equals the number of a user
	for _, tt := range []struct {
		filter string
		nested ldap.Nested
		want   []string
	}{
		{"(memberUid={attribute:employeeNumber})", ldap.None, []string{"counted"}},
		{"(memberUid={attribute:EMPLOYEENUMBER})", ldap.None, []string{"counted"}},
		{"(memberUid={attribute:mail})", ldap.None, []string{"mailed-a", "mailed-b"}},
		{"(|(memberUid={attribute:employeeNumber})(memberUid={name})(member={dn}))", ldap.Walk, []string{"4711", "called", "counted"}},
		{"(|(memberUid={attribute:mail})(memberUid={attribute:employeeNumber}))", ldap.None, []string{"counted", "mailed-a", "mailed-b"}},
		{"(&(objectClass=posixGroup)(|(memberUid={attribute:mail})(memberUid={attribute:mail})))", ldap.None, []string{"mailed-a", "mailed-b"}},
	} {
		options := o.options()
		options.Groups = ldap.Groups{Bases: []string{groupsBase}, Filter: tt.filter, Nested: tt.nested}
		v, err := open(t, options).Authenticate(t.Context(), identity.NewPresented("numbered", "one two three"))
		if err != nil {
			t.Fatalf("%s: %v", tt.filter, err)
		}
		if diff := cmp.Diff(tt.want, v.Principal.Groups); diff != "" {
			t.Errorf("%s, besides %s (-want +got):\n%s", tt.filter, group, diff)
		}
	}
}

// If the attribute of a user is missing, the service account is possibly not allowed to see the
// attribute. Then groups of the user could be missing.
func TestUserWithoutTheGroupAttributeIsRefused(t *testing.T) {
	for _, tt := range []struct {
		lines   []string
		because string
	}{
		{nil, "the entry has no employeeID"},
		{[]string{"employeeID: "}, "the entry has no employeeID"},
		{[]string{"employeeID;range=0-1499: 7"}, "the directory cut the values of employeeID, which groups.filter uses"},
		{many("employeeID: %d", 51), "51 values of employeeID"},
	} {
		f := newFake(t)
		f.Binds["CN=Ann,DC=corp"] = 0
		f.setPerson(tt.lines...)
		options := f.options()
		options.Groups = ldap.Groups{Bases: []string{"dc=corp"}, Filter: "(|(member={dn})(memberUid={attribute:employeeID}))"}
		_, err := open(t, options).Authenticate(t.Context(), identity.NewPresented("ann", "right"))
		if incomplete, ok := errors.AsType[*identity.IncompleteError](err); !ok || !strings.Contains(incomplete.Reason, tt.because) {
			t.Errorf("%q: %v, want %s", tt.lines, err, tt.because)
		}
		if slices.ContainsFunc(f.Heard(), func(what string) bool { return strings.Contains(what, "memberUid") }) {
			t.Errorf("%q: groups were searched: %q", tt.lines, f.Heard())
		}
	}
}

// The filter must match exactly the value of the attribute, with any characters.
func TestValuesOfAttributesAreEscapedInFilters(t *testing.T) {
	for value, filter := range map[string]string{
		"7":            `(x=7)`,
		"*":            `(x=\2a)`,
		"7)(cn=*":      `(x=7\29\28cn=\2a)`,
		`\2a`:          `(x=\5c2a)`,
		"{dn}":         `(x={dn})`,
		"{name}":       `(x={name})`,
		"\x01\x02\xff": `(x=\01\02\ff)`,
	} {
		f := newFake(t)
		f.Binds["CN=Ann,DC=corp"] = 0
		f.setPerson("objectSid: " + value)
		packet, err := client.CompileFilter(filter)
		if err != nil {
			t.Fatal(err)
		}
		if filter, err = client.DecompileFilter(packet); err != nil {
			t.Fatal(err)
		}
		f.SetEntries("dc=corp sub "+filter, entry("CN=dev,DC=corp", "cn: dev"))
		options := f.options()
		options.Groups = ldap.Groups{Bases: []string{"dc=corp"}, Filter: "(x={attribute:objectSid})"}
		v, err := open(t, options).Authenticate(t.Context(), identity.NewPresented("ann", "right"))
		if err != nil || !slices.Equal(v.Principal.Groups, []string{"dev"}) {
			t.Errorf("%q: %v %v; it heard %q", value, v.Principal, err, f.Heard())
		}
	}
}
