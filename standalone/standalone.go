package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/app"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/logging"
	"github.com/tidewaiter/tidewaiter/internal/server"
	"github.com/tidewaiter/tidewaiter/internal/setup"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

// lockFile is the file that a process locks while it uses the data folder.
const lockFile = "lock"

// grace is how long Serve waits for running pushes after a stop was requested.
const grace = 10 * time.Second

// Options are the settings of a Standalone.
type Options struct {
	Data string // folder
	Port int    // 0: any free port
	Log  *logging.Log
}

// Standalone is a registry and Tidewaiter at the same address.
type Standalone struct {
	setup    setup.Result
	app      *app.App
	address  string         // localhost:5000
	outer    []net.Listener // for clients: the loopback addresses of localhost
	inner    net.Listener   // for the registry's events; closed last
	registry http.Handler
	files    app.Files // the files of the config at the start
	log      *logging.Log
	lock     *os.File // locks the folder, so that only one process writes to the registry's storage
}

// Open creates the folder if it does not exist, and listens. Requests are answered only while
// Serve runs.
func Open(ctx context.Context, o Options) (_ *Standalone, err error) {
	s := &Standalone{log: o.Log}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.outer, err = loopback(o.Port, o.Data); err != nil {
		if inUse(o.Data) { // the folder is in use, so another port alone would not help
			err = folderInUse(o.Data, o.Port+1)
		}
		return nil, err
	}
	if s.inner, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("listening for the registry's events: %w", err)
	}
	port := s.outer[0].Addr().(*net.TCPAddr).Port
	s.address = net.JoinHostPort("localhost", strconv.Itoa(port))
	url := "http://" + s.address
	// In the journal, in queries and in tokens, the registry has the name that clients use. An
	// existing config keeps its service name, because this name has no effect on the port.
	options := setup.Options{Service: s.address, PublicURL: url, Private: true, Database: newDatabase(o.Data)}
	if s.setup, err = setup.Write(o.Data, options); err != nil {
		return nil, err
	}
	if s.lock, err = lock(s.setup.Dir); errors.Is(err, errInUse) {
		return nil, folderInUse(o.Data, port)
	} else if err != nil {
		return nil, err
	}
	cfg, err := s.load(s.files.Seen)
	if err != nil {
		return nil, fmt.Errorf("the configuration has errors:\n%w", err)
	}
	if s.app, err = app.New(ctx, cfg, app.Options{Log: o.Log}); err != nil {
		return nil, err
	}
	secret, err := os.ReadFile(s.setup.Path(setup.Notifications))
	if err != nil {
		return nil, fmt.Errorf("reading the secret of the registry's events: %w", err)
	}
	s.registry, err = openRegistry(ctx, registryOptions{
		Root:        s.setup.Path(setup.RootBundle),
		Issuer:      cfg.Token.Issuer,
		Service:     cfg.Registries[0].Service,
		Realm:       url + cfg.Paths.Token,
		Storage:     filepath.Join(s.setup.Dir, storageFolder),
		EventsURL:   "http://" + s.inner.Addr().String() + cfg.Paths.Notifications,
		EventSecret: strings.TrimSpace(string(secret)),
		HTTPSecret:  rand.Text(),
		Log:         filepath.Join(s.setup.Dir, "registry.log"),
	})
	return s, err
}

// newDatabase returns the database for a new config. Older versions stored the database in
// data/data. A folder with a database in data/data continues to use that database, even if the
// config was deleted.
func newDatabase(folder string) string {
	if _, err := os.Lstat(filepath.Join(folder, "data", "state.db")); errors.Is(err, fs.ErrNotExist) {
		return "sqlite:state.db"
	}
	return "" // the default of setup
}

// loopback listens on a port of both loopback addresses, because clients can use either address
// for localhost. A machine without IPv6 has only one loopback address. The advice in errors names
// the data folder.
func loopback(port int, data string) ([]net.Listener, error) {
	first, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, portInUse(port, data)
	}
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	port = first.Addr().(*net.TCPAddr).Port
	second, err := net.Listen("tcp", net.JoinHostPort("::1", strconv.Itoa(port)))
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, errors.Join(portInUse(port, data), first.Close())
	}
	if err != nil {
		return []net.Listener{first}, nil
	}
	return []net.Listener{first, second}, nil
}

// defaultData is the folder of `make up` without DATA=.
const defaultData = "data"

func portInUse(port int, data string) error {
	hint, folder := "", ""
	if port == 5000 {
		hint = " (on a Mac, the program may be AirPlay)"
	}
	if data != defaultData {
		folder = "DATA=" + text.Shell(data) + " "
	}
	return fmt.Errorf("port %d is in use by another program%s: choose another port with\n\n\t%sPORT=%d make up\n", port, hint, folder, port+1)
}

// folderInUse returns the error for a folder that another process uses. The advice in the error
// names a port that may be free.
func folderInUse(data string, freePort int) error {
	return fmt.Errorf("%w, or run a separate registry beside it with\n\n\tDATA=other PORT=%d make up\n", usedBy(data), freePort)
}

// errInUse means that another process has locked the folder.
var errInUse = errors.New("another `make up` uses the folder")

