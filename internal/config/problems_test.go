package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// base is a valid config. Each row of the table adds text to it.
const base = "registries: [{service: r.example.com}]\n" // line 1

func TestProblems(t *testing.T) {
	for _, tt := range []struct {
		about       string
		adds        string // the text that is added to base, from line 2 on
		diagnostics []string
	}{
		{about: "nothing", adds: "", diagnostics: nil},

		// Keys.
		{"a misspelt key", "polices: {}", []string{
			`2:1: unknown key "polices" (did you mean "policy"?)`}},
		{"a key in another style", "publicURL: https://a.example.com", []string{
			`2:1: unknown key "publicURL" (did you mean "public_url"?)`}},
		{"a key without a similar one", "log: { x: 1 }", []string{
			`2:8: unknown key "x"; the keys here are level, format`}},
		{"the beginning of a key", "policy: { rules: [ { name: a, subjects: [anyone], repos: [a], actions: [pull] } ] }", []string{
			`2:51: unknown key "repos" (did you mean "repositories"?)`}},
		{"a key twice", "database: sqlite:a\nlog: {}\ndatabase: sqlite:b", []string{
			`4:1: the key "database" is written twice; the first is in line 2`}},
		{"a merge key", "log: { <<: { level: info } }", []string{
			`2:8: unknown key "<<"; the keys here are level, format`}},
		{"a key that is a list", "? [a]\n: b", []string{
			`2:3: must be a key, not a list`}},
		{"a missing key", "listen: [ { serve: [token] } ]", []string{
			`2:11: address is missing`}},
		{"several errors at once", "databas: x\nlog: { level: loud, format: jsn }\naudit: strictly", []string{
			`2:1: unknown key "databas" (did you mean "database"?)`,
			`3:15: "loud" is not one of debug, info, warn, error`,
			`3:29: "jsn" is not one of text, json (did you mean "json"?)`,
			`4:8: "strictly" is not one of best-effort, strict (did you mean "strict"?)`}},

		// Kinds of values.
		{"a text for a list", "identity: anyone", []string{
			`2:11: must be a list, not a text; put it in brackets`}},
		{"a section for a list", "identity: { anyone: {} }", []string{
			`2:11: must be a list, not a section`}},
		{"a list for a section", "token: [5m]", []string{
			`2:8: must be a section, not a list`}},
		{"nothing for a section", "policy:", []string{
			`2:8: a section is required, but there is no value; add it, or leave out the key`}},
		{"nothing for a text", "public_url: ~", []string{
			`2:13: a URL is required, but there is no value; add it, or leave out the key`}},
		{"null for a text", "token: { issuer: null }", []string{
			`2:18: a text is required, but the value is null; to write the word, put it in quotes`}},
		{"escapes that would reach a terminal", `signing: { root: { folder: "a\u202e\nb" } }`, []string{
			`2:28: "a\u202e\nb" is not a file path`}},
		{"escapes in the name of a file", `identity: [ { htpasswd: { file: "a\u202e" } } ]`, []string{
			`2:33: opening a\u202e: file does not exist`}},
		{"an empty list", "trusted_proxies: []", []string{
			`2:18: the list is empty, which could mean none or all; add items, or leave out the key`}},
		{"other words for true and false", "token: { reuse: yes, anonymous: \"false\" }\nnotifications: { open: on }", []string{
			`2:17: must be true or false, not "yes" (did you mean "true"?)`,
			`2:33: must be true or false, not "false" (did you mean "false"?)`,
			`3:24: must be true or false, not "on" (did you mean "true"?)`}},
		{"an alias", "log: { level: &l info }\naudit: *l", []string{
			`2:15: anchors (&l) are not supported`,
			`3:8: aliases (*l) are not supported; write the value again`}},
		{"a tag", "database: !!binary c3FsaXRlOmE=", []string{
			`2:11: tags (!!binary) are not supported`}},
		{"spaces at an end", `token: { issuer: " me" }`, []string{
			`2:18: the text begins or ends with white space (did you mean "me"?)`}},
		{"an empty text", `token: { issuer: "" }`, []string{`2:18: the text is empty`}},

		// Durations.
		{"a number of seconds", "token: { lifetime: 300 }", []string{
			`2:20: "300" is not a duration like 90s, 5m or 24h (did you mean "5m"?)`}},
		{"days", "signing: { leaf_lifetime: 2d }", []string{
			`2:27: "2d" is not a duration like 90s, 5m or 24h (did you mean "48h"?)`}},
		{"words", "token: { lifetime: 5 minutes }", []string{
			`2:20: "5 minutes" is not a duration like 90s, 5m or 24h (did you mean "5m"?)`}},
		{"too short", "token: { lifetime: 30s }", []string{`2:20: "30s" is not between 1m and 24h`}},
		{"too long", "token: { lifetime: 720h }", []string{`2:20: "720h" is not between 1m and 24h`}},
		{"a fraction of a second", "token: { lifetime: 90.5s }", []string{
			`2:20: "90.5s" must be whole seconds, because tokens count seconds`}},
		{"a leaf that ends before its tokens", "token: { lifetime: 3h }\nsigning: { leaf_lifetime: 4h }", []string{
			`3:27: tokens live for up to 3h: it must be at least 7h`}},

		// Addresses, URLs, networks, paths.
		{"a port alone", "listen: [ { address: 8443 } ]", []string{
			`2:22: "8443" is not an address such as :8443 or 127.0.0.1:8080 (did you mean ":8443"?)`}},
		{"a URL for an address", `listen: [ { address: "https://0.0.0.0:8443" } ]`, []string{
			`2:22: "https://0.0.0.0:8443" is not an address such as :8443 or 127.0.0.1:8080 (did you mean "0.0.0.0:8443"?)`}},
		{"an invalid port", `listen: [ { address: ":99999" }, { address: ":https" } ]`, []string{
			`2:22: "99999" is not a port: a port is a number up to 65535`,
			`2:45: "https" is not a port: a port is a number up to 65535`}},
		{"an address twice", `listen: [ { address: "127.0.0.1:1" }, { address: "127.0.0.1:1" } ]`, []string{
			`2:50: another listener has the address 127.0.0.1:1`}},
		{"an endpoint group twice", `listen: [ { address: "127.0.0.1:1", serve: [token, token] } ]`, []string{
			`2:52: token is listed twice`}},
		{"a URL without a scheme", "public_url: auth.example.com", []string{
			`2:13: this is not a URL such as https://auth.example.com (did you mean "https://auth.example.com"?)`}},
		{"a URL of another scheme", "public_url: ftp://auth.example.com", []string{
			`2:13: the scheme of the URL is "ftp"; it must be http or https`}},
		{"a URL with a query", "public_url: https://auth.example.com/?a=b", []string{
			`2:13: the URL has a query or fragment, which has no meaning here`}},
		{"a network with host bits", "trusted_proxies: [10.1.2.3/8, 10.0.0.300]", []string{
			`2:19: "10.1.2.3/8" has bits beyond /8 (did you mean "10.0.0.0/8"?)`,
			`2:31: "10.0.0.300" is neither a network like 10.0.0.0/8 nor an IP address`}},
		{"a path without a slash", "paths: { token: token }", []string{
			`2:17: "token" does not begin with a slash (did you mean "/token"?)`}},
		{"paths with wildcards or dots", `paths: { token: "/{x...}", notifications: /a/../b }`, []string{
			`2:17: "/{x...}" is not a plain path: use letters, digits, - . _ ~, and single slashes between them`,
			`2:43: "/a/../b" is not a plain path: use letters, digits, - . _ ~, and single slashes between them`}},
		{"a path that is taken", "paths: { token: /healthz, notifications: /api/v1/x }", []string{
			`2:17: /healthz is served already`,
			`2:42: /api/v1/x is served already`}},
		{"one path for both", "paths: { token: /a, notifications: /a }", []string{
			`2:36: both paths are /a`}},
		{"aliases that are taken", "paths: { token: /auth, token_aliases: [/auth, /notifications, /a, /a, /metrics, /api/v1] }", []string{
			`2:40: "/auth" is written twice`, `2:47: "/notifications" is written twice`, `2:67: "/a" is written twice`, `2:71: /metrics is served already`,
			`2:81: /api/v1 is served already`}},
		{"a variable with its value", "authorizer: {exec: {name: a, command: [/a], environment: [A_b1, A=1, 1A]}}", []string{
			`2:65: "A=1" is not the name of an environment variable: use letters, digits and _, without a value`,
			`2:70: "1A" is not the name of an environment variable: use letters, digits and _, without a value`}},
		{"a home folder", "database: sqlite:a\nsigning: { root: { folder: ~/keys } }", []string{
			`3:28: ~ stands for the home folder only in a shell: write the full path instead of "~/keys"`}},
		{"database URL without a scheme", "database: data/state.db", []string{
			`2:11: the database URL has no scheme (did you mean "sqlite:data/state.db"?)`}},
		{"SQLite database URL with a host", "database: sqlite://data/state.db", []string{
			`2:11: two slashes begin a host name, but a file has no host (did you mean "sqlite:data/state.db"?)`}},
		{"a database URL with a password, which is not repeated", "database: postgres://me:hunter2@db/x", []string{
			`2:11: the database URL contains a password: write it to a file and append ?password_file=FILE to the URL`}},
		{"database URL with a password that contains a slash", "database: postgres://me:hun/ter2@db/x", []string{
			`2:11: the database URL contains a password: write it to a file and append ?password_file=FILE to the URL`}},
		{"database URL with a password in the query", "database: postgres://me@db/x?password=hunter2", []string{
			`2:11: the database URL contains a password: write it to a file and append ?password_file=FILE to the URL`}},
		{"database URL without a database", "database: postgres://me@db", []string{
			`2:11: the database URL names no database: write postgres://USER@HOST/DATABASE`}},
		{"database URL of an unsupported database", "database: mysql://me:hunter2@db/x", []string{
			`2:11: the database URL must begin with sqlite: (sqlite:FILE, or sqlite::memory: to store nothing) or postgres: (postgres://USER@HOST/DATABASE)`}},

		// TLS and the root.
		{"TLS without a certificate", `listen: [ { address: "127.0.0.1:1", tls: {} } ]`, []string{
			`2:42: certificate and key are required, or self_signed: true`}},
		{"TLS without a key", `listen: [ { address: "127.0.0.1:1", tls: { certificate: /keys/cert.pem } } ]`, []string{
			`2:42: key is missing`}},
		{"TLS with a certificate and self_signed", `listen: [ { address: "127.0.0.1:1", tls: { certificate: /keys/cert.pem, key: /keys/privatekey.pem, self_signed: true } } ]`, []string{
			`2:113: self_signed generates a certificate; certificate and key would not be used`}},
		{"not self-signed", `listen: [ { address: "127.0.0.1:1", tls: { self_signed: false } } ]`, []string{
			`2:57: the only value is true; leave out the key instead`}},
		{"missing files", `listen: [ { address: "127.0.0.1:1", tls: { certificate: a.pem, key: /b.pem } } ]`, []string{
			`2:57: opening a.pem: file does not exist`,
			`2:69: opening /b.pem: file does not exist`}},
		{"a root of both kinds", "signing: { root: { folder: /keys, key: /keys/privatekey.pem } }", []string{
			`2:28: give certificate and key, or a folder, not both`}},
		{"an empty root", "signing: { root: {} }", []string{
			`2:18: certificate and key are required, or a folder`}},
		{"a missing root", "signing: { root: { folder: keys } }", []string{
			`2:28: there is no signing root in this folder; create one with tidewaiter key new --dir keys`}},

		// Identity.
		{"two sources in one", "identity: [ { anyone: {}, htpasswd: { file: u } } ]", []string{
			`2:13: each entry must have one kind of source`,
		}},
		{"an empty source", "identity: [ {} ]", []string{
			`2:13: each entry must have one kind of source`}},
		{"sources after anyone", "identity: [ { anyone: {} }, { htpasswd: { file: users } } ]", []string{
			`2:29: sources after anyone are never asked, because it knows every name; move it to the end`}},
		{"two sources with the same name", "identity: [ { htpasswd: { file: users } }, { htpasswd: { file: users } } ]", []string{
			`2:56: another source is called "htpasswd", in line 2`}},
		{"no passwords", "identity: [ { htpasswd: { name: a } } ]", []string{`2:25: file or entries is required`}},
		{"a source with an invalid name", "identity: [ { htpasswd: { name: \"ldap:x\", file: users } } ]", []string{
			`2:33: "ldap:x" is not a valid name: use up to 63 letters, digits, - and _`}},
		{"invalid entries, which are not repeated", "identity: [ { htpasswd: { entries: [hunter2, \"ann:hunter2\", \":$2y$x\"] } } ]", []string{
			`2:37: an entry must be a name, a colon and a hash`,
			"2:46: the entry of \"ann\" has no bcrypt or argon2id hash; create one with `tidewaiter hash-password` or `htpasswd -B`",
			`2:61: the entry has no name, or white space around the name`}},
		{"an entry twice, and an unknown member", "identity: [ { htpasswd: { entries: [\"ann:$2y$a\", \"ann:$2y$b\"], groups: { g: [anne] } } } ]", []string{
			`2:50: there is another entry for "ann"`,
			`2:78: there is no entry for "anne" (did you mean "ann"?)`}},
		{"claims of an unknown user", "identity: [ { htpasswd: { entries: [\"ann:$2y$a\"], claims: { anne: { team: [red] } } } } ]", []string{
			`2:61: there is no entry for "anne" (did you mean "ann"?)`}},

		// Policy.
		{"an allow for nobody", "policy: { rules: [ { name: a, repositories: [a], actions: [pull] } ] }", []string{
			`2:20: subjects is missing: an allow rule must have subjects`}},
		{"empty lists", "policy: { rules: [ { name: a, subjects: [], repositories: [], registries: [], actions: [] } ] }", []string{
			`2:41: the list is empty, which could mean none or all; add items, or leave out the key`,
			`2:59: the list is empty, which could mean none or all; add items, or leave out the key`,
			`2:75: the list is empty, which could mean none or all; add items, or leave out the key`,
			`2:88: the list is empty, which could mean none or all; add items, or leave out the key`}},
		{"a rule without a resource", "policy: { rules: [ { name: a, subjects: [anyone], actions: [pull] } ] }", []string{
			`2:20: repositories is missing, or catalog: true, or tidewaiter`}},
		{"a rule with two resources", "policy: { rules: [ { name: a, subjects: [\"group:a\"], repositories: [a], tidewaiter: [accounts], actions: [read] } ] }", []string{
			`2:85: a rule cannot be for both registries and Tidewaiter itself; write two rules`}},
		{"a right that is misspelt", "policy: { rules: [ { name: a, subjects: [\"group:a\"], tidewaiter: [acounts], actions: [read] } ] }", []string{
			`2:67: "acounts" is not a right over Tidewaiter: use accounts, administrators, journal, policy, namespaces, namespace/NAME, or "**" for all (did you mean "accounts"?)`}},
		{"rights over invalid namespaces", "policy: { rules: [ { name: a, subjects: [\"group:a\"], tidewaiter: [namespace, namespace/Team, namespace/a//b], actions: [read] } ] }", []string{
			`2:67: "namespace" is not a right over Tidewaiter: use accounts, administrators, journal, policy, namespaces, namespace/NAME, or "**" for all (did you mean "namespace/**"?)`,
			`2:78: namespaces are written in lower case (did you mean "namespace/team"?)`}},
		{"rights over a namespace without a name", "policy: { rules: [ { name: a, subjects: [\"group:a\"], tidewaiter: [namespace/a//b], actions: [read] } ] }", []string{
			`2:67: the pattern "namespace/a//b" has an empty path part (did you mean "namespace/a/b"?)`}},
		{"rights without actions", "policy: { rules: [ { name: a, subjects: [\"group:a\"], tidewaiter: [journal] } ] }", []string{
			`2:20: actions is missing: read, write, or both`}},
		{"rights with actions of registries", "policy: { rules: [ { name: a, subjects: [\"group:a\"], tidewaiter: [journal], actions: [pull] } ] }", []string{
			`2:86: the type tidewaiter has no action pull, it has read,write`}},
		{"repositories with actions of Tidewaiter", "policy: { rules: [ { name: a, subjects: [\"group:a\"], repositories: [a], actions: [read] } ] }", []string{
			`2:82: the type repository has no action read, it has pull,push,delete (did you mean "pull"?)`}},
		{"rights with a registry and a lifetime", "policy: { rules: [ { name: a, subjects: [\"group:a\"], registries: [r], tidewaiter: [journal], actions: [read], lifetime: 5m } ] }", []string{
			`2:66: registries applies only to registries, and the rule is for Tidewaiter itself`,
			`2:121: lifetime applies only to registries, and the rule is for Tidewaiter itself`}},
		{"a rule with repositories and the catalog", "policy: { rules: [ { name: a, subjects: [anyone], repositories: [a], catalog: true, actions: [pull] } ] }", []string{
			`2:79: a rule cannot be for both repositories and the catalog; write two rules`}},
		{"a rule without an action", "policy: { rules: [ { name: a, subjects: [anyone], repositories: [a] } ] }", []string{
			`2:20: give actions or role`}},
		{"the catalog with other actions", "policy: { rules: [ { name: a, subjects: [signed-in], catalog: true, actions: [pull] } ] }", []string{
			`2:78: the catalog has only the action "*" (did you mean "[\"*\"]"?)`}},
		{"the catalog with a role", "policy: { roles: { r: [pull] }, rules: [ { name: a, subjects: [signed-in], catalog: true, role: r } ] }", []string{
			`2:97: the catalog has only the action "*", and accepts no role`}},
		{"a deny with a lifetime", "policy: { rules: [ { name: a, effect: deny, repositories: [a], actions: [push], lifetime: 2m } ] }", []string{
			`2:91: a deny rule cannot have a lifetime, because it grants nothing`}},
		{"an unknown action", "policy: { rules: [ { name: a, subjects: [anyone], repositories: [a], actions: [pull, puhs, pull] } ] }", []string{
			`2:86: "puhs" is not one of pull, push, delete, read, write, * (did you mean "push"?)`,
			`2:92: pull is listed twice`}},
		{"words of other systems", "policy: { rules: [ { name: a, effect: forbid, repositories: [a], actions: [remove] } ] }", []string{
			`2:39: "forbid" is not one of allow, deny (did you mean "deny"?)`,
			`2:76: "remove" is not one of pull, push, delete, read, write, * (did you mean "delete"?)`}},
		{"a subject with a space", "policy: { rules: [ { name: a, subjects: [group: dev], repositories: [a], actions: [pull] } ] }", []string{
			`2:42: a subject has no space after its colon (did you mean "group:dev"?)`}},
		{"a section for a subject", "policy: { rules: [ { name: a, subjects: [{ groups: dev }], repositories: [a], actions: [pull] } ] }", []string{
			`2:42: must be a text, not a section`}},
		{"a registry without a similar one", "policy: { rules: [ { name: a, subjects: [anyone], repositories: [a], actions: [pull], registries: [hub] } ] }", []string{
			`2:100: no registry has the service "hub"; there is r.example.com`}},
		{"an unknown registry", "policy: { rules: [ { name: a, subjects: [anyone], repositories: [a], actions: [pull], registries: [r.exmaple.com] } ] }", []string{
			`2:100: no registry has the service "r.exmaple.com" (did you mean "r.example.com"?)`}},
		{"a robot by the name with which it signs in", "policy: { rules: [ { name: a, subjects: [robot+ci], repositories: [a], actions: [pull] } ] }", []string{
			`2:42: "robot+ci" is not a subject; there are anyone, signed-in, anonymous, user:NAME, group:NAME, robot:NAME and workload:NAME (did you mean "robot:ci"?)`}},
		{"errors that the policy finds", `policy:
  roles: { reader: [pull] }
  rules:
    - { name: one, subjects: [anyone, usr:ann], repositories: ["ok/**", "Team/*"], role: redaer }
    - name: one
      subjects: [signed-in]
      repositories:
        - team//app
      actions: ["*"]`, []string{
			`5:39: "usr:ann" is not a subject; there are anyone, signed-in, anonymous, user:NAME, group:NAME, robot:NAME and workload:NAME (did you mean "user:ann"?)`,
			`5:73: the pattern "Team/*" has the upper-case letter 'T', which no repository's name has (did you mean "team/*"?)`,
			`5:90: there is no role "redaer" (did you mean "reader"?)`,
			`6:13: the name "one" is already used by the rule at tidewaiter.yaml:5`,
			`9:11: the pattern "team//app" has an empty path part (did you mean "team/app"?)`}},
		{"a role with an invisible character", "policy: { roles: { \"a\u200b\": [pull] } }", []string{
			`2:20: the role needs a name of visible characters`}},
		{"a role without actions", "policy: { roles: { r: { lifetime: 5m } } }", []string{
			`2:23: actions is missing`}},
		{"a role with a lifetime that is too short", "policy: { roles: { r: { actions: [pull], lifetime: 5s } } }", []string{
			`2:52: "5s" is not between 1m and 24h`}},
		{"invalid properties of tokens", "token: { refusals: partial, refusal_hint: \"" + strings.Repeat("x", 201) + "\", push_lifetime: 2d, max_lifetime: { robots: 5m, user: 10s } }", []string{
			`2:20: "partial" is not one of explain, specification`,
			`2:43: the text has 201 bytes, the limit is 200`,
			`2:263: "2d" is not a duration like 90s, 5m or 24h (did you mean "48h"?)`,
			`2:283: unknown key "robots" (did you mean "robot"?)`,
			`2:301: "10s" is not between 1m and 24h`}},
		{"an invalid role is not reported as unknown", "policy: { roles: { r: [pul] }, rules: [ { name: a, subjects: [signed-in], repositories: [a], role: r } ] }", []string{
			`2:24: "pul" is not one of pull, push, delete, read, write, * (did you mean "pull"?)`}},
		{"a missing file, patterns without files, an invalid pattern", "policy: { files: [a.yaml, \"b/*.yaml\", \"[u]ser?.yml\", \"c[\", \"*/x\"] }", []string{
			`2:19: opening a.yaml: file does not exist`,
			`2:27: opening b: file does not exist`,
			`2:39: no file in . matches [u]ser?.yml`,
			`2:54: "c[" is not a pattern: a bracket is not closed, or nothing follows a backslash`,
			`2:60: only the last part of a path can be a pattern`}},

		{"wrong units of what the journal keeps", "journal: { keep: { decisions: { age: 3 months, size: 500mb }, events: { age: 1m } } }", []string{
			`2:38: "3 months" is not an age like 90d, 12h or forever (did you mean "90d"?)`,
			`2:54: "500mb" is not a size like 500MB, 2GB or unlimited (did you mean "500MB"?)`,
			`2:78: "1m" is not between one hour and 100 years, or forever (did you mean "30d"?)`}},

		// Registries.
		{"a secret in the wrong place is not repeated", "notifications: hunter2hunter2hunter2", []string{
			`2:16: must be a section, not a text`}},
	} {
		t.Run(tt.about, func(t *testing.T) {
			_, err := loadText(t, files{"tidewaiter.yaml": base + tt.adds, "users": ""}.withKeys())
			if diff := cmp.Diff(tt.diagnostics, errorLines(err)); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", tt.adds, diff)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Error("a password is repeated")
			}
		})
	}
}

