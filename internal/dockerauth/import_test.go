package dockerauth_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/dockerauth"
	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

const hash = "$2y$04$wfOhxvfgVDPSrMGUOpKrQe4SWOFUA6vgHVnl0Hhh1RWWg8FtUtbpq"

// The imports of common lists are as readable as rules that a person writes.
func TestCommonListsReadWell(t *testing.T) {
	for _, tt := range []struct{ list, rules string }{
		{`
acl:
  - match: {account: admin}
    actions: ["*"]
    comment: Admins may do everything.
  - match: {account: "/.+/", type: registry, name: catalog}
    actions: ["*"]
    comment: the catalog
  - match: {account: "/.+/", name: "${account}/*"}
    actions: ["*"]
    comment: own namespace
  - match: {name: "public/*"}
    actions: [pull]
    comment: public
  - match: {}
    actions: []
`, `
    - name: "Admins may do everything" # line 3
      subjects: ["user:admin"]
      repositories: ["**"]
      actions: ["*"]
    - name: "Admins may do everything: the catalog" # line 3
      subjects: ["user:admin"]
      catalog: true
    - name: "the catalog" # line 6
      subjects: [signed-in]
      catalog: true
    - name: "own namespace" # line 9
      subjects: [signed-in]
      repositories: ["${user}/*"]
      actions: ["*"]
    - name: public # line 12
      subjects: [anyone]
      repositories: ["public/*"]
      actions: [pull]
`}, {`
acl:
  - {match: {account: mallory}, actions: [], comment: out}
  - {match: {account: admin}, actions: ["*"]}
  - {match: {name: "secret/*"}, actions: [], comment: secrets}
  - {match: {account: "/.+/"}, actions: [pull]}
`, `
    - name: out # line 3
      effect: deny
      subjects: ["user:mallory"]
      repositories: ["**"]
      actions: [pull]
    - name: "line 4" # line 4
      subjects: ["user:admin"]
      repositories: ["**"]
      actions: ["*"]
    - name: "line 4: the catalog" # line 4
      subjects: ["user:admin"]
      catalog: true
    - name: secrets # line 5
      effect: deny
      subjects: [anyone]
      repositories: ["secret/*"]
      actions: [pull]
      when: 'user != "admin"'
    - name: "line 6" # line 6
      subjects: [signed-in]
      repositories: ["**"]
      actions: [pull]
`}, { // a refusal at the end needs no rule
			`
acl:
  - {match: {account: ann, name: "a/b"}, actions: [pull]}
  - {match: {name: "a/*"}, actions: []}
  - {match: {name: "*"}, actions: [pull]}
`, `
    - name: "line 3" # line 3
      subjects: ["user:ann"]
      repositories: [a/b]
      actions: [pull]
    - name: "line 5" # line 5
      subjects: [anyone]
      repositories: ["*"]
      actions: [pull]
`},
	} {
		result, err := dockerauth.Import("config.yml", []byte(tt.list), dockerauth.Options{})
		if err != nil {
			t.Errorf("%v%s", err, tt.list)
			continue
		}
		_, rules, _ := strings.Cut(string(result.Text), "  rules:")
		if !strings.HasPrefix(rules, tt.rules) {
			t.Errorf("%s(-want +got):\n%s", tt.list, cmp.Diff(tt.rules, rules))
		}
	}
}

