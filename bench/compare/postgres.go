package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// postgres is a server of PostgreSQL that listens at a socket in its folder, and nowhere else.
type postgres struct {
	programs string // folder
	folder   string
}

// newPostgres makes a server, and starts it.
func newPostgres(ctx context.Context) (*postgres, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin") // Debian's place
	if err != nil || len(found) == 0 {
		return nil, errors.Join(errors.New("this group asks a real PostgreSQL: apt-get install postgresql-15"), err)
	}
	p := &postgres{programs: found[len(found)-1]}
	// A socket's path has room for 107 bytes: not every temporary folder's is short enough.
	if p.folder, err = os.MkdirTemp("/tmp", "tidewaiter-pg-"); err != nil {
		return nil, fmt.Errorf("making a folder for PostgreSQL: %w", err)
	}
	if os.Getuid() == 0 {
		err = p.as(ctx, "", "chown", "postgres", p.folder)
	}
	if err == nil {
		err = p.run(ctx, "initdb", "-D", p.data(), "-U", "tidewaiter", "-A", "trust", "-E", "UTF8", "--locale=C")
	}
	if err == nil {
		err = p.start(ctx)
	}
	if err == nil {
		err = p.run(ctx, "createdb", "-h", p.folder, "-U", "tidewaiter", "bench")
	}
	if err != nil {
		return nil, errors.Join(err, p.remove())
	}
	return p, nil
}

func (p *postgres) data() string { return filepath.Join(p.folder, "data") }

// url is where state is kept in it.
func (p *postgres) url() string { return "postgres://tidewaiter@/bench?host=" + p.folder }

// start returns when the server takes connections.
func (p *postgres) start(ctx context.Context) error {
	return p.run(ctx, "pg_ctl", "start", "-w", "-s", "-D", p.data(), "-l", filepath.Join(p.folder, "log"),
		"-o", "-c listen_addresses= -k "+p.folder)
}

// stop ends the server at once: whoever is connected is cut off.
func (p *postgres) stop(ctx context.Context) error {
	return p.run(ctx, "pg_ctl", "stop", "-w", "-s", "-D", p.data(), "-m", "immediate")
}

// remove ends the server if it runs, and leaves nothing behind.
func (p *postgres) remove() error {
	_ = p.stop(context.Background()) // it need not run
	return os.RemoveAll(p.folder)
}

// run runs one of PostgreSQL's programs. They refuse to run as root: then it is the user whom the package made.
func (p *postgres) run(ctx context.Context, name string, arguments ...string) error {
	user := ""
	if os.Getuid() == 0 {
		user = "postgres"
	}
	return p.as(ctx, user, filepath.Join(p.programs, name), arguments...)
}

func (p *postgres) as(ctx context.Context, user, name string, arguments ...string) error {
	command := exec.CommandContext(ctx, name, arguments...)
	if user != "" {
		command = exec.CommandContext(ctx, "runuser", append([]string{"-u", user, "--", name}, arguments...)...)
	}
	command.Dir = p.folder
	// A file, since a server that goes on would keep a pipe open.
	said, err := os.CreateTemp("", "tidewaiter-pg-said-")
	if err != nil {
		return fmt.Errorf("running %s: %w", name, err)
	}
	defer func() { _ = errors.Join(said.Close(), os.Remove(said.Name())) }()
	command.Stdout, command.Stderr = said, said
	if err := command.Run(); err != nil {
		text, _ := os.ReadFile(said.Name())
		return fmt.Errorf("running %s: %w\n%s", name, err, text)
	}
	return nil
}
