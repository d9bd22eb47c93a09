package ldap_test

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	client "github.com/go-ldap/ldap/v3"
	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/ldap"
)

func TestPeopleAreSearchedBelowEachBase(t *testing.T) {
	const people, elsewhere, all = "ou=people,dc=example,dc=com", "ou=elsewhere,dc=example,dc=com", "dc=example,dc=com"
	sharedDirectory(t).add(t, "uid=far,"+elsewhere, "and away")
	for _, tt := range []struct {
		bases          []string
		name, password string
		want, because  string
	}{
		{[]string{people, elsewhere}, "alice", "wonderland", "alice", ""},
		{[]string{elsewhere, people}, "alice", "wonderland", "alice", ""},
		{[]string{people, elsewhere}, "far", "and away", "far", ""},
		{[]string{people}, "far", "and away", "unknown", ""},
		{[]string{people, elsewhere}, "nobody", "x", "unknown", ""},
		{[]string{people, elsewhere}, "twin", "castor", "rejected", "the name is found below two bases: " + people + " and " + elsewhere},
		{[]string{people}, "twin", "castor", "twin", ""},
		// The second base is below the first base.
		{[]string{all, "OU=People, DC=example, DC=com"}, "alice", "wonderland", "alice", ""},
		{[]string{all, people}, "twin", "castor", "rejected", "more than one entry has the name"},
		{[]string{""}, "alice", "wonderland", "alice", ""},
		{[]string{""}, "twin", "castor", "rejected", "more than one entry has the name"},
		{[]string{""}, "nobody", "x", "unknown", ""},
	} {
		var log strings.Builder
		options := sharedDirectory(t).options()
		options.User.Bases, options.Log = tt.bases, slog.New(slog.NewTextHandler(&log, nil))
		d := open(t, options)
		v, err := d.Authenticate(t.Context(), identity.NewPresented(tt.name, tt.password))
		if got := outcome(v, err); got != tt.want {
			t.Errorf("%s below %q: %s, want %s (%v)", tt.name, tt.bases, got, tt.want, err)
		}
		if tt.because != "" && (identity.Reason(err) != tt.because || !strings.Contains(log.String(), tt.because)) {
			t.Errorf("%s below %q: because %q, want %q; the log: %s", tt.name, tt.bases, identity.Reason(err), tt.because, log.String())
		}
		_, err = d.Find(t.Context(), tt.name, "")
		if (err == nil) != (tt.want == tt.name) {
			t.Errorf("%s below %q is looked up: %v", tt.name, tt.bases, err)
		}
	}
}

func TestGroupsAreSearchedBelowEachBase(t *testing.T) {
	o := sharedDirectory(t)
	o.group(t, "shifts", "uid=alice,ou=people,dc=example,dc=com")
	const other = "ou=other groups,dc=example,dc=com"
	if err := o.Admin(t).Add(&client.AddRequest{DN: other, Attributes: []client.Attribute{{Type: "objectClass", Vals: []string{"organizationalUnit"}}}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.delete(t, other) })
	if err := o.Admin(t).Add(&client.AddRequest{DN: "cn=choir," + other, Attributes: []client.Attribute{
		{Type: "objectClass", Vals: []string{"groupOfNames"}}, {Type: "member", Vals: []string{"uid=alice,ou=people,dc=example,dc=com"}},
	}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.delete(t, "cn=choir,"+other) })
	for _, tt := range []struct {
		groups ldap.Groups
		want   []string
	}{
		{ldap.Groups{Bases: []string{groupsBase}}, []string{"dev", "shifts"}},
		{ldap.Groups{Bases: []string{other}}, []string{"choir"}},
		{ldap.Groups{Bases: []string{groupsBase, other}}, []string{"choir", "dev", "shifts"}},
		{ldap.Groups{Bases: []string{groupsBase, other}, Nested: ldap.Walk}, []string{"choir", "dev", "ops", "shifts", "staff"}},
		{ldap.Groups{Bases: []string{""}}, []string{"choir", "dev", "shifts"}},
		{ldap.Groups{Bases: []string{groupsBase, "dc=example,dc=com"}}, []string{"choir", "dev", "shifts"}},
		{ldap.Groups{MemberOf: true, Bases: []string{other, groupsBase}}, []string{"choir", "dev", "shifts"}},
		{ldap.Groups{MemberOf: true, Bases: []string{other}}, []string{"choir"}},
		{ldap.Groups{MemberOf: true, Bases: []string{""}}, []string{"choir", "dev", "shifts"}},
	} {
		options := o.options()
		options.Groups = tt.groups
		v, err := open(t, options).Authenticate(t.Context(), identity.NewPresented("alice", "wonderland"))
		if err != nil {
			t.Fatalf("%+v: %v", tt.groups, err)
		}
		if diff := cmp.Diff(tt.want, v.Principal.Groups); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", tt.groups, diff)
		}
	}
}

