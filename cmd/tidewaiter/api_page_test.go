package main

import (
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/await"
	"github.com/tidewaiter/tidewaiter/internal/loopback"
)

// The commands of docs/api.md must work in the order of the page, with the configs of the page.
func TestThePageOfTheAPICanBeFollowed(t *testing.T) {
	requireProgram(t, "curl", "curl")
	requireProgram(t, "jq", "jq")
	page, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	text := "registries: [{ service: registry.example.com }]\nsigning: { root: { folder: keys } }\ndatabase: sqlite:state.db\n"
	script := "set -eu\nexec 2>&1\ntidewaiter key new --dir keys\n"
	for _, found := range regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$").FindAllStringSubmatch(string(page), -1) {
		switch found[1] {
		case "yaml":
			text += found[2]
		case "sh":
			script += found[2]
		default:
			t.Errorf("a block of the page is neither yaml nor sh: %s", found[2])
		}
	}
	if n := strings.Count(script, "curl "); n < 12 {
		t.Fatalf("the page has only %d requests", n)
	}
	api := strconv.Itoa(loopback.Port(t))
	text = strings.ReplaceAll(strings.ReplaceAll(text, ":8080", "127.0.0.1:0"), ":8081", ":"+api)
	script = strings.ReplaceAll(script, ":8081", ":"+api)
	if err := os.WriteFile("tidewaiter.yaml", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	// The script stops the service when it ends.
	script = strings.Replace(script, "serve.log &\n", "serve.log &\ntrap \"kill $!; wait\" EXIT\n", 1)
	// If the service does not start, the test's deadline ends the script, and the script then
	// stops the service, too.
	cmd := exec.CommandContext(await.Context(t), "sh", "-c", script)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		log, _ := os.ReadFile("serve.log")
		t.Fatalf("%v\n%s\n%s", err, out, log)
	}
	for _, want := range []string{`"login":"root"`, `"administrators"`, "robot+ci\n", `"disabled":true`, "root\n", "secret of the new robot:ci issued again"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the output has no %q:\n%s", want, out)
		}
	}
}
