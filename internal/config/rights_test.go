package config

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Rules about Tidewaiter itself and rules about repositories are in the same policy. Rules about
// Tidewaiter itself grant no access to registries.
func TestRightsOverTidewaiter(t *testing.T) {
	cfg, err := loadText(t, files{"tidewaiter.yaml": `registries: [{ service: a }]
policy:
  roles: { keeper: [read, write] }
  rules:
    - { name: keepers, subjects: ["group:keepers"], tidewaiter: [accounts], role: keeper }
    - { name: readers, subjects: ["group:readers"], tidewaiter: ["**"], actions: [read] }
    - { name: team leads, subjects: ["group:leads"], tidewaiter: [policy, namespaces, "namespace/team-*", namespace/shop/web], actions: [write] }
    - { name: not eve, effect: deny, subjects: ["user:eve"], tidewaiter: ["**"], actions: [read, write] }
`}.withKeys())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ who, group, asks, gets string }{
		{"ann", "keepers", "tidewaiter:accounts:read,write", "read,write"},
		{"ann", "keepers", "tidewaiter:administrators:write", ""},
		{"ann", "keepers", "tidewaiter:journal:read", ""},
		{"bob", "readers", "tidewaiter:accounts:read,write", "read"},
		{"bob", "readers", "tidewaiter:journal:read", "read"},
		{"bob", "readers", "repository:a:pull", ""},
		{"eve", "keepers", "tidewaiter:accounts:read", ""},
		{"dan", "leads", "tidewaiter:policy:read,write", "write"},
		{"dan", "leads", "tidewaiter:namespaces:write", "write"},
		{"dan", "leads", "tidewaiter:namespace/team-a:write", "write"},
		{"dan", "leads", "tidewaiter:namespace/team-a/b:write", ""},
		{"dan", "leads", "tidewaiter:namespace/shop/web:write", "write"},
		{"dan", "leads", "tidewaiter:namespace/shop:write", ""},
		{"carl", "", "tidewaiter:accounts:read", ""},
	} {
		asked, _, err := scope.Parse([]string{tt.asks})
		if err != nil {
			t.Fatal(err)
		}
		who := &policy.Principal{Kind: policy.User, Name: tt.who}
		if tt.group != "" {
			who.Groups = []string{tt.group}
		}
		d := cfg.Policy.Decide(&policy.Request{Principal: who, Scopes: asked, Now: time.Unix(0, 0)})
		if diff := cmp.Diff(tt.gets, d.Results[0].Granted.String()); diff != "" {
			t.Errorf("%s of %q asks for %s (-want +got):\n%s", tt.who, tt.group, tt.asks, diff)
		}
	}
}
