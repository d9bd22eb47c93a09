package dockerauth_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
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

func drawEntry(t *rapid.T) listEntry {
	e := listEntry{
		account: maybe(t, "account", 7, "", "ann", "ann", "bob", "/.+/", "/.+/", "*", "a*", "/^(ann|bob)$/", "/n$/", "/^[a-m]/", `\*@x`, "/.*/", "/x|^$/", "carl"),
		kind:    maybe(t, "type", 2, "repository", "registry", "re*", "/repo/"),
		name: maybe(t, "name", 7, "*", "*/*", "a/b", "a/*", "a/*", "*/b", "a/b/*", "ann/*", "ann/app", "${account}/*", "${account}/*", "${account}/app", "${account}",
			"test-*", "test-*/app", "*-x", "te*-x", "test-x", "a?/b", "a/[ab]", "/^a/", "/^a\\/.*$/", "/^(a|ann)\\/[^\\/]+$/", "/^test-.+$/", "/b$/", "/^${account}\\/.*$/",
			"${labels:team}/*", "${labels:team}/app", "catalog", "/^ann\\/(app|b)$/", "a/b*", "a/*b", "host:5000/*", "a/**", "*/*/*", "**", "[^a]*"),
		service: maybe(t, "service", 2, "r1", "r1", "r2", "r*", "/1$/"),
		ip:      maybe(t, "ip", 2, "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "::1", "fd00::/8"),
	}
	if rapid.IntRange(0, 9).Draw(t, "labels?") < 2 {
		e.labels = map[string]string{}
		for range rapid.IntRange(1, 2).Draw(t, "labels") {
			e.labels[pick(t, "label", "team", "group")] = pick(t, "value", "a", "ann", "VIP", "/a|b/", "a*", "${account}")
		}
	}
	e.actions = pick(t, "actions", []string{"*"}, []string{"*"}, []string{}, []string{}, []string{"pull"}, []string{"pull"}, []string{"pull", "push"}, []string{"push"}, []string{"delete"}, []string{"*", "pull"})
	return e
}

func drawListRequest(t *rapid.T) listRequest {
	r := listRequest{
		account: pick(t, "account", "", "", "ann", "ann", "bob", "carl", "test-x", "a", "*@x", "*", "Ann", "catalog", "dave.x", "${account}", "a/b", "ann/app"),
		kind:    "repository",
		name: pick(t, "name", "a", "b", "a/b", "a/b", "a/a", "a/bb", "a/c/d", "ann/app", "ann/app", "ann/b", "bob/app", "test-x", "test-x", "test-y/app", "te-x", "a-x", "ab/b", "ac/b",
			"catalog", "host:5000/a", "team/a", "a/b/c", "a/app", "b/app", "ann", "carl/app", "dave.x/app", "testy", "x/y/z/b", "test-x/app"),
		service: pick(t, "service", "r1", "r1", "r2", "r3"),
		ip:      netip.MustParseAddr(pick(t, "ip", "192.0.2.1", "10.0.0.1", "10.1.0.7", "10.1.2.3", "::1", "fd00::7")),
		labels:  map[string][]string{},
		actions: pick(t, "actions", []string{"pull"}, []string{"pull", "push"}, []string{"push"}, []string{"pull", "push", "delete"}),
	}
	if r.account != "" {
		for range rapid.IntRange(0, 2).Draw(t, "labels") {
			r.labels[pick(t, "label", "team", "group")] = pick(t, "values", []string{"a"}, []string{"ann", "b"}, []string{"VIP"}, []string{"a/b"}, []string{"test-x", "c"}, []string{})
		}
	}
	if rapid.IntRange(0, 9).Draw(t, "catalog?") == 0 {
		r.kind, r.name, r.actions = "registry", "catalog", []string{"*"}
	}
	return r
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

// text is a configuration of docker_auth with the list. JSON is YAML.
func text(list []listEntry) []byte {
	var entries []any
	for _, e := range list {
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
	src, err := json.MarshalIndent(map[string]any{"acl": entries}, "", "  ")
	if err != nil {
		panic(err)
	}
	return src
}

// bench is where imported configurations are loaded.
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

// load loads an imported configuration as the service would.
func (b bench) load(t interface{ Fatalf(string, ...any) }, written []byte) *config.Config {
	file := filepath.Join(b.folder, "tidewaiter.yaml")
	if err := os.WriteFile(file, written, 0o600); err != nil {
		t.Fatalf("%v", err)
	}
	cfg, err := config.Load(file, config.Options{Keys: b.keys})
	if err != nil {
		t.Fatalf("loading what was imported: %v\n%s", err, written)
	}
	return cfg
}

// granted asks the imported policy.
func (r listRequest) granted(p *policy.Policy) (granted scope.Actions) {
	who := &policy.Principal{Kind: policy.User, Name: r.account, Groups: r.labels["groups"], Claims: map[string]any{}}
	if r.account == "" {
		who.Kind = policy.Anonymous
	}
	for key, values := range r.labels {
		who.Claims[key] = values
	}
	d := p.Decide(&policy.Request{
		Principal: who, Registry: r.service, IP: r.ip, Now: time.Unix(1_800_000_000, 0),
		Scopes: []scope.Scope{{Type: r.kind, Name: r.name, Actions: actionsOf(r.actions)}},
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

// However entries overlap: the rules decide as the list did, or the list is refused. A run of many:
// go test ./internal/dockerauth -run Differ -rapid.checks=8400
func TestNothingDiffersFromTheList(t *testing.T) {
	b := newBench(t)
	lists, refused, pairs, grants := 0, 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfN(rapid.Custom(drawEntry), 1, 8).Draw(t, "list")
		lists++
		result, err := dockerauth.Import("config.yml", text(list), dockerauth.Options{Services: []string{"r1", "r2", "r3"}})
		if err != nil {
			if !strings.Contains(err.Error(), "cannot be said exactly") {
				t.Fatalf("%v\n%s", err, join(list))
			}
			refused++
			return
		}
		cfg := b.load(t, result.Text)
		for range 12 {
			r := drawListRequest(t)
			got, want := scope.Actions(0), actionsOf(first(list, r))
			if cfg.Policy != nil {
				got = r.granted(cfg.Policy)
			}
			if pairs++; want != 0 {
				grants++
			}
			if strings.Contains(r.account, "/") && got&^want == 0 && strings.Contains(join(list), "${account}") {
				continue // it has no ${user}: it may have less, and never more
			}
			if got != want {
				t.Fatalf("%+v\nis granted %q, and was %q\n%s%s", r, got, want, join(list), result.Text)
			}
		}
	})
	t.Logf("%d lists, of which %d were refused; %d pairs of list and request, of which %d were granted something", lists, refused, pairs, grants)
	if refused*10 > lists {
		t.Errorf("%d of %d lists are refused: that is no test of the others", refused, lists)
	}
}

func join(list []listEntry) string {
	var b strings.Builder
	for i, e := range list {
		fmt.Fprintf(&b, "%d %v\n", i, e)
	}
	return b.String()
}
