package dockerauth_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/dockerauth"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
	"github.com/tidewaiter/tidewaiter/token"
)

func pick[T any](t *rapid.T, label string, values ...T) T {
	return rapid.SampledFrom(values).Draw(t, label)
}

func maybe(t *rapid.T, label string, often int, values ...string) *string {
	if rapid.IntRange(0, 9).Draw(t, label+"?") >= often {
		return nil
	}
	v := pick(t, label, values...)
	return &v
}

// Common values, and values with a special meaning in patterns.
var (
	plainValues   = []string{"a", "ann", "b", "vip", "a/b", "test-x", "c", "x-y", "a.b"}
	hostileValues = []string{"*", "a*", "?", "[a-z]*", "a/*", "secret/*", "/.+/", "/a/", "/^a.*$/", "", ".", "..", "a/../b", "../a", "Ann", "VIP", "ÄNN", "\u212a", "ſ", "İ", "a|b",
		".*", "a/", "/a", "//", "${account}", "${labels:team}", "(", "[", "\\", "\\a", "a b", "a:b", "host:5000", "\ue000", "\x01", "a,b", "{a,b}", "^a$", "a.*", "an{2}", "a/b/c", "**", "catalog"}
)

// drawValues draws the values of one label.
func drawValues(t *rapid.T, hostile bool) []string {
	one := rapid.SampledFrom(plainValues)
	if hostile {
		one = rapid.OneOf(one, rapid.SampledFrom(hostileValues))
	}
	return rapid.SliceOfN(one, 0, 3).Draw(t, "values")
}

func drawLabels(t *rapid.T, hostile bool) map[string][]string {
	labels := map[string][]string{}
	for range rapid.IntRange(0, 3).Draw(t, "labels") {
		labels[pick(t, "label", "team", "group", "unit", "groups")] = drawValues(t, hostile)
	}
	return labels
}

