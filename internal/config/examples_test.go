package config

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Every config in examples/ must load together with the files that its comments describe, and must
// have exactly the expected warnings.
func TestExamplesLoad(t *testing.T) {
	for _, tt := range []struct {
		example  string
		made     []string // files that a reader of the example creates
		warnings []string // by line
	}{
		{example: "minimal", made: []string{"keys/cert.pem", "keys/privatekey.pem", "users.htpasswd"}},
		{example: "home", made: []string{"keys/cert.pem", "keys/privatekey.pem", "users.htpasswd", "notifications.secret"}},
		{example: "team", made: []string{"keys/cert.pem", "keys/privatekey.pem", "tls/cert.pem", "tls/key.pem",
			"people.htpasswd", "programs.htpasswd", "secrets/registry"}},
		{example: "teams", made: []string{"keys/cert.pem", "keys/privatekey.pem", "users.htpasswd", "notifications.secret"}},
		{example: "webhook", made: []string{"keys/cert.pem", "keys/privatekey.pem", "secret"}},
		{example: "dockerauth", made: []string{"keys/cert.pem", "keys/privatekey.pem"}, warnings: []string{
			"clients do not trust a self-signed certificate: for testing only",
			"anyone can post events and write false entries into the journal: for demonstrations only",
			"anyone can sign in with any name and any password: for demonstrations only",
		}},
	} {
		t.Run(tt.example, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(filepath.Join("..", "..", "examples", tt.example))); err != nil {
				t.Fatal(err)
			}
			for _, name := range tt.made {
				file := filepath.Join(dir, filepath.FromSlash(name))
				if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte("0123456789abcdef\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			o := Options{Env: func(name string) (string, bool) { return "fedcba9876543210", name == "ARCHIVE_NOTIFICATIONS" }}
			if tt.example == "dockerauth" {
				o.Keys = filepath.Join(dir, "keys")
			}
			c, err := Load(filepath.Join(dir, "tidewaiter.yaml"), o)
			if err != nil {
				t.Fatal(err)
			}
			var warnings []string
			for _, w := range c.Warnings {
				warnings = append(warnings, w.Text)
			}
			if diff := cmp.Diff(tt.warnings, warnings); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

// The policies in docs/policy.md load.
func TestThePoliciesOfThePageLoad(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "policy.md"))
	if err != nil {
		t.Fatal(err)
	}
	// A script of the command line tests the rest of the page.
	policies, _, _ := strings.Cut(string(page), "\n## Query the policy\n")
	blocks := regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$").FindAllStringSubmatch(policies, -1)
	if len(blocks) < 2 || !strings.Contains(string(page), "## Conditions") {
		t.Fatalf("the page has %d policies", len(blocks))
	}
	for _, b := range blocks {
		_, err := loadText(t, files{
			"tidewaiter.yaml":  base + b[1],
			"policy/more.yaml": "roles: { other: [pull] }\n",
		}.withKeys())
		if err != nil {
			t.Errorf("%s\n%v", b[1], err)
		}
	}
}

// TestExamplesLoad must load every config in examples/.
func TestEveryExampleIsLoaded(t *testing.T) {
	var found []string
	err := filepath.WalkDir(filepath.Join("..", "..", "examples"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "tidewaiter.yaml" {
			found = append(found, filepath.Base(filepath.Dir(path)))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(found, " "); got != "dockerauth home minimal team teams webhook" {
		t.Errorf("examples/ has %s: add the new one to TestExamplesLoad", got)
	}
}
