package notekey_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/tidewaiter/tidewaiter/internal/notekey"
)

func TestAKeyIsWrittenReadAndVerified(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.key")
	if _, err := notekey.Read(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that does not exist: %v", err)
	}
	key, err := notekey.New("auth.example.com/journal")
	if err != nil {
		t.Fatal(err)
	}
	if err := key.Write(path); err != nil {
		t.Fatal(err)
	}
	if err := key.Write(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("written twice: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("files: %v, %v", left, err)
	}
	read, err := notekey.Read(path)
	if err != nil || read.Public() != key.Public() {
		t.Fatalf("%v, %v", read, err)
	}
	signed, err := note.Sign(&note.Note{Text: "text\n"}, read)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := note.Open(signed, note.VerifierList(verifier)); err != nil {
		t.Error(err)
	}
	if text := fmt.Sprintf("%v %+v %s", key, key, key); strings.Contains(text, "PRIVATE") || !strings.Contains(text, "[secret]") {
		t.Errorf("printed as %s", text)
	}
}

func TestAFileThatIsNoKey(t *testing.T) {
	for _, text := range []string{"", "secret-canary", "PRIVATE+KEY+name+00000000+secret-canary"} {
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if key, err := notekey.Read(path); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: %v, %v", text, key, err)
		}
	}
}

func TestTheNameOfAJournal(t *testing.T) {
	for _, tt := range []struct{ url, issuer, want string }{
		{"https://auth.example.com", "tidewaiter", "auth.example.com/journal"},
		{"https://auth.example.com:8443/a/", "tidewaiter", "auth.example.com:8443/a/journal"},
		{"", "Example Inc + Sons", "Example-Inc---Sons/journal"},
		{"", "", "tidewaiter/journal"},
	} {
		got := notekey.Name(tt.url, tt.issuer)
		if got != tt.want {
			t.Errorf("%s, %s: %s, want %s", tt.url, tt.issuer, got, tt.want)
		}
		if _, err := notekey.New(got); err != nil {
			t.Error(err)
		}
	}
}
