package store_test

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"syscall"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/store"
)

// asNobody runs f with the rights of an ordinary user, also where tests run as root. It gives up this thread's.
func asNobody(t *testing.T, f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with its changed rights
		if os.Getuid() == 0 {
			if err := syscall.Setfsuid(65534); err != nil {
				t.Error(err)
				return
			}
		}
		f()
	}()
	<-done
}

func TestOpenSaysWhatMustBeWritable(t *testing.T) {
	folder := t.TempDir()
	for dir := folder; dir != "/" && dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil { // so that nobody can look inside
			t.Fatal(err)
		}
	}
	file := filepath.Join(folder, "state.db")
	db, err := store.Open(t.Context(), "sqlite://"+file)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	says := regexp.MustCompile("the file and its folder must be writable")
	for _, tt := range []struct {
		what         string
		folder, file os.FileMode
		path         string
	}{
		{"a folder that can't be written, without a file", 0o555, 0o666, filepath.Join(folder, "new.db")},
		{"a folder that can't be written, with a file that can", 0o555, 0o666, file},
		{"a file that can't be written", 0o777, 0o444, file},
	} {
		if err := os.Chmod(folder, tt.folder); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, tt.file); err != nil {
			t.Fatal(err)
		}
		asNobody(t, func() {
			db, err := store.Open(t.Context(), "sqlite://"+tt.path)
			if err == nil {
				db.Close()
				t.Errorf("%s: opened", tt.what)
			} else if !says.MatchString(err.Error()) {
				t.Errorf("%s: %q does not say what must be writable", tt.what, err)
			}
		})
	}
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
}