func usedBy(folder string) error { return fmt.Errorf("%w %s: stop it", errInUse, folder) }

// inUse reports whether another process has locked a folder. It creates nothing.
func inUse(folder string) bool {
	f, err := os.OpenFile(filepath.Join(folder, lockFile), os.O_RDWR|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	return syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) != nil
}

// lock locks a folder for this process. The system releases the lock when the process ends.
func lock(folder string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(folder, lockFile), os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the folder: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, usedBy(folder)
	}
	return f, nil
}

// load reads the config. It calls the function onRead before it reads a file.
func (s *Standalone) load(onRead func(folder, name string)) (*config.Config, error) {
	return config.Load(s.setup.Path(setup.Config), config.Options{Seen: onRead})
}

// Serve answers requests until ctx ends. After that, it stops listening for clients, and waits for
// the registry's last events. While Serve runs, changes of the config take effect.
func (s *Standalone) Serve(ctx context.Context) error {
	clients := http.NewServeMux()
	clients.Handle("/", s.app.Handler(server.Token, server.Keys, server.Health, server.API))
	clients.Handle("/v2/", s.registry)
	outer := server.HTTP(clients, nil, s.log.Logger)
	// Layers are large, so there is no time limit for reading or writing one.
	outer.ReadTimeout, outer.WriteTimeout = 0, 0
	inner := server.HTTP(s.app.Handler(server.Notifications), nil, s.log.Logger)

	failed := make(chan error, len(s.outer)+1)
	for _, l := range s.outer {
		go func() { failed <- outer.Serve(l) }()
	}
	go func() { failed <- inner.Serve(s.inner) }()

	var following sync.WaitGroup
	defer following.Wait()
	ctx, end := context.WithCancel(ctx)
	defer end()
	following.Go(func() { s.app.Watch(ctx, &s.files, s.load, nil) })

	var err error
	select {
	case <-ctx.Done():
		fmt.Println("\nstopping …")
	case err = <-failed:
	}
	stopping, done := context.WithTimeout(context.Background(), grace)
	defer done()
	if e := outer.Shutdown(stopping); e != nil {
		_ = outer.Close()
	}
	s.settle(stopping)
	if e := inner.Shutdown(stopping); e != nil {
		_ = inner.Close()
	}
	return err
}

// settle waits until the registry has posted its events, because events that are still queued are
// lost when the process ends. The registry posts its events one after the other. So settle returns
// when no new event has arrived for a short time.
func (s *Standalone) settle(ctx context.Context) {
	const moment = 150 * time.Millisecond
	last := s.app.Journal().Stats().Written
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(moment):
		}
		now := s.app.Journal().Stats().Written
		if now == last {
			return
		}
		last = now
	}
}

// Close closes everything that Open has opened.
func (s *Standalone) Close() error {
	var err error
	for _, l := range append(s.outer, s.inner) {
		if l == nil {
			continue
		}
		if e := l.Close(); e != nil && !errors.Is(e, net.ErrClosed) {
			err = errors.Join(err, e)
		}
	}
	if s.app != nil {
		ctx, done := context.WithTimeout(context.Background(), grace)
		defer done()
		err = errors.Join(err, s.app.Close(ctx))
	}
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	return err
}

// Welcome returns the instructions for the next steps.
func (s *Standalone) Welcome() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nThe registry is at %s. Its data is in %s.\n\n", s.address, shortPath(s.setup.Dir))
	if password := s.setup.Password.Reveal(); password != "" {
		fmt.Fprintf(&b, "  user      %s\n  password  %s    (shown only once; only its hash is stored)\n\n", setup.Admin, password)
	} else {
		fmt.Fprintf(&b, "Users are in %s. A new password for %s:\n\n  delete the user's line there, then: bin/tidewaiter hash-password --name %s >> %s\n\n",
			shortPath(s.setup.Path(setup.Users)), setup.Admin, setup.Admin, shortPath(s.setup.Path(setup.Users)))
	}
	fmt.Fprintf(&b, `In another terminal:

  docker login %[1]s -u %[2]s
  docker tag IMAGE %[1]s/%[2]s/IMAGE
  docker push %[1]s/%[2]s/IMAGE

A second user:       bin/tidewaiter hash-password --name ann >> %[4]s
Who may do what:     %[3]s (a change takes effect when you save it)
Who did what:        bin/tidewaiter journal list --config %[3]s
A robot for CI, delete an image, free disk, use it from other machines: docs/home.md

Below, a line for each thing that clients do. Ctrl-C stops.

`, s.address, setup.Admin, shortPath(s.setup.Path(setup.Config)), shortPath(s.setup.Path(setup.Users)))
	return b.String()
}

// shortPath returns path relative to the working directory if path is below that directory.
// Otherwise it returns path.
func shortPath(path string) string {
	here, err := os.Getwd()
	if err != nil {
		return path
	}
	relative, err := filepath.Rel(here, path)
	if err != nil || !fs.ValidPath(filepath.ToSlash(relative)) {
		return path
	}
	if relative == "." {
		return relative
	}
	return "./" + relative
}
