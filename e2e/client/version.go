package client

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/e2e/part"
)

// module is the version of a module that the tests are linked with. It is read from go.mod, since a test
// binary does not know its modules.
func module(path string) func(testing.TB) string {
	return func(t testing.TB) string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(part.Home(), "go.mod"))
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

// firstLine is what a program says of its version.
func firstLine(t testing.TB, program string, args ...string) string {
	t.Helper()
	out, err := part.Run(t.Context(), exec.Command(program, args...))
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(out, "\n")
	return line
}
