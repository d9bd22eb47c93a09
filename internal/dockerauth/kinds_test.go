package dockerauth_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/tidewaiter/tidewaiter/internal/dockerauth"
)

// Each common kind of configuration is either imported or refused with a hint. For the users of
// the file, an imported configuration makes the same decisions as docker_auth. The second line
// of each file has the expected result.
func TestKindsOfConfigurations(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "kinds", "*.yml"))
	if err != nil || len(files) < 40 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yml"), func(t *testing.T) {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.SplitN(string(src), "\n", 3)
			kind, says, _ := strings.Cut(strings.TrimPrefix(lines[1], "# "), ": ")
			result, err := dockerauth.Import(file, src, dockerauth.Options{Services: []string{"hub.example.com"}, Read: func(string) ([]byte, error) { return nil, os.ErrNotExist }})
			if kind == "refused" {
				if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), file+":") {
					t.Errorf("%v, want %s", err, says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var notes strings.Builder
			for _, n := range result.Notes {
				notes.WriteString(n.String() + "\n")
			}
			if !strings.Contains(notes.String(), says) {
				t.Errorf("want %q in\n%s", says, notes.String())
			}
			cfg := newBench(t).loadRules(t, result.Text)
			var read struct {
				Users map[string]struct{ Labels map[string][]string }
			}
			if err := yaml.Unmarshal(src, &read); err != nil {
				return // the file has a repeated key, and this reader does not accept repeated keys
			}
			list := readList(t, src)
			for name, user := range read.Users {
				for _, repository := range askedNames {
					for _, ip := range []string{"192.0.2.1", "127.0.0.1", "10.0.0.1"} {
						r := listRequest{account: name, kind: "repository", name: repository, service: "hub.example.com", ip: netip.MustParseAddr(ip), labels: user.Labels, actions: []string{"pull", "push", "delete"}}
						got, want := r.policyActions(cfg.Policy), actionsOf(firstActions(list, r))
						if got&^want != 0 || got != want && strings.Contains(notes.String(), "make the same decisions") {
							t.Fatalf("%q: Tidewaiter grants %q on %s, docker_auth grants %q\n%s", name, got, repository, want, result.Text)
						}
					}
				}
			}
		})
	}
}

// Each problem advises what to write. A description of the error is not enough.
func TestEachProblemHasAdvice(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	message := regexp.MustCompile(`\bproblem\([^\n]*?, "((?:[^"\\]|\\.)*)"`)
	instruction := regexp.MustCompile(`(?i)\b(writ\w+|expected|correct|take|give|keep|say|put|call|let)\b|%[sv]$|%v\)$`)
	n := 0
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, found := range message.FindAllStringSubmatch(string(src), -1) {
			n++
			if !instruction.MatchString(found[1]) && !strings.HasPrefix(found[1], "the file is ") {
				t.Errorf("%s: %q, want an advice what to write", file, found[1])
			}
		}
	}
	if n < 30 {
		t.Errorf("%d messages: the test seems to find too few", n)
	}
}
