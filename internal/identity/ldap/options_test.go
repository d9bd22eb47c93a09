package ldap_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/identity/ldap"
	"github.com/tidewaiter/tidewaiter/internal/identity/setting"
)

// validOptions returns minimal valid options.
func validOptions() ldap.Options {
	return ldap.Options{Name: "corp", Servers: []string{"ldaps://a"}, User: ldap.User{Bases: []string{"o=x"}}}
}

func TestAllProblemsAreFound(t *testing.T) {
	empty, long, two := write(t, "empty", "\r\n"), write(t, "long", strings.Repeat("x", 5000)), write(t, "two", "a\nb\n")
	pem := write(t, "pem", "no certificate")
	servers := func(list ...string) func(*ldap.Options) { return func(o *ldap.Options) { o.Servers = list } }
	account := func(file string) func(*ldap.Options) {
		return func(o *ldap.Options) { o.BindDN, o.BindPasswordFile = "cn=x,o=y", file }
	}
	user := func(u ldap.User) func(*ldap.Options) { return func(o *ldap.Options) { o.User = u } }
	groups := func(g ldap.Groups) func(*ldap.Options) { return func(o *ldap.Options) { o.Groups = g } }
	for _, tt := range []struct {
		what   string
		change func(*ldap.Options)
		want   string // "FIELD: beginning of the text" of each problem; "": no problem
	}{
		{"nothing", func(*ldap.Options) {}, ""},
		{"all at once", func(o *ldap.Options) { *o = ldap.Options{} }, "name: missing|servers: no server is configured|user: set base or dn"},

		{"servers of all kinds", servers("ldaps://a", "ldaps://a:1636", "ldaps://a/", "ldap://127.0.0.1", "ldap://localhost:3890", "ldap://[::1]"), ""},
		{"unencrypted", servers("ldap://a"), "servers: passwords would travel unencrypted"},
		{"one unencrypted server", servers("ldaps://a", "ldap://10.0.0.1"), "servers: passwords would travel unencrypted"},
		{"unencrypted, with plain: true", func(o *ldap.Options) { o.Servers, o.Plain = []string{"ldap://a"}, true }, ""},
		{"encrypted later", func(o *ldap.Options) { o.Servers, o.StartTLS = []string{"ldap://a"}, true }, ""},
		{"encrypted twice", func(o *ldap.Options) { o.StartTLS = true }, "start_tls: no server is ldap://"},
		{"a host that only begins like this machine", servers("ldap://localhost.evil.example"), "servers: passwords would travel"},
		{"no URL", servers("ldap.example.com"), "servers: not a URL"},
		{"no URL, with a port", servers("ldap.example.com:636"), "servers: not a URL"},
		{"another scheme", servers("https://a"), `servers: the scheme is "https"`},
		{"a socket", servers("ldapi:///run/ldapi"), `servers: the scheme is "ldapi"`},
		{"a password", servers("ldaps://cn=x:hunter2@a"), "servers: the URL contains a name or password"},
		{"no host", servers("ldaps://"), "servers: the URL has no host"},
		{"a base", servers("ldaps://a/dc=x"), "servers: the URL may only have a host and a port"},
		{"a query", servers("ldaps://a?uid"), "servers: the URL may only have a host and a port"},
		{"several", servers("ldaps://", "https://a"), "servers: the URL has no host|servers: the scheme is"},

		{"no file", func(o *ldap.Options) { o.CA = "/does/not/exist" }, "ca: stat /does/not/exist"},
		{"no certificate", func(o *ldap.Options) { o.CA = pem }, "ca: " + pem + " contains no PEM certificate"},

		{"an account", account(write(t, "password", "secret\n")), ""},
		{"no password", account(""), "bind_dn: bind_password_file is missing"},
		{"a password without bind_dn", func(o *ldap.Options) { o.BindPasswordFile = empty }, "bind_password_file: bind_dn is missing"},
		{"an empty password", account(empty), "bind_password_file: " + empty + " is empty"},
		{"a long password", account(long), "bind_password_file: reading " + long + ": it is larger than 4 KiB"},
		{"two passwords", account(two), "bind_password_file: " + two + " contains more than one line"},

		{"a filter", user(ldap.User{Bases: []string{"o=x"}, Filter: "(&(objectClass=person)(|(uid={name})(mail={name})))"}), ""},
		{"a filter that is open", user(ldap.User{Bases: []string{"o=x"}, Filter: "(uid={name}"}), "user.filter: not a filter"},
		{"a filter without parentheses", user(ldap.User{Bases: []string{"o=x"}, Filter: "uid={name}"}), "user.filter: not a filter"},
		{"a filter without {name}", user(ldap.User{Bases: []string{"o=x"}, Filter: "(uid=*)"}), "user.filter: {name} is missing"},
		{"a filter with another placeholder", user(ldap.User{Bases: []string{"o=x"}, Filter: "(uid={user})"}), "user.filter: braces may only be part of {name}"},
		{"a filter with docker_auth's placeholder", user(ldap.User{Bases: []string{"o=x"}, Filter: "(uid=${account})"}), "user.filter: braces may only be part of {name}"},
		{"a base that is not a DN", user(ldap.User{Bases: []string{"people"}}), "user.base: not a DN"},
		{"bases", user(ldap.User{Bases: []string{"o=x", "o=y"}}), ""},
		{"one of several bases is not a DN", user(ldap.User{Bases: []string{"o=x", "people"}}), "user.base: not a DN"},
		{"the empty base", user(ldap.User{Bases: []string{""}}), ""},
		{"the empty base and another", user(ldap.User{Bases: []string{"o=x", ""}}), "user.base: the empty base is the whole directory and must be the only one"},
		{"an invalid scope", user(ldap.User{Bases: []string{"o=x"}, Scope: "all"}), `user.scope: "all" is not subtree or one`},
		{"an invalid attribute", user(ldap.User{Bases: []string{"o=x"}, NameAttribute: "u id"}), `user.name_attribute: "u id" is not an attribute name`},
		{"an invalid id attribute", user(ldap.User{Bases: []string{"o=x"}, IDAttribute: "id)"}), `user.id_attribute: "id)" is not an attribute name`},
		{"an invalid attribute for a claim", user(ldap.User{Bases: []string{"o=x"}, Attributes: map[string]string{"*": "all"}}), `user.attributes: "*" is not an attribute name`},
		{"a template", user(ldap.User{DN: "uid={name},ou=people,o=x"}), ""},
		{"a template and a base", user(ldap.User{DN: "uid={name},o=x", Bases: []string{"o=x"}}), "user.dn: use either dn, or base and filter"},
		{"a template without {name}", user(ldap.User{DN: "uid=ann,o=x"}), "user.dn: must contain {name} exactly once"},
		{"a template with {name} twice", user(ldap.User{DN: "uid={name},ou={name},o=x"}), "user.dn: must contain {name} exactly once"},
		{"a template with a part of a value", user(ldap.User{DN: "uid=x-{name},o=x"}), "user.dn: {name} must be the whole value"},
		{"a template with the attribute", user(ldap.User{DN: "{name}=x,o=x"}), "user.dn: {name} must be the whole value"},
		{"a template that is not a DN", user(ldap.User{DN: "{name}@example.com"}), "user.dn: not a DN"},

		{"groups by memberOf", groups(ldap.Groups{MemberOf: true, Bases: []string{"o=x"}, Nested: ldap.Walk}), ""},
		{"groups in chain", groups(ldap.Groups{Bases: []string{"o=x"}, Nested: ldap.Chain}), ""},
		{"groups by memberOf and a filter", groups(ldap.Groups{MemberOf: true, Filter: "(member={dn})"}), "groups.filter: use either member_of, or base and filter"},
		{"groups in chain by memberOf", groups(ldap.Groups{MemberOf: true, Nested: ldap.Chain}), "groups.nested: chain is a search"},
		{"groups nowhere", groups(ldap.Groups{Filter: "(member={dn})"}), "groups: set base or member_of: true"},
		{"nested groups without a base", groups(ldap.Groups{Nested: ldap.Walk}), "groups: set base or member_of: true"},
		{"groups without a placeholder", groups(ldap.Groups{Bases: []string{"o=x"}, Filter: "(cn=*)"}), "groups.filter: {dn}, {name} or {attribute:NAME} is missing"},
		{"groups by an attribute", groups(ldap.Groups{Bases: []string{"o=x"}, Filter: "(memberUid={attribute:uidNumber})"}), ""},
		{"groups by an attribute without the word", groups(ldap.Groups{Bases: []string{"o=x"}, Filter: "(memberUid={uidNumber})"}), "groups.filter: braces may only be part of {dn}, {name} or {attribute:NAME}"},
		{"groups by an invalid attribute", groups(ldap.Groups{Bases: []string{"o=x"}, Filter: "(memberUid={attribute:uid number})"}), `groups.filter: "uid number" is not an attribute name`},
		{"groups by no attribute", groups(ldap.Groups{Bases: []string{"o=x"}, Filter: "(memberUid={attribute:})"}), `groups.filter: "" is not an attribute name`},
		{"groups by a secret", groups(ldap.Groups{Bases: []string{"o=x"}, Filter: "(memberUid={attribute:userPassword})"}), "groups.filter: userPassword is secret"},
		{"groups by an attribute, and walked", groups(ldap.Groups{Bases: []string{"o=x"}, Filter: "(memberUid={attribute:uidNumber})", Nested: ldap.Walk}), "groups.filter: {dn} is missing"},
		{"groups below the empty base and another", groups(ldap.Groups{MemberOf: true, Bases: []string{"", "o=x"}}), "groups.base: the empty base is the whole directory"},
		{"groups by name, and walked", groups(ldap.Groups{Bases: []string{"o=x"}, Filter: "(memberUid={name})", Nested: ldap.Walk}), "groups.filter: {dn} is missing"},
		{"groups by name, in chain", groups(ldap.Groups{Bases: []string{"o=x"}, Filter: "(memberUid={name})", Nested: ldap.Chain}), "groups.filter: chain requires a part such as"},
		{"groups with an invalid value of nested", groups(ldap.Groups{Bases: []string{"o=x"}, Nested: "deep"}), `groups.nested: "deep" is not one of`},
		{"groups with an invalid name attribute", groups(ldap.Groups{Bases: []string{"o=x"}, NameAttribute: "c n"}), "groups.name_attribute:"},
		{"groups with a base that is not a DN", groups(ldap.Groups{MemberOf: true, Bases: []string{"groups"}}), "groups.base: not a DN"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			o := validOptions()
			tt.change(&o)
			_, err := ldap.New(o)
			problems, _ := errors.AsType[setting.Problems](err)
			var wants []string
			if tt.want != "" {
				wants = strings.Split(tt.want, "|")
			}
			if len(problems) != len(wants) || err == nil != (len(wants) == 0) {
				t.Fatalf("%v\nwant %d problems: %s", err, len(wants), tt.want)
			}
			for i, p := range problems {
				if got := p.Field + ": " + p.Text; !strings.HasPrefix(got, wants[i]) {
					t.Errorf("%s, want %s", got, wants[i])
				}
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Error("the password is repeated")
			}
		})
	}
}

// Claims are written to the journal, which must not contain secrets.
func TestNoSecretBecomesAClaim(t *testing.T) {
	secret := ldap.SecretAttributes()
	if len(secret) < 10 {
		t.Fatal(secret)
	}
	for _, name := range append(secret, "UserPassword", "USERPASSWORD") {
		o := validOptions()
		o.User.Attributes = map[string]string{name: "x"}
		if _, err := ldap.New(o); err == nil || !strings.Contains(err.Error(), "is secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAProblemNamesTheServer(t *testing.T) {
	o := validOptions()
	o.Servers = []string{"ldaps://a", "ldap://b"}
	_, err := ldap.New(o)
	problems, _ := errors.AsType[setting.Problems](err)
	if diff := cmp.Diff([]int{1}, []int{problems[0].Item}); diff != "" {
		t.Error(diff)
	}
}
