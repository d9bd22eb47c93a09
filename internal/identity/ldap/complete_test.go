package ldap_test

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	client "github.com/go-ldap/ldap/v3"
	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/ldap"
)

// Names are converted to lower case only for rules. Searches must use the directory's own
// spelling, because some attributes, such as memberUid, are compared exactly. Otherwise a group
// would not be found, and a deny rule for the group would not apply.
func TestADirectoryIsAskedForItsOwnSpelling(t *testing.T) {
	o := sharedDirectory(t)
	o.add(t, "uid=JSmith,ou=people,dc=example,dc=com", "secret enough")
	o.posixGroup(t, "interns", "JSmith")
	for _, nested := range []ldap.Nested{ldap.None, ldap.Walk} {
		for _, typed := range []string{"JSmith", "jsmith", "JSMITH"} {
			options := o.options()
			options.User.Lowercase = true
			options.Groups = ldap.Groups{Bases: []string{groupsBase}, Filter: "(|(member={dn})(memberUid={name}))", Nested: nested}
			d := open(t, options)
			v, err := d.Authenticate(t.Context(), identity.NewPresented(typed, "secret enough"))
			if err != nil || v.Principal.Name != "jsmith" || !slices.Equal(v.Principal.Groups, []string{"interns"}) {
				t.Errorf("%s: %+v %v", typed, v.Principal, err)
			}
			found, err := d.Find(t.Context(), "jsmith", v.Principal.ID)
			if diff := cmp.Diff(v.Principal, found); err != nil || diff != "" {
				t.Errorf("found: %v %s", err, diff)
			}
		}
	}
}

// Groups and users have separate names: members of a group called bob are not in the groups of
// the user bob.
func TestAGroupIsNotTakenForAPersonOfItsName(t *testing.T) {
	o := sharedDirectory(t)
	o.add(t, "uid=eve,ou=people,dc=example,dc=com", "apple pie")
	o.group(t, "bob", "uid=eve,ou=people,dc=example,dc=com")
	o.posixGroup(t, "bobs-own", "bob")
	options := o.options()
	options.Groups = ldap.Groups{Bases: []string{groupsBase}, Filter: "(|(member={dn})(memberUid={name}))", Nested: ldap.Walk}
	v, err := open(t, options).Authenticate(t.Context(), identity.NewPresented("eve", "apple pie"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"bob"}, v.Principal.Groups); diff != "" {
		t.Error(diff)
	}
}

// OpenLDAP returns at most 500 entries by default. A user who is in more groups can sign in,
// and has all these groups.
func TestSomebodyInMoreGroupsThanADirectorySendsAtOnce(t *testing.T) {
	o := sharedDirectory(t)
	o.add(t, "uid=joiner,ou=people,dc=example,dc=com", "everything")
	admin := o.Admin(t)
	defer func() { _ = admin.Close() }()
	var want []string
	for i := range 620 {
		name := fmt.Sprintf("many-%03d", i)
		dn := "cn=" + name + "," + groupsBase
		want = append(want, name)
		if err := admin.Add(&client.AddRequest{DN: dn, Attributes: []client.Attribute{
			{Type: "objectClass", Vals: []string{"groupOfNames"}}, {Type: "cn", Vals: []string{name}},
			{Type: "member", Vals: []string{"uid=joiner,ou=people,dc=example,dc=com"}},
		}}); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := admin.Del(&client.DelRequest{DN: dn}); err != nil {
				t.Error(err)
			}
		}()
	}
	for _, groups := range []ldap.Groups{{Bases: []string{groupsBase}}, {Bases: []string{groupsBase}, Nested: ldap.Walk}, {MemberOf: true}, {MemberOf: true, Nested: ldap.Walk}} {
		options := o.options()
		options.Groups, options.Timeout = groups, time.Minute
		v, err := open(t, options).Authenticate(t.Context(), identity.NewPresented("joiner", "everything"))
		if err != nil {
			t.Fatalf("%+v: %v", groups, err)
		}
		if diff := cmp.Diff(want, v.Principal.Groups); diff != "" {
			t.Errorf("%+v: %s", groups, diff)
		}
	}
	// A group is only partly visible. It comes after the first 500 entries, and no part of the
	// split search finds this group.
	o.group(t, "half-shown", "uid=joiner,ou=people,dc=example,dc=com")
	for _, name := range []string{"", "dn"} {
		options := o.options()
		options.Groups, options.Timeout = ldap.Groups{Bases: []string{groupsBase}, NameAttribute: name}, time.Minute
		_, err := open(t, options).Authenticate(t.Context(), identity.NewPresented("joiner", "everything"))
		if incomplete, ok := errors.AsType[*identity.IncompleteError](err); !ok || !strings.Contains(incomplete.Reason, "does not show the entryUUID of cn=half-shown") {
			t.Errorf("names are %q: %v", name, err)
		}
	}
}

