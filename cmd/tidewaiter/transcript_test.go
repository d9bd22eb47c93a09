package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// transcript is a page of docs whose consoles say what commands answer: who reads it types them, and compares.
type transcript struct {
	*testing.T
	file, text string
	dir        string // where commands are typed
	asked      int    // how many were, whose answer counts
}

func openTranscript(t *testing.T, file string) *transcript {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return &transcript{T: t, file: file, text: string(text), dir: t.TempDir()}
}

// sh types commands, and returns what they print. They may fail where they say why.
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

// ask is sh where it counts that somebody asked.
func (r *transcript) ask(command string) string {
	r.Helper()
	r.asked++
	return r.sh(command)
}

// console types what a console's block has typed, and returns the block with the answers.
func (r *transcript) console(body string) string {
	r.Helper()
	var b strings.Builder
	for line := range strings.Lines(body) {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			b.WriteString(line + r.ask(command))
		}
	}
	return "```console\n" + b.String() + "```"
}

// compare holds the page against how it reads with the answers of today; -update writes it anew.
func (r *transcript) compare(page string, least int) {
	r.Helper()
	if r.asked < least {
		r.Errorf("the page asks %d times only", r.asked)
	}
	if *update {
		if err := os.WriteFile(r.file, []byte(page), 0o644); err != nil {
			r.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(r.text, page); diff != "" {
		r.Errorf("the page says otherwise than the commands (-page +commands); make generate writes it anew:\n%s", diff)
	}
}

// fence takes a block of a page apart.
func fence(block string) (kind, body string) {
	kind, body, _ = strings.Cut(strings.TrimSuffix(strings.TrimPrefix(block, "```"), "```"), "\n")
	return kind, body
}