// If parts have no exact translation, the import reports all these parts at once, each with its
// position, and writes nothing.
func TestEntriesWithoutTranslationAreRefused(t *testing.T) {
	for _, tt := range []struct{ why, src, problem string }{
		{"a variable within a segment", `acl: [{match: {name: "${account}-*"}, actions: [pull]}]`,
			`config.yml:1:7: this entry has no exact translation: in "${account}-*", a variable is only a part of a path segment; in a rule it must be a whole segment: write an entry for each value`},
		{"trap 5: a capture of an account's expression", `acl: [{match: {account: "/^(.+)@x$/", name: "${account:1}/*"}, actions: [pull]}]`,
			`config.yml:1:7: this entry has no exact translation: ${account:1} in "${account:1}/*" has no counterpart in a rule: write an entry for each account, such as {account: ann, name: "ann/*"}`},
		{"an expression that cannot be written as a few patterns", `acl: [{match: {name: "/^[a-z]+$/"}, actions: [pull]}]`,
			`config.yml:1:7: this entry has no exact translation: the regular expression "/^[a-z]+$/" cannot be written as patterns of names: write alternatives, .* or [^/]* in its place`},
		{"trap 1: a condition that docker_auth does not know", `acl: [{match: {team: "infrastructure"}, actions: [push]}]`,
			`config.yml:1:16: trap: docker_auth ignores "team" in match, so the entry matches more requests than it seems to: correct the key or remove it`},
		{"an invalid expression", `acl: [{match: {account: "/(/"}, actions: [push]}]`,
			"config.yml:1:25: the regular expression is invalid, and docker_auth does not start with it: correct the expression (error parsing regexp: missing closing ): `(`)"},
		{"an invalid address", `acl: [{match: {ip: "10.0.0"}, actions: [push]}]`, `config.yml:1:20: "10.0.0" is neither an address nor a network: write 10.0.0.1 or 10.0.0.0/8`},
		{"no match", `acl: [{actions: [push]}]`, `config.yml:1:7: match is missing: docker_auth crashes at this entry; to match everybody, write match: {}`},
		{"addresses that any client can set", `
server: {addr: ":5001", real_ip_header: X-Real-IP}
acl: [{match: {ip: "127.0.0.1"}, actions: ["*"]}]`,
			`config.yml:2:41: docker_auth accepts X-Real-IP from any client; Tidewaiter accepts X-Forwarded-For only from trusted proxies. acl has entries with ip, so give the proxies' networks: --trusted-proxy 10.0.0.0/8`},
		{"no YAML", "acl: [", `config.yml:2:1: invalid YAML: did not find expected node content`},
		{"several", "token: {expiration: soon}\nusers: {\"\": {labels: {a: [b]}}}", "config.yml:1:21: expiration must be a number of seconds, but it is \"soon\": write a number, such as 900\n" +
			`config.yml:2:22: anonymous requests have no labels in Tidewaiter: write entries with account: "" instead`},
	} {
		result, err := dockerauth.Import("config.yml", []byte(tt.src), dockerauth.Options{})
		problems, ok := errors.AsType[strictyaml.Problems](err)
		if !ok || result != nil || problems.Error() != tt.problem {
			t.Errorf("%s: %v\nwant %s", tt.why, err, tt.problem)
		}
	}
}

