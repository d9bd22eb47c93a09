package config

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tidewaiter/tidewaiter/internal/delivery/signature"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/journal/retention"
	"github.com/tidewaiter/tidewaiter/internal/policyfile"
	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
	"github.com/tidewaiter/tidewaiter/token"
)

// likeConfig compares configs, with their secrets and without their compiled policies.
var likeConfig = cmp.Options{
	cmpopts.IgnoreTypes(&policy.Policy{}),
	cmpopts.IgnoreUnexported(policyfile.Compiled{}, HTPasswd{}),
	cmpopts.EquateComparable(netip.Prefix{}),
	cmp.Transformer("secret", identity.Secret.Reveal),
}

// If a config sets a key to its default value, no other setting changes.
func TestADefaultDoesNotDependOnWhichKeysAreWritten(t *testing.T) {
	const registry = "registries: [{service: r.example.com%s}]\n"
	load := func(text string) *Config {
		c, err := loadText(t, files{"tidewaiter.yaml": text}.withKeys())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	want := load(fmt.Sprintf(registry, ""))
	for _, text := range []string{
		fmt.Sprintf(registry, "") + "token: { lifetime: 5m }",
		fmt.Sprintf(registry, "") + "token: { issuer: tidewaiter, reuse: true, anonymous: true, refusals: explain }",
		fmt.Sprintf(registry, ", lifetime: 5m"),
		fmt.Sprintf(registry, ", algorithm: ES256, key_id: x5c"),
		fmt.Sprintf(registry, "") + "signing: { algorithm: ES256, root: { folder: /keys } }",
		fmt.Sprintf(registry, "") + "signing: { leaf_lifetime: 24h }",
	} {
		if diff := cmp.Diff(want, load(text), likeConfig); diff != "" {
			t.Errorf("%s\n(-without +with):\n%s", text, diff)
		}
	}
}

func TestDefaults(t *testing.T) {
	got, err := loadText(t, files{"tidewaiter.yaml": "registries: [{service: r.example.com}]"}.withKeys())
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		File: "tidewaiter.yaml",
		Listen: []Listener{{
			Address: "127.0.0.1:8080", // this machine only
			Serve:   []string{ServeToken, ServeNotifications, ServeKeys, ServeHealth, ServeAPI},
		}},
		Paths:    paths{Token: "/token", Notifications: "/notifications"},
		Database: "sqlite:" + filepath.FromSlash("data/state.db"),
		Audit:    BestEffort,
		Journal: Journal{
			Keep: retention.Limits{
				Decisions: retention.Limit{Age: 90 * 24 * time.Hour, Size: 1e9},
				Refused:   retention.Limit{Age: 90 * 24 * time.Hour, Size: 250e6},
				Events:    retention.Limit{Age: 400 * 24 * time.Hour, Size: 1e9},
				Changes:   retention.Limit{Size: 1e9},
				Service:   retention.Limit{Age: 90 * 24 * time.Hour, Size: 100e6},
			},
			Addresses: Full, Clients: Full,
		},
		Signing: Signing{
			Certificate: "/keys/cert.pem", Key: "/keys/privatekey.pem",
			Algorithm: token.ES256, LeafLifetime: 24 * time.Hour, JournalKey: "/keys/journal.key",
		},
		Token:      Token{Issuer: "tidewaiter", Lifetime: 5 * time.Minute, PushLifetime: 15 * time.Minute, Reuse: true, Anonymous: true, Refusals: Explain},
		Registries: []Registry{{Service: "r.example.com", KeyID: token.X5C, Algorithm: token.ES256, Lifetime: 5 * time.Minute, PushLifetime: 15 * time.Minute, Refusals: Explain}},
		Limits:     Limits{Throttle: true, MaxFailuresPerPair: 10, MaxFailuresPerSource: 100, MaxDelay: 5 * time.Minute, UnknownPlaces: "slow", Connections: 4000},
		Log:        logging{Level: "info", Format: "text"},
		Watch:      true,
		Compiled: policyfile.Compiled{
			Files: []string{"tidewaiter.yaml"}, Services: []string{"r.example.com"},
			Rules: policy.Source{Roles: map[string]policy.Role{}, Rules: []policy.Rule{}},
		},
		Warnings: strictyaml.Problems{
			{File: "tidewaiter.yaml", Text: "identity is missing, so nobody can sign in"},
			{File: "tidewaiter.yaml", Text: "there are no rules, so nothing is granted"},
		},
	}
	if diff := cmp.Diff(want, got, likeConfig); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got.Policy == nil {
		t.Error("there is no policy")
	}
}

