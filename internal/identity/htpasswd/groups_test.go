package htpasswd

import "testing"

func TestTheNearestNameIsSuggested(t *testing.T) {
	for _, tt := range []struct {
		name string
		of   []string
		want string
	}{
		{"ann", []string{"anna", "bob"}, "anna"},
		{"anna", []string{"ann", "bob"}, "ann"},
		{"an", []string{"bn", "ann", "a", "am"}, "a"}, // of several, the first in the alphabet
		{"ann", []string{"bob"}, ""},
		{"margaret", []string{"margrte", "margrit", "mary"}, "margrit"},
		{"x", []string{"yz"}, ""},
		{"Ann", []string{"ann", "ant"}, "ann"},
		{"ann", nil, ""},
	} {
		named := make(map[string]place)
		for _, name := range tt.of {
			named[name] = place{}
		}
		for range 10 { // whatever the order of the map
			if got := nearest(tt.name, named); got != tt.want {
				t.Errorf("nearest to %q of %q: %q, want %q", tt.name, tt.of, got, tt.want)
			}
		}
	}
}
