package htpasswd_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/identity/htpasswd"
	"github.com/tidewaiter/tidewaiter/internal/password"
)

const cheap = "$2y$04$wfOhxvfgVDPSrMGUOpKrQe4SWOFUA6vgHVnl0Hhh1RWWg8FtUtbpq"

func TestAUserHasTheConfiguredClaims(t *testing.T) {
	file, err := htpasswd.New(htpasswd.Options{
		Entries: []string{"ann:" + cheap, "bob:" + cheap},
		Claims:  map[string]map[string][]string{"ann": {"team": {"red", "blue"}, "title": {"Developer"}}},
		Hashing: password.New(password.Options{}),
	})
	if err != nil {
		t.Fatal(err)
	}
	ann, err := file.Find(t.Context(), "ann", "")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"team": []any{"red", "blue"}, "title": []any{"Developer"}}
	if diff := cmp.Diff(want, ann.Claims); diff != "" {
		t.Errorf("ann's claims (-want +got):\n%s", diff)
	}
	if bob, err := file.Find(t.Context(), "bob", ""); err != nil || len(bob.Claims) > 0 {
		t.Errorf("bob's claims: %v (%v)", bob.Claims, err)
	}
}

func TestClaimsWithoutAnEntryAreAnError(t *testing.T) {
	_, err := htpasswd.New(htpasswd.Options{
		Entries: []string{"ann:" + cheap}, Claims: map[string]map[string][]string{"anna": {"team": {"red"}}},
		Hashing: password.New(password.Options{}),
	})
	problems, _ := errors.AsType[htpasswd.Problems](err)
	want := htpasswd.Problems{{Claims: "anna", Text: "there is no entry for this name", Suggestion: "ann"}}
	if diff := cmp.Diff(want, problems); diff != "" {
		t.Fatalf("problems (-want +got):\n%s", diff)
	}
	if text := err.Error(); text != `claims of "anna": there is no entry for this name (did you mean "ann"?)` {
		t.Error(text)
	}
}
