package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// transcript is a page whose console blocks show commands and their output.
type transcript struct {
	*testing.T
	file, text string
	dir        string // where commands run
	asked      int    // the number of calls of runCounted
}

func openTranscript(t *testing.T, file string) *transcript {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return &transcript{T: t, file: file, text: string(text), dir: t.TempDir()}
}

// sh runs commands and returns their output. A command that prints something may exit with 1.
func (r *transcript) sh(command string) string {
	r.Helper()
	cmd := exec.CommandContext(r.Context(), "sh", "-c", command)
	cmd.Dir, cmd.Env = r.dir, append(os.Environ(), "TZ=UTC")
	out, err := cmd.Output()
	if exit := cmd.ProcessState.ExitCode(); err != nil && (exit != 1 || len(out) == 0) {
		r.Errorf("%s: %v\n%s", command, err, out)
	}
	return string(out)
}

// runCounted runs a command like sh, and counts the command. Use it for commands whose output the
// page shows.
func (r *transcript) runCounted(command string) string {
	r.Helper()
	r.asked++
	return r.sh(command)
}

// runConsole runs the commands of a console block, and returns the block with their output.
func (r *transcript) runConsole(body string) string {
	r.Helper()
	var b strings.Builder
	for line := range strings.Lines(body) {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			b.WriteString(line + r.runCounted(command))
		}
	}
	return "```console\n" + b.String() + "```"
}

// compare compares the page with a copy that has the current output of its commands. With
// -update, it writes the current output into the page.
func (r *transcript) compare(page string, least int) {
	r.Helper()
	if r.asked < least {
		r.Errorf("the page has only %d commands", r.asked)
	}
	if *update {
		if err := os.WriteFile(r.file, []byte(page), 0o644); err != nil {
			r.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(r.text, page); diff != "" {
		r.Errorf("the page differs from the output of its commands (-page +commands); make generate updates it:\n%s", diff)
	}
}

// fence returns the language and the content of a fenced block.
func fence(block string) (kind, body string) {
	kind, body, _ = strings.Cut(strings.TrimSuffix(strings.TrimPrefix(block, "```"), "```"), "\n")
	return kind, body
}