// There can be a deny rule for a group that is hidden, has no name or is on another server, so the
// sign-in is refused. The refusal is not an outage: the next sign-in has the same result, and
// other users can sign in.
func TestGroupsThatMayBeMissingRefuseSignIn(t *testing.T) {
	const person, dev = "CN=Ann,DC=corp", "CN=dev,OU=g,DC=corp"
	search := "OU=g,DC=corp sub (member=" + person + ")"
	for _, tt := range []struct {
		what    string
		groups  ldap.Groups
		change  func(f *fake)
		because string // "": the sign-in succeeds
	}{
		{"all is well", ldap.Groups{Bases: []string{"OU=g,DC=corp"}}, func(*fake) {}, ""},
		{"a group without a name", ldap.Groups{Bases: []string{"OU=g,DC=corp"}, NameAttribute: "mail"}, func(*fake) {}, "has 0 values of mail"},
		{"a group with two names", ldap.Groups{Bases: []string{"OU=g,DC=corp"}, NameAttribute: "ou"}, func(f *fake) {
			f.Entries[search] = []*client.Entry{entry(dev, "ou: a", "ou: b")}
		}, "has 2 values of ou"},
		{"a group whose name is not text", ldap.Groups{Bases: []string{"OU=g,DC=corp"}}, func(f *fake) {
			f.Entries[search] = []*client.Entry{entry(dev, "cn: \xff")}
		}, "not UTF-8"},
		{"a part on another server", ldap.Groups{Bases: []string{"OU=g,DC=corp"}}, func(f *fake) { f.Reference = "ldap://child.corp/DC=child,DC=corp" }, "a part of OU=g,DC=corp is on another server"},
		{"partitions without groups", ldap.Groups{Bases: []string{"OU=g,DC=corp"}}, func(f *fake) { f.Reference = "ldap://corp/CN=Configuration,DC=corp" }, ""},
		{"a size limit", ldap.Groups{Bases: []string{"OU=g,DC=corp"}}, func(f *fake) { f.Results[search] = client.LDAPResultSizeLimitExceeded }, "stops at its own size limit"},
		{"memberOf that cannot be read", ldap.Groups{MemberOf: true}, func(f *fake) { f.setPerson("memberOf: dev") }, "cannot be read"},
		{"memberOf that is cut", ldap.Groups{MemberOf: true}, func(f *fake) { f.setPerson("memberOf;range=0-1499: " + dev) }, "the directory cut the list of groups"},
		{"a group that is not shown", ldap.Groups{MemberOf: true, Nested: ldap.Walk}, func(f *fake) { f.setPerson("memberOf: CN=hidden,DC=corp") }, "does not show the group CN=hidden,DC=corp"},
		{"a group whose name is not shown", ldap.Groups{MemberOf: true, NameAttribute: "mail"}, func(f *fake) {
			f.setPerson("memberOf: " + dev)
			f.Results[dev+" base (objectClass=*)"] = client.LDAPResultNoSuchObject
		}, "does not show the group"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			f := newFake(t)
			f.Binds[person] = 0
			f.setPerson()
			f.Entries[search] = []*client.Entry{entry(dev, "cn: dev")}
			tt.change(f)
			var log strings.Builder
			options := f.options()
			options.Groups, options.Log = tt.groups, slog.New(slog.NewTextHandler(&log, nil))
			d := open(t, options)
			v, err := d.Authenticate(t.Context(), identity.NewPresented("ann", "right"))
			if tt.because == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			incomplete, ok := errors.AsType[*identity.IncompleteError](err)
			if !ok || !errors.Is(err, identity.ErrRejected) || !strings.Contains(incomplete.Reason, tt.because) {
				t.Fatalf("%v %v", v.Principal, err)
			}
			if !strings.Contains(log.String(), "refused: not all groups are known") {
				t.Errorf("the log: %s", log.String())
			}
			if _, err := d.Find(t.Context(), "ann", ""); !errors.As(err, new(*identity.IncompleteError)) {
				t.Errorf("found: %v", err)
			}
		})
	}
}

// An attribute that cannot be a claim must not be left out silently. Otherwise users could edit an
// attribute so that a deny rule for this claim no longer applies.
func TestClaimsThatMayBeMissingRefuseSignIn(t *testing.T) {
	for _, tt := range []struct {
		what    string
		lines   []string
		because string // "": the sign-in succeeds
	}{
		{"one", []string{"team: red"}, ""},
		{"none", nil, ""},
		{"two", []string{"team: red", "team: blue"}, ""},
		{"a line end", []string{"team: red\n"}, "the attribute team has a value that is not a single line"},
		{"a line end in one of two values", []string{"team: red", "team: b\nlue"}, "not a single line of text"},
		{"no text", []string{"team: \xff"}, "not a single line of text"},
		{"a long one", []string{"team: " + strings.Repeat("x", 1<<10+1)}, "longer than 1024 bytes"},
		{"many", slices.Repeat([]string{"team: red"}, 101), "101 values"},
		{"one in another language", []string{"team: red", "team;lang-fr: rouge"}, ""},
		{"a part of many", []string{"team;range=0-1499: red"}, "the directory cut"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			f := newFake(t)
			f.Binds["CN=Ann,DC=corp"] = 0
			f.setPerson(tt.lines...)
			var log strings.Builder
			options := f.options()
			options.User.Attributes, options.Log = map[string]string{"team": "team"}, slog.New(slog.NewTextHandler(&log, nil))
			v, err := open(t, options).Authenticate(t.Context(), identity.NewPresented("ann", "right"))
			incomplete, ok := errors.AsType[*identity.IncompleteError](err)
			switch {
			case tt.because == "" && err != nil:
				t.Error(err)
			case tt.because != "" && (!ok || !incomplete.Claims || !strings.Contains(incomplete.Reason, tt.because) || !strings.Contains(log.String(), "refused: not all claims are known")):
				t.Errorf("%v %v, the log: %s", v.Principal, err, log.String())
			}
		})
	}
}

