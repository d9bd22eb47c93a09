package config

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write docs/configuration.md anew")

func TestReferenceIsUpToDate(t *testing.T) {
	file := filepath.FromSlash("../../docs/configuration.md")
	if *update {
		if err := os.WriteFile(file, []byte(Reference()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Reference(), string(got)); diff != "" {
		t.Errorf("docs/configuration.md is not what the tables of keys say; run: go test ./internal/config -update\n%s", diff)
	}
}

// Every key says what it means, and every key at the top shows how it is used, in YAML that loads.
func TestEveryKeyIsDocumented(t *testing.T) {
	var walk func(path string, rows []row)
	walk = func(path string, rows []row) {
		if len(rows) > maxKeys {
			t.Errorf("%s has %d keys; a section reads %d", path, len(rows), maxKeys)
		}
		for _, r := range rows {
			if r.means == "" || r.kind == "" {
				t.Errorf("%s%s: it is not said what it means", path, r.name)
			}
			walk(path+r.name+".", r.keys)
		}
	}
	walk("", rowsOf(testFileKeys()))
	for _, k := range configKeys() {
		walk("", []row{k.row})
		if k.example == "" {
			t.Errorf("%s has no example", k.name)
			continue
		}
		text := k.example
		if k.name != "registries" {
			text += "registries: [{service: registry.example.com}]\n"
		}
		_, err := loadText(t, files{
			"tidewaiter.yaml":            text,
			"users.htpasswd":             "",
			"/tls/cert.pem":              "",
			"/tls/key.pem":               "",
			"/keys/cert.pem":             "",
			"/keys/privatekey.pem":       "",
			"/run/secrets/notifications": "0123456789abcdef",
		})
		if err != nil {
			t.Errorf("the example of %s:\n%v", k.name, err)
		}
	}
}