// allKeys is a config with all keys. No key has its default value.
const allKeys = `
public_url: https://auth.example.com/
listen:
  - address: ":8443"
    tls: { certificate: tls/cert.pem, key: /tls/key.pem }
    serve: [token]
  - { address: "[::1]:8080", tls: { self_signed: true } }
  - { address: "localhost:9090", serve: [metrics, health] }
paths: { token: /auth, notifications: /events }
database: sqlite:///var/lib/tidewaiter/state.db
audit: strict
signing:
  root: { certificate: root.pem, key: ../root.key }
  algorithm: RS256
  direct: true
  shared_root: true
  journal_key: notes/journal.key
token: { issuer: auth.example.com, lifetime: 20h, reuse: false, anonymous: false, refusals: specification, show_rules: true, refusal_hint: "ask in #registry", max_lifetime: { robot: 10m, delete: 2m } }
registries:
  - service: 0777
    url: http://localhost:5000/
    key_id: libtrust
    algorithm: EdDSA
    lifetime: 1m
    notifications: { secret_file: secret }
  - { service: Docker registry, plain: true, refusals: explain, notifications: { secret_env: NOTIFY } }
  - { service: on, notifications: { secret: "0123456789abcdef" } }
  - { service: "null" }
notifications: { open: true }
identity:
  - htpasswd:
      name: staff
      file: users
      entries: ["ann:$2y$10$x", "bob:$argon2id$v=19$y"]
      groups: { dev: [ann, bob], "007": [0x7] }
  - anyone: {}
policy:
  roles: { reader: [pull], owner: ["*"] }
  files: ["more/*.yaml", last.yaml]
  rules:
    - name: one
      subjects: [signed-in, "group:dev"]
      registries: [on, "0777"]
      repositories: ["${user}/**", x]
      role: reader
      actions: [push]
      lifetime: 2m
      comment: |
        Two lines,
        and no more.
    - { name: two, effect: deny, repositories: ["**"], actions: [delete] }
    - { name: three, subjects: ["user:ann"], catalog: true }
  watch: false
webhooks:
  - name: ci
    url: http://ci.internal/hook
    secrets: [{ secret_file: hook }, { secret_env: HOOK }]
    kinds: [event, change]
    actions: [push]
    repositories: ["team/**"]
    namespaces: [ops]
    private_addresses: true
    ca: ca.pem
trusted_proxies: [10.0.0.0/8, 192.168.1.7, "fd00::/8"]
limits: { throttle: false, max_failures_per_pair: 3, max_failures_per_source: 30, max_delay: 1m, unknown_places: refuse, connections: 500 }
log: { level: debug, format: json }
journal: { keep: { decisions: { age: 2w, size: 1.5GB }, refused: { age: 12h, size: 2MiB }, events: {}, changes: { age: 400d }, service: { size: unlimited } }, addresses: shortened, clients: omitted, files: [{ name: siem, path: log/journal.jsonl, max_size: 2GB, max_files: 3, kinds: [decision], actions: [pull], repositories: [a], namespaces: [b] }] }
`

// Keys that sign messages of webhooks.
const (
	sharedKey  = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	privateKey = "whsk_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
)

