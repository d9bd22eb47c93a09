package text

import "testing"

func TestWithoutRegistry(t *testing.T) {
	for _, tt := range []struct {
		name, host, repository string
		sure                   bool
	}{
		{"localhost:5000/team/app", "localhost:5000", "team/app", true},
		{"localhost/app", "localhost", "app", true},
		{"registry.example.com:443/team/**", "registry.example.com:443", "team/**", true},
		{"[::1]:5000/team", "[::1]:5000", "team", true},
		// This can also be a mirror's repository.
		{"registry.example.com/team/app", "registry.example.com", "team/app", false},
		{"team/app", "", "team/app", false},
		{"app", "", "app", false},
		{"app:v1", "", "app:v1", false},
		{"team/app:v1", "", "team/app:v1", false},
		{"team/localhost/app", "", "team/localhost/app", false},
		{"**", "", "**", false},
		{"localhost:5000/", "", "localhost:5000/", false},
		{"/app", "", "/app", false},
		{"", "", "", false},
	} {
		if host, repository, sure := WithoutRegistry(tt.name); host != tt.host || repository != tt.repository || sure != tt.sure {
			t.Errorf("%s: %q, %q, %t; want %q, %q, %t", tt.name, host, repository, sure, tt.host, tt.repository, tt.sure)
		}
	}
}
