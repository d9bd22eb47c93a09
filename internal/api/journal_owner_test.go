package api_test

import (
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/api"
	"github.com/tidewaiter/tidewaiter/internal/journal"
)

// The index searches only for parts that owners may see. The duration of a search, and the place
// where it stops, must not reveal whether there are many entries with an address or a credential.
func TestSearchesOfOwnersUseNoHiddenParts(t *testing.T) {
	q := journal.Query{
		Since: time.Unix(1, 0), Until: time.Unix(2, 0), Kind: journal.KindEvent, Outcome: journal.Refused, Registry: "r", Who: &journal.Who{},
		Repository: "team/app", Digest: "sha256:0f1e2d3", Tag: "v1", Action: "push", Address: netip.MustParsePrefix("192.0.2.0/24"),
		Decision: journal.NewID(time.Unix(1, 0)), Credential: "password", Below: []string{"x"}, Only: func(*journal.Entry) bool { return true },
	}
	narrowed := api.NarrowQuery(map[string]time.Time{"team": {}, "other": {}}, q)
	if diff := cmp.Diff([]string{"other", "team"}, narrowed.Below); diff != "" {
		t.Error(diff)
	}
	hidden := []string{"Outcome", "Address", "Credential"}
	for i, before, after := 0, reflect.ValueOf(q), reflect.ValueOf(narrowed); i < before.NumField(); i++ {
		name := before.Type().Field(i).Name
		if before.Field(i).IsZero() {
			t.Errorf("decide whether owners see %s, and set it in this test", name)
		}
		if after.Field(i).IsZero() != slices.Contains(hidden, name) {
			t.Errorf("%s: %v", name, after.Field(i))
		}
	}
}
