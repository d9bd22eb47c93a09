package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// postgres is a PostgreSQL server that listens only on a Unix socket in its folder.
type postgres struct {
	programs string // folder
	folder   string
}

// newPostgres creates and starts a server.
func newPostgres(ctx context.Context) (*postgres, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin") // Debian's folder
	if err != nil || len(found) == 0 {
		return nil, errors.Join(errors.New("this group needs PostgreSQL: apt-get install postgresql-15"), err)
	}
	p := &postgres{programs: found[len(found)-1]}
	// The path of a socket is limited to 107 bytes, and the paths of some temporary folders are
	// longer.
	if p.folder, err = os.MkdirTemp("/tmp", "tidewaiter-pg-"); err != nil {
		return nil, fmt.Errorf("creating a folder for PostgreSQL: %w", err)
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

// url returns the URL of the database.
func (p *postgres) url() string { return "postgres://tidewaiter@/bench?host=" + p.folder }

// start starts the server and returns when it accepts connections.
func (p *postgres) start(ctx context.Context) error {
	return p.run(ctx, "pg_ctl", "start", "-w", "-s", "-D", p.data(), "-l", filepath.Join(p.folder, "log"),
		"-o", "-c listen_addresses= -k "+p.folder)
}

// stop ends the server immediately and closes all connections.
func (p *postgres) stop(ctx context.Context) error {
	return p.run(ctx, "pg_ctl", "stop", "-w", "-s", "-D", p.data(), "-m", "immediate")
}

// remove stops the server and removes its folder.
func (p *postgres) remove() error {
	_ = p.stop(context.Background()) // it may be stopped already
	return os.RemoveAll(p.folder)
}

// run runs a program of PostgreSQL. These programs refuse to run as root, so root runs them as
// the user of Debian's package.
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
	// Use a file, because a server that continues to run would not close a pipe.
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
