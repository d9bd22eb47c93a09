package main

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Whoever asks what docs/policy.md asks, with the policy of that page, gets the answers that stand there.
func TestThePageOfPolicyCanBeFollowed(t *testing.T) {
	const file = "../../docs/policy.md"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(dir+"/"+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sh := func(command string) string {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "TZ=UTC")
		out, err := cmd.Output()
		if exit := cmd.ProcessState.ExitCode(); err != nil && (exit != 1 || len(out) == 0) {
			t.Errorf("%s: %v\n%s", command, err, out)
		}
		return string(out)
	}
	if err := os.Mkdir(dir+"/policy", 0o700); err != nil {
		t.Fatal(err)
	}
	write("policy/base.yaml", "rules: [ { name: base images, subjects: [signed-in], repositories: [\"base/**\"], role: reader } ]\n")
	sh("tidewaiter key new --dir keys >/dev/null; echo made")

	fences := regexp.MustCompile("(?ms)^```(yaml|console)\n(.*?)^```$")
	head, rest, _ := strings.Cut(string(text), "\n## Asking it\n")
	write("tidewaiter.yaml", "registries: [ { service: registry.example.com } ]\nsigning: { root: { folder: keys } }\nidentity: [ { accounts: {} } ]\nstate: sqlite:state.db\n"+
		fences.FindStringSubmatch(head)[2])
	sh("tidewaiter user add bob --no-password")

	asked := 0
	page := head + "\n## Asking it\n" + fences.ReplaceAllStringFunc(rest, func(block string) string {
		kind, body, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(block, "```"), "```"), "\n")
		switch {
		case kind == "console":
			var b strings.Builder
			for line := range strings.Lines(body) {
				if command, ok := strings.CutPrefix(line, "$ "); ok {
					b.WriteString(line + sh(command))
					asked++
				}
			}
			return "```console\n" + b.String() + "```"
		case strings.HasPrefix(body, "tests:"):
			write("tests.yaml", body)
		default: // of a CI system: its commands are those of the page
			for _, line := range regexp.MustCompile(`(?m)^ +- (?:run: )?(tidewaiter policy .*)$`).FindAllStringSubmatch(body, -1) {
				sh(line[1] + "; test $? = 1 && echo it found the mistake above")
				asked++
			}
		}
		return block
	})
	if asked < 8 {
		t.Errorf("the page asks %d times only", asked)
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
