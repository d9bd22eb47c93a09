// Package storetest gives tests the databases that state can be kept in: files of SQLite, and a real server
// of PostgreSQL (Debian's postgresql-15). A test binary starts one server, when the first test asks, and each test gets a
// database of its own on it.
//
//	func TestMain(m *testing.M) {
//		goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) { storetest.Stop(); os.Exit(code) }))
//	}
//
//	func TestWhatWasWrittenIsThere(t *testing.T) { storetest.Each(t, testWhatWasWrittenIsThere) }
//
//	func testWhatWasWrittenIsThere(t *testing.T, d storetest.Database) {
//		db, err := store.Open(t.Context(), d.New(t))
//		…
//	}
package storetest

import (
	"context"
	"path/filepath"
	"sync"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/store"
)

// Database is a kind of database.
type Database struct {
	Name string

	// New returns the URL of a database that nobody has, without tables. It is gone when the test has ended.
	New func(t testing.TB) string
	// Ready is New with all tables, and as fast as can be: nothing of it outlives the process for certain. What
	// is returned can be opened once.
	Ready func(t testing.TB) string
}

// Each runs a test on each kind of database, as a subtest.
func Each(t *testing.T, test func(t *testing.T, d Database)) {
	t.Helper()
	for _, d := range []Database{SQLite(), PostgreSQL()} {
		t.Run(d.Name, func(t *testing.T) { test(t, d) })
	}
}

// SQLite keeps state in files of the test's folder.
func SQLite() Database {
	return Database{
		Name:  "SQLite",
		New:   func(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "state.db") },
		Ready: func(testing.TB) string { return "sqlite::memory:" },
	}
}

// PostgreSQL keeps state on the server of this test binary. Where none can be started a test that wants it is skipped, or
// fails if CI=true.
func PostgreSQL() Database {
	return Database{
		Name: "PostgreSQL",
		New:  func(t testing.TB) string { return server(t).Database(t, "template0") },
		Ready: func(t testing.TB) string {
			s := server(t)
			s.migrate.Do(func() {
				s.create(t, template, "template0")
				db, err := store.Open(context.Background(), s.URL(template))
				if err != nil {
					t.Fatal(err)
				}
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
			})
			return s.Database(t, template)
		},
	}
}

const template = "with_tables"

// shared is the server of this test binary.
var shared struct {
	mu sync.Mutex
	*Server
}

func server(t testing.TB) *Server {
	t.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.Server == nil {
		shared.Server = start(t)
	}
	return shared.Server
}

// Stop ends the server of this test binary, if there is one. Call it when all tests have run.
func Stop() {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.Server != nil {
		shared.Server.remove()
		shared.Server = nil
	}
}