func TestProblemsOfRegistries(t *testing.T) {
	for _, tt := range []struct {
		about, text string
		diagnostics []string
	}{
		{"none", "database: sqlite:a", []string{`1:1: registries is missing`}},
		{"an empty list", "registries: []", []string{
			`1:13: the list is empty, which could mean none or all; add items, or leave out the key`}},
		{"without a name", "registries: [{url: https://a.example.com}]", []string{`1:14: service is missing`}},
		{"the same name twice", "registries: [{service: a}, {service: b}, {service: a}]", []string{
			`1:52: another registry has the service "a", in line 1`}},
		{"the same secret twice", "registries: [{service: a, notifications: {secret_file: s}}, {service: b, notifications: {secret: 0123456789abcdef}}]", []string{
			`1:89: the registry in line 1 has the same secret, so events cannot be attributed to one of them`}},
		{"no place for the secret", "registries: [{service: a, notifications: {}}]", []string{
			`1:42: one of secret_file, secret_env and secret is required`}},
		{"two places for the secret", "registries: [{service: a, notifications: {secret_file: s, secret_env: NOTIFY}}]", []string{
			`1:42: one of secret_file, secret_env and secret is required`}},
		{"secrets that are too short, empty, or not valid in a header", "registries:\n- {service: a, notifications: {secret: hunter2}}\n- {service: b, notifications: {secret_file: empty}}\n- {service: c, notifications: {secret_file: two}}", []string{
			`2:40: the secret has fewer than 16 characters`,
			`3:45: empty: the secret is empty`,
			`4:45: two: the secret has a space, a line end or a character beyond ASCII in it, which an HTTP header cannot contain`}},
		{"missing secrets", "registries:\n- {service: a, notifications: {secret_file: no}}\n- {service: b, notifications: {secret_env: hunter2hunter2}}", []string{
			`2:45: opening no: file does not exist`,
			`3:44: there is no such environment variable`}},
		{"words", "registries: [{service: a, key_id: kid, algorithm: HS256, url: \"a b\"}]", []string{
			`1:35: "kid" is not one of x5c, libtrust, thumbprint, thumbprint-3.0`,
			`1:51: "HS256" is not one of ES256, ES384, ES512, RS256, EdDSA (did you mean "ES256"?)`,
			`1:63: this is not a URL such as https://auth.example.com`}},
		{"a URL with a password, which is not repeated", "registries: [{service: a, url: \"https://me:hunter2@a.example.com\"}]", []string{
			`1:32: the URL has a name or password in it`}},
	} {
		t.Run(tt.about, func(t *testing.T) {
			_, err := loadText(t, files{
				"tidewaiter.yaml": tt.text, "s": "0123456789abcdef\n", "empty": "\n", "two": "hunter2hunter2hunter2\nhunter2\n",
			}.withKeys())
			if diff := cmp.Diff(tt.diagnostics, errorLines(err)); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", tt.text, diff)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Error("a secret is repeated")
			}
		})
	}
}

