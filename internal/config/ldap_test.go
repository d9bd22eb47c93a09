package config

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const wholeLDAP = `registries: [{service: r}]
identity:
  - ldap:
      name: corp
      servers: [ldaps://a.example.com, "ldap://b.example.com:389"]
      ca: ca.pem
      start_tls: true
      bind_dn: cn=reader,dc=example,dc=com
      bind_password_file: password
      user:
        base: ["ou=people,dc=example,dc=com", "ou=guests,dc=example,dc=com"]
        filter: (mail={name})
        scope: one
        name_attribute: mail
        lowercase: true
        id_attribute: employeeNumber
        attributes: { departmentNumber: department }
      groups: { base: "ou=groups,dc=example,dc=com", filter: "(uniqueMember={dn})", name_attribute: dn, nested: walk }
      timeout: 3s
      pool: 20
      cache: 0s
      attempts: { max: 9, window: 2h }
`

func TestLDAP(t *testing.T) {
	for _, tt := range []struct {
		text string
		want *LDAP
	}{
		{wholeLDAP, &LDAP{
			Name: "corp", Servers: []string{"ldaps://a.example.com", "ldap://b.example.com:389"}, CA: "ca.pem", StartTLS: true,
			BindDN: "cn=reader,dc=example,dc=com", BindPasswordFile: "password",
			User: LDAPUser{
				Bases: []string{"ou=people,dc=example,dc=com", "ou=guests,dc=example,dc=com"}, Filter: "(mail={name})", Scope: "one",
				NameAttribute: "mail", Lowercase: true, IDAttribute: "employeeNumber", Attributes: map[string]string{"departmentNumber": "department"},
			},
			Groups:  LDAPGroups{Bases: []string{"ou=groups,dc=example,dc=com"}, Filter: "(uniqueMember={dn})", NameAttribute: "dn", Nested: "walk"},
			Timeout: 3 * time.Second, Pool: 20, Attempts: ldapAttempts{Max: 9, Window: 2 * time.Hour},
		}},
		{"registries: [{service: r}]\nidentity: [{ldap: {name: corp, servers: [ldaps://a], user: {dn: \"uid={name},o=x\"}}}]", &LDAP{
			Name: "corp", Servers: []string{"ldaps://a"},
			User:    LDAPUser{DN: "uid={name},o=x", Scope: "subtree", NameAttribute: "uid"},
			Timeout: 5 * time.Second, Pool: 8, Cache: time.Minute, Attempts: ldapAttempts{Max: 4, Window: 30 * time.Minute},
		}},
		{"registries: [{service: r}]\nidentity: [{ldap: {name: corp, servers: [ldaps://a], user: {base: \"\"}, groups: {member_of: true, base: ['']}}}]", &LDAP{
			Name: "corp", Servers: []string{"ldaps://a"},
			User:    LDAPUser{Bases: []string{""}, Scope: "subtree", NameAttribute: "uid"},
			Groups:  LDAPGroups{MemberOf: true, Bases: []string{""}, NameAttribute: "cn", Nested: "none"},
			Timeout: 5 * time.Second, Pool: 8, Cache: time.Minute, Attempts: ldapAttempts{Max: 4, Window: 30 * time.Minute},
		}},
	} {
		c, err := loadText(t, files{"tidewaiter.yaml": tt.text, "ca.pem": "", "password": ""}.withKeys())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, c.Identity[0].LDAP, cmpopts.IgnoreUnexported(LDAP{})); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

// Place returns the positions for errors that package ldap finds.
func TestPlacesOfLDAP(t *testing.T) {
	c, err := loadText(t, files{"tidewaiter.yaml": wholeLDAP, "ca.pem": "", "password": ""}.withKeys())
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(wholeLDAP, "\n")
	for _, tt := range []struct {
		setting string
		item    int
		begins  string
	}{
		{"name", -1, "corp"},
		{"servers", -1, "[ldaps"},
		{"servers", 1, `"ldap://b`},
		{"user.base", 1, `"ou=guests`},
		{"groups.base", 0, `"ou=groups`},
		{"user.filter", -1, "(mail"},
		{"groups.nested", -1, "walk"},
		{"groups", -1, "{ base"},
		{"groups.member_of", -1, "{ base"}, // its section
		{"plain", -1, "name:"},
	} {
		line, column := c.Identity[0].LDAP.Place(tt.setting, tt.item)
		if line < 1 || !strings.HasPrefix(lines[line-1][column-1:], tt.begins) {
			t.Errorf("%s %d is at %d:%d, want at %q", tt.setting, tt.item, line, column, tt.begins)
		}
	}
}

func TestProblemsOfLDAP(t *testing.T) {
	whole := "name: corp, servers: [ldaps://a], user: {base: o=x}"
	for _, tt := range []struct{ what, text, want string }{
		{"nothing", "", "name is missing|servers is missing|user is missing"},
		{"a base without a value", "name: corp, servers: [ldaps://a], user: {base: }", "a text is required, but there is no value; add it, or leave out the key"},
		{"bases without quotes", "name: corp, servers: [ldaps://a], user: {base: [o=y, ou=people,dc=example,dc=com, o=x]}", `put a DN with commas in quotes in a list (did you mean "\"ou=people,dc=example,dc=com\""?)`},
		{"no bases", "name: corp, servers: [ldaps://a], user: {base: []}", "the list is empty, which could mean none or all; add items, or leave out the key"},
		{"no server", "name: corp, servers: [], user: {base: o=x}", "the list is empty, which could mean none or all; add items, or leave out the key"},
		{"an invalid name", `name: "a:b", servers: [ldaps://a], user: {base: o=x}`, `"a:b" is not a valid name: use up to 63 letters, digits, - and _`},
		{"an invalid number", whole + ", pool: many", `"many" is not a number from 1 to 1000`},
		{"too few", whole + ", pool: 0", `"0" is not a number from 1 to 1000`},
		{"too long", whole + ", timeout: 1h", `"1h" is not between 1s and 1m`},
		{"an unknown value of nested", whole + ", groups: {base: o=x, nested: chains}", `"chains" is not one of none, chain, walk (did you mean "chain"?)`},
		{"not plain", whole + ", plain: false", "the only value is true; leave out the key instead"},
		{"no file", whole + ", ca: missing.pem", "opening missing.pem: file does not exist"},
		{"no password", whole + ", bind_dn: o=x, bind_password_file: missing", "opening missing: file does not exist"},
		{"a password in the config", whole + ", bind_password: hunter2", `unknown key "bind_password" (did you mean "bind_password_file"?)`},
		{"two directories with the same name", whole + "}}, {ldap: {" + whole, `another directory is called "corp", in line 2`},
	} {
		_, err := loadText(t, files{"tidewaiter.yaml": "registries: [{service: r}]\nidentity: [{ldap: {" + tt.text + "}}]\n"}.withKeys())
		if err == nil {
			t.Errorf("%s: it is accepted", tt.what)
			continue
		}
		var texts []string
		for line := range strings.SplitSeq(err.Error(), "\n") {
			_, text, _ := strings.Cut(line, ": ")
			texts = append(texts, text)
		}
		if got := strings.Join(texts, "|"); got != tt.want {
			t.Errorf("%s:\n%s\nwant\n%s", tt.what, got, tt.want)
		}
	}
}

func TestWarningsOfLDAP(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"{ldap: {name: a, servers: [ldap://a], plain: true, user: {base: o=x}}}", `passwords travel unencrypted to the directory "a"`},
		{"{ldap: {name: a, servers: [ldaps://a], user: {dn: \"uid={name},o=x\"}}}, {ldap: {name: b, servers: [ldaps://b], user: {base: o=x}}}",
			`the directory "b" is never asked: without bind_dn, "a" cannot tell an unknown name from a wrong password`},
	} {
		c, err := loadText(t, files{"tidewaiter.yaml": "registries: [{service: r}]\nidentity: [" + tt.text + "]\n"}.withKeys())
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Warnings[len(c.Warnings)-1].Text; got != tt.want {
			t.Errorf("%s, want %s", got, tt.want)
		}
	}
}
