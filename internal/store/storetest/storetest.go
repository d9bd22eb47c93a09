// Package storetest gives tests the databases that the store supports: SQLite files and a real
// PostgreSQL server (Debian's postgresql-15). A test binary starts one server when a test first
// needs it. Each test gets its own database on that server.
//
//	func TestMain(m *testing.M) {
//		goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
//			storetest.Stop()
//			os.Exit(code)
//		}))
//	}
//
//	func TestWritesAreDurable(t *testing.T) { storetest.Each(t, testWritesAreDurable) }
//
//	func testWritesAreDurable(t *testing.T, d storetest.Database) {
//		db, err := store.Open(t.Context(), d.New(t))
//		…
//	}
package storetest

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/store"
)

// Database is a kind of database.
type Database struct {
	Name string

	// New returns the URL of a new database without tables, for tests of Open with an empty
	// database. The database is removed when the test ends.
	New func(t testing.TB) string
	// Ready returns the URL of a copy of a database with all tables. Copying takes a tenth of
	// the time that Open needs to create the tables. All copies have the same id. A copy is
	// removed when the test ends.
	Ready func(t testing.TB) string
}

// Each runs a test as a subtest on each kind of database.
func Each(t *testing.T, test func(t *testing.T, d Database)) {
	t.Helper()
	for _, d := range []Database{SQLite(), PostgreSQL()} {
		t.Run(d.Name, func(t *testing.T) { test(t, d) })
	}
}

// SQLite returns the kind of database that is a file. Each database has a separate folder.
func SQLite() Database {
	return Database{
		Name: "SQLite",
		New:  func(t testing.TB) string { return "sqlite:" + filepath.Join(folder(t), "state.db") },
		Ready: func(t testing.TB) string {
			file := filepath.Join(folder(t), "state.db")
			if err := os.WriteFile(file, fileWithTables(t), 0o600); err != nil {
				t.Fatal(err)
			}
			return "sqlite:" + file
		},
	}
}

// withTables is the file that SQLite().Ready copies.
var withTables struct {
	mu   sync.Mutex
	file []byte
}

func fileWithTables(t testing.TB) []byte {
	t.Helper()
	withTables.mu.Lock()
	defer withTables.mu.Unlock()
	if withTables.file == nil {
		file := filepath.Join(folder(t), "state.db")
		createTables(t, "sqlite:"+file)
		var err error
		if withTables.file, err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	return withTables.file
}

// createTables creates the tables of a database by opening it.
func createTables(t testing.TB, url string) {
	t.Helper()
	db, err := store.Open(context.Background(), url)
	if err == nil {
		err = db.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// folder returns a new folder, in memory if possible. It is removed when the test ends.
func folder(t testing.TB) string {
	t.Helper()
	in := memory()
	if in == "" {
		return t.TempDir()
	}
	folder, err := os.MkdirTemp(in, "tidewaiter-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(folder); err != nil {
			t.Error(err)
		}
	})
	return folder
}

// PostgreSQL returns the kind of database that is on the server of this test binary. If no
// server can be started, the test is skipped, or fails if CI=true.
func PostgreSQL() Database {
	return Database{
		Name: "PostgreSQL",
		New:  func(t testing.TB) string { return server(t).Database(t, "template0") },
		Ready: func(t testing.TB) string {
			s := server(t)
			s.migrate.Do(func() {
				s.create(t, template, "template0")
				createTables(t, s.URL(template))
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

// Stop stops the server of this test binary, if any. Call it after all tests.
func Stop() {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.Server != nil {
		shared.Server.remove()
		shared.Server = nil
	}
}
