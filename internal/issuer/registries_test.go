package issuer_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/issuer"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
	"github.com/tidewaiter/tidewaiter/token"
)

// accessClaim is the access claim of a token.
func accessClaim(t testing.TB, a issuer.Answer) string {
	t.Helper()
	text, err := base64.RawURLEncoding.DecodeString(strings.Split(string(a.Token), ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var c struct{ Access json.RawMessage }
	if err := json.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	return string(c.Access)
}

// Watchtower sends the challenge back in lower case, including the name of the service.
func TestServiceInOtherCaseIsFoundIfUnambiguous(t *testing.T) {
	b := newFixture(t, func(l *issuer.Live) {
		for _, name := range []string{"Docker Registry", "twin", "Twin"} {
			l.Registries[name] = &issuer.Registry{Service: name, KeyID: token.X5C, Algorithm: token.ES256, Lifetime: 5 * time.Minute}
		}
	})
	for asked, want := range map[string]string{
		"Docker Registry": "Docker Registry", "docker registry": "Docker Registry", "DOCKER REGISTRY": "Docker Registry",
		"twin": "twin", "Twin": "Twin", "TWIN": "", "docker": "", "": "",
	} {
		r := request("ann", "repository:app:pull")
		r.Service = asked
		a, err := b.Issue(t.Context(), r)
		switch {
		case want == "":
			if !errors.Is(err, issuer.ErrUnknownRegistry) {
				t.Errorf("%q: error %v", asked, err)
			}
		case err != nil || a.Registry.Service != want:
			t.Errorf("%q: %v, %v, want %q", asked, a.Registry, err, want)
		default:
			if entries := b.entries(); entries[len(entries)-1].Registry != want {
				t.Errorf("%q: the journal has the registry %q", asked, entries[len(entries)-1].Registry)
			}
		}
	}
}

// zot requests its catalog as a pull of an empty name. A principal with the right to the catalog
// is granted this pull. Tokens of other registries never have a scope with an empty name.
func TestCatalogOfZot(t *testing.T) {
	b := newFixture(t, func(l *issuer.Live) {
		l.Registries["zot"] = &issuer.Registry{Service: "zot", KeyID: token.Thumbprint, Algorithm: token.ES256, Lifetime: 5 * time.Minute, CatalogByPull: true}
		l.Policy = compile(t,
			policy.Rule{Name: "catalog", Subjects: []string{"user:root"}, Type: scope.TypeRegistry, Names: []string{"catalog"}, Actions: scope.All},
			policy.Rule{Name: "all", Subjects: []string{"signed-in"}, Names: []string{"**"}, Actions: scope.Pull},
		)
	})
	for _, tt := range []struct{ service, user, scope, access string }{
		{"zot", "root", "repository::pull", `[{"type":"repository","name":"","actions":["pull"]}]`},
		{"zot", "root", "repository::pull repository:app:pull", `[{"type":"repository","name":"app","actions":["pull"]},{"type":"repository","name":"","actions":["pull"]}]`},
		{"zot", "root", "registry:catalog:*", `[{"type":"repository","name":"","actions":["pull"]}]`},
		{"zot", "root", "repository::push", `[]`},
		{"zot", "ann", "repository::pull", `[]`},
		{"r", "root", "repository::pull", `[]`},
		{"r", "root", "registry:catalog:*", `[{"type":"registry","name":"catalog","actions":["*"]}]`},
	} {
		r := request(tt.user, tt.scope)
		r.Service = tt.service
		if diff := cmp.Diff(tt.access, accessClaim(t, b.issue(r))); diff != "" {
			t.Errorf("%s for %s at %s (-want +got):\n%s", tt.scope, tt.user, tt.service, diff)
		}
	}
}
