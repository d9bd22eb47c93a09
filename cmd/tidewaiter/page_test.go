package main

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// The commands of docs/accounts.md work in the order of the page, with the configs of the page.
func TestThePageOfAccountsCanBeFollowed(t *testing.T) {
	runPage(t, "../../docs/accounts.md", 20)
	secret, err := os.ReadFile("deploy.secret")
	if err != nil || !strings.HasPrefix(string(secret), "twp_") || strings.Count(string(secret), "\n") != 1 {
		t.Errorf("the file with the secret has %d bytes (%v)", len(secret), err)
	}
}

// The commands of docs/namespaces.md work in the order of the page, with the configs of the page.
func TestThePageOfNamespacesCanBeFollowed(t *testing.T) { runPage(t, "../../docs/namespaces.md", 18) }

// runPage runs the commands of a page in a new folder. The page must have at least the given
// number of commands.
func runPage(t *testing.T, file string, minimum int) {
	t.Helper()
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	type block struct{ kind, text string }
	var blocks []block
	for _, found := range regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$").FindAllStringSubmatch(string(page), -1) {
		blocks = append(blocks, block{found[1], found[2]})
	}
	text := "registries: [{ service: registry.example.com }]\nsigning: { root: { folder: keys } }\n"
	script := "set -eu\ntidewaiter key new --dir keys\n"
	for _, b := range blocks {
		switch b.kind {
		case "yaml":
			text += b.text
		case "sh":
			script += b.text
		case "text":
		default:
			t.Errorf("a block of the page is neither yaml nor sh: %s", b.text)
		}
	}
	if n := strings.Count(script, "tidewaiter "); n < minimum {
		t.Fatalf("the page has only %d commands", n)
	}
	if err := os.WriteFile("tidewaiter.yaml", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "sh", "-c", script+"tidewaiter check\n").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(string(out), "tidewaiter.yaml is valid") {
		t.Errorf("the configs of the page are invalid: %s", out)
	}
}

// The commands of docs/import.md work in the order of the page, with the config of the page.
func TestThePageOfImportCanBeFollowed(t *testing.T) {
	page, err := os.ReadFile("../../docs/import.md")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	script := "set -eu\ntidewaiter key new --dir keys\n"
	for _, found := range regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$").FindAllStringSubmatch(string(page), -1) {
		switch found[1] {
		case "yaml":
			if err := os.WriteFile("auth_config.yml", []byte(found[2]), 0o600); err != nil {
				t.Fatal(err)
			}
		case "sh":
			for line := range strings.Lines(found[2]) {
				// sh -e ignores the status of "! command".
				if refused, ok := strings.CutPrefix(line, "! "); ok {
					line = "if " + strings.TrimSpace(refused) + "; then exit 3; fi\n"
				}
				script += line
			}
		default:
			t.Errorf("a block of the page is neither yaml nor sh: %s", found[2])
		}
	}
	if n := strings.Count(script, "tidewaiter "); n < 10 {
		t.Fatalf("the page has only %d commands", n)
	}
	out, err := exec.CommandContext(t.Context(), "sh", "-c", script).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"tidewaiter.yaml is valid", "dry run: 1 user added", "1 user added, 1 group added", "bcrypt"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("want %q in\n%s", want, out)
		}
	}
}
