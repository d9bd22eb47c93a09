package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// The page docs/teams.md shows commands, files and output. The commands must create these files
// and print this output.
func TestThePageOfTeamsCanBeFollowed(t *testing.T) {
	r := openTranscript(t, "../../docs/teams.md")
	root := r.dir // like a clone of the repository
	if err := os.CopyFS(root+"/examples/teams", os.DirFS("../../examples/teams")); err != nil {
		t.Fatal(err)
	}
	page := regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$").ReplaceAllStringFunc(r.text, func(block string) string {
		switch kind, body := fence(block); {
		case kind == "sh" && r.dir == root: // the first block creates the folder
			r.sh("set -e\n" + body)
			r.dir += "/auth"
		case kind == "sh": // no service runs, so kill is a function that checks the signal
			r.sh("pidof() { echo nobody; }; kill() { test \"$*\" = '-HUP nobody'; }\nset -e\n" + body)
		case kind == "console":
			return r.runConsole(body)
		case kind == "yaml":
			for _, line := range regexp.MustCompile(`(?m)^ +- run: (tidewaiter .*)$`).FindAllStringSubmatch(body, -1) {
				r.runCounted(line[1])
			}
		}
		return block
	})
	for _, name := range []string{"policy/base.yaml", "policy/payments.yaml", "policy/search.yaml", "tests/everybody.yaml", "tests/payments.yaml"} {
		written, err := os.ReadFile("../../examples/teams/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(page, "`"+name+"`") || !strings.Contains(page, "```yaml\n"+string(written)+"```") {
			t.Errorf("the page does not have examples/teams/%s as it is", name)
		}
	}
	r.compare(page, 8)
}
