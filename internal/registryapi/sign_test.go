package registryapi_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/keyring"
	"github.com/tidewaiter/tidewaiter/internal/registryapi"
	"github.com/tidewaiter/tidewaiter/scope"
	"github.com/tidewaiter/tidewaiter/token"
)

// A token has only the rights of the request, and a short lifetime.
func TestTokensThatTidewaiterSignsForItself(t *testing.T) {
	now := func() time.Time { return noon }
	root, err := token.NewRoot("a root for tests", token.ES256, noon.Add(-time.Hour), noon.Add(48*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := keyring.New(keyring.Options{Root: root, Direct: true, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := token.NewVerifier(token.VerifierOptions{Roots: root.Bundle(), Issuer: "tidewaiter", Audience: "r"})
	if err != nil {
		t.Fatal(err)
	}
	catalog := scope.Scope{Type: scope.TypeRegistry, Name: "catalog", Actions: scope.All}
	app := scope.Scope{Type: scope.TypeRepository, Name: "team/app", Actions: scope.Delete}
	for _, tt := range []struct {
		zot         bool
		asked, want scope.Scope
	}{
		{false, app, app},
		{false, catalog, catalog},
		{true, app, app},
		{true, catalog, scope.Scope{Type: scope.TypeRepository, Actions: scope.Pull}},
	} {
		i := registryapi.Issuer{
			Keys: keys, KeyID: token.X5C, Algorithm: token.ES256, Name: "tidewaiter", Service: "r", Subject: "tidewaiter:1", CatalogByPull: tt.zot, Now: now,
		}
		signed, until, err := i.Sign(tt.asked)
		if err != nil {
			t.Fatal(err)
		}
		claims, err := verifier.Verify(signed, noon)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]scope.Scope{tt.want}, claims.Access); diff != "" || claims.Subject != "tidewaiter:1" || !claims.Expires.Equal(until) || until.After(noon.Add(3*time.Minute)) {
			t.Errorf("%+v: %+v, until %s: %s", tt, claims, until, diff)
		}
	}
}
