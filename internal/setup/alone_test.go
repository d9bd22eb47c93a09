package setup_test

import (
	"os"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/setup"
)

// In a folder that all users can write to, another user could have created a root or a link.
func TestAFolderThatAllUsersCanWriteToIsRejected(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := setup.Write(dir, setup.Options{}); err == nil || !strings.Contains(err.Error(), "chmod o-w") {
		t.Errorf("got %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

// The registry listens on the port in its service name.
func TestTheRegistryListensOnThePortOfItsService(t *testing.T) {
	for service, want := range map[string]string{
		"localhost:5610": ":5610", "127.0.0.1:5611": ":5611", "localhost:5000": ":5000",
		"registry.example.com": ":5000", "registry.example.com:8443": ":5000", "standalone": ":5000",
	} {
		made, err := setup.Write(t.TempDir(), setup.Options{Service: service})
		if err != nil {
			t.Fatal(err)
		}
		for name, line := range map[string]string{
			setup.RegistryConfig: "http: { addr: \"" + want + "\" }",
			setup.RegistryEnv:    "REGISTRY_HTTP_ADDR=" + want + "\n",
		} {
			text, err := os.ReadFile(made.Path(name))
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(text), line) {
				t.Errorf("%s: %s has no %q", service, name, line)
			}
		}
	}
}
