package store_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
)

func TestOpenSaysWhyItCannotOnPostgreSQL(t *testing.T) {
	s := storetest.NewServer(t)
	s.Execute(t, "postgres", "CREATE DATABASE theirs")
	s.Execute(t, "theirs", "CREATE TABLE theirs (x int)")
	s.Execute(t, "postgres", "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
	s.Execute(t, "postgres", "CREATE DATABASE newer")
	open(t, s.URL("newer")).Close()
	s.Execute(t, "newer", "INSERT INTO goose_db_version (version_id, is_applied) VALUES (1000, true)")
	s.Execute(t, "postgres", "CREATE ROLE stranger LOGIN")
	s.Execute(t, "postgres", "CREATE DATABASE locked")
	folder := strings.TrimPrefix(s.URL("x"), "postgres://tidewaiter@/x?host=")
	missing := filepath.Join(t.TempDir(), "none")
	for _, tt := range []struct {
		what, url string
		is        error
		says      string
	}{
		{"no server", "postgres://u:canary@127.0.0.1:1/x", store.ErrDown, `^opening database postgres://127.0.0.1/x: the database can't be reached: `},
		{"a socket without a server", "postgres://u:canary@/x?host=" + t.TempDir(), store.ErrDown, `can't be reached`},
		{"no database", s.URL("none"), nil, `CREATE DATABASE`},
		{"tables of another program", s.URL("theirs"), store.ErrForeign, `create a separate database for Tidewaiter`},
		{"another encoding", s.URL("latin"), nil, `its encoding is LATIN1`},
		{"newer tables", s.URL("newer"), store.ErrNewer, `version 1000`},
		{"no right to create tables", "postgres://stranger@/locked?host=" + folder, nil, `must own the database`},
		{"an unknown user", "postgres://nobody:canary@/x?host=" + folder, nil, `role "nobody" does not exist`},
		{"no URL", "postgres://u:canary@[::1/x", nil, `expected postgres://`},
		{"an invalid option", "postgres://u:canary@h/x?sslmode=canary", nil, `expected postgres://`},
		{"no database in it", "postgres:///?host=" + folder, nil, `it has no database name`},
		{"a missing password file", s.URL("theirs") + "&password_file=" + missing, nil, `reading the password: open `},
		{"a missing passfile", s.URL("theirs") + "&passfile=" + missing, nil, `passfile: stat `},
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

func TestThePasswordIsReadFromItsFile(t *testing.T) {
	s := storetest.NewServer(t)
	s.Execute(t, "postgres", "CREATE ROLE one LOGIN PASSWORD 'canary in a file'")
	s.Execute(t, "postgres", "CREATE DATABASE one OWNER one")
	folder := strings.TrimPrefix(s.URL("x"), "postgres://tidewaiter@/x?host=")
	if err := os.WriteFile(filepath.Join(folder, "data", "pg_hba.conf"), []byte("local all tidewaiter trust\nlocal all all scram-sha-256\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Execute(t, "postgres", "SELECT pg_reload_conf()")
	file := filepath.Join(t.TempDir(), "password")
	url := "postgres://one@/one?host=" + folder + "&password_file=" + file
	for _, tt := range []struct {
		text string
		good bool
	}{{"canary of another", false}, {"canary in a file\n", true}, {"canary in a file", true}} {
		if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		db, err := store.Open(t.Context(), url)
		if err == nil {
			db.Close()
		}
		if (err == nil) != tt.good || err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("with %q: %v", tt.text, err)
		}
	}
}

// While the server is stopped, the error is ErrDown.
func TestAServerThatComesBackIsUsedAgain(t *testing.T) {
	s := storetest.NewServer(t)
	db := open(t, s.Database(t, "template0"))
	nothing := func(*sql.Tx) error { return nil }
	for range 3 {
		if err := db.Write(t.Context(), "policy", nothing); err != nil {
			t.Fatal(err)
		}
		if err := db.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
		if err := db.Write(t.Context(), "policy", nothing); !errors.Is(err, store.ErrDown) || !store.Unavailable(err) {
			t.Errorf("writing without a server: %v", err)
		}
		if err := db.Ping(t.Context()); !errors.Is(err, store.ErrDown) {
			t.Errorf("reading without a server: %v", err)
		}
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Write(t.Context(), "policy", nothing); err != nil {
		t.Error(err)
	}
	if got := counter(t, db, "policy"); got != 4 {
		t.Errorf("the counter is %d after 4 writes", got)
	}
}

// A restart of the server ends every pooled connection. The next write still succeeds.
func TestAWritePassesOverConnectionsThatHaveEnded(t *testing.T) {
	s := storetest.NewServer(t)
	db := open(t, s.Database(t, "template0"))
	if err := db.Write(t.Context(), "policy", func(*sql.Tx) error {
		// A write of another topic needs a second connection.
		return db.Write(t.Context(), "other", func(*sql.Tx) error { return nil })
	}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Stop(), s.Start()); err != nil {
		t.Fatal(err)
	}
	if err := db.Write(t.Context(), "policy", func(*sql.Tx) error { return nil }); err != nil {
		t.Error(err)
	}
}

// Writes of one topic run one after the other, even on PostgreSQL. So a write never reads a value
// that another write of the topic is going to change.
func TestWritesOfATopicAreSerialized(t *testing.T) {
	url := storetest.PostgreSQL().Ready(t)
	one, other := open(t, url), open(t, url)
	if err := one.Write(t.Context(), "accounts", func(*sql.Tx) error { return nil }); err != nil {
		t.Fatal(err)
	}
	looked, done := make(chan struct{}), make(chan error, 1)
	err := one.Write(t.Context(), "accounts", func(*sql.Tx) error {
		go func() {
			done <- other.Write(context.Background(), "accounts", func(tx *sql.Tx) error {
				close(looked)
				return nil
			})
		}()
		// Wait until the other replica has read the value or waits for the lock.
		for waiting := 0; waiting == 0; {
			select {
			case <-looked:
				t.Error("a write read a value that another write of its topic was about to change")
				return nil
			default:
			}
			err := one.Read().QueryRowContext(t.Context(), `
				SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`).Scan(&waiting)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, <-done); err != nil {
		t.Error(err)
	}
	if got := counter(t, one, "accounts"); got != 3 {
		t.Errorf("the counter is %d after 3 writes", got)
	}
}

func TestWatchReportsChangesToEveryReplica(t *testing.T) {
	storetest.Each(t, testWatchReportsChangesToEveryReplica)
}

func testWatchReportsChangesToEveryReplica(t *testing.T, d storetest.Database) {
	url := d.New(t)
	writer := open(t, url)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const replicas = 2
	told, ended := make(chan string, 100), make(chan error, replicas)
	for range replicas {
		db := open(t, url)
		go func() { ended <- db.Watch(ctx, []string{"accounts", "policy"}, func(topic string) { told <- topic }) }()
	}
	expect := func(want map[string]int) {
		t.Helper()
		for range want["accounts"] + want["policy"] {
			want[<-told]--
		}
		if want["accounts"] != 0 || want["policy"] != 0 {
			t.Errorf("missing (positive) or additional (negative) reports by topic: %v", want)
		}
	}
	expect(map[string]int{"accounts": replicas, "policy": replicas}) // once per replica
	for range 2 {
		if err := writer.Write(t.Context(), "other", func(*sql.Tx) error { return nil }); err != nil {
			t.Fatal(err)
		}
		if err := writer.Write(t.Context(), "accounts", func(*sql.Tx) error { return nil }); err != nil {
			t.Fatal(err)
		}
		expect(map[string]int{"accounts": replicas})
	}
	cancel()
	for range replicas {
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Watch ended with %v", err)
		}
	}
	if len(told) != 0 {
		t.Errorf("%d changes were reported that did not happen", len(told))
	}
}

// If changes are made while a watcher cannot read the database, they are reported when the
// watcher can read it again.
func TestWatchFindsWhatItMissed(t *testing.T) {
	s := storetest.NewServer(t)
	url := s.Database(t, "template0")
	db := open(t, url)
	ctx, cancel := context.WithCancel(t.Context())
	told, ended := make(chan string), make(chan error)
	go func() { ended <- db.Watch(ctx, []string{"accounts"}, func(topic string) { told <- topic }) }()
	<-told
	if err := errors.Join(s.Stop(), s.Start()); err != nil {
		t.Fatal(err)
	}
	other := open(t, url)
	if err := other.Write(t.Context(), "accounts", func(*sql.Tx) error { return nil }); err != nil {
		t.Fatal(err)
	}
	<-told
	cancel()
	<-ended
}
