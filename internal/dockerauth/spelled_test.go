package dockerauth_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/dockerauth"
)

// If groups are distinguished names, Tidewaiter compares them as names, but docker_auth compares
// them as text. If docker_auth's entry refuses such a group, Tidewaiter must refuse the group,
// too.
func TestGroupsThatAreDistinguishedNamesGrantNothingMore(t *testing.T) {
	const directory = "ldap_auth: {addr: 'localhost:389', base: o=x, filter: '(uid=${account})', labels: {groups: {attribute: memberOf, parse_cn: true}}}\next_auth: {command: /bin/true}\n"
	imported := 0
	for _, compared := range []string{"other", "/^(other|more)$/", "CN=Ops,DC=com", "cn=ops,dc=com", "/^CN=/", "/^(CN=Ops,DC=com|other)$/", "CN=*", "/DC=com$/", "/^cn=/", "[C]N=Ops,DC=com", "/^[A-Z]/"} {
		for _, deny := range []bool{true, false} {
			list := "acl:\n  - {match: {name: \"a/*\", labels: {groups: \"" + compared + "\"}}, actions: []}\n  - {match: {account: \"/.+/\"}, actions: [\"*\"]}\n"
			if !deny {
				list = "acl:\n  - {match: {name: \"a/*\", labels: {groups: \"" + compared + "\"}}, actions: [pull]}\n"
			}
			file := []byte(directory + list)
			result, err := dockerauth.Import("config.yml", file, dockerauth.Options{Services: []string{"r1"}})
			if err != nil {
				if !strings.Contains(err.Error(), "distinguished names") {
					t.Errorf("%s: %v", compared, err)
				}
				continue
			}
			imported++
			cfg := newBench(t).load(t, result.Text)
			for _, group := range []string{"CN=Ops,DC=com", "cn=ops,dc=com", "CN=Ops, DC=com", "other"} {
				r := listRequest{account: "ann", kind: "repository", name: "a/b", service: "r1", ip: netip.MustParseAddr("192.0.2.1"), labels: map[string][]string{"groups": {group}}, actions: []string{"pull", "push"}}
				if got, want := r.policyActions(cfg.Policy), actionsOf(firstActions(readList(t, file), r)); got&^want != 0 {
					t.Errorf("%s with %s: Tidewaiter grants %q, docker_auth grants %q", compared, group, got, want)
				}
			}
		}
	}
	if imported != 4 {
		t.Errorf("%d lists were imported, want the 4 lists that compare with plain names", imported)
	}
	for _, file := range []string{
		"users: {ann: {password: '" + hash + "', labels: {groups: [\"CN=Ops,DC=com\"]}}}\nldap_auth: {addr: 'localhost:389', base: o=x, filter: '(uid=${account})', labels: {groups: {attribute: memberOf, parse_cn: true}}}\nacl: [{match: {labels: {groups: \"/^CN=/\"}}, actions: []}]\n",
	} {
		if _, err := dockerauth.Import("config.yml", []byte(file), dockerauth.Options{Services: []string{"r1"}}); err == nil || !strings.Contains(err.Error(), "is a distinguished name") {
			t.Errorf("%s: %v", file, err)
		}
	}
	file := []byte("users: {\"cn=ann,dc=com\": {password: '" + hash + "'}, \"CN=Ann,DC=com\": {password: '" + hash + "'}}\nacl: [{match: {account: \"CN=Ann,DC=com\"}, actions: [pull]}]\n")
	result, err := dockerauth.Import("config.yml", file, dockerauth.Options{Services: []string{"r1"}})
	if err != nil {
		t.Fatal(err)
	}
	cfg := newBench(t).load(t, result.Text)
	for name, want := range map[string][]string{"CN=Ann,DC=com": {"pull"}, "cn=ann,dc=com": nil} {
		r := listRequest{account: name, kind: "repository", name: "a/b", service: "r1", ip: netip.MustParseAddr("192.0.2.1"), actions: []string{"pull", "push"}}
		if got := r.policyActions(cfg.Policy); got != actionsOf(want) {
			t.Errorf("%s: granted %q, want %q\n%s", name, got, want, result.Text)
		}
	}
}