// Each trap is reported with its line.
func TestTrapsAreReported(t *testing.T) {
	for _, tt := range []struct{ trap, src, note string }{
		{"2: expressions without anchors", `acl: [{match: {account: "/admin/"}, actions: ["*"]}]`, `line 1: trap: the regular expression "/admin/" is not anchored`},
		{"3: an entry for the loopback network", `acl: [{match: {ip: "127.0.0.0/8"}, actions: ["*"]}]`, `line 1: trap: this entry grants to all requests from 127.0.0.0/8`},
		{"4: names of a directory", "\nldap_auth: {addr: \"ldap:636\", tls: always, base: o=x, filter: \"(uid=${account})\"}", `line 2: trap: a directory finds alice if the user types ALICE`},
		{"5: captures in an entry that is never reached", "acl:\n- {match: {}, actions: [pull]}\n- {match: {account: \"/^(.+)@x$/\", name: \"${account:1}/*\"}, actions: []}",
			`line 3: left out: this entry never decides: earlier entries match everything that it matches; the captures of an account's regular expression would be patterns there`},
		{"7: letsencrypt", `server: {addr: ":443", letsencrypt: {email: a@example.com}}`, `line 1: trap: letsencrypt: since 1.9.0, docker_auth serves plain HTTP if it is set`},
		{"8: label_claims", `oidc_auth: {issuer: "https://x", label_claims: [groups]}`, `line 1: trap: docker_auth's documentation says label_claims`},
		{"9: passwords beyond 72 bytes", `users: {ann: {password: "` + hash + `"}}`, `passwords longer than 72 bytes are rejected; docker_auth compares only their first 72 bytes`},
		{"10: expiration", `token: {issuer: x, expiration: 900}`, `line 1: trap: docker_auth does not tell clients how long a token is valid`},
		{"a user without a password", `users: {ann: {}}`, `line 1: trap: the user "ann" has no password, so docker_auth accepts any password: the user is not imported`},
		{"a user without a password, and an external program", "users: {ann: {}}\next_auth: {command: /bin/true}", `line 1: trap: the user "ann" has no password, so docker_auth accepts any password: the user is imported with a random password`},
		{"a user with an invalid password, and an external program", "users: {ann: {password: \"!\"}}\next_auth: {command: /bin/true}", `line 1: changed: the user "ann" has a password that is not a bcrypt hash, so nobody could sign in by that name, not even users of ldap_auth or ext_auth`},
		{"a user without a value", "users: {ann: }", `line 1: trap: the user "ann" has no value, not even {}: docker_auth does not know the user`},
		{"the anonymous user, without a value", "users: {\"\": }", `line 1: trap: the user "" has no value, not even {}`},
		{"a user with a colon", "users: {\"a:b\": {password: \"" + hash + "\"}}", `line 1: left out: nobody can sign in with the name "a:b"`},
		{"a user with a slash", "users: {\"a/b\": {password: \"" + hash + "\"}}", `line 1: changed: the user "a/b" has no ${user} in rules`},
		{"a key twice", "token: {issuer: x, issuer: y}", `line 1: trap: the key "issuer" is written twice: docker_auth uses this one, not that of line 1`},
		{"a section twice", "token: {issuer: x}\ntoken: {expiration: 90}", `line 2: trap: the key "token" is written twice (line 1): docker_auth uses both`},
		{"a regular expression without the slash at the end", `acl: [{match: {name: "/.+"}, actions: [pull]}]`, `line 1: trap: "/.+" begins with a slash and does not end with one`},
		{"* matches requests without a sign-in", "users: {\"\": {}}\nacl: [{match: {account: \"*\"}, actions: [pull]}]", `line 2: trap: the account "*" also matches requests without a sign-in`},
		{"conditions outside match", `acl: [{match: {account: ann}, conditions: {ip: 10.0.0.1}, actions: [pull]}]`, `line 1: trap: docker_auth ignores "conditions" beside match`},
		{"an entry for an unknown user", "users: {ann: {password: \"" + hash + "\"}}\nacl: [{match: {account: ben}, actions: [pull]}]", `line 2: trap: no user of the file has the account "ben": this entry never decides`},
		{"an address with a scheme", "ldap_auth: {addr: \"ldap://h:389\", base: o=x, filter: \"(uid=${account})\"}", `line 1: changed: addr is a host and a port, without ldap://`},
		{"** is *", `acl: [{match: {name: "a/**"}, actions: [pull]}]`, `line 1: trap: ** means * in docker_auth`},
		{"an account without a value", `acl: [{match: {account: , name: a}, actions: [pull]}]`, `line 1: trap: account has no value, so docker_auth accepts any value`},
		{"an unknown key", "tokn: {issuer: x}", `line 1: left out: docker_auth does not know the key "tokn" and ignores it (did you mean "token"?)`},
		{"casbin", "casbin_authz: {model_path: x}", `line 1: left out: casbin_authz: casbin is not imported: write its policy as rules`},
		{"plugins", "plugin_authn: {plugin_path: x}", `line 1: left out: plugin_authn: Go plugins are not imported`},
	} {
		result, err := dockerauth.Import("config.yml", []byte(tt.src), dockerauth.Options{})
		if err != nil {
			t.Errorf("%s: %v", tt.trap, err)
			continue
		}
		var notes strings.Builder
		for _, n := range result.Notes {
			notes.WriteString(n.String() + "\n")
		}
		if !strings.Contains(notes.String(), tt.note) {
			t.Errorf("%s: want %q in\n%s", tt.trap, tt.note, notes.String())
		}
		if !strings.Contains(tt.note, "kept") && strings.HasPrefix(tt.note, "line") && !bytes.Contains(result.Text, []byte("#   "+tt.note)) {
			t.Errorf("%s: the written file does not have the note:\n%s", tt.trap, result.Text)
		}
	}
}

