package dedup

import (
	"fmt"
	"testing"
)

// The hashes of events are stored. If the hash function changed, the events that arrived within
// RecognizedFor would no longer be recognized.
func TestHashesAreStable(t *testing.T) {
	for _, tt := range []struct{ registry, id, want string }{
		{"registry.example.com", "e1", "7c8c1dd40fc4ccb6"},
		{"", "abc", "f3652e4ce938bb99"},
	} {
		if got := fmt.Sprintf("%016x", uint64(hashEvent(tt.registry, tt.id))); got != tt.want {
			t.Errorf("the hash of %q and %q is %s, want %s", tt.registry, tt.id, got, tt.want)
		}
	}
}
