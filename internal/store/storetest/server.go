package storetest

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Server is a PostgreSQL server that listens only on a Unix socket in its folder.
type Server struct {
	bin     string // folder of its programs
	folder  string
	as      *user.User // the user of the server; nil: the user who runs the test
	keeper  *exec.Cmd  // nil while the server is stopped
	rope    io.Closer  // the keeper's stdin
	migrate sync.Once

	mu        sync.Mutex
	databases int
}

// NewServer starts a server for one test. The test can stop the server.
func NewServer(t testing.TB) *Server {
	t.Helper()
	s := start(t)
	t.Cleanup(s.remove)
	return s
}

// start starts a new server. If PostgreSQL is not installed, it skips the test, or fails the test
// if CI=true.
func start(t testing.TB) *Server {
	t.Helper()
	bin, err := find()
	switch {
	case err == nil:
	case os.Getenv("CI") == "true":
		t.Fatal(err)
	default:
		t.Skip(err)
	}
	s := &Server{bin: bin}
	if err := s.init(); err != nil {
		s.remove()
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		s.remove()
		t.Fatal(err)
	}
	return s
}

func find() (folder string, err error) {
	// Debian's folder; the pattern is valid
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) > 0 {
		return filepath.Dir(found[len(found)-1]), nil
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	return "", errors.New("this test needs PostgreSQL: apt-get install postgresql-15")
}

// init creates the server's folder. PostgreSQL refuses to run as root. If the test runs as
// root, the server runs as the user that the PostgreSQL package created.
func (s *Server) init() (err error) {
	// A socket's path is limited to 107 bytes, and some temporary folders are longer.
	if s.folder, err = os.MkdirTemp(cmp.Or(memory(), "/tmp"), "tidewaiter-pg-"); err != nil {
		return err
	}
	if os.Getuid() == 0 {
		if s.as, err = user.Lookup("postgres"); err != nil {
			return fmt.Errorf("looking for a user other than root who can run PostgreSQL: %w", err)
		}
		uid, _ := strconv.Atoi(s.as.Uid) // user ids are numbers where initdb exists
		gid, _ := strconv.Atoi(s.as.Gid)
		if err := os.Chown(s.folder, uid, gid); err != nil {
			return err
		}
	}
	out, err := s.command("initdb", "-D", s.data(), "-U", "tidewaiter", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync").CombinedOutput()
	if err != nil {
		return fmt.Errorf("creating a PostgreSQL server: %w\n%s", err, out)
	}
	return nil
}

func (s *Server) data() string { return filepath.Join(s.folder, "data") }

// command returns a command that runs one of the server's programs as its user.
func (s *Server) command(name string, args ...string) *exec.Cmd {
	if name != "sh" {
		name = filepath.Join(s.bin, name)
	}
	cmd := exec.Command(name, args...)
	cmd.Dir = s.folder
	cmd.SysProcAttr = attributes(s.as)
	return cmd
}

// keeperScript is the script of the keeper. When the test process ends, even by a kill, the
// script ends the server. Then the script removes the server's folder, unless the file "stay"
// exists. SIGQUIT ends a server and all its processes immediately. The keeper ignores the signals
// from the keyboard that end the test.
const keeperScript = `folder=$1; shift
rm -f "$folder/stay"
trap : INT TERM HUP
"$@" & server=$!
while read -r _; do :; done
kill -QUIT $server 2>/dev/null
wait $server
[ -e "$folder/stay" ] || rm -rf "$folder"`

// Start starts the server and returns when it accepts connections. fsync is off, because tests
// kill processes and not the machine.
func (s *Server) Start() error {
	// The log is an *os.File. For any other io.Writer, os/exec starts a goroutine, and the leak
	// check would report this goroutine.
	log, err := os.Create(filepath.Join(s.folder, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	s.keeper = s.command("sh", "-c", keeperScript, "keep", s.folder, filepath.Join(s.bin, "postgres"), "-D", s.data(), "-k", s.folder, "-c", "listen_addresses=", "-c", "fsync=off",
		"-c", "full_page_writes=off", "-c", "shared_buffers=32MB", "-c", "max_connections=200", "-c", "max_wal_size=256MB",
		"-c", "autovacuum_naptime=5min", "-c", "jit=off")
	s.keeper.Stdout, s.keeper.Stderr = log, log
	if s.rope, err = s.keeper.StdinPipe(); err != nil {
		return err
	}
	if err := s.keeper.Start(); err != nil {
		return fmt.Errorf("starting PostgreSQL: %w", err)
	}
	look := time.NewTicker(25 * time.Millisecond) // the server cannot report when it listens
	defer look.Stop()
	for range 2400 { // one minute
		if err = s.command("pg_isready", "-q", "-h", s.folder).Run(); err == nil {
			return nil
		}
		<-look.C
	}
	said, _ := os.ReadFile(log.Name())
	return fmt.Errorf("PostgreSQL does not answer: %w\n%s", err, said)
}

// Stop ends the server immediately and closes all connections.
func (s *Server) Stop() error {
	if s.keeper == nil {
		return nil
	}
	stay, err := os.Create(filepath.Join(s.folder, "stay"))
	if err != nil {
		return err
	}
	err = errors.Join(stay.Close(), s.rope.Close())
	_ = s.keeper.Wait() // its exit code has no meaning
	s.keeper = nil
	return err
}

func (s *Server) remove() {
	_ = s.Stop()
	_ = os.RemoveAll(s.folder)
}

// Database creates a copy of the original database, and returns the URL of the copy. The copy is
// dropped when the test ends.
func (s *Server) Database(t testing.TB, original string) string {
	t.Helper()
	s.mu.Lock()
	s.databases++
	name := fmt.Sprintf("test_%d", s.databases)
	s.mu.Unlock()
	s.create(t, name, original)
	t.Cleanup(func() {
		if s.keeper != nil {
			s.Execute(t, "postgres", "DROP DATABASE "+name+" WITH (FORCE)")
		}
	})
	return s.URL(name)
}

// URL returns the URL of a database on the server.
func (s *Server) URL(database string) string {
	return "postgres://tidewaiter@/" + database + "?host=" + s.folder
}

func (s *Server) create(t testing.TB, name, from string) {
	t.Helper()
	s.Execute(t, "postgres", "CREATE DATABASE "+name+" TEMPLATE "+from)
}
