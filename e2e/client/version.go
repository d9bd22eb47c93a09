package client

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/e2e/part"
)

// version asks the go command, since a test binary does not know the modules that it is linked with.
func version(t testing.TB, module string) string {
	t.Helper()
	out, err := part.Run(t.Context(), exec.Command("go", "list", "-m", "-f", "{{.Version}}", module))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
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