// Groups in groups need one search for each level, not one for each group.
func TestALevelOfGroupsIsOneSearch(t *testing.T) {
	for _, by := range []string{"entryDN", "distinguishedName"} {
		f := newFake(t)
		f.Binds["CN=Ann,DC=corp"] = 0
		f.setPerson(many("memberOf: CN=g%d,OU=g,DC=corp", 50)...)
		var filter strings.Builder
		var entries []*client.Entry
		for i := range 50 {
			dn := fmt.Sprintf("CN=g%d,OU=g,DC=corp", i)
			fmt.Fprintf(&filter, "(%s=%s)", by, dn)
			entries = append(entries, entry(dn, "memberOf: CN=top,OU=g,DC=corp"))
		}
		f.Entries["ou=g,dc=corp sub (|"+filter.String()+")"] = entries
		f.Entries["CN=top,OU=g,DC=corp base (objectClass=*)"] = []*client.Entry{entry("CN=top,OU=g,DC=corp")}
		options := f.options()
		options.Groups = ldap.Groups{MemberOf: true, Nested: ldap.Walk}
		d := open(t, options)
		for i, most := range []int{6, 5} { // the second time, d knows which attribute works
			before := len(f.Heard())
			v, err := d.Authenticate(t.Context(), identity.NewPresented("ann", "right"))
			if err != nil || len(v.Principal.Groups) != 51 {
				t.Fatalf("%d groups, %v", len(v.Principal.Groups), err)
			}
			if n := len(f.Heard()) - before; n > most {
				t.Errorf("%s, time %d: %d requests: %.500q", by, i+1, n, f.Heard()[before:])
			}
		}
	}
}

// posixGroup adds a group that lists its members by login, and removes the group when the test
// ends.
func (o directory) posixGroup(t testing.TB, name string, members ...string) {
	t.Helper()
	dn := "cn=" + name + "," + groupsBase
	if err := o.Admin(t).Add(&client.AddRequest{DN: dn, Attributes: []client.Attribute{
		{Type: "objectClass", Vals: []string{"posixGroup"}}, {Type: "cn", Vals: []string{name}}, {Type: "gidNumber", Vals: []string{"4711"}}, {Type: "memberUid", Vals: members},
	}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.delete(t, dn) })
}

// A directory can return any spelling of a group's DN. Rules are compared with one canonical
// spelling.
func TestGroupsThatAreNamedByTheirDNsHaveOneSpelling(t *testing.T) {
	for _, tt := range []struct {
		groups ldap.Groups
		want   []string
	}{
		{ldap.Groups{MemberOf: true, NameAttribute: "dn"}, []string{`cn=dev\, eu,ou=g,dc=corp`, "cn=ops,ou=other,dc=corp"}},
		{ldap.Groups{MemberOf: true, NameAttribute: "dn", Bases: []string{"2.5.4.11=G, dc=CORP"}}, []string{`cn=dev\, eu,ou=g,dc=corp`}},
		{ldap.Groups{MemberOf: true, NameAttribute: "commonName"}, []string{"Dev, EU", "Ops"}},
		{ldap.Groups{Bases: []string{"dc=corp"}, NameAttribute: "dn"}, []string{`cn=dev\, eu,ou=g,dc=corp`}},
	} {
		f := newFake(t)
		f.Binds["CN=Ann,DC=corp"] = 0
		f.setPerson(`memberOf: CN=Dev\2C EU,OU=G,DC=corp`, `memberOf: CN=Ops,OU=Other,DC=corp`)
		f.Entries["dc=corp sub (member=CN=Ann,DC=corp)"] = []*client.Entry{entry(`CN="Dev, EU",OU=G,DC=corp`)}
		options := f.options()
		options.Groups = tt.groups
		v, err := open(t, options).Authenticate(t.Context(), identity.NewPresented("ann", "right"))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, v.Principal.Groups); diff != "" {
			t.Errorf("%+v: %s", tt.groups, diff)
		}
	}
}

// Rules can use the id of a user. Unlike a name, an id is never reused.
func TestAnIDIsAClaimWhereThatIsWanted(t *testing.T) {
	options := sharedDirectory(t).options()
	options.User.Attributes = map[string]string{"entryUUID": "uuid"}
	v, err := open(t, options).Authenticate(t.Context(), identity.NewPresented("alice", "wonderland"))
	if err != nil || v.Principal.ID == "" || v.Principal.Claims["uuid"] != v.Principal.ID {
		t.Errorf("%+v %v", v.Principal, err)
	}
}