func TestProblemsOfText(t *testing.T) {
	deep := strings.Repeat("[", 100)
	for _, tt := range []struct {
		about, text string
		diagnostics []string
	}{
		{"nothing", "", []string{"the file is empty"}},
		{"only comments", "# nothing\n", []string{"the file is empty"}},
		{"a text", "hello", []string{"1:1: must be a section, not a text"}},
		{"a tab", base + "log:\n\tlevel: info\n", []string{
			"3:1: this is not YAML: a tab; indent YAML with spaces"}},
		{"two values", "registries: a: b\n", []string{
			"1:14: this is not YAML: the text contains a colon and a space; put the text in quotes"}},
		{"an open bracket", "log: { level: info\ndatabase: x\n", []string{
			"1:6: this is not YAML: the brace that begins here is not closed, or a comma is missing in it"}},
		{"an open quote", "database: \"sqlite\n", []string{
			"1:11: this is not YAML: the quote that begins here is not closed"}},
		{"a tab behind a text", base + "policy:\n  rules:\n    - name: a\n\tsubjects: [anyone]\n", []string{
			"5:1: this is not YAML: a tab; indent YAML with spaces"}},
		{"a pattern without quotes", "a: [\"x\", **]\n", []string{
			"1:10: this is not YAML: a text that begins with * must be in quotes"}},
		{"only a star", "a: [*]\n", []string{
			"1:5: this is not YAML: a text that begins with * must be in quotes"}},
		{"an at sign", "a: [@payments]\n", []string{
			"1:5: this is not YAML: a text that begins with @ must be in quotes"}},
		{"a backslash in double quotes", "when: \"claims.ref.matches('v\\d')\"\n", []string{
			"1:29: this is not YAML: write a backslash in double quotes twice, or use single quotes"}},
		{"a condition with a colon", "when: a ? b : c\n", []string{
			"1:13: this is not YAML: the text contains a colon and a space; put the text in quotes"}},
		{"a line that is indented too far", "rules:\n  - name: a\n      subjects: [anyone]\n", []string{
			"3:7: this is not YAML: the line continues the line above, because it is indented more"}},
		{"a line of a list that is indented too little", "rules:\n  - name: a\n   subjects: [anyone]\n", []string{
			"3:4: this is not YAML: the indentation differs from the list that begins at 2:3"}},
		{"a line of a section that is indented too little", "a:\n    b: 1\n  c: 2\n", []string{
			"3:3: this is not YAML: the indentation differs from the section that begins at 1:1"}},
		{"a key without a colon", "log:\n  level info\n  format: json\n", []string{
			"2:3: this is not YAML: a colon is missing in this line"}},
		{"a last key without a colon", "log:\n  level: info\n  format json\naudit: strict\n", []string{
			"3:3: this is not YAML: a colon is missing after this key"}},
		{"a dash within a line", "rules: - a\n", []string{
			"1:8: this is not YAML: a dash begins a list item only at the beginning of a line"}},
		{"a comma is missing", "a: [\"b\" \"c\"]\n", []string{
			"1:9: this is not YAML: a comma or a ] is missing before this"}},
		{"an open bracket above", "a: [\"b\"\nc: d\n", []string{
			"1:4: this is not YAML: the bracket that begins here is not closed, or a comma is missing in it"}},
		{"two documents", base + "---\ndatabase: sqlite:b\n", []string{
			"2:1: a second document begins here; a file must have one"}},
		{"an alias without an anchor", "database: *x\n", []string{
			"1:11: this is not YAML: a text that begins with * must be in quotes"}},
		{"another encoding", "database: sqlite:\xe9\n", []string{"1:18: the byte 0xe9 is not UTF-8"}},
		{"UTF-16", "\xff\xfes\x00", []string{"1: the file is UTF-16; save it as UTF-8"}},
		{"a NUL", "database: \x00\n", []string{"1:11: the control character U+0000 is not allowed in a config"}},
		{"a carriage return within a line", "# a\rstate: x\n", []string{"1:4: the control character U+000D is not allowed in a config"}},
		{"text that runs backwards", "# \u202e txet\n", []string{"1:3: the control character U+202E is not allowed in a config"}},
		{"depth", deep, []string{"1:25: this is not YAML: exceeded max depth of 24 while increasing flow level"}},
	} {
		t.Run(tt.about, func(t *testing.T) {
			_, err := loadText(t, files{"tidewaiter.yaml": tt.text}.withKeys())
			if diff := cmp.Diff(tt.diagnostics, errorLines(err)); diff != "" {
				t.Errorf("%q\n(-want +got):\n%s", tt.text, diff)
			}
		})
	}
}

// An error near the end of a large policy has the right position.
func TestProblemInLargeList(t *testing.T) {
	for _, tt := range []struct{ line, diagnostics string }{
		{"    - { name: x, subject: [anyone], repositories: [x], role: writer }\n", `tidewaiter.yaml:3005:18: unknown key "subject" (did you mean "subjects"?)`},
		{"    - { name: x, subjects: [anyone\n", `tidewaiter.yaml:3005:28: this is not YAML: the bracket that begins here is not closed`},
	} {
		_, err := loadText(t, files{"tidewaiter.yaml": base + manyRules(3000) + tt.line + "    - { name: y }\n"}.withKeys())
		if err == nil || !strings.Contains(err.Error(), tt.diagnostics) {
			t.Errorf("got %v, want %s", err, tt.diagnostics)
		}
	}
	many := base + manyRules(0) + strings.Repeat("    - { nam: x }\n", 500)
	_, err := loadText(t, files{"tidewaiter.yaml": many}.withKeys())
	if lines := errorLines(err); len(lines) != 100+1 || lines[100] != fmt.Sprintf("and %d more problems", 2*500-100) {
		t.Errorf("%d lines, the last is %q", len(lines), lines[len(lines)-1])
	}
}
