package config

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The journal has the place of the rule that decided. This place does not depend on the folder in
// which the service was started.
func TestThePlaceOfARuleDoesNotDependOnTheWorkingDirectory(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	rule := func(name string) string {
		return "{ name: " + name + ", subjects: [anyone], repositories: [a], actions: [pull] }\n"
	}
	for file, text := range map[string]string{
		filepath.Join(dir, "tidewaiter.yaml"): "registries: [{ service: r.example.com }]\npolicy:\n  files: [policy/*.yaml, " +
			elsewhere + "/*.yaml]\n  rules:\n    - " + rule("here"),
		filepath.Join(dir, "policy", "team.yaml"):  "rules:\n  - " + rule("team"),
		filepath.Join(elsewhere, "elsewhere.yaml"): "rules:\n\n  - " + rule("elsewhere"),
	} {
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]string{
		"here": "tidewaiter.yaml:5", "team": filepath.Join("policy", "team.yaml") + ":2", "elsewhere": filepath.Join(elsewhere, "elsewhere.yaml") + ":3",
	}
	for _, from := range []struct{ dir, file string }{
		{dir, "tidewaiter.yaml"}, {dir, "./tidewaiter.yaml"}, {elsewhere, filepath.Join(dir, "tidewaiter.yaml")},
		{filepath.Dir(dir), filepath.Join(filepath.Base(dir), "tidewaiter.yaml")}, {filepath.Join(dir, "policy"), "../tidewaiter.yaml"},
	} {
		t.Chdir(from.dir)
		p, err := LoadPolicy(from.file, false)
		if err != nil {
			t.Fatal(err)
		}
		got := make(map[string]string)
		for _, r := range p.Rules.Rules {
			got[r.Name] = r.Origin.String()
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s in %s: %s", from.file, from.dir, diff)
		}
	}
}
