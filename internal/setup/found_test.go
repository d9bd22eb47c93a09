package setup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFoundIsWhatWasWritten(t *testing.T) {
	for _, want := range []Options{
		{Service: "localhost:5000", Admin: "admin", PublicURL: "http://localhost:5001", Listen: "localhost:5001", Database: "sqlite:data/state.db"},
		{Service: "a", Admin: "ann", PublicURL: "https://b.example.com/c", Listen: ":8443", Database: "sqlite:d", TLSCertificate: "e", TLSKey: "f"},
		{Preset: Zot, Service: "localhost:5000", Admin: "admin", PublicURL: "http://localhost:5001", Listen: "localhost:5001", Database: "sqlite:data/state.db"},
	} {
		dir := t.TempDir()
		write(t, dir, want)
		got, found, err := Found(dir)
		if err != nil || !found {
			t.Fatalf("found %v, %v", found, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

func TestFoundRejectsOtherConfigs(t *testing.T) {
	if _, found, err := Found(t.TempDir()); found || err != nil {
		t.Errorf("in an empty folder: %v, %v", found, err)
	}
	for _, tt := range []struct{ from, to, says string }{
		{"certificate: keys/cert.pem", "certificate: /keys/cert.pem", "signing.root"},
		{"secret_file: notifications.secret", "secret_file: other", "secret_file"},
		{"  - service:", "  - {}\n  - service:", "secret_file"},
		{`issuer: "tidewaiter"`, "issuer: other", "token.issuer"},
		{"token:", "paths: { token: /auth }\ntoken:", "paths"},
		{"policy:", "policy: {", "reading tidewaiter.yaml"},
	} {
		dir := t.TempDir()
		r := write(t, dir, Options{})
		text := strings.Replace(read(t, r, Config), tt.from, tt.to, 1)
		if err := os.WriteFile(filepath.Join(dir, Config), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := Found(dir); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v", tt.to, err)
		}
	}
}