func drawEntry(t *rapid.T, hostile bool) listEntry {
	accounts := []string{"", "ann", "ann", "bob", "/.+/", "/.+/", "*", "a*", "/^(ann|bob)$/", "/n$/", "/^[a-m]/", `\*@x`, "/.*/", "/x|^$/", "carl"}
	names := []string{"*", "*/*", "a/b", "a/*", "a/*", "*/b", "a/b/*", "ann/*", "ann/app", "${account}/*", "${account}/*", "${account}/app", "${account}",
		"test-*", "test-*/app", "*-x", "te*-x", "test-x", "a?/b", "a/[ab]", "/^a/", "/^a\\/.*$/", "/^(a|ann)\\/[^\\/]+$/", "/^test-.+$/", "/b$/", "/^${account}\\/.*$/",
		"${labels:team}/*", "${labels:team}/*", "${labels:team}/app", "${labels:team}", "${labels:group}", "catalog", "/^ann\\/(app|b)$/", "a/b*", "a/*b", "host:5000/*", "a/**", "*/*/*", "**", "[^a]*",
		"/.+/", "/^(a|ann)\\/.+/", "/^a\\/.+/"}
	services, kinds := []string{"r1", "r1", "r2", "r*", "/1$/"}, []string{"repository", "registry", "re*", "/repo/"}
	values := []string{"a", "ann", "vip", "/a|b/", "a*", "${account}"}
	ips := []string{"10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "::1", "fd00::/8"}
	if hostile {
		ips = append(ips, "::ffff:10.1.2.3", "::/0", "0.0.0.0/0", "${account}", "${labels:team}")
		accounts = append(accounts, "${labels:team}", "${account}", "/^${labels:group}$/", "/^(.+)@x$/", "/^(.)(.*)$/", "${type}", "/.+", ".+/", "/^a|b$/", "/(?i)ANN/", "${service}", "a\x00b")
		names = append(names, "${labels:group}-shared/*", "x-${labels:team}", "${labels:team}/${labels:group}", "${labels:team}/${labels:team}", "/${labels:team}/", "/^${labels:team}\\/.*$/", "/^(${labels:team}|b)\\/.*$/",
			"/^${labels:team}?b$/", "/^${account}?b$/", "[${account}]*/b", "\\${account}/b", "/^[${labels:team}]+\\/b$/", "/(?i)^${account}\\/app$/", "/^\\Q${account}\\E\\/app/", "/^${account}{2}\\/app$/", "/${account}/", "/${account}\\/.*/",
			"${account:1}/*", "${account:1}${account:2}/app", "${Account:1}/*", "${account:3}/*", "${labels:unit}/*", "${labels:groups}/*", "${labels:nobody}/*", "/^(${labels:nobody}|a)\\/.*$/", "${type}/*", "${service}/*", "${name}", "${nothing}/*",
			"/.+", "a/.+/", "\x00", "a/\x00", "\ue000/*", "/(/", "[", "/^a\\/[a-z]/", "/^[^\\/]*b/", "/b|^a\\/b$/", "/^a$|^b$/", "//", "/", "/^(ann\\/)?app$/", "/^(a|b)?\\/?b$/", "/^a(^|\\/b)$/", "/(a$|b)\\/x?/")
		kinds = append(kinds, "${type}", "${labels:team}", "${account}", "/${labels:team}/")
		services = append(services, "${labels:team}", "${account}", "r?")
		values = append(values, "/^/", "*", "", "/${account}/", "${labels:team}", "VIP", "/^V/", "k", "i", "s", "/[A-Z]/", "/^[^a]$/", "Ann", `\*`, "[", "${account}x")
	}
	if hostile && rapid.Bool().Draw(t, "variable?") {
		accounts, kinds, services = []string{"/.+/", "/.+/", "ann", "/^(.)(.*)$/", "/^(.+)@x$/"}, []string{"repository"}, []string{"r1"}
		names = []string{pick(t, "form", "${v}", "${v}/*", "${v}/app", "x-${v}", "${v}-shared/*", "/^${v}\\/.*$/", "/^(${v}|b)\\/.*$/", "/^${v}?b$/", "/^${v}{2}\\/app$/", "/(?i)^${v}\\/app$/",
			"/^[${v}]+\\/b$/", "[${v}]*/b", "\\${v}/b", "/^\\Q${v}\\E\\/app/", "/${v}/", "${v}/${v}", "a/${v}", "/^a\\/${v}$/", "/^[^${v}]*\\/b$/")}
		names[0] = strings.ReplaceAll(names[0], "${v}", pick(t, "variable", "${account}", "${labels:team}", "${labels:team}", "${labels:group}", "${labels:groups}", "${labels:unit}", "${account:1}", "${account:2}"))
	}
	e := listEntry{
		account: maybe(t, "account", 7, accounts...), kind: maybe(t, "type", 2, kinds...), name: maybe(t, "name", 7, names...),
		service: maybe(t, "service", 2, services...), ip: maybe(t, "ip", 2, ips...),
	}
	if rapid.IntRange(0, 9).Draw(t, "labels?") < 2 {
		e.labels = map[string]string{}
		for range rapid.IntRange(1, 2).Draw(t, "labels") {
			e.labels[pick(t, "label", "team", "group", "unit", "groups")] = pick(t, "value", values...)
		}
	}
	e.actions = pick(t, "actions", []string{"*"}, []string{"*"}, []string{}, []string{}, []string{"pull"}, []string{"pull"}, []string{"pull", "push"}, []string{"push"}, []string{"delete"}, []string{"*", "pull"})
	return e
}

// world is a configuration: its list, its users with labels, and other sources of accounts.
type world struct {
	list    []listEntry
	users   map[string]map[string][]string // nil: no users in the file
	program bool                           // a program provides accounts with any labels
	// A directory provides accounts with the labels group, groups (parse_cn) and unit. The values
	// of unit are in lower case.
	directory bool
	// If lowered is true, groups are in lower case. If named is true, the label of memberOf is
	// called team.
	lowered, named bool
}

func drawWorld(t *rapid.T, hostile bool) (w world) {
	most := 8
	if hostile {
		most = 3 // with more entries, most lists are refused
	}
	w.list = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) listEntry { return drawEntry(t, hostile) }), 1, most).Draw(t, "list")
	if rapid.Bool().Draw(t, "all") { // a refusal has an effect only before an allow
		everybody := "/.+/"
		w.list = append(w.list, listEntry{account: &everybody, actions: []string{"*"}})
	}
	if rapid.IntRange(0, 9).Draw(t, "users?") < 8 {
		w.users = map[string]map[string][]string{}
		names := []string{"ann", "bob", "carl", "test-x", "a", "dave.x"}
		if hostile {
			names = append(names, "*@x", "*", "Ann", "ann@x", "a/b", "/a/", "/.+/", "${account}", "catalog", "repository", "r1", "k", "[a-z]*", "ab@x")
		}
		for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom(names), 1, 4, rapid.ID).Draw(t, "names") {
			w.users[name] = drawLabels(t, hostile)
		}
	}
	w.program = rapid.IntRange(0, 3).Draw(t, "ext_auth?") == 0
	w.directory = rapid.IntRange(0, 3).Draw(t, "ldap_auth?") == 0
	w.lowered, w.named = rapid.Bool().Draw(t, "lower_case"), rapid.IntRange(0, 4).Draw(t, "other name") == 0
	return w
}

