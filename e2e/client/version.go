package client

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/e2e/process"
)

// module returns a function that returns the version of a linked module. It reads go.mod, because
// a test binary has no module information.
func module(path string) func(testing.TB) string {
	return func(t testing.TB) string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(process.Home(), "go.mod"))
		if err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(`(?m)^\s+` + regexp.QuoteMeta(path) + ` (\S+)`).FindSubmatch(text)
		if m == nil {
			t.Fatalf("go.mod does not require %s", path)
		}
		return "`" + path + "` " + string(m[1])
	}
}

// firstLine returns the first line of a program's output.
func firstLine(t testing.TB, program string, args ...string) string {
	t.Helper()
	out, err := process.Run(t.Context(), exec.Command(program, args...))
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(out, "\n")
	return line
}
