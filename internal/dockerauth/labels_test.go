package dockerauth_test

import (
	"net/netip"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/tidewaiter/tidewaiter/internal/dockerauth"
)

// docker_auth treats the values of labels as patterns. If the values are in the file, rules and
// list make the same decisions. If an entry refuses requests depending on values from outside the
// file, the import refuses the list.
func TestLabelsAreWrittenOutOrRefused(t *testing.T) {
	const everybody = `
  - {match: {account: "/.+/"}, actions: ["*"]}`
	users := func(labels string) string {
		return "users: {ann: {password: '" + hash + "', labels: " + labels + "}, bob: {password: '" + hash + "'}}\n"
	}
	program := "ext_auth: {command: /bin/true}\n"
	directory := "ldap_auth: {addr: 'localhost:389', base: o=x, filter: '(uid=${account})', labels: {team: {attribute: ou}, groups: {attribute: memberOf, parse_cn: true, lower_case: true}}}\n"
	for _, tt := range []struct{ why, file, refused string }{
		{"a pattern that hides", users(`{hidden: ["secret/*"]}`) + `acl:
  - {match: {name: "${labels:hidden}"}, actions: []}` + everybody, ""},
		{"a regular expression that hides", users(`{hidden: ["/^secret/"]}`) + `acl:
  - {match: {name: "${labels:hidden}"}, actions: []}` + everybody, ""},
		{"a pattern that narrows", users(`{team: ["a*"]}`) + `acl:
  - {match: {name: "${labels:team}/*"}, actions: [pull]}` + everybody, ""},
		{"a pattern that allows", users(`{team: ["a*", b]}`) + `acl:
  - {match: {name: "${labels:team}/*"}, actions: [pull]}`, ""},
		{"a dot in a regular expression", users(`{team: [a.b]}`) + `acl:
  - {match: {name: "/^${labels:team}\\/.*$/"}, actions: []}` + everybody, ""},
		{"a part of a path segment", users(`{group: [a, b]}`) + `acl:
  - {match: {name: "${labels:group}-shared/*"}, actions: [push, pull]}`, ""},
		{"two labels, and one of them twice", users(`{team: [a, b], tier: [x, "*"]}`) + `acl:
  - {match: {name: "${labels:team}/${labels:tier}-${labels:team}"}, actions: [pull]}`, ""},
		{"a label in an account", users(`{like: [bob, "/n/"]}`) + `acl:
  - {match: {account: "${labels:like}"}, actions: []}` + everybody, ""},
		{"a label in a type", users(`{kind: [repository]}`) + `acl:
  - {match: {type: "${labels:kind}", name: "a/*"}, actions: []}` + everybody, ""},
		{"a label in a service", users(`{where: ["r?"]}`) + `acl:
  - {match: {service: "${labels:where}", name: "a/*"}, actions: []}` + everybody, ""},
		{"a variable within a label is text", users(`{team: ["${account}"]}`) + `acl:
  - {match: {name: "${labels:team}/*"}, actions: []}` + everybody, ""},
		{"a capture of an account's expression", users(`{}`) + `acl:
  - {match: {account: "/^(.)(.*)$/", name: "${account:2}/*"}, actions: []}` + everybody, ""},
		{"a repeated variable", users(`{team: [ab]}`) + `acl:
  - {match: {name: "/^${labels:team}?\\/b$/"}, actions: []}` + everybody, ""},
		{"a repeated account", users(`{}`) + `acl:
  - {match: {name: "/^${account}?\\/b$/"}, actions: []}` + everybody, ""},
		{"an account as a part of a path segment", users(`{}`) + `acl:
  - {match: {name: "${account}-*"}, actions: [pull]}`, ""},
		{"an account anywhere in a name", users(`{}`) + `acl:
  - {match: {name: "/${account}/.*/"}, actions: [pull]}`, ""},
		{"an account and a label", users(`{team: [a, "*"]}`) + `acl:
  - {match: {name: "${account}-${labels:team}"}, actions: []}` + everybody, ""},
		{"an account in a type and a service", users(`{}`) + `acl:
  - {match: {type: "${account}", name: "a/*"}, actions: []}
  - {match: {service: "${account}", name: "a/*"}, actions: []}` + everybody, ""},
		{"an account with pattern characters in a type and a service", "users: {\"*\": {password: '" + hash + "'}, \"r?\": {password: '" + hash + "'}}\n" + `acl:
  - {match: {type: "${account}"}, actions: ["*"]}
  - {match: {service: "${account}"}, actions: [pull]}`, ""},
		{"an anchor that is one of two alternatives", users(`{}`) + `acl:
  - {match: {name: "/^a(^|\\/b)$/"}, actions: []}` + everybody, ""},
		{"a repeated account of a program", program + `acl:
  - {match: {name: "/^${account}?\\/b$/"}, actions: []}` + everybody, `in "/^${account}?\\/b$/", a variable is only a part of a path segment, or repeated`},
		{"an entry refuses by a program's labels", program + `acl:
  - {match: {name: "${labels:hidden}"}, actions: []}` + everybody, "the entry refuses pull for some requests that line 4 allows, by labels that come from ext_auth"},
		{"an entry refuses a part by a program's labels", program + `acl:
  - {match: {name: "${labels:team}/*"}, actions: [pull]}` + everybody, "the entry refuses push for some requests that line 4 allows, by labels that come from ext_auth"},
		{"an entry refuses by a directory's labels", directory + `acl:
  - {match: {name: "${labels:team}/*"}, actions: []}` + everybody, "by labels that come from ldap_auth"},
		{"a program's labels as a part of a segment", program + `acl:
  - {match: {name: "${labels:team}-shared/*"}, actions: [pull]}`, `the values of the label team come from ext_auth, so they cannot be written out, and in "${labels:team}-shared/*", a variable is only a part of a path segment; in a rule it must be a whole segment: write an entry for each value, such as {name: "red/*", labels: {team: red}}`},
		{"a program's labels, compared", program + `acl:
  - {match: {name: "a/*", labels: {team: "/a|b/"}}, actions: []}` + everybody, ""},
		{"a directory's labels, compared in lower case", directory + `acl:
  - {match: {name: "a/*", labels: {groups: kits}}, actions: []}` + everybody, ""},
		{"a program's labels that allow", program + `acl:
  - {match: {name: "${labels:team}/*"}, actions: [pull]}
  - {match: {account: "/.+/"}, actions: [pull]}`, ""},
	} {
		result, err := dockerauth.Import("config.yml", []byte(tt.file), dockerauth.Options{Services: []string{"r1"}})
		if tt.refused != "" {
			if err == nil || !strings.Contains(err.Error(), tt.refused) {
				t.Errorf("%s: %v, want %s", tt.why, err, tt.refused)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tt.why, err)
			continue
		}
		alike := false
		for _, n := range result.Notes {
			alike = alike || strings.Contains(n.Text, "make the same decisions")
		}
		if within := strings.HasPrefix(tt.file, "users"); alike != within {
			t.Errorf("%s: the report promises the same decisions: %v\n%s", tt.why, alike, result.Text)
		}
		cfg := newBench(t).load(t, result.Text)
		list := readList(t, []byte(tt.file))
		var file struct {
			Users map[string]struct{ Labels map[string][]string }
		}
		if err := yaml.Unmarshal([]byte(tt.file), &file); err != nil {
			t.Fatal(err)
		}
		people := map[string]map[string][]string{"": nil}
		for name, user := range file.Users {
			people[name] = user.Labels
		}
		if file.Users == nil {
			people["eve"] = map[string][]string{"team": {"a"}, "groups": {"kits"}}
			people["zoe"] = map[string][]string{"team": {"*", "b"}, "groups": {"\u212aİTS"}}
		}
		for name, labels := range people {
			for _, repository := range append(askedNames, "ob/x", "nn/x", "a/x-a", "b/y-b", "a/y-b") {
				r := listRequest{account: name, kind: "repository", name: repository, service: "r1", ip: netip.MustParseAddr("192.0.2.1"), labels: labels, actions: []string{"pull", "push"}}
				got := r.policyActions(cfg.Policy)
				if strings.HasPrefix(tt.file, "ldap") && labels != nil {
					lower := listRequest{labels: map[string][]string{"team": labels["team"], "groups": {strings.ToLower(labels["groups"][0])}}}
					r.labels = lower.labels
				}
				if want := actionsOf(firstActions(list, r)); got&^want != 0 || got != want && (alike || name != "zoe") {
					t.Errorf("%s: Tidewaiter grants %s %q on %s, docker_auth grants %q\n%s", tt.why, name, got, repository, want, result.Text)
				}
			}
		}
	}
}