// The imported config signs with the same certificate, and the report has the problems of the
// certificate.
func TestTheCertificateIsChecked(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "auth"}, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(-24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{
		"/c": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), "/k": pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private}),
	}
	result, err := dockerauth.Import("config.yml", []byte("token: {issuer: x, certificate: /c, key: /k, disable_legacy_key_id: true}"), dockerauth.Options{
		Read: func(path string) ([]byte, error) {
			if text, ok := files[path]; ok {
				return text, nil
			}
			return nil, os.ErrNotExist
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"to do: the certificate expired on",
		"trap: with disable_legacy_key_id, docker_auth gives every EC key the same key ID (kid)",
		"shared_root: true",
		"root: { certificate: /c, key: /k }",
	} {
		if !bytes.Contains(result.Text, []byte(want)) {
			t.Errorf("want %q in\n%s", want, result.Text)
		}
	}
	if bytes.Contains(result.Text, []byte("registries accept that")) {
		t.Errorf("the report promises that registries accept the tokens, but they reject them:\n%s", result.Text)
	}
	// The file has a chain. Its first certificate belongs to the key.
	files["/c"] = append(files["/c"], files["/c"]...)
	chain, err := dockerauth.Import("config.yml", []byte("token: {issuer: x, certificate: /c, key: /k}"), dockerauth.Options{
		Read: func(path string) ([]byte, error) { return files[path], nil },
		Now:  func() time.Time { return template.NotAfter.Add(-time.Minute) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(chain.Text, []byte("to do: the certificate")) || bytes.Contains(chain.Text, []byte("certificates")) || !bytes.Contains(chain.Text, []byte("registries accept that")) {
		t.Errorf("with a chain:\n%s", chain.Text)
	}
	if bytes.Contains(result.Text, []byte("PRIVATE")) {
		t.Error("the key is in the written file")
	}
}

// Notes about this file come first, by kind and line. Notes that apply to every file come last,
// without repetitions.
func TestTheReportBeginsWithWhatMatters(t *testing.T) {
	result, err := dockerauth.Import("config.yml", []byte(`
token: {issuer: x, expiration: 900}
google_auth: {client_id: x}
github_auth: {client_id: x}
users: {ann: {password: "`+hash+`"}}
acl:
  - match: {account: "/ann/"}
    actions: [pull]
`), dockerauth.Options{Services: []string{"r1"}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, n := range result.Notes {
		got = append(got, fmt.Sprintf("%d %s %.32s", n.Line, n.Kind, n.Text))
	}
	want := []string{
		"2 to do there is no certificate and key ",
		"7 trap the regular expression \"/ann/\" i",
		"3 left out google_auth, github_auth: the si",
		"2 kept the issuer of tokens is \"x\", as ",
		"7 kept the list: 1 entry became 1 rule,",
		"2 trap docker_auth does not tell client",
		"0 changed tokens are issued for r1 only; d",
		"5 kept 1 user of the file: names and pa",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Names, comments and paths with any text are read back unchanged.
func TestTextsAreQuoted(t *testing.T) {
	src := []byte(`
token: {issuer: "a: b # c 'd' \"e\" \\f"}
users:
  "it's #1": {password: "` + hash + `", labels: {"a b": ["x: y", "'", "\"", "true", "01"]}}
acl:
  - match: {account: "it's #1", labels: {"a b": "x: y"}}
    actions: [pull]
    comment: "# \u0007 two\nlines: 'quoted' \"twice\" \\ and more than fits into the name of a rule, so that it has to be cut somewhere, at a letter"
`)
	result, err := dockerauth.Import("config.yml", src, dockerauth.Options{})
	if err != nil {
		t.Fatal(err)
	}
	cfg := newBench(t).load(t, result.Text)
	if cfg.Token.Issuer != `a: b # c 'd' "e" \f` {
		t.Errorf("the issuer is %q", cfg.Token.Issuer)
	}
	who := cfg.Identity[0].HTPasswd
	if diff := cmp.Diff(map[string]map[string][]string{"it's #1": {"a b": {"x: y", "'", `"`, "true", "01"}}}, who.Claims); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
	if who.Entries[0] != "it's #1:"+hash {
		t.Errorf("the entry is %q", who.Entries[0])
	}
	if r := cfg.Policy.Rules()[0]; r.Subjects[0] != "user:it's #1" || r.When == nil {
		t.Errorf("the rule is %+v", r)
	}
}

// A directory's attribute is a string if it has one value, and a list if it has several. Labels
// that docker_auth converts to lower case are compared in lower case.
func TestLabelsOfADirectory(t *testing.T) {
	src := []byte(`
ldap_auth:
  addr: "ldap.example.com:636"
  tls: always
  base: o=x
  filter: (uid=${account})
  labels:
    title: {attribute: title}
    unit: {attribute: ou, lower_case: true}
    groups: {attribute: memberOf, parse_cn: true, lower_case: true}
acl:
  - {match: {name: a, labels: {title: Developer}}, actions: [pull]}
  - {match: {name: b, labels: {title: "/^(Lead|Boss)$/"}}, actions: [pull]}
  - {match: {name: c, labels: {unit: sales}}, actions: [pull]}
  - {match: {name: d, labels: {groups: admins}}, actions: [pull]}
  - {match: {name: e, labels: {groups: Admins}}, actions: [pull]}
  - {match: {name: a, labels: {unit: "/^(x|y)$/"}}, actions: [pull]}
`)
	result, err := dockerauth.Import("config.yml", src, dockerauth.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p := newBench(t).load(t, result.Text).Policy
	for _, tt := range []struct {
		claims map[string]any
		groups []string
		name   string
		gets   scope.Actions
	}{
		{map[string]any{"title": "Developer"}, nil, "a", scope.Pull},
		{map[string]any{"title": []string{"Lead", "Developer"}}, nil, "a", scope.Pull},
		{map[string]any{"title": "developer"}, nil, "a", 0},
		{nil, nil, "a", 0},
		{map[string]any{"title": "Boss"}, nil, "b", scope.Pull},
		{map[string]any{"title": []string{"x", "Boss"}}, nil, "b", scope.Pull},
		{map[string]any{"title": "Bosses"}, nil, "b", 0},
		{map[string]any{"unit": "Sales"}, nil, "c", scope.Pull},
		{map[string]any{"unit": []string{"IT", "SALES"}}, nil, "c", scope.Pull},
		{map[string]any{"unit": "Presales"}, nil, "c", 0},
		{nil, []string{"Admins"}, "d", scope.Pull},
		{nil, []string{"admin"}, "d", 0},
		{nil, []string{"Admins"}, "e", 0}, // lower_case removes the value Admins
		{map[string]any{"unit": "Y"}, nil, "a", scope.Pull},
	} {
		who := &policy.Principal{Kind: policy.User, Name: "ann", Claims: tt.claims, Groups: tt.groups}
		d := p.Decide(&policy.Request{Principal: who, Registry: "r", Scopes: []scope.Scope{{Type: "repository", Name: tt.name, Actions: scope.Pull}}})
		if got := d.Results[0].Granted; got != tt.gets {
			t.Errorf("%v in %v is granted %q on %s, want %q\n%s", tt.claims, tt.groups, got, tt.name, tt.gets, result.Text)
		}
	}
}

// The import either refuses a text, or writes a configuration that can be loaded.
func FuzzImport(f *testing.F) {
	example, err := os.ReadFile("testdata/example.yml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(example)
	f.Add([]byte(`acl: [{match: {name: "/^(a|b)\\/[^\\/]+$/", account: "[a-c]?*"}, actions: [pull]}, {match: {}, actions: []}]`))
	f.Add([]byte("a: &x {b: *x}"))
	f.Add([]byte("users: &x {<<: *x}\nacl: [{match: {<<: [{account: a}, {account: b}]}, actions: []}]"))
	f.Add([]byte("users: {ann: {password: x, labels: {a: [\"*\", \"/(/\", \"\\u0001\"]}}}\nacl: [{match: {name: \"${labels:a}/${account}\"}, actions: []}, {match: {account: \"/(.)/\", name: \"${account:1}\"}, actions: [pull]}]"))
	f.Fuzz(func(t *testing.T, src []byte) {
		result, err := dockerauth.Import("config.yml", src, dockerauth.Options{Read: func(string) ([]byte, error) { return nil, os.ErrNotExist }})
		if (err == nil) != (result != nil) {
			t.Fatalf("%v and %v", result, err)
		}
	})
}
