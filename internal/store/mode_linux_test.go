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

// asNobody runs f on a thread without root's rights, even if the tests run as root.
func asNobody(t *testing.T, f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		// The thread is never unlocked, so it ends with the goroutine. The changed rights end with
		// the thread.
		runtime.LockOSThread()
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
		if err := os.Chmod(dir, 0o755); err != nil { // the default mode excludes other users
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
				t.Errorf("%s: %q, want what must be writable", tt.what, err)
			}
		})
	}
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
}

// An auditor can read a copy on a read-only disk.
func TestADatabaseThatCannotBeWrittenIsRead(t *testing.T) {
	for _, tt := range []struct {
		what    string
		prepare func(t *testing.T, file string, db *store.DB)
		says    string // "": no error
	}{
		{"at rest", func(t *testing.T, _ string, db *store.DB) { closeNow(t, db) }, ""},
		{"with an empty log", func(t *testing.T, file string, db *store.DB) {
			closeNow(t, db)
			if err := os.WriteFile(file+"-wal", nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}, ""},
		{"with a log that is not yet in the file", func(t *testing.T, file string, db *store.DB) {
			for _, end := range []string{"", "-wal"} { // the files that remain after kill -9
				copyFile(t, file+end, file+end+".copy")
			}
			closeNow(t, db)
			for _, end := range []string{"", "-wal"} {
				copyFile(t, file+end+".copy", file+end)
			}
		}, "state.db-wal"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			folder := t.TempDir()
			for dir := folder; dir != "/" && dir != os.TempDir(); dir = filepath.Dir(dir) {
				if err := os.Chmod(dir, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			file := filepath.Join(folder, "state.db")
			db, err := store.Open(t.Context(), "sqlite://"+file)
			if err != nil {
				t.Fatal(err)
			}
			write(t, db, "a", 3)
			tt.prepare(t, file, db)
			all, err := filepath.Glob(file + "*")
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range all {
				if err := os.Chmod(name, 0o444); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Chmod(folder, 0o555); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.Chmod(folder, 0o755) })
			asNobody(t, func() {
				db, err := store.OpenReadOnly(t.Context(), "sqlite://"+file)
				if tt.says != "" {
					if err == nil || !regexp.MustCompile(tt.says).MatchString(err.Error()) {
						t.Errorf("%v does not say %s", err, tt.says)
					}
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				if got := counter(t, db, "a"); got != 3 {
					t.Errorf("the counter is %d, want 3", got)
				}
				if err := db.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// If another process can write, a read without locks could mix old and new pages.
func TestADatabaseThatIsWrittenWhileItIsReadWithoutLocksIsRefused(t *testing.T) {
	folder := t.TempDir()
	for dir := folder; dir != "/" && dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(folder, "state.db")
	closeNow(t, open(t, "sqlite://"+file))
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	read, written, closed := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go asNobody(t, func() {
		db, err := store.OpenReadOnly(t.Context(), "sqlite://"+file)
		close(read)
		if err != nil {
			closed <- nil
			t.Error(err)
			return
		}
		<-written
		closed <- db.Close()
	})
	<-read
	db := open(t, "sqlite://"+file)
	growLog(t, db)
	closeNow(t, db)
	close(written)
	if err := <-closed; err == nil || !regexp.MustCompile("changed while it was read").MatchString(err.Error()) {
		t.Errorf("got %v", err)
	}
}

func closeNow(t *testing.T, db *store.DB) {
	t.Helper()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
