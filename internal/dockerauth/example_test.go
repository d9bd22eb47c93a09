package dockerauth_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"go.yaml.in/yaml/v4"
	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/dockerauth"
)

// readList reads a list of docker_auth without using the importer.
func readList(t *testing.T, src []byte) (list []listEntry) {
	var file struct {
		ACL []struct {
			Match struct {
				Account, Type, Name, IP, Service *string
				Labels                           map[string]string
			}
			Actions []string
		}
	}
	if err := yaml.Unmarshal(src, &file); err != nil {
		t.Fatal(err)
	}
	for _, e := range file.ACL {
		m := e.Match
		list = append(list, listEntry{m.Account, m.Type, m.Name, m.Service, m.IP, m.Labels, e.Actions})
	}
	return list
}

// loadRules loads the rules of an imported configuration. It omits signing keys and sources,
// whose files do not exist in the test.
func (b bench) loadRules(t *testing.T, written []byte) *config.Config {
	var file map[string]any
	if err := yaml.Unmarshal(written, &file); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"signing", "identity", "listen"} {
		delete(file, key)
	}
	rules, err := yaml.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	return b.load(t, rules)
}

// The example uses every kind of condition. For all requests, the imported rules make the same
// decisions as the example's list.
func TestTheExampleDecidesAlike(t *testing.T) {
	src, err := os.ReadFile(filepath.Join("testdata", "example.yml"))
	if err != nil {
		t.Fatal(err)
	}
	list := readList(t, src)
	if len(list) != 12 {
		t.Fatalf("the list has %d entries", len(list))
	}
	result, err := dockerauth.Import("example.yml", src, dockerauth.Options{Services: []string{"r1"}})
	if err != nil {
		t.Fatal(err)
	}
	p := newBench(t).loadRules(t, result.Text).Policy
	rapid.Check(t, func(t *rapid.T) {
		for range 20 {
			r := drawAsked(t, world{users: map[string]map[string][]string{}}, nil, false).listRequest
			r.service = "r1"
			r.ip = netip.MustParseAddr(pick(t, "ip", "127.0.0.1", "192.0.2.1", "192.0.2.1", "172.17.0.1", "::1"))
			r.account = pick(t, "account", "", "root", "trial", "ann", "ann@example.com", "*@example.com", "hello-world")
			if r.kind == "repository" {
				r.name = pick(t, "name", "trial-a", "trial", "ann/app", "trial/app", "hello-world", "prod/app", "red/app", "dev/a/b", "test/x", "dev", "x/y")
			}
			// A group of the directory becomes a group. The directory's other attributes become
			// claims.
			groups := r.labels["group"]
			r.labels = map[string][]string{}
			if r.account != "" {
				r.labels["team"] = pick(t, "team", nil, []string{"red"}, []string{"blue", "x"})
				r.labels["title"] = pick(t, "title", nil, []string{"Developer"}, []string{"Manager"})
				r.labels["groups"] = groups
				if rapid.Bool().Draw(t, "freeze") {
					r.labels["groups"] = append(r.labels["groups"], "freeze")
				}
			}
			if got, want := r.policyActions(p), actionsOf(firstActions(list, r)); got != want {
				t.Fatalf("%+v\nTidewaiter grants %q, docker_auth grants %q\n%s", r, got, want, result.Text)
			}
		}
	})
}
