package config

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDatabaseOnPostgreSQL(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"password": 0o600, "open": 0o644, "ca.pem": 0o644, "cert.pem": 0o644, "privatekey.pem": 0o600} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("canary"), mode); err != nil {
			t.Fatal(err)
		}
	}
	load := func(state string) (*Config, error) {
		file := filepath.Join(dir, "tidewaiter.yaml")
		text := "database: " + state + "\nsigning: { root: { folder: . } }\nregistries: [{ service: r }]\nidentity: [{ anyone: {} }]\n" +
			"policy: { rules: [{ name: r, subjects: [anyone], repositories: [a], actions: [pull] }] }\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return Load(file, Options{})
	}
	for _, tt := range []struct{ state, path, want, warning string }{
		{"postgres://me@db/x", "", "", ""},
		{"postgresql:///x?host=/run/postgresql", "", "", ""},
		{"postgres://me@one:5432,two:5432/x?password_file=password&sslmode=require", "password_file", "password", ""},
		{"postgres://me@db/x?passfile=open", "passfile", "open", "all users of this machine can read"},
		{"postgres://me@db/x?sslrootcert=ca.pem", "sslrootcert", "ca.pem", ""}, // no secret
		{"postgres://me@db/x?sslrootcert=system", "", "", ""},
	} {
		c, err := load(tt.state)
		if err != nil {
			t.Errorf("%s: %v", tt.state, err)
			continue
		}
		if tt.path == "" && c.Database != tt.state {
			t.Errorf("%s became %s", tt.state, c.Database)
		}
		if _, query, _ := strings.Cut(c.Database, "?"); tt.path != "" {
			options, err := url.ParseQuery(query)
			if err != nil || options.Get(tt.path) != filepath.Join(dir, tt.want) {
				t.Errorf("%s became %s: the path is relative to the config's folder", tt.state, c.Database)
			}
		}
		warned := ""
		for _, w := range c.Warnings {
			if w.Line == 1 {
				warned = w.Text
			}
		}
		if (tt.warning == "") != (warned == "") || !strings.Contains(warned, tt.warning) {
			t.Errorf("%s: the warning is %q, want %q", tt.state, warned, tt.warning)
		}
	}
	if _, err := load("postgres://me@db/x?password_file=none"); err == nil || !strings.Contains(err.Error(), "password_file: opening ") {
		t.Errorf("a missing password file: %v", err)
	}
}
