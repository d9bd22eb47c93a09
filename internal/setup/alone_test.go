package setup_test

import (
	"os"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/setup"
)

// Somebody else could have left a root of their own there, or a link.
func TestAFolderInWhichEverybodyMayWriteIsRefused(t *testing.T) {
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
