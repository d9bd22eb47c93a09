package config

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/policyfile"
	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
)

var update = flag.Bool("update", false, "rewrite docs/configuration.md")

func TestReferenceIsUpToDate(t *testing.T) {
	file := filepath.FromSlash("../../docs/configuration.md")
	if *update {
		if err := os.WriteFile(file, []byte(reference()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(reference(), string(got)); diff != "" {
		t.Errorf("docs/configuration.md is out of date; run: go test ./internal/config -update\n%s", diff)
	}
}

// Every key has a description, and every key at the top has an example that loads.
func TestEveryKeyIsDocumented(t *testing.T) {
	var walk func(path string, rows []strictyaml.Row)
	walk = func(path string, rows []strictyaml.Row) {
		if len(rows) > 16 {
			t.Errorf("%s has %d keys; strictyaml.Section reads 16", path, len(rows))
		}
		for _, r := range rows {
			if r.Means == "" || r.Kind == "" {
				t.Errorf("%s%s has no description", path, r.Name)
			}
			walk(path+r.Name+".", r.Keys)
		}
	}
	walk("", []strictyaml.Row{policyfile.TestRow()})
	for _, k := range configKeys(nil) {
		walk("", []strictyaml.Row{k.Row})
		if k.Example == "" {
			t.Errorf("%s has no example", k.Name)
			continue
		}
		text := k.Example
		if k.Name != "registries" {
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
			"/run/secrets/ci-webhook":    sharedKey,
		})
		if err != nil {
			t.Errorf("the example of %s:\n%v", k.Name, err)
		}
	}
}