func parsedKeys(t *testing.T, texts ...string) (keys []signature.Key) {
	t.Helper()
	for _, text := range texts {
		key, err := signature.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	return keys
}

func TestEveryKey(t *testing.T) {
	path := filepath.FromSlash
	got, err := loadFrom(path("etc/tidewaiter.yaml"), Options{Env: func(name string) (string, bool) {
		v, ok := map[string]string{"NOTIFY": "environment-secret", "HOOK": privateKey}[name]
		return v, ok
	}}, files{
		path("etc/tidewaiter.yaml"): allKeys, path("etc/hook"): sharedKey + "\n", path("etc/ca.pem"): "",
		path("etc/tls/cert.pem"): "", path("/tls/key.pem"): "", path("etc/root.pem"): "", path("root.key"): "", path("etc/users"): "",
		path("etc/secret"):            "file-secret-0123456789\n",
		path("etc/more/a.yaml"):       "roles: { pusher: [pull, push] }\n",
		path("etc/more/b.yaml"):       "rules:\n  - { name: four, subjects: [anyone], repositories: [public/*], role: pusher }\n",
		path("etc/more/.#a.yaml"):     "left by an editor",
		path("etc/log/journal.jsonl"): "",
		path("etc/last.yaml"):         "\n\nrules: [ { name: five, effect: deny, subjects: [anonymous], catalog: true, actions: [\"*\"] } ]",
	})
	if err != nil {
		t.Fatal(err)
	}
	main := path("etc/tidewaiter.yaml")
	want := &Config{
		File:      main,
		PublicURL: "https://auth.example.com",
		Listen: []Listener{
			{Address: ":8443", TLS: &TLS{Certificate: path("etc/tls/cert.pem"), Key: path("/tls/key.pem")}, Serve: []string{ServeToken}},
			{Address: "[::1]:8080", TLS: &TLS{SelfSigned: true}, Serve: []string{ServeToken, ServeNotifications, ServeKeys, ServeHealth, ServeAPI}},
			{Address: "localhost:9090", Serve: []string{ServeMetrics, ServeHealth}},
		},
		Paths:    paths{Token: "/auth", Notifications: "/events"},
		Database: "sqlite:" + path("/var/lib/tidewaiter/state.db"),
		Audit:    Strict,
		Journal: Journal{
			Keep: retention.Limits{
				Decisions: retention.Limit{Age: 14 * 24 * time.Hour, Size: 1.5e9}, Refused: retention.Limit{Age: 12 * time.Hour, Size: 2 << 20},
				Changes: retention.Limit{Age: 400 * 24 * time.Hour},
			},
			Addresses: Shortened, Clients: Omitted,
			Files: []journalFile{{
				Name: "siem", Path: path("etc/log/journal.jsonl"), MaxSize: 2e9, MaxFiles: 3,
				Filter: entryFilter{Kinds: []string{"decision"}, Actions: []string{"pull"}, Repositories: []string{"a"}, Namespaces: []string{"b"}},
			}},
		},
		Signing: Signing{
			Certificate: path("etc/root.pem"), Key: "root.key", Algorithm: token.RS256, Direct: true, SharedRoot: true, JournalKey: path("etc/notes/journal.key"),
			LeafLifetime: 41 * time.Hour, // twice the longest token lifetime, plus an hour
		},
		Token: Token{
			Issuer: "auth.example.com", Lifetime: 20 * time.Hour, PushLifetime: 20 * time.Hour, MaxLifetime: MaxLifetimes{Robot: 10 * time.Minute, Delete: 2 * time.Minute},
			Refusals: Specification, ShowRules: true, Hint: "ask in #registry",
		},
		Registries: []Registry{
			{Service: "0777", URL: "http://localhost:5000", KeyID: token.Libtrust, Algorithm: token.EdDSA, Lifetime: time.Minute, PushLifetime: 20 * time.Hour, Refusals: Specification, Notifications: identity.NewSecret("file-secret-0123456789")},
			{Service: "Docker registry", Plain: true, KeyID: token.X5C, Algorithm: token.RS256, Lifetime: 20 * time.Hour, PushLifetime: 20 * time.Hour, Refusals: Explain, Notifications: identity.NewSecret("environment-secret")},
			{Service: "on", KeyID: token.X5C, Algorithm: token.RS256, Lifetime: 20 * time.Hour, PushLifetime: 20 * time.Hour, Refusals: Specification, Notifications: identity.NewSecret("0123456789abcdef")},
			{Service: "null", KeyID: token.X5C, Algorithm: token.RS256, Lifetime: 20 * time.Hour, PushLifetime: 20 * time.Hour, Refusals: Specification},
		},
		Notifications: notifications{Open: true},
		Identity: []Source{
			{Kind: "htpasswd", Line: 31, HTPasswd: &HTPasswd{
				Name: "staff", File: path("etc/users"),
				Entries: []string{"ann:$2y$10$x", "bob:$argon2id$v=19$y"},
				Groups:  map[string][]string{"dev": {"ann", "bob"}, "007": {"0x7"}},
			}},
			{Kind: "anyone", Line: 36, Anyone: true},
		},
		Compiled: policyfile.Compiled{Files: []string{main, path("etc/more/a.yaml"), path("etc/more/b.yaml"), path("etc/last.yaml")}, Services: []string{"0777", "Docker registry", "on", "null"},
			Rules: policy.Source{
				Roles: map[string]policy.Role{"reader": {Actions: scope.Pull}, "owner": {Actions: scope.Repository}, "pusher": {Actions: scope.Pull | scope.Push}},
				Rules: []policy.Rule{
					{Name: "one", Subjects: []string{"signed-in", "group:dev"}, Registries: []string{"on", "0777"}, Names: []string{"${user}/**", "x"},
						Role: "reader", Actions: scope.Push, Lifetime: 2 * time.Minute, Origin: policy.Origin{File: "tidewaiter.yaml", Line: 41}},
					{Name: "two", Deny: true, Subjects: []string{"anyone"}, Names: []string{"**"}, Actions: scope.Delete, Origin: policy.Origin{File: "tidewaiter.yaml", Line: 51}},
					{Name: "three", Subjects: []string{"user:ann"}, Type: "registry", Names: []string{"catalog"}, Actions: scope.All, Origin: policy.Origin{File: "tidewaiter.yaml", Line: 52}},
					{Name: "four", Subjects: []string{"anyone"}, Names: []string{"public/*"}, Role: "pusher", Origin: policy.Origin{File: path("more/b.yaml"), Line: 2}},
					{Name: "five", Deny: true, Subjects: []string{"anonymous"}, Type: "registry", Names: []string{"catalog"}, Actions: scope.All, Origin: policy.Origin{File: "last.yaml", Line: 3}},
				},
			},
		},
		Webhooks: []webhook{{
			Name: "ci", URL: "http://ci.internal/hook", CA: path("etc/ca.pem"), Keys: parsedKeys(t, sharedKey, privateKey), Private: true,
			Filter: entryFilter{Kinds: []string{"event", "change"}, Actions: []string{"push"}, Repositories: []string{"team/**"}, Namespaces: []string{"ops"}},
		}},
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.168.1.7/32"), netip.MustParsePrefix("fd00::/8")},
		Limits:         Limits{Throttle: false, MaxFailuresPerPair: 3, MaxFailuresPerSource: 30, MaxDelay: time.Minute, UnknownPlaces: "refuse", Connections: 500},
		Log:            logging{Level: "debug", Format: "json"},
		Warnings: strictyaml.Problems{
			{File: main, Line: 7, Column: 50, Text: "clients do not trust a self-signed certificate: for testing only"},
			{File: main, Line: 29, Column: 24, Text: "anyone can post events and write false entries into the journal: for demonstrations only"},
			{File: main, Line: 36, Column: 13, Text: "anyone can sign in with any name and any password: for demonstrations only"},
			{File: path("etc/more/b.yaml"), Line: 2, Column: 30, Text: `rule "four" lets anonymous clients change repositories or list them all`},
		},
	}
	if diff := cmp.Diff(want, got, likeConfig); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got.Policy.Len() != 5 {
		t.Errorf("the policy has %d rules", got.Policy.Len())
	}
}

// The flag --keys is for containers with the config in the image and the keys in a mounted folder.
// It overrides the config, so the root that the config names does not have to exist.
func TestKeysFlag(t *testing.T) {
	disk := files{
		"tidewaiter.yaml":                 base + "signing: { root: { folder: nowhere } }\n",
		filepath.Join("made", "cert.pem"): "", filepath.Join("made", "privatekey.pem!"): "",
	}
	c, err := loadFrom("tidewaiter.yaml", Options{Keys: "made"}, disk)
	if err != nil {
		t.Fatal(err)
	}
	if c.Signing.Certificate != filepath.Join("made", "cert.pem") || c.Signing.Key != filepath.Join("made", "privatekey.pem") {
		t.Errorf("the root is %s and %s", c.Signing.Certificate, c.Signing.Key)
	}
	want := "--keys: all users of this machine can read " + filepath.Join("made", "privatekey.pem")
	if len(c.Warnings) == 0 || c.Warnings[0].String() != want {
		t.Errorf("the warnings are\n%v\nnot %s first", c.Warnings, want)
	}

	_, err = loadFrom("tidewaiter.yaml", Options{Keys: "other"}, disk)
	if diff := cmp.Diff([]string{
		"--keys: there is no signing root in other; create one with tidewaiter key new --dir other",
	}, errorLines(err)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	_, err = loadFrom("tidewaiter.yaml", Options{}, files{"tidewaiter.yaml": base})
	if diff := cmp.Diff([]string{
		"there is no signing root: opening /keys/cert.pem: file does not exist; name one by signing.root or --keys, or create one with tidewaiter key new --dir /keys",
	}, errorLines(err)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWarnings(t *testing.T) {
	for _, tt := range []struct {
		about, text string
		warns       string // one of the warnings; "" if there is no warning
	}{
		{"unencrypted passwords", `listen: [{address: ":8080", serve: [token]}]`,
			`2:20: passwords travel to :8080 unencrypted, unless a proxy in front of it has TLS`},
		{"unencrypted passwords on this machine", `listen: [{address: "127.0.0.1:8080"}, {address: "[::1]:8080"}, {address: "localhost:8080"}]`, ""},
		{"no listener for tokens", `listen: [{address: "127.0.0.1:1", serve: [health]}]`,
			`2:9: no listener serves token, so nobody can get a token`},
		{"a private address for clients", "public_url: https://192.168.1.7:8443\ntrusted_proxies: [127.0.0.1]",
			`2:13: many clients refuse the private IP address 192.168.1.7; use a DNS name`},
		{"a loopback address for clients", "public_url: http://[::1]:8080",
			`2:13: many clients refuse the private IP address ::1; use a DNS name`},
		{"a public address for clients", "public_url: https://192.0.2.1\ntrusted_proxies: [127.0.0.1]", ""},
		{"a proxy that is not trusted", "public_url: https://auth.example.com",
			`2:13: no listener has TLS, so there is a proxy: list its addresses in trusted_proxies, or all clients share one address and one client's wrong passwords delay everyone`},
		{"a realm in another domain", "public_url: https://auth.example.net\ntrusted_proxies: [127.0.0.1]\nregistries: [{service: r, url: \"https://r.example.com\"}]",
			`2:13: auth.example.net is neither on the host of "r" nor in its domain, so some clients, such as Snyk and mirrors with registry 3.1, send no credentials; use an address on r.example.com`},
		{"a realm in the registry's domain", "public_url: https://auth.example.co.uk\ntrusted_proxies: [127.0.0.1]\nregistries: [{service: r, url: \"https://r.example.co.uk\"}]", ""},
		{"a realm under the same public suffix", "public_url: https://auth.co.uk\ntrusted_proxies: [127.0.0.1]\nregistries: [{service: r, url: \"https://r.co.uk\"}]",
			`2:13: auth.co.uk is neither on the host of "r" nor in its domain, so some clients, such as Snyk and mirrors with registry 3.1, send no credentials; use an address on r.co.uk`},
		{"TLS without a proxy", "public_url: https://auth.example.com\nlisten: [{address: \":1\", serve: [token], tls: {certificate: a, key: b!}}]", ""},
		{"every address as a proxy", "trusted_proxies: [0.0.0.0/0]",
			`2:19: any client can forge its address`},
		{"remote events without a secret", `listen: [{address: ":1", serve: [notifications]}, {address: "127.0.0.1:1"}]`,
			`1:14: without a secret, events of "r" are accepted from this machine only: set notifications`},
		{"zot posts no events", "listen: [{address: \":1\", serve: [notifications]}, {address: \"127.0.0.1:1\"}]\nregistries: [{service: z, preset: zot}]", ""},
		{"services that differ only in case", "registries: [{service: twin}, {service: Twin}]",
			`2:41: the registry in line 2 has the same service in other case: clients that change the case, such as Watchtower, get no token for either`},
		{"a key that all users can read", "signing: {root: {certificate: a, key: b}}",
			`2:39: all users of this machine can read b`},
		{"a key that all users can change", "signing: {root: {certificate: a, key: c}}",
			"2:39: all users of this machine can read c\n2:39: all users of this machine can change c"},
		{"a password file that all users can change", "identity: [{htpasswd: {file: c}}]",
			`2:30: all users of this machine can change c`},
		{"a policy that all users can change", "policy: {files: [d]}",
			`d: all users of this machine can change it`},
		{"rights over Tidewaiter for everybody", "policy: {rules: [{name: x, subjects: [signed-in], tidewaiter: [accounts], actions: [write]}]}",
			`2:39: rule "x" gives everybody who can sign in rights over Tidewaiter itself`},
		{"pushing without signing in", "policy: {roles: {w: [pull, push]}, rules: [{name: x, subjects: [signed-in, anonymous], repositories: [x], role: w}]}",
			`2:76: rule "x" lets anonymous clients change repositories or list them all`},
		{"an authorizer in place of rules", "policy: {roles: {x: [pull]}}\nauthorizer: {exec: {name: a, command: [/a], grants: replace}}", ""},
		{"an authorizer that only removes grants", "policy: {roles: {x: [pull]}}\nauthorizer: {exec: {name: a, command: [/a]}}",
			"there are no rules, so nothing is granted"},
		{"a condition without inputs", "policy: {rules: [{name: x, subjects: [signed-in], repositories: [x], actions: [pull], when: true}]}",
			`2:93: the condition is always true, because it reads no input`},
		{"pulling without signing in", "policy: {rules: [{name: x, subjects: [anyone], repositories: [x], actions: [pull]}]}", ""},
	} {
		t.Run(tt.about, func(t *testing.T) {
			text := "registries: [{service: r}]\n" + tt.text + "\n"
			if strings.Contains(tt.text, "registries:") {
				text = "\n" + tt.text + "\n"
			}
			if !strings.HasPrefix(tt.text, "identity") {
				text += "identity: [{htpasswd: {file: users}}]\n"
			}
			if !strings.HasPrefix(tt.text, "policy") {
				text += "policy: {rules: [{name: y, effect: deny, repositories: [y], actions: [push]}]}\n"
			}
			c, err := loadText(t, files{"tidewaiter.yaml": text, "users": "", "a": "", "b!": "", "c!!": "", "d!!": "roles: {a: [pull]}\nrules: [{name: y, effect: deny, repositories: [y], actions: [push]}]"}.withKeys())
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			if tt.warns != "" {
				want = strings.Split(tt.warns, "\n")
			}
			var got []string
			if len(c.Warnings) > 0 {
				got = errorLines(c.Warnings)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestHTTPForHTTPSRegistry(t *testing.T) {
	c, err := loadText(t, files{"tidewaiter.yaml": "public_url: http://auth.example.com\nregistries: [{service: r, url: https://r.example.com}]\n"}.withKeys())
	if err != nil {
		t.Fatal(err)
	}
	if want := `tidewaiter.yaml:1:13: clients of "r" refuse to send requests from an https registry to an http URL: use https`; len(c.Warnings) == 0 || c.Warnings[len(c.Warnings)-1].String() != want {
		t.Errorf("the warnings are\n%v", c.Warnings)
	}
}
