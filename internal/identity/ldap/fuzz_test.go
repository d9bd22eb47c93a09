package ldap_test

import (
	"strings"
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"
	client "github.com/go-ldap/ldap/v3"

	"github.com/tidewaiter/tidewaiter/internal/identity/ldap"
	"github.com/tidewaiter/tidewaiter/internal/identity/username"
)

// For any name, the filter matches exactly this name. In the DN that the template yields, the
// value of the attribute is exactly this name.
func FuzzName(f *testing.F) {
	for _, seed := range []string{"alice", "*", "a*b", "alice)(uid=*", `\2a`, "a,ou=people", `a\`, "#a", "a+b=c", "{name}", "{dn}", "zoë", "a\x00b", " a", "a ", `"`, "<>;", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if name == "" {
			return
		}
		const dn = "cn=x,o=y"
		packet, err := client.CompileFilter(ldap.Fill("(&(uid={name})(member={dn})(x={attribute:a}))", dn, name))
		if err != nil {
			t.Fatalf("%q results in an invalid filter: %v", name, err)
		}
		if len(packet.Children) != 3 || !equals(packet.Children[0], "uid", name) || !equals(packet.Children[1], "member", dn) || !equals(packet.Children[2], "x", name) {
			filter, _ := client.DecompileFilter(packet)
			t.Fatalf("%q results in the filter %s", name, filter)
		}
		if !username.Valid(name) {
			return // such a name never reaches a template
		}
		parsed, err := client.ParseDN(ldap.DNOf("uid={name},ou=people,o=x", name))
		if err != nil {
			t.Fatalf("%q results in an invalid DN: %v", name, err)
		}
		if len(parsed.RDNs) != 3 || len(parsed.RDNs[0].Attributes) != 1 || parsed.RDNs[0].Attributes[0].Value != name {
			t.Fatalf("%q results in the DN %s", name, parsed)
		}
	})
}

func equals(p *ber.Packet, attribute, value string) bool {
	return p.Tag == client.FilterEqualityMatch && len(p.Children) == 2 &&
		p.Children[0].Data.String() == attribute && p.Children[1].Data.String() == value
}

// A DN has many spellings. All spellings must have the same canonical form. Otherwise a cycle of
// groups would not be detected.
func FuzzDN(f *testing.F) {
	for _, seed := range []string{"cn=a,o=b", "CN=A, O=B", `cn=a\,b,o=c`, "cn=a+sn=b,o=c", "", "no dn", `cn=\61,o=b`, "cn=#0401ff", "cn=zoë"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, dn string) {
		canonical := ldap.CanonicalDN(dn)
		if _, err := client.ParseDN(dn); err == nil && ldap.CanonicalDN(strings.ReplaceAll(dn, ",", ", ")) != canonical && !strings.ContainsAny(dn, `\"#`) {
			t.Errorf("%q is %q, and with spaces %q", dn, canonical, ldap.CanonicalDN(strings.ReplaceAll(dn, ",", ", ")))
		}
	})
}