// The empty base means all naming contexts, except the naming contexts of Active Directory that
// contain no users. For a global catalog, the empty base means the forest.
func TestTheEmptyBaseIsTheWholeDirectory(t *testing.T) {
	ann := entry("CN=Ann,DC=child,DC=corp", "sAMAccountName: ann")
	names := func(contexts ...string) *client.Entry {
		var lines []string
		for _, c := range contexts {
			lines = append(lines, "namingContexts: "+c)
		}
		return entry("", lines...)
	}
	for _, tt := range []struct {
		what    string
		catalog bool
		root    *client.Entry
		found   string // the search that finds ann
		missing string // the search in a hidden naming context
		want    string
		heard   []string
	}{
		{"contexts", false, names("DC=corp", "CN=Configuration,DC=corp", "CN=Schema,CN=Configuration,DC=corp", "DC=child,DC=corp", "DC=DomainDnsZones,DC=corp"),
			"DC=child,DC=corp sub (sAMAccountName=ann)", "", "ann",
			[]string{" base (objectClass=*)", "DC=corp sub (sAMAccountName=ann)", "DC=child,DC=corp sub (sAMAccountName=ann)"}},
		{"a hidden naming context", false, names("cn=accesslog", "DC=corp"), "DC=corp sub (sAMAccountName=ann)", "cn=accesslog sub (sAMAccountName=ann)", "ann",
			[]string{" base (objectClass=*)", "cn=accesslog sub (sAMAccountName=ann)", "DC=corp sub (sAMAccountName=ann)"}},
		{"no contexts", false, entry(""), "", "", "the directory names no naming contexts", []string{" base (objectClass=*)"}},
		{"a catalog", true, names("DC=corp"), " sub (sAMAccountName=ann)", "", "ann", []string{" sub (sAMAccountName=ann)"}},
	} {
		f := newFake(t)
		f.Binds[ann.DN] = 0
		f.SetEntries(" base (objectClass=*)", tt.root)
		f.SetEntries(tt.found, ann)
		f.Results[tt.missing] = client.LDAPResultNoSuchObject
		options := f.options()
		options.User.Bases = []string{""}
		d := open(t, options)
		if tt.catalog {
			ldap.AsGlobalCatalog(d)
		}
		for range 2 { // naming contexts are cached
			if v, err := d.Authenticate(t.Context(), identity.NewPresented("ann", "right")); !strings.Contains(outcome(v, err), tt.want) {
				t.Errorf("%s: %s, want %s", tt.what, outcome(v, err), tt.want)
			}
		}
		heard := slices.DeleteFunc(f.Heard(), func(what string) bool { return strings.HasPrefix(what, "bind ") })
		if len(heard) < len(tt.heard) || !slices.Equal(heard[:len(tt.heard)], tt.heard) {
			t.Errorf("%s: it heard %q, want %q first", tt.what, heard, tt.heard)
		}
	}
	for url, is := range map[string]bool{
		"ldap://dc:3268": true, "ldaps://dc:3269": true, "ldaps://dc": false, "ldap://dc": false, "ldaps://dc:13269": false,
	} {
		if ldap.GlobalCatalog(url) != is {
			t.Errorf("%s is a global catalog: %v", url, !is)
		}
	}
}

// A hidden naming context could contain groups.
func TestHiddenNamingContextRefusesSignIn(t *testing.T) {
	for _, code := range []uint16{client.LDAPResultNoSuchObject, client.LDAPResultInsufficientAccessRights} {
		f := newFake(t)
		f.Binds["CN=Ann,DC=corp"] = 0
		f.setPerson()
		f.SetEntries(" base (objectClass=*)", entry("", "namingContexts: DC=corp", "namingContexts: DC=hidden"))
		f.Results["DC=hidden sub (member=CN=Ann,DC=corp)"] = code
		options := f.options()
		options.Groups.Bases = []string{""}
		_, err := open(t, options).Authenticate(t.Context(), identity.NewPresented("ann", "right"))
		if incomplete, ok := errors.AsType[*identity.IncompleteError](err); !ok || !strings.Contains(incomplete.Reason, "does not show DC=hidden") {
			t.Errorf("%d: %v", code, err)
		}
	}
}

// The number of requests must not reveal below which base a user is, or that the name is
// unknown.
func TestEachRefusalSearchesAllBases(t *testing.T) {
	f := newFake(t)
	f.SetEntries("dc=a sub (sAMAccountName=ann)", entry("CN=Ann,DC=a", "sAMAccountName: ann"))
	f.SetEntries("dc=b sub (sAMAccountName=ben)", entry("CN=Ben,DC=b", "sAMAccountName: ben"))
	f.Binds["CN=Ann,DC=a"], f.Binds["CN=Ben,DC=b"] = 0, 0
	options := f.options()
	options.User.Bases = []string{"dc=a", "dc=b"}
	d := open(t, options)
	// The last two names repeat earlier attempts.
	for _, name := range []string{"ann", "ben", "nobody", "ann", "nobody"} {
		before := len(f.Heard())
		if _, err := d.Authenticate(t.Context(), identity.NewPresented(name, "wrong")); err == nil {
			t.Fatal("a wrong password is accepted")
		}
		if n := len(f.Heard()) - before; n != 3 {
			t.Errorf("%s: %d requests: %q", name, n, f.Heard()[before:])
		}
	}
}
