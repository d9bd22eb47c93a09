package main

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Whoever does what docs/teams.md says has its files, and gets the answers that stand there.
func TestThePageOfTeamsCanBeFollowed(t *testing.T) {
	const file = "../../docs/teams.md"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir() // of a clone
	if err := os.CopyFS(root+"/examples/teams", os.DirFS("../../examples/teams")); err != nil {
		t.Fatal(err)
	}
	dir := root
	sh := func(command string) string {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "TZ=UTC")
		out, err := cmd.Output()
		if exit := cmd.ProcessState.ExitCode(); err != nil && (exit != 1 || len(out) == 0) {
			t.Errorf("%s: %v\n%s", command, err, out)
		}
		return string(out)
	}
	asked := 0
	page := regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$").ReplaceAllStringFunc(string(text), func(block string) string {
		kind, body, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(block, "```"), "```"), "\n")
		switch {
		case kind == "sh" && dir == root: // the first one goes into the folder that all others are for
			sh("set -e\n" + body)
			dir += "/auth"
		case kind == "sh": // nothing of a reader's runs here that could be told anything
			sh("pidof() { echo nobody; }; kill() { test \"$*\" = '-HUP nobody'; }\nset -e\n" + body)
		case kind == "console":
			var b strings.Builder
			for line := range strings.Lines(body) {
				if command, ok := strings.CutPrefix(line, "$ "); ok {
					b.WriteString(line + sh(command))
					asked++
				}
			}
			return "```console\n" + b.String() + "```"
		case kind == "yaml":
			for _, line := range regexp.MustCompile(`(?m)^ +- run: (tidewaiter .*)$`).FindAllStringSubmatch(body, -1) {
				sh(line[1])
				asked++
			}
		}
		return block
	})
	if asked < 8 {
		t.Errorf("the page asks %d times only", asked)
	}
	for _, name := range []string{"policy/base.yaml", "policy/payments.yaml", "policy/search.yaml", "tests/everybody.yaml", "tests/payments.yaml"} {
		written, err := os.ReadFile("../../examples/teams/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(page, "`"+name+"`") || !strings.Contains(page, "```yaml\n"+string(written)+"```") {
			t.Errorf("the page does not have examples/teams/%s as it is", name)
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(text), page); diff != "" {
		t.Errorf("the page says otherwise than the commands (-page +commands); make generate writes it anew:\n%s", diff)
	}
}
