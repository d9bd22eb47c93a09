package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
)

// commandLine runs a command and returns its output.
func commandLine(t *testing.T, args ...string) (exit int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	exit = run(t.Context(), args, strings.NewReader(""), &o, &e)
	return exit, o.String(), e.String()
}

func TestDatabaseIsCopiedToPostgreSQLAndBack(t *testing.T) {
	dir := t.TempDir()
	postgres := storetest.PostgreSQL().New(t)
	t.Chdir(dir)
	succeeds := func(args ...string) (out, errs string) {
		t.Helper()
		exit, out, errs := commandLine(t, args...)
		if exit != 0 {
			t.Fatalf("tidewaiter %s: exit %d\n%s", strings.Join(args, " "), exit, errs)
		}
		return out, errs
	}
	succeeds("init", "--service", "r.example.com", "--public-url", "https://auth.example.com")
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join("data", "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	j, err := journal.New(db, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := j.Append(t.Context(), journal.Entry{Text: []byte("x")}); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	before, _ := succeeds("journal", "verify")

	out, errs := succeeds("database", "copy", "--to", postgres)
	if !strings.Contains(out, "3 entries in the journal, which is intact") || !strings.Contains(errs, "journal_blocks: 3 of 3\n") {
		t.Errorf("copy prints %s%s", out, errs)
	}
	written, err := os.ReadFile("tidewaiter.yaml")
	if err != nil {
		t.Fatal(err)
	}
	moved := "database: " + postgres + "\n"
	for line := range strings.Lines(string(written)) {
		if !strings.HasPrefix(line, "database:") {
			moved += line
		}
	}
	if err := os.WriteFile("tidewaiter.yaml", []byte(moved), 0o600); err != nil {
		t.Fatal(err)
	}
	if after, _ := succeeds("journal", "verify"); after != before {
		t.Errorf("the journal was %s and is now %s", before, after)
	}
	if out, _ := succeeds("database", "backup", "all.db"); !strings.Contains(out, "wrote backup all.db: ") {
		t.Errorf("backup prints %s", out)
	}
	if out, _ := succeeds("database", "copy", "--to", "sqlite:back.db", "--output", "json"); !strings.Contains(out, `"entries": 3`) {
		t.Errorf("copying back prints %s", out)
	}

	for _, tt := range []struct {
		exit int
		says string
		args []string
	}{
		{1, "all.db: the file exists already", []string{"database", "backup", "all.db"}},
		{1, "it is not empty", []string{"database", "restore", "all.db"}},
		{1, "no such file", []string{"database", "restore", "none.db"}},
		{1, "unknown scheme", []string{"database", "copy", "--to", "mysql://x"}},
		{2, "--to is missing", []string{"database", "copy"}},
		{2, "--to contains a password", []string{"database", "copy", "--to", "postgres://u:p@localhost/x"}},
		{2, "--to contains a password", []string{"database", "copy", "--to", "postgres://u@localhost/x?password=p"}},
		{2, "missing argument FILE", []string{"database", "backup"}},
	} {
		if exit, _, errs := commandLine(t, tt.args...); exit != tt.exit || !strings.Contains(errs, tt.says) {
			t.Errorf("tidewaiter %s: exit %d, %s", strings.Join(tt.args, " "), exit, errs)
		}
	}
}

// A backup whose journal was changed is not restored.
func TestABackupWithAChangedJournalIsNotRestored(t *testing.T) {
	t.Chdir(t.TempDir())
	if exit, _, errs := commandLine(t, "init", "--service", "r.example.com", "--public-url", "https://auth.example.com"); exit != 0 {
		t.Fatal(errs)
	}
	db, err := store.Open(t.Context(), "sqlite:backup.db")
	if err != nil {
		t.Fatal(err)
	}
	j, err := journal.New(db, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Append(t.Context(), journal.Entry{Text: []byte("without a change")}); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("backup.db")
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.ReplaceAll(text, []byte(`"d2l0aG91dCBh`), []byte(`"d2l0aG91dCBi`)) // base64
	if bytes.Equal(changed, text) {
		t.Fatal("the journal does not have the text")
	}
	if err := os.WriteFile("backup.db", changed, 0o600); err != nil {
		t.Fatal(err)
	}
	exit, out, errs := commandLine(t, "database", "restore", "backup.db")
	if exit != 1 || out != "" || !strings.Contains(errs, "it was changed after it was written") {
		t.Errorf("exit %d, %s%s", exit, out, errs)
	}
	if exit, out, errs := commandLine(t, "journal", "verify"); exit != 0 || !strings.Contains(out, "the journal is empty") {
		t.Errorf("the rejected backup was restored: %s%s", out, errs)
	}
}
