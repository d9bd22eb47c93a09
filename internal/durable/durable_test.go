package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// First, the content is made durable. Then the file gets its name, and the name is made durable.
func TestAWrittenFileIsDurable(t *testing.T) {
	for _, replace := range []bool{false, true} {
		folder := t.TempDir()
		path := filepath.Join(folder, "key")
		var synced []string
		fsync = func(f *os.File) error {
			_, err := os.Stat(path)
			synced = append(synced, f.Name())
			if isFolder := f.Name() == folder; isFolder != (err == nil) {
				t.Errorf("%s was made durable too early or too late: looking for the name of the file: %v", f.Name(), err)
			}
			return f.Sync()
		}
		defer func() { fsync = (*os.File).Sync }()
		if err := WriteFile(path, []byte("x"), 0o640, replace); err != nil {
			t.Fatal(err)
		}
		if len(synced) != 2 || !strings.HasPrefix(synced[0], filepath.Join(folder, ".key-")) || synced[1] != folder {
			t.Errorf("fsync was called for %v", synced)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o640 {
			t.Errorf("%v, %v", info, err)
		}
	}
}

func TestAFailedWriteLeavesNothing(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "key")
	failure := errors.New("no space left on device")
	fsync = func(*os.File) error { return failure }
	defer func() { fsync = (*os.File).Sync }()
	if err := WriteFile(path, []byte("x"), 0o600, false); !errors.Is(err, failure) {
		t.Error(err)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
		t.Errorf("the failed write left %v, %v", left, err)
	}
}

func TestAnExistingFileIsReplacedOnlyOnRequest(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "key")
	dangling := filepath.Join(folder, "link")
	if err := os.Symlink("nowhere", dangling); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(path, []byte("first"), 0o600, false); err != nil {
		t.Fatal(err)
	}
	for _, taken := range []string{path, dangling} {
		if err := WriteFile(taken, []byte("second"), 0o600, false); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s: %v", taken, err)
		}
	}
	if content, err := os.ReadFile(path); err != nil || string(content) != "first" {
		t.Errorf("%s, %v", content, err)
	}
	if err := WriteFile(path, []byte("third"), 0o600, true); err != nil {
		t.Fatal(err)
	}
	if content, err := os.ReadFile(path); err != nil || string(content) != "third" {
		t.Errorf("%s, %v", content, err)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) != 2 {
		t.Errorf("files: %v, %v", left, err)
	}
}
