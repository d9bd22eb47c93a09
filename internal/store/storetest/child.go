package storetest

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// RunChild starts the test binary again with more environment variables, and returns when the
// process has ended. It calls the function visit with each line that the process prints. The
// second argument of visit kills the process with signal 9. Lines that were printed before the
// kill are still read.
func RunChild(t testing.TB, environment []string, visit func(line string, kill func())) {
	t.Helper()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), environment...)
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	for {
		text, err := lines.ReadString('\n')
		if err != nil { // all output is read; an incomplete line is not an acknowledgement
			break
		}
		visit(strings.TrimSuffix(text, "\n"), func() { _ = command.Process.Kill() })
	}
	_ = command.Wait()
}
