package htpasswd_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/chain"
	"github.com/tidewaiter/tidewaiter/internal/identity/htpasswd"
	"github.com/tidewaiter/tidewaiter/internal/password"
)

// watchedFile is a file on disk with its File and log. Each change sets the modification time to
// one minute after that of the previous change.
type watchedFile struct {
	t    *testing.T
	path string
	file *htpasswd.File
	log  strings.Builder
	time time.Time
}

func watch(t *testing.T, text string, o htpasswd.Options) *watchedFile {
	w := &watchedFile{t: t, path: write(t, ""), time: time.Now().Add(-time.Hour)}
	w.change(text)
	o.File, o.Log = w.path, slog.New(slog.NewTextHandler(&w.log, nil))
	w.file = open(t, o)
	w.log.Reset()
	return w
}

// change writes in place, as the htpasswd program does.
func (w *watchedFile) change(text string) {
	w.t.Helper()
	if err := os.WriteFile(w.path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.touch()
}

func (w *watchedFile) touch() {
	w.t.Helper()
	w.time = w.time.Add(time.Minute)
	if err := os.Chtimes(w.path, w.time, w.time); err != nil {
		w.t.Fatal(err)
	}
}

// look polls twice: the first poll sees the change, the second sees that the file no longer
// changes.
func (w *watchedFile) look() {
	w.file.Look()
	w.file.Look()
}

// knownNames returns those of the given names that have an entry in the file.
func (w *watchedFile) knownNames(names ...string) (known string) {
	for _, name := range names {
		if _, err := w.file.Find(context.Background(), name, ""); err == nil {
			known += " " + name
		}
	}
	return strings.TrimSpace(known)
}

func (w *watchedFile) want(known string, logged int) {
	w.t.Helper()
	if got := w.knownNames("ann", "bob", "carl"); got != known {
		w.t.Errorf("the file knows %q, want %q", got, known)
	}
	if got := strings.Count(w.log.String(), "\n"); got != logged {
		w.t.Errorf("%d lines are logged, want %d:\n%s", got, logged, w.log.String())
	}
	w.log.Reset()
}

func TestAChangedFileIsLoaded(t *testing.T) {
	w := watch(t, "ann:"+bcrypt4+"\n", htpasswd.Options{})
	w.look()
	w.want("ann", 0)

	w.change("ann:" + bcrypt4 + "\nbob:" + bcrypt4 + "\n")
	w.look()
	w.want("ann bob", 1)

	w.change("bob:" + bcrypt4 + "\n") // without ann
	w.look()
	w.want("bob", 1)
	if _, err := w.file.Authenticate(t.Context(), identity.NewPresented("ann", "wonderland")); !errors.Is(err, identity.ErrUnknown) {
		t.Errorf("ann, who was removed: %v, want %v", err, identity.ErrUnknown)
	}

	w.touch() // the content is unchanged
	w.look()
	w.want("bob", 0)

	w.change("# nobody\n") // on purpose
	w.look()
	w.want("", 1)
}

// Some editors and tools empty a file before they write it, and a full disk can leave a file
// empty for hours. An empty file must not lock out all users. To remove all users on purpose,
// write a line with # into the file.
func TestAnEmptyFileKeepsTheOldEntries(t *testing.T) {
	for what, text := range map[string]string{"empty": "", "line ends": "\n\r\n\n", "spaces": " \t\n", "a byte order mark": "\ufeff", "zeros": "\x00\x00\x00\x00"} {
		t.Run(what, func(t *testing.T) {
			w := watch(t, "ann:"+bcrypt4+"\n", htpasswd.Options{})
			w.change(text)
			w.look()
			if log := w.log.String(); !strings.Contains(log, "empty") && what != "zeros" || !strings.Contains(log, "the old entries stay") || !strings.Contains(log, w.path) {
				t.Errorf("the log says:\n%s", log)
			}
			w.want("ann", 1)
			w.look()
			w.look()
			w.want("ann", 0)
			if err := w.file.Reload(); err == nil {
				t.Error("Reload is content with it")
			}
			w.change("ann:" + bcrypt4 + "\nbob:" + bcrypt4 + "\n")
			w.look()
			w.want("ann bob", 1)
		})
	}
	t.Run("before the first entry", func(t *testing.T) {
		w := watch(t, "", htpasswd.Options{})
		w.change("\n")
		w.look()
		w.log.Reset()
		w.change("ann:" + bcrypt4)
		w.look()
		w.want("ann", 1)
	})
	t.Run("after a reload of the config", func(t *testing.T) {
		w := watch(t, "ann:"+bcrypt4+"\n", htpasswd.Options{})
		w.change("")
		o := htpasswd.Options{File: w.path, Hashing: password.New(password.Options{}), Before: w.file}
		if _, err := htpasswd.New(o); !errors.Is(err, htpasswd.ErrEmpty) {
			t.Errorf("a file that became empty: %v, want %v", err, htpasswd.ErrEmpty)
		}
		w.change("# nobody")
		if _, err := htpasswd.New(o); err != nil {
			t.Errorf("a file that was emptied on purpose: %v", err)
		}
		w.change("")
		o.Before = nil
		if _, err := htpasswd.New(o); err != nil {
			t.Errorf("an empty file at the start: %v", err)
		}
	})
}

func TestAFileThatIsReplacedByRenameIsLoaded(t *testing.T) {
	w := watch(t, "ann:"+bcrypt4+"\n", htpasswd.Options{})
	old, err := os.Stat(w.path)
	if err != nil {
		t.Fatal(err)
	}
	next := write(t, "bob:"+bcrypt4+"\n") // same size and time; only the inode differs
	if err := os.Rename(next, w.path); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(w.path, old.ModTime(), old.ModTime()); err != nil {
		t.Fatal(err)
	}
	w.look()
	w.want("bob", 1)
}

func TestAFileBehindALinkIsLoaded(t *testing.T) { // Kubernetes mounts a secret behind a link
	dir := t.TempDir()
	one, two, link := filepath.Join(dir, "one"), filepath.Join(dir, "two"), filepath.Join(dir, "users")
	past := time.Now().Add(-time.Hour)
	for path, text := range map[string]string{one: "ann:" + bcrypt4, two: "bob:" + bcrypt4} {
		if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chtimes(path, past, past)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(one, link); err != nil {
		t.Fatal(err)
	}
	w := &watchedFile{t: t, path: link, file: open(t, htpasswd.Options{File: link})}
	w.want("ann", 0)
	if err := errors.Join(os.Symlink(two, link+".next"), os.Rename(link+".next", link)); err != nil {
		t.Fatal(err)
	}
	w.look()
	w.want("bob", 0)
}

func TestABrokenFileChangesNothingAndIsLoggedOnce(t *testing.T) {
	w := watch(t, "ann:"+bcrypt4+"\n", htpasswd.Options{})
	w.change("ann:" + bcrypt4 + "\nbob:hunter2\ncarl\n")
	w.look()
	if log := w.log.String(); !strings.Contains(log, "line=2") || !strings.Contains(log, "line=3") || !strings.Contains(log, w.path) || strings.Contains(log, "hunter2") {
		t.Errorf("the log says:\n%s", log)
	}
	w.want("ann", 2)
	w.look()
	w.look()
	w.want("ann", 0)
	w.touch() // saved again with the same errors
	w.look()
	w.want("ann", 0)
	for range 2 {
		if err := w.file.Reload(); err == nil {
			t.Error("Reload is content with it")
		}
	}
	w.change("ann:" + bcrypt4 + "\ncarl\n") // one line is fixed
	w.look()
	w.want("ann", 1)
	w.change("ann:" + bcrypt4 + "\n") // as before
	w.look()
	w.want("ann", 1)
	w.change("ann:" + bcrypt4 + "\ncarl\n") // broken again: logged again
	w.look()
	w.want("ann", 1)
	w.change("ann:" + bcrypt4 + "\ncarl:" + bcrypt4 + "\n")
	w.look()
	w.want("ann carl", 1)
}

func TestAFileThatIsGoneChangesNothing(t *testing.T) {
	w := watch(t, "ann:"+bcrypt4+"\n", htpasswd.Options{})
	if err := os.Rename(w.path, w.path+".away"); err != nil {
		t.Fatal(err)
	}
	w.look()
	w.want("ann", 1)
	w.look()
	w.want("ann", 0)
	if err := w.file.Reload(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Reload: %v, want %v", err, os.ErrNotExist)
	}
	if err := os.Rename(w.path+".away", w.path); err != nil {
		t.Fatal(err)
	}
	w.look()
	w.want("ann", 1)
	w.change("bob:" + bcrypt4 + "\n")
	w.look()
	w.want("bob", 1)
}

// The htpasswd program writes in place. Half of a file can be valid although half of the users
// are missing.
func TestAFileIsNotLoadedWhileItChanges(t *testing.T) {
	w := watch(t, "ann:"+bcrypt4+"\nbob:"+bcrypt4+"\n", htpasswd.Options{})
	w.change("ann:" + bcrypt4 + "\n")
	w.file.Look()
	w.want("ann bob", 0)
	w.change("ann:" + bcrypt4 + "\nbob:" + bcrypt4 + "\ncarl:" + bcrypt4 + "\n")
	w.file.Look()
	w.want("ann bob", 0)
	w.file.Look()
	w.want("ann bob carl", 1)

	looks := 0
	for w.knownNames("carl") != "" { // a file that changes all the time must be loaded, too
		w.change("ann:" + bcrypt4 + "\n#" + strings.Repeat("x", looks))
		w.file.Look()
		if looks++; looks > 10 {
			t.Fatal("a file that changes all the time is never loaded")
		}
	}
}

func TestAFileOfAnotherSizeIsLoadedWithAnyTime(t *testing.T) {
	w := watch(t, "ann:"+bcrypt4+"\n", htpasswd.Options{})
	before := w.time
	w.change("ann:" + bcrypt4 + "\nbob:" + bcrypt4 + "\n")
	if err := os.Chtimes(w.path, before, before); err != nil {
		t.Fatal(err)
	}
	w.look()
	w.want("ann bob", 1)
}

// A change right after a load can leave the modification time and the size unchanged.
func TestAChangeWithinOneTickOfTheFileSystemIsSeen(t *testing.T) {
	now := time.Now()
	w := watch(t, "ann:"+bcrypt4+"\n", htpasswd.Options{Now: func() time.Time { return now }})
	tick := now.Truncate(time.Second)
	w.change("bob:" + bcrypt4 + "\n")
	if err := os.Chtimes(w.path, tick, tick); err != nil {
		t.Fatal(err)
	}
	w.look()
	w.want("bob", 1)
	w.change("ann:" + bcrypt4 + "\n")
	if err := os.Chtimes(w.path, tick, tick); err != nil {
		t.Fatal(err)
	}
	w.file.Look()
	w.want("ann", 1)
}

// A user who is removed from the file cannot sign in, even if a group still has the user as a
// member.
func TestARemovedMemberOfAGroupCannotSignIn(t *testing.T) {
	w := watch(t, "ann:"+bcrypt4+"\nbob:"+bcrypt4+"\n", htpasswd.Options{Groups: map[string][]string{"dev": {"ann", "bob"}}})
	w.change("ann:" + bcrypt4 + "\n")
	w.look()
	if log := w.log.String(); !strings.Contains(log, "level=WARN") || !strings.Contains(log, "bob") || !strings.Contains(log, "group=dev") {
		t.Errorf("the log says:\n%s", log)
	}
	w.want("ann", 2)
}

// In docker_auth, an invalid file at reload ended the process. In this test, valid and invalid
// files replace each other under load. A user who is in all valid files must never be refused.
func TestReloadWithBrokenFilesUnderLoad(t *testing.T) {
	w := watch(t, "ann:"+bcrypt4+"\n", htpasswd.Options{})
	chain := chain.New(chain.Options{Sources: []identity.Source{{Name: "htpasswd", Authenticator: w.file}}})
	done := make(chan struct{})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if v, err := chain.Authenticate(t.Context(), identity.NewPresented("ann", "wonderland")); err != nil || v.Principal.Name != "ann" {
					t.Errorf("ann is refused: %v", err)
					return
				}
			}
		})
	}
	for i, text := range []string{
		"ann", "ann:", "\x00\x00\x00", "ann:hunter2", "ann:" + bcrypt4[:20], strings.Repeat("x", 1<<20), strings.Repeat("\n", 1<<16) + "x",
		"ann:" + bcrypt4 + "\nann:" + bcrypt4, "ann:$2y$31$" + bcrypt4[7:], "ann:$argon2id$v=19$m=4000000,t=9,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
		"bob:" + bcrypt4 + "\nann:" + libcrypt, "ann:" + bcrypt4,
	} {
		w.change(text)
		w.look()
		if got, want := w.knownNames("ann"), "ann"; got != want {
			t.Errorf("after file %d it knows %q, want %q", i, got, want)
		}
	}
	if err := errors.Join(os.Remove(w.path), os.Mkdir(w.path, 0o700)); err != nil {
		t.Fatal(err)
	}
	w.look()
	close(done)
	all.Wait()
	w.log.Reset()
	w.want("ann", 0)
}

func TestRunLoadsUntilItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, "ann:"+bcrypt4+"\n", htpasswd.Options{Every: 5 * time.Second, Hashing: password.New(password.Options{})})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- w.file.Run(ctx) }()
		w.change("bob:" + bcrypt4 + "\n")
		<-time.After(11 * time.Second) // time for two polls, by the clock of the bubble
		synctest.Wait()
		w.want("bob", 1)
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v, want nil", err)
		}

		inline := open(t, htpasswd.Options{Entries: []string{"ann:" + bcrypt4}})
		ctx, cancel = context.WithCancel(t.Context())
		go func() { ended <- inline.Run(ctx) }()
		synctest.Wait()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run without a file: %v, want nil", err)
		}
	})
}

// A file is either loaded completely, or refused with an error for each wrong line.
func FuzzFile(f *testing.F) {
	for _, text := range []string{"ann:" + bcrypt4, "# x\r\n\r\nann:" + argon2id + "\r\n", "ann:" + bcrypt4 + "\nann:" + bcrypt4, "\ufeffann:" + bcrypt4, ":", "a:b:c", "ann", "\x00"} {
		f.Add(text)
	}
	hashing := password.New(password.Options{})
	path := filepath.Join(f.TempDir(), "users")
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := htpasswd.New(htpasswd.Options{File: path, Hashing: hashing})
		if err != nil {
			problems, ok := errors.AsType[htpasswd.Problems](err)
			if !ok || len(problems) == 0 {
				t.Fatalf("%q: %v", text, err)
			}
			last := 0
			for _, p := range problems {
				if p.File != path || p.Line <= last || p.Line > strings.Count(text, "\n")+1 || p.Text == "" {
					t.Errorf("%q: a problem %+v after line %d", text, p, last)
				}
				last = p.Line
			}
			return
		}
		for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
			line = strings.TrimRight(line, " \t\r\n")
			if line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			name, _, _ := strings.Cut(line, ":")
			if p, err := file.Find(t.Context(), name, name); err != nil || p.Name != name {
				t.Errorf("%q: %q is not found: %v", text, name, err)
			}
		}
	})
}
