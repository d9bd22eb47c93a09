package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
)

// LoadPolicy does not read files and secrets that only the service needs.
func TestOnlyThePolicyIsRead(t *testing.T) {
	disk := files{
		"tidewaiter.yaml": "registries: [ { service: r, notifications: { secret_file: nowhere } } ]\npolicy: { files: [p.yaml], rules: [ { name: a, subjects: [anyone], repositories: [a], actions: [pull] } ] }",
		"p.yaml":          "rules: [ { name: b, subjects: [anyone], repositories: [b], role: w } ]\nroles: { w: [push] }",
	}
	p, err := loadPolicy(&strictyaml.Reader{FS: disk}, "tidewaiter.yaml", false)
	if err != nil || p.Policy.Len() != 2 || !cmp.Equal(p.Services, []string{"r"}) || len(p.Files) != 2 {
		t.Errorf("%+v, %v", p, err)
	}
	if p.Database != "" {
		t.Errorf("the database was not asked for: %s", p.Database)
	}
	// A config without the section "policy" is valid, because all rules can be in the database.
	for text, want := range map[string]string{
		"registries: [ { service: r } ]":                         "sqlite:data/state.db",
		"registries: []\npolicy: {}\ndatabase: sqlite:/tmp/s.db": "sqlite:/tmp/s.db",
		"policy: {}\ndatabase: postgres://ann@db/waiter":         "postgres://ann@db/waiter",
	} {
		if p, err := loadPolicy(&strictyaml.Reader{FS: files{"c.yaml": text}}, "c.yaml", true); err != nil || p.Database != want {
			t.Errorf("%s: %+v, %v", text, p, err)
		}
	}
	if _, err := loadPolicy(&strictyaml.Reader{FS: files{"c.yaml": "policy: {}\ndatabase: state.db"}}, "c.yaml", true); err == nil || !strings.Contains(err.Error(), `c.yaml:2:11: the database URL has no scheme`) {
		t.Errorf("a database URL without a scheme: %v", err)
	}
	for file, want := range map[string]string{
		"p.yaml":       `p.yaml:1:1: the config has no policy; use --policy for a file with roles and rules at its top`,
		"nowhere.yaml": `opening nowhere.yaml: file does not exist; name another config with --config, or a file of rules with --policy`,
	} {
		if _, err := loadPolicy(&strictyaml.Reader{FS: disk}, file, true); err == nil || err.Error() != want {
			t.Errorf("%s: %v", file, err)
		}
	}
}
