package rulebook_test

import (
	"bytes"
	"compress/gzip"
	"database/sql"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/ruleset"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Databases store rules and versions of policies in these forms. Replicas of the previous version
// of Tidewaiter must be able to read the rows of this version, and this version must be able to
// read the rows of the previous version.
const (
	ruleAsStored = `{"name":"ci","effect":"allow","subjects":["user:ann"],"registries":["registry.example.com"],` +
		`"repositories":["team/**"],"actions":["pull","push"],"lifetime":300000000000,"comment":"why"}`
	versionAsStored = `{"roles":{"reader":{"a":"pull","l":60000000000}},"rules":[` +
		`{"n":"ci","s":["user:ann"],"p":["team/**"],"r":"reader","a":"push","l":300000000000,"f":"policy.yaml","i":3},` +
		`{"n":"freeze","d":true,"s":["anyone"],"g":["r"],"t":"registry","p":["catalog"],"a":"*"},` +
		`{"n":"owners","s":["user:ann"],"t":"tidewaiter","p":["namespace/team"],"a":"read,write","m":"team"},` +
		`{"n":"admins","s":["group:a"],"t":"tidewaiter","p":["**"],"a":"read,write","b":true}]}`
)

func TestStoredFormOfARule(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, d *harness) {
		ctx := t.Context()
		content := rulebook.Content{
			Name: "ci", Effect: ruleset.Allow, Subjects: []string{"user:ann"}, Registries: []string{"registry.example.com"},
			Repositories: []string{"team/**"}, Actions: []string{"pull", "push"}, Lifetime: "5m", Comment: "why",
		}
		must[rulebook.Rule](t)(d.AddRule(ctx, operator, content))
		written := must[string](t)(store.Text(d.db.Read().QueryRowContext(ctx, "SELECT content FROM rulebook_rules")))
		var want, got map[string]any
		if err := json.Unmarshal([]byte(ruleAsStored), &want); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(written), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the stored form of a rule has changed (-want +got):\n%s", diff)
		}

		err := d.db.Write(ctx, "rulebook", func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "UPDATE rulebook_rules SET content = $1", ruleAsStored)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		content.Lifetime = "5m0s"
		if diff := cmp.Diff(content, must[rulebook.Rule](t)(d.Rule(ctx, operator, "ci")).Content); diff != "" {
			t.Errorf("an old row (-want +got):\n%s", diff)
		}
		again := openHarness(t, d.url, file())
		if err := again.Load(ctx); err != nil {
			t.Fatal(err)
		}
		again.requireGrant(user("ann"), "repository:team/app:pull,push", "pull,push")
	})
}

func TestStoredFormOfAVersion(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, d *harness) {
		ctx := t.Context()
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		if _, err := z.Write([]byte(versionAsStored)); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		err := d.db.Write(ctx, "rulebook", func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "INSERT INTO rulebook_versions (id, used, since, source) VALUES ('0123456789abcdef', 1, 1, $1)", packed.Bytes())
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		want := policy.Source{
			Roles: map[string]policy.Role{"reader": {Actions: scope.Pull, Lifetime: time.Minute}},
			Rules: []policy.Rule{
				{Name: "ci", Subjects: []string{"user:ann"}, Names: []string{"team/**"}, Role: "reader", Actions: scope.Push, Lifetime: 5 * time.Minute, Origin: policy.Origin{File: "policy.yaml", Line: 3}},
				{Name: "freeze", Deny: true, Subjects: []string{"anyone"}, Registries: []string{"r"}, Type: "registry", Names: []string{"catalog"}, Actions: scope.All, Origin: policy.Origin{Database: true}},
				{Name: "owners", Subjects: []string{"user:ann"}, Type: "tidewaiter", Names: []string{"namespace/team"}, Actions: scope.Read | scope.Write, Origin: policy.Origin{Namespace: "team"}},
				{Name: "admins", Subjects: []string{"group:a"}, Type: "tidewaiter", Names: []string{"**"}, Actions: scope.Read | scope.Write, Origin: policy.Origin{BuiltIn: true}},
			},
		}
		if diff := cmp.Diff(want, must[policy.Source](t)(d.Version(ctx, "0123456789abcdef"))); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		written, err := rulebook.Pack(want)
		if err != nil {
			t.Fatal(err)
		}
		if written != versionAsStored {
			t.Errorf("the stored form of a version has changed:\n%s\n%s", versionAsStored, written)
		}
	})
}
