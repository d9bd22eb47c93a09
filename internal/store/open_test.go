package store_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
)

func TestMain(m *testing.M) {
	if url := os.Getenv("STORE_TEST_CHILD"); url != "" {
		child(url)
		return
	}
	if url := os.Getenv("STORE_TEST_ALONE"); url != "" {
		_, err := store.Copy(context.Background(), url, url+".moved", store.CopyOptions{})
		fmt.Print(err)
		return
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) { storetest.Stop(); os.Exit(code) }))
}

// child opens the database, writes once, prints a line about it, and keeps the database open until
// stdin ends.
func child(url string) {
	db, err := store.Open(context.Background(), url)
	if err == nil {
		err = db.Write(context.Background(), "child", func(*sql.Tx) error { return nil })
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("ready")
	bufio.NewReader(os.Stdin).ReadString('\n')
	db.Close()
}

// openExclusive runs a second process that requests exclusive access, and returns the result.
func openExclusive(t *testing.T, url string) string {
	t.Helper()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), "STORE_TEST_ALONE="+url)
	said, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	return string(said)
}

// startChild runs child in a second process and returns a function that ends the process.
func startChild(t *testing.T, url string) (end func()) {
	t.Helper()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), "STORE_TEST_CHILD="+url)
	in, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	end = func() {
		once.Do(func() {
			in.Close()
			command.Wait()
		})
	}
	t.Cleanup(end)
	line, err := bufio.NewReader(out).ReadString('\n')
	if line != "ready\n" {
		t.Fatalf("the other process printed %q, %v", line, err)
	}
	return end
}

func TestOpenMakesFolderAndFileForTheirOwnerAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "var", "lib", "state.db")
	db := open(t, "sqlite://"+file)
	if err := db.Write(t.Context(), "x", func(*sql.Tx) error { return nil }); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{
		file:                             0o600,
		file + "-wal":                    0o600,
		file + "-shm":                    0o600,
		filepath.Dir(file):               0o700,
		filepath.Dir(filepath.Dir(file)): 0o700,
	} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", filepath.Base(name), got, want)
		}
	}
}

func TestWhatWasWrittenIsThereAfterReopening(t *testing.T) {
	storetest.Each(t, testWhatWasWrittenIsThereAfterReopening)
}

