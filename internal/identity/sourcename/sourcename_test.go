package sourcename

import "testing"

func TestSame(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		same bool
	}{
		{"webhook:shop", "external:shop", true},
		{"exec:shop", "external:shop", true},
		{"external:shop", "external:shop", true},
		{"webhook:shop", "external:other", false},
		{"webhook:shop", "exec:shop", false}, // a config cannot have both
		{"ldap:shop", "external:shop", false},
		{"shop", "external:shop", false}, // an htpasswd source
		{"accounts", "accounts", true},
	} {
		if Same(tt.a, tt.b) != tt.same || Same(tt.b, tt.a) != tt.same {
			t.Errorf("%s and %s: want %t", tt.a, tt.b, tt.same)
		}
	}
}