// groupLabel returns the label with a directory's groups.
func (w world) groupLabel() string {
	if w.named {
		return "team"
	}
	return "groups"
}

// text returns docker_auth's configuration as JSON, which is valid YAML.
func (w world) text() []byte {
	var entries []any
	for _, e := range w.list {
		match := map[string]any{}
		for key, v := range map[string]*string{"account": e.account, "type": e.kind, "name": e.name, "service": e.service, "ip": e.ip} {
			if v != nil {
				match[key] = *v
			}
		}
		if e.labels != nil {
			match["labels"] = e.labels
		}
		entries = append(entries, map[string]any{"match": match, "actions": e.actions})
	}
	file := map[string]any{"acl": entries}
	if w.users != nil {
		users := map[string]any{"": map[string]any{}}
		for name, labels := range w.users {
			users[name] = map[string]any{"password": hash, "labels": labels}
		}
		file["users"] = users
	}
	if w.program {
		file["ext_auth"] = map[string]any{"command": "/bin/true"}
	}
	if w.directory {
		file["ldap_auth"] = map[string]any{
			"addr": "127.0.0.1:389", "base": "o=x", "filter": "(uid=${account})", "labels": map[string]any{
				"group": map[string]any{"attribute": "ou"}, "unit": map[string]any{"attribute": "title", "lower_case": true},
				w.groupLabel(): map[string]any{"attribute": "memberOf", "parse_cn": true, "lower_case": w.lowered},
			},
		}
	}
	src, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		panic(err)
	}
	return src
}

// testRequest is a request, in the form of docker_auth and in the form of Tidewaiter.
type testRequest struct {
	listRequest
	who   *policy.Principal
	plain bool // no value has a special meaning
}

var askedNames = []string{"a", "b", "a/b", "a/b", "a/a", "a/bb", "a/c/d", "ann/app", "ann/app", "ann/b", "bob/app", "test-x", "test-x", "test-y/app", "te-x", "a-x", "ab/b", "ac/b",
	"catalog", "host:5000/a", "team/a", "a/b/c", "a/app", "b/app", "ann", "carl/app", "dave.x/app", "testy", "x/y/z/b", "test-x/app", "secret/a", "vip/a", "k/a", "a-shared/b", "aa/app", "annann/app", "repository/a", "x/app", "r1/a", "ab", "app", "a.b/c", "axb/c", "library/a", "base/a/b", "dev-shared/a", "website/frontend", "public/a", "apps/a", "ann-x/y", "xann/y"}

