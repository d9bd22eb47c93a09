package storetest

import (
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

// Server is a server of PostgreSQL that listens at a socket in its folder, and nowhere else.
type Server struct {
	bin     string // folder of its programs
	folder  string
	as      *user.User // nil: who runs the test
	keeper  *exec.Cmd  // nil while it is stopped
	rope    io.Closer  // that the keeper holds on to
	migrate sync.Once

	mu        sync.Mutex
	databases int
}

// NewServer starts a server that the test has for itself, to stop it as it likes.
func NewServer(t testing.TB) *Server {
	t.Helper()
	s := start(t)
	t.Cleanup(s.remove)
	return s
}

// start makes a server and starts it, or ends the test for want of one.
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
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // Debian's place; the pattern is right
	if len(found) > 0 {
		return filepath.Dir(found[len(found)-1]), nil
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	return "", errors.New("this test asks a real PostgreSQL: apt-get install postgresql-15")
}

// init makes the folder of a server. PostgreSQL refuses to run as root: then it runs as the user whom its
// package made.
func (s *Server) init() (err error) {
	// A socket's path has room for 107 bytes: not every temporary folder's is short enough.
	if s.folder, err = os.MkdirTemp("/tmp", "tidewaiter-pg-"); err != nil {
		return err
	}
	if os.Getuid() == 0 {
		if s.as, err = user.Lookup("postgres"); err != nil {
			return fmt.Errorf("running PostgreSQL as another than root: %w", err)
		}
		uid, _ := strconv.Atoi(s.as.Uid) // numbers, on every system that has initdb
		gid, _ := strconv.Atoi(s.as.Gid)
		if err := os.Chown(s.folder, uid, gid); err != nil {
			return err
		}
	}
	out, err := s.command("initdb", "-D", s.data(), "-U", "tidewaiter", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync").CombinedOutput()
	if err != nil {
		return fmt.Errorf("making a server of PostgreSQL: %w\n%s", err, out)
	}
	return nil
}

func (s *Server) data() string { return filepath.Join(s.folder, "data") }

// command is one of the server's programs, as its user.
func (s *Server) command(name string, args ...string) *exec.Cmd {
	if name != "sh" {
		name = filepath.Join(s.bin, name)
	}
	cmd := exec.Command(name, args...)
	cmd.Dir = s.folder
	cmd.SysProcAttr = attributes(s.as)
	return cmd
}

// keep is what a keeper does: it ends the server with this process, also where that is killed, and then
// removes its folder. SIGQUIT ends a server with all its processes at once. It is told to leave the folder alone
// by a file. What ends the test by its keyboard does not end the keeper, who still has this to do.
const keep = `folder=$1; shift
rm -f "$folder/stay"
trap : INT TERM HUP
"$@" & server=$!
while read -r _; do :; done
kill -QUIT $server 2>/dev/null
wait $server
[ -e "$folder/stay" ] || rm -rf "$folder"`

// Start starts the server, and returns when it takes connections. The system's cache is disk enough: it is
// processes that tests end, and not the machine.
func (s *Server) Start() error {
	// A file, since anything else takes a goroutine, which would be taken for one that the test forgot.
	log, err := os.Create(filepath.Join(s.folder, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	s.keeper = s.command("sh", "-c", keep, "keep", s.folder, filepath.Join(s.bin, "postgres"), "-D", s.data(), "-k", s.folder, "-c", "listen_addresses=", "-c", "fsync=off",
		"-c", "full_page_writes=off", "-c", "shared_buffers=32MB", "-c", "max_connections=200", "-c", "max_wal_size=256MB",
		"-c", "autovacuum_naptime=5min", "-c", "jit=off")
	s.keeper.Stdout, s.keeper.Stderr = log, log
	if s.rope, err = s.keeper.StdinPipe(); err != nil {
		return err
	}
	if err := s.keeper.Start(); err != nil {
		return fmt.Errorf("starting PostgreSQL: %w", err)
	}
	look := time.NewTicker(25 * time.Millisecond) // it cannot say when it listens
	defer look.Stop()
	for range 2400 { // a minute: only something broken takes as long
		if err = s.command("pg_isready", "-q", "-h", s.folder).Run(); err == nil {
			return nil
		}
		<-look.C
	}
	said, _ := os.ReadFile(log.Name())
	return fmt.Errorf("PostgreSQL does not answer: %w\n%s", err, said)
}

// Stop ends the server at once: whoever is connected is cut off.
func (s *Server) Stop() error {
	if s.keeper == nil {
		return nil
	}
	stay, err := os.Create(filepath.Join(s.folder, "stay"))
	if err != nil {
		return err
	}
	err = errors.Join(stay.Close(), s.rope.Close())
	_ = s.keeper.Wait() // its code says nothing
	s.keeper = nil
	return err
}

func (s *Server) remove() {
	_ = s.Stop()
	_ = os.RemoveAll(s.folder)
}

// Database makes a database, whose URL it returns. It is gone when the test has ended.
func (s *Server) Database(t testing.TB, from string) string {
	t.Helper()
	s.mu.Lock()
	s.databases++
	name := fmt.Sprintf("test_%d", s.databases)
	s.mu.Unlock()
	s.create(t, name, from)
	t.Cleanup(func() {
		if s.keeper != nil {
			s.Execute(t, "postgres", "DROP DATABASE "+name+" WITH (FORCE)")
		}
	})
	return s.URL(name)
}

// URL is a database URL.
func (s *Server) URL(database string) string {
	return "postgres://tidewaiter@/" + database + "?host=" + s.folder
}

func (s *Server) create(t testing.TB, name, from string) {
	t.Helper()
	s.Execute(t, "postgres", "CREATE DATABASE "+name+" TEMPLATE "+from)
}