func testWhatWasWrittenIsThereAfterReopening(t *testing.T, d storetest.Database) {
	url := d.New(t)
	for want := 1; want <= 3; want++ {
		db, err := store.Open(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Write(t.Context(), "policy", func(*sql.Tx) error { return nil }); err != nil {
			t.Fatal(err)
		}
		if got := counter(t, db, "policy"); got != want {
			t.Errorf("the counter is %d, want %d", got, want)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDatabasesInMemoryAreSeparate(t *testing.T) {
	one, other := open(t, "sqlite::memory:"), open(t, "sqlite::memory:")
	if err := one.Write(t.Context(), "policy", func(*sql.Tx) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if got := counter(t, other, "policy"); got != 0 {
		t.Errorf("a write to one database changed the counter of the other database to %d", got)
	}
}

// damage creates a database, runs the statement on it and returns its file. After the statement,
// the file looks like a file of another program or of another version.
func damage(t *testing.T, statement string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "state.db")
	db, err := store.Open(t.Context(), "sqlite://"+file)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if _, err := raw.Exec(statement); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestOpenSaysWhyItCannot(t *testing.T) {
	folder := t.TempDir()
	text := filepath.Join(folder, "notes.txt")
	if err := os.WriteFile(text, []byte(strings.Repeat("These are notes, and no database. ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		what, url string
		is        error
		says      string
	}{
		{"no scheme", "state.db", nil, `it has no scheme \(did you mean "sqlite:state.db"\?\)$`},

		{"an unknown scheme", "mysql://db", nil, `unknown scheme "mysql"`},
		{"a host", "sqlite://state.db", nil, `did you mean "sqlite:state.db" or "sqlite:///state.db"\?`},
		{"no file", "sqlite:", nil, `it has no file name`},
		{"options", "sqlite:///x.db?mode=ro", nil, `it may have no options`},
		{"a NUL", "sqlite:a\x00b", nil, `NUL`},
		{"a folder", "sqlite://" + folder, nil, `is a directory`},
		{"a file instead of a folder", "sqlite://" + text + "/state.db", nil, `not a directory`},
		{"a text file", "sqlite://" + text, store.ErrForeign, `it is not a Tidewaiter database`},
		{"another program's database", "sqlite://" + damage(t, "PRAGMA application_id = 1"), store.ErrForeign, ``},
		{"another program's unmarked database", "sqlite://" + damage(t, "PRAGMA application_id = 0"), store.ErrForeign, ``},
		{"a newer database", "sqlite://" + damage(t, "PRAGMA user_version = 1000"), store.ErrNewer, `the tables have version 1000, this version supports \d+`},
		{"a database whose newer binary was killed during migration", "sqlite://" + damage(t, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (1000, 1)"), store.ErrNewer,
			`the tables have version 1000, this version supports \d+`},
	} {
		db, err := store.Open(t.Context(), tt.url)
		if err == nil {
			db.Close()
			t.Errorf("%s: opened", tt.what)
			continue
		}
		if tt.is != nil && !errors.Is(err, tt.is) {
			t.Errorf("%s: %v, want %v", tt.what, err, tt.is)
		}
		if !regexp.MustCompile(tt.says).MatchString(err.Error()) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %q does not say %s", tt.what, err, tt.says)
		}
	}
}

func TestOpenDoesNotChangeAnotherProgramsFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "other.db")
	raw, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := raw.Exec("CREATE TABLE theirs (x)"); err != nil {
		t.Fatal(err)
	}
	if err := raw.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(t.Context(), "sqlite://"+file); !errors.Is(err, store.ErrForeign) {
		t.Errorf("opening another program's database: %v", err)
	}
	after, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(before) != string(after) {
		t.Error("another program's database was changed")
	}
}

func TestAnInterruptedMigrationIsContinued(t *testing.T) {
	// The version in the header is written last.
	file := damage(t, "PRAGMA user_version = 0")
	db := open(t, "sqlite://"+file)
	if err := db.Write(t.Context(), "policy", func(*sql.Tx) error { return nil }); err != nil {
		t.Fatal(err)
	}
}

func TestProcessesThatOpenANewDatabaseAtOnceAllGetIt(t *testing.T) {
	storetest.Each(t, testProcessesThatOpenANewDatabaseAtOnceAllGetIt)
}

func testProcessesThatOpenANewDatabaseAtOnceAllGetIt(t *testing.T, d storetest.Database) {
	url := d.New(t)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			db, err := store.Open(t.Context(), url)
			if err != nil {
				t.Error(err)
				return
			}
			defer db.Close()
			if err := db.Write(t.Context(), "policy", func(*sql.Tx) error { return nil }); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if got := counter(t, open(t, url), "policy"); got != 4 {
		t.Errorf("the counter is %d after 4 writes", got)
	}
}

func TestTwoProcessesShareADatabase(t *testing.T) { storetest.Each(t, testTwoProcessesShareADatabase) }

func testTwoProcessesShareADatabase(t *testing.T, d storetest.Database) {
	url := d.New(t)
	end := startChild(t, url)
	db := open(t, url)
	if err := db.Write(t.Context(), "child", func(*sql.Tx) error { return nil }); err != nil {
		t.Fatal(err)
	}
	reader, err := store.OpenReadOnly(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if got := counter(t, reader, "child"); got != 2 {
		t.Errorf("the counter is %d after a write by each process", got)
	}
	end()
	if got := counter(t, reader, "child"); got != 2 {
		t.Errorf("the counter is %d after the other process ended", got)
	}
}

func TestTablesAreNotChangedUnderARunningProcess(t *testing.T) {
	t.Parallel()                                 // the test waits for a lock as long as Open does
	file := damage(t, "PRAGMA user_version = 0") // the tables seem to be older than this binary
	raw, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if err := raw.Ping(); err != nil {
		t.Fatal(err)
	}
	var n int
	// While the connection is open, the file is in use.
	if err := raw.QueryRow("SELECT count(*) FROM changes").Scan(&n); err != nil {
		t.Fatal(err)
	}
	_, err = store.Open(t.Context(), "sqlite://"+file)
	if !errors.Is(err, store.ErrBusy) {
		t.Errorf("migrating under a running process: %v, want %v", err, store.ErrBusy)
	}
}

func TestOpenReadOnlyCreatesAndChangesNothing(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "state.db")
	if _, err := store.OpenReadOnly(t.Context(), "sqlite://"+missing); !errors.Is(err, store.ErrMissing) {
		t.Errorf("opening a missing file: %v", err)
	}
	if _, err := os.Stat(missing); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the missing file was created: %v", err)
	}
	if _, err := store.OpenReadOnly(t.Context(), "sqlite://"+damage(t, "PRAGMA user_version = 0")); !errors.Is(err, store.ErrOlder) {
		t.Errorf("opening older tables: %v", err)
	}
	url := "sqlite://" + filepath.Join(t.TempDir(), "state.db")
	open(t, url)
	db, err := store.OpenReadOnly(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Write(t.Context(), "policy", func(*sql.Tx) error { return nil }); err == nil {
		t.Error("a write to a read-only database succeeded")
	}
}

// BenchmarkOpen measures how long it takes to open the database when the service starts.
func BenchmarkOpen(b *testing.B) {
	url := "sqlite://" + filepath.Join(b.TempDir(), "state.db")
	for b.Loop() {
		db, err := store.Open(b.Context(), url)
		if err != nil {
			b.Fatal(err)
		}
		var n int
		if err := db.Read().QueryRow("SELECT count(*) FROM changes").Scan(&n); err != nil {
			b.Fatal(err)
		}
		if err := db.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
