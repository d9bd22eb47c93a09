package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// "make install" must install completions and manual pages in folders where shells and man find
// them.
func TestInstalledFilesAreRead(t *testing.T) {
	program, err := exec.LookPath("tidewaiter")
	if err != nil {
		t.Fatal(err)
	}
	usr := t.TempDir()
	outputOf(t, "../../scripts/install", program, usr)
	if got := outputOf(t, filepath.Join(usr, "bin", "tidewaiter"), "version"); !strings.HasPrefix(got, "tidewaiter ") {
		t.Errorf("the installed program prints %q", got)
	}

	completions := filepath.Join(usr, "share", "bash-completion", "completions", "tidewaiter")
	if got := outputOf(t, "bash", "-c", `source "$1" && complete -p tidewaiter`, "bash", completions); !strings.Contains(got, "-F ") {
		t.Errorf("bash completes it with %q", got)
	}
	for _, file := range []string{"zsh/site-functions/_tidewaiter", "fish/vendor_completions.d/tidewaiter.fish"} {
		if _, err := os.Stat(filepath.Join(usr, "share", file)); err != nil {
			t.Error(err)
		}
	}

	requireProgram(t, "groff", "groff-base")
	pages, err := filepath.Glob(filepath.Join(usr, "share", "man", "man?", "*"))
	if err != nil || len(pages) < 60 {
		t.Fatalf("%d manual pages (%v)", len(pages), err)
	}
	for _, page := range pages {
		if got := outputOf(t, "groff", "-man", "-Tutf8", "-ww", "-z", page); got != "" {
			t.Errorf("%s:\n%s", page, got)
		}
	}
}

// outputOf runs a program and returns its output.
func outputOf(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", program, args, err, out)
	}
	return string(out)
}

// requireProgram skips a test if a program is missing. In CI, the test fails instead.
func requireProgram(t *testing.T, program, debianPackage string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skipf("%v: apt-get install %s", err, debianPackage)
	}
}
