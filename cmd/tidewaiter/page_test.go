package main

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// Whoever types the commands of docs/accounts.md one after the other, under the configs of that page, gets
// what it says.
func TestThePageOfAccountsCanBeFollowed(t *testing.T) {
	follow(t, "../../docs/accounts.md", 20)
	secret, err := os.ReadFile("deploy.secret")
	if err != nil || !strings.HasPrefix(string(secret), "twp_") || strings.Count(string(secret), "\n") != 1 {
		t.Errorf("the file that a secret was sent to has %d bytes (%v)", len(secret), err)
	}
}

// And so with docs/namespaces.md.
func TestThePageOfNamespacesCanBeFollowed(t *testing.T) { follow(t, "../../docs/namespaces.md", 18) }

// follow types the commands of a page, of which there are so many at least, in a folder of their own.
func follow(t *testing.T, file string, least int) {
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
	if n := strings.Count(script, "tidewaiter "); n < least {
		t.Fatalf("the page has %d commands only", n)
	}
	if err := os.WriteFile("tidewaiter.yaml", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "sh", "-c", script+"tidewaiter check\n").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(string(out), "tidewaiter.yaml is good") {
		t.Errorf("the configs of the page: %s", out)
	}
}
