//go:build unix

package htpasswd_test

import (
	"os"
	"syscall"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/identity/htpasswd"
)

// Opening a named pipe would wait for a writer, perhaps forever.
func TestANamedPipeIsRefused(t *testing.T) {
	w := watch(t, "ann:"+bcrypt4+"\n", htpasswd.Options{})
	if err := os.Remove(w.path); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(w.path, 0o600); err != nil {
		t.Fatal(err)
	}
	w.look()
	w.want("ann", 1)
}
