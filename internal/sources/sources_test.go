package sources

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
	"github.com/tidewaiter/tidewaiter/policy/when"
)

func TestTheConfigAndThisTableHaveTheSameKinds(t *testing.T) {
	if diff := cmp.Diff(slices.Sorted(slices.Values(config.SourceKinds())), slices.Sorted(maps.Keys(sourceKinds))); diff != "" {
		t.Errorf("(-config +sources)\n%s", diff)
	}
}

const hash = "$2a$04$nHzDJR3hsKTCNOuiWGeoYOTeM2rr.JDk6nO6VgUfTqCVANmLRdlqy"

// load reads a config whose section identity has the given entries.
func load(t *testing.T, entries ...string) *config.Config {
	t.Helper()
	dir := t.TempDir()
	text := "signing: { root: { folder: . } }\nregistries: [{ service: r.example.com }]\nidentity:\n"
	for _, e := range entries {
		text += "  - " + e + "\n"
	}
	file := filepath.Join(dir, "tidewaiter.yaml")
	for name, content := range map[string]string{"tidewaiter.yaml": text, "cert.pem": "", "privatekey.pem": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := config.Load(file, config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// examples has an example of each kind of source, with the names and claims that its settings
// permit.
var examples = map[string]struct {
	entry string
	may   []string // subjects
	not   map[string]string
	claim when.Kinds // types of the claim "team"
}{
	"accounts": {"accounts: {}", []string{"group:a", "robot:a", "workload:a"}, nil, 0},
	"anyone":   {"anyone: {}", []string{"group:a", "robot:a", "workload:a"}, nil, 0},
	"exec":     {"exec: { name: a, command: [/bin/true] }", []string{"group:a", "workload:a"}, nil, anyType},
	"htpasswd": {`htpasswd: { entries: ["ann:` + hash + `"], groups: { dev: [ann] }, claims: { ann: { team: [red] } } }`,
		[]string{"user:bob", "group:dev"}, map[string]string{"group:dav": "dev", "workload:a": "", "robot:a": ""}, when.List},
	"ldap": {`ldap: { name: corp, servers: ["ldaps://a"], user: { base: "o=x", attributes: { team: team } } }`, []string{"group:a", "workload:a"}, nil, when.Text | when.List},
	"oidc": {"oidc: { name: github, preset: github-actions, audience: us, require: { repository_owner: acme } }",
		[]string{"user:bob", "workload:github:acme/app"}, map[string]string{"workload:acme/app": "workload:github:acme/app", "group:a": "github:a", "robot:a": ""}, 0},
	"webhook": {"webhook: { name: a, url: https://a.example.com }", []string{"group:a", "workload:a"}, nil, anyType},
}

func TestEachKindIsBuiltAndKnowsItsNames(t *testing.T) {
	for kind := range sourceKinds {
		t.Run(kind, func(t *testing.T) {
			tt, ok := examples[kind]
			if !ok {
				t.Fatal("add the kind to the table of this test")
			}
			set, err := Build(load(t, tt.entry), Options{})
			if err != nil {
				t.Fatal(err)
			}
			if s := set.Sources[0]; s.Name != s.Config.Name() || s.Config.Kind != kind || set.Named(s.Name) != s || set.Chain.Source(s.Name) == nil {
				t.Errorf("built %+v", s.Source)
			}
			for _, subject := range tt.may {
				if ok, _ := set.MayHave(subject); !ok {
					t.Errorf("it cannot have %s", subject)
				}
			}
			for subject, want := range tt.not {
				if ok, meant := set.MayHave(subject); ok || meant != want {
					t.Errorf("%s: %t, meant %q, want %q", subject, ok, meant, want)
				}
			}
			if types, known := set.Claim("team"); types != tt.claim || !known {
				t.Errorf("the claim is %v, %t", types, known)
			}
		})
	}
}

// A command can use the valid sources of a config. If an operation needs an invalid source, it
// gets the error of this source.
func TestAnInvalidSourceIsAnOutageOfItself(t *testing.T) {
	cfg := load(t, `htpasswd: { entries: ["ann:`+hash+`"] }`, `ldap: { name: corp, servers: ["ldap://a"], user: { base: "o=x" } }`)
	set, err := Build(cfg, Options{})
	problems, _ := errors.AsType[strictyaml.Problems](err)
	if len(problems) != 1 || problems[0].Line != 5 || !strings.Contains(problems[0].Text, "unencrypted") {
		t.Fatalf("got %v", err)
	}
	if p, err := set.Find(context.Background(), "ann"); err != nil || p.Source != "htpasswd" {
		t.Errorf("ann: %v, %v", p, err)
	}
	if _, err := set.Find(context.Background(), "bob"); !errors.Is(err, identity.ErrUnavailable) {
		t.Errorf("bob: %v", err)
	}
	if found := set.Elsewhere(context.Background(), "bob"); len(found.Unchecked) != 1 {
		t.Errorf("bob elsewhere: %+v", found)
	}
	if ok, _ := set.MayHave("group:a"); !ok {
		t.Error("a group that only the invalid source can have")
	}
	if _, known := set.Claim("team"); known {
		t.Error("the claims of an invalid source are known")
	}
}

func TestElsewhere(t *testing.T) {
	set, err := Build(load(t, "accounts: {}", `htpasswd: { entries: ["ann:`+hash+`"] }`,
		"oidc: { name: sso, kind: user, issuer: https://sso.example.com, audience: us, principal: 'sso:{email}' }",
		"exec: { name: shop, command: [/bin/true] }"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	advice := "to create an account with the same password and groups, copy the line in entries to a file and use tidewaiter import htpasswd FILE; or remove ann from entries"
	unchecked := "exec:shop: it cannot look up a name without the password"
	for login, want := range map[string]accounts.Elsewhere{
		"ann":                       {Source: "htpasswd", Advice: advice},
		"bob":                       {Unchecked: []string{unchecked}},
		"sso:bob":                   {Unchecked: []string{"oidc:sso: an issuer of ID tokens has no list of names", unchecked}},
		accounts.RobotPrefix + "ci": {}, // remote sources have no robots
	} {
		if diff := cmp.Diff(want, set.Elsewhere(context.Background(), login)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", login, diff)
		}
	}
}
