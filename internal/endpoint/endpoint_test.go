package endpoint_test

import (
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/endpoint"
)

func TestLocalIsThisMachineAlone(t *testing.T) {
	for host, local := range map[string]bool{
		"localhost": true, "LOCALHOST": true, "127.0.0.1": true, "127.9.9.9": true, "::1": true, "::ffff:127.0.0.1": true,
		"": false, "localhost.example.com": false, "127.0.0.1.example.com": false, "0.0.0.0": false, "10.0.0.1": false, "::": false,
		"::ffff:10.0.0.1": false, "127.1": false, "[::1]": false,
	} {
		if got := endpoint.Local(host); got != local {
			t.Errorf("Local(%q) is %t", host, got)
		}
	}
}

// If the file of a secret is replaced by a directory, a pipe, an empty file or a huge file, Bearer
// must return an error. Otherwise the process would send a request without a secret, hang, or run
// out of memory.
func TestFilesThatCannotBeASecret(t *testing.T) {
	folder := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if secret, err := endpoint.Bearer(file("good", " abc.def\r\n")); err != nil || secret != "abc.def" {
		t.Errorf("a valid file: %q, %v", secret, err)
	}
	for _, tt := range []struct{ path, want string }{
		{file("empty", "\n"), "must contain exactly one secret"},
		{file("two", "abc def"), "must contain exactly one secret"},
		{file("odd", "abc\x00"), "must contain exactly one secret"},
		{file("umlaut", "ä"), "must contain exactly one secret"},
		{file("long", strings.Repeat("x", 16<<10+1)), "larger than 16 KiB"},
		{folder, "is not a regular file"},
		{filepath.Join(folder, "none"), "no such file"},
	} {
		secret, err := endpoint.Bearer(tt.path)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "abc") || secret != "" {
			t.Errorf("%s: %q, %v, want %s", tt.path, secret, err, tt.want)
		}
	}
}

func TestRootsAreThoseOfTheFile(t *testing.T) {
	if roots, err := endpoint.Roots(""); roots != nil || err != nil {
		t.Errorf("no file: %v, %v", roots, err)
	}
	server := httptest.NewUnstartedServer(nil)
	server.StartTLS()
	defer server.Close()
	path := filepath.Join(t.TempDir(), "ca.pem")
	write := func(text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	if roots, err := endpoint.Roots(path); err != nil || len(roots.Subjects()) != 1 { //nolint:staticcheck // it is not the system's pool
		t.Errorf("a certificate: %v, %v", roots, err)
	}
	write([]byte("no PEM"))
	if _, err := endpoint.Roots(path); err == nil || !strings.Contains(err.Error(), "contains no PEM certificate") {
		t.Errorf("no certificate: %v", err)
	}
}