func drawAsked(t *rapid.T, w world, cfg *config.Config, hostile bool) testRequest {
	a := testRequest{listRequest: listRequest{
		kind:    "repository",
		name:    pick(t, "name", askedNames...),
		service: pick(t, "service", "r1", "r1", "r2", "r3"),
		ip:      netip.MustParseAddr(pick(t, "ip", "192.0.2.1", "10.0.0.1", "10.1.0.7", "10.1.2.3", "::1", "fd00::7")),
		labels:  map[string][]string{},
		actions: pick(t, "actions", []string{"pull"}, []string{"pull", "push"}, []string{"push"}, []string{"pull", "push", "delete"}),
	}}
	if rapid.IntRange(0, 9).Draw(t, "catalog?") == 0 {
		a.kind, a.name, a.actions = "registry", "catalog", []string{"*"}
	}
	from := []string{"nobody"}
	if len(w.users) > 0 {
		from = append(from, "users", "users")
	}
	if w.program || w.users == nil && !w.directory {
		from = append(from, "program")
	}
	if w.directory {
		from = append(from, "directory")
	}
	other := append([]string{"eve", "frank", "z"}, "zoe")
	if hostile {
		other = append(other, "*@z", "?", "Eve", "x/y", "/b/", "/./", "[b]", "app", "ab", "\\a", "repository")
	}
	a.who = &policy.Principal{Kind: policy.User, Claims: map[string]any{}}
	switch rapid.SampledFrom(from).Draw(t, "from") {
	case "nobody":
		a.who.Kind = policy.Anonymous
	case "users":
		a.account = rapid.SampledFrom(slices.Sorted(maps.Keys(w.users))).Draw(t, "account")
		a.labels = w.users[a.account]
		people := cfg.Identity[0].HTPasswd
		for name, values := range people.Claims[a.account] {
			a.who.Claims[name] = values
		}
		for _, group := range slices.Sorted(maps.Keys(people.Groups)) {
			if slices.Contains(people.Groups[group], a.account) {
				a.who.Groups = append(a.who.Groups, group)
			}
		}
	case "program":
		a.account = rapid.SampledFrom(other).Draw(t, "account")
		a.labels = drawLabels(t, hostile)
		for name, values := range a.labels {
			a.who.Claims[name] = values
		}
		a.who.Groups = a.labels["groups"]
	case "directory":
		a.account = rapid.SampledFrom(other).Draw(t, "account")
		group, unit, groups := drawValues(t, hostile), drawValues(t, hostile), drawValues(t, hostile)
		groups = slices.DeleteFunc(groups, func(g string) bool { return g == "" })
		a.labels = map[string][]string{"group": group, "unit": nil, w.groupLabel(): groups}
		for _, u := range unit {
			a.labels["unit"] = append(a.labels["unit"], strings.ToLower(u))
		}
		a.who.Groups = groups
		if w.lowered {
			a.labels[w.groupLabel()] = nil
			for _, g := range groups {
				a.labels[w.groupLabel()] = append(a.labels[w.groupLabel()], strings.ToLower(g))
			}
		}
		// Compute the claims as the identity source does.
		for name, values := range map[string][]string{"group": group, "unit": unit} {
			switch len(values) {
			case 0:
			case 1:
				a.who.Claims[name] = values[0]
			default:
				a.who.Claims[name] = values
			}
		}
	}
	a.who.Name = a.account
	plain := regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`).MatchString
	a.plain = a.account == "" || plain(a.account)
	for _, values := range a.labels {
		a.plain = a.plain && !slices.ContainsFunc(values, func(v string) bool { return !plain(v) })
	}
	return a
}

func show(p *string) string {
	if p == nil {
		return "-"
	}
	return fmt.Sprintf("%q", *p)
}

func (e listEntry) String() string {
	return fmt.Sprintf("{account %s type %s name %s service %s ip %s labels %v -> %v}", show(e.account), show(e.kind), show(e.name), show(e.service), show(e.ip), e.labels, e.actions)
}

// bench loads imported configurations.
type bench struct{ folder, keys string }

func newBench(t *testing.T) bench {
	b := bench{t.TempDir(), t.TempDir()}
	root, err := token.NewRoot("Tidewaiter root", token.ES256, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	key, err := root.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"cert.pem": root.Bundle(), "privatekey.pem": key} {
		if err := os.WriteFile(filepath.Join(b.keys, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// load loads an imported configuration as the service does.
func (b bench) load(t interface{ Fatalf(string, ...any) }, written []byte) *config.Config {
	file := filepath.Join(b.folder, "tidewaiter.yaml")
	if err := os.WriteFile(file, written, 0o600); err != nil {
		t.Fatalf("%v", err)
	}
	cfg, err := config.Load(file, config.Options{Keys: b.keys})
	if err != nil {
		t.Fatalf("loading the imported config: %v\n%s", err, written)
	}
	return cfg
}

// policyActions returns the actions that the imported policy grants.
func (r listRequest) policyActions(p *policy.Policy) (granted scope.Actions) {
	who := &policy.Principal{Kind: policy.User, Name: r.account, Groups: r.labels["groups"], Claims: map[string]any{}}
	if r.account == "" {
		who.Kind = policy.Anonymous
	}
	for key, values := range r.labels {
		who.Claims[key] = values
	}
	return testRequest{listRequest: r, who: who}.policyActions(p)
}

func (a testRequest) policyActions(p *policy.Policy) (granted scope.Actions) {
	if p == nil {
		return 0
	}
	d := p.Decide(&policy.Request{
		Principal: a.who, Registry: a.service, IP: a.ip, Now: time.Unix(1_800_000_000, 0),
		Scopes: []scope.Scope{{Type: a.kind, Name: a.name, Actions: actionsOf(a.actions)}},
	})
	return d.Results[0].Granted
}

func actionsOf(names []string) (all scope.Actions) {
	for _, name := range names {
		one, _ := scope.ParseAction(name)
		all |= one
	}
	return all
}

// The import either refuses a list, or writes rules that never grant more than the list. This is
// true for all lists, labels, groups and names. If no value has a special meaning in patterns,
// rules and list make the same decisions. If the report promises the same decisions, rules and
// list make the same decisions for all values. A longer run: go test ./internal/dockerauth -run
// Differ -rapid.checks=8400
func TestNothingDiffersFromTheList(t *testing.T) {
	for name, hostile := range map[string]bool{"plain": false, "hostile": true} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			lists, refused, said, pairs, grants, less := 0, 0, 0, 0, 0, 0
			rapid.Check(t, func(t *rapid.T) {
				w := drawWorld(t, hostile)
				lists++
				result, err := dockerauth.Import("config.yml", w.text(), dockerauth.Options{Services: []string{"r1", "r2", "r3"}})
				if err != nil {
					if !strings.Contains(err.Error(), "has no exact translation") && !hostile {
						t.Fatalf("%v\n%s", err, w.text())
					}
					// Each problem has a position and advice on what to write.
					for line := range strings.Lines(err.Error()) {
						if !instead.MatchString(line) {
							t.Fatalf("the problem does not advise what to write instead: %s", line)
						}
					}
					refused++
					return
				}
				alike := bytes.Contains(result.Text, []byte("make the same decisions")) || slices.ContainsFunc(result.Notes, func(n dockerauth.Note) bool { return strings.Contains(n.Text, "make the same decisions") })
				if alike {
					said++
				}
				cfg := b.load(t, result.Text)
				people := make([]testRequest, 6)
				for n := range people {
					people[n] = drawAsked(t, w, cfg, hostile)
				}
				for n := range len(people) * (1 + len(askedNames)) {
					a := people[n%len(people)]
					if at := n/len(people) - 1; at >= 0 {
						a.kind, a.name, a.actions = "repository", askedNames[at], []string{"pull", "push", "delete"}
					}
					got, want := a.policyActions(cfg.Policy), actionsOf(firstActions(w.list, a.listRequest))
					if pairs++; want != 0 {
						grants++
					}
					if got == want {
						continue
					}
					less++
					if got&^want == 0 && !alike && !a.plain {
						continue // the rules may grant less, but not more
					}
					t.Fatalf("%+v\nof %v and groups %q with %v\nTidewaiter grants %q, docker_auth grants %q\n%s%s", a.listRequest, a.who, a.who.Groups, a.who.Claims, got, want, w.text(), result.Text)
				}
			})
			t.Logf("%d lists: %d refused, %d with the same decisions; %d pairs of list and request: %d with granted actions, %d with different decisions", lists, refused, said, pairs, grants, less)
			// Usually a tenth of the plain lists and half of the hostile lists are refused. In a
			// short run, more lists could be refused by chance, so a short run does not check the
			// numbers.
			if lists >= 100 && (refused*10 > lists*9 || !hostile && refused*10 > lists*4) {
				t.Errorf("%d of %d lists are refused, so the test proves too little", refused, lists)
			}
		})
	}
}

var instead = regexp.MustCompile(`^config\.yml:\d+:\d+: .*(write|list the names|put|correct|call|give|take|alternatives)`)
