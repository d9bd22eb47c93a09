package main

import (
	"context"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"

	"github.com/tidewaiter/tidewaiter/internal/app"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/logging"
	"github.com/tidewaiter/tidewaiter/internal/password"
)

func serveCommand() command {
	return command{
		use:   "serve",
		short: "Run the service",
		long: `Run the service until SIGTERM or Ctrl-C. After the signal, the service
finishes open requests and writes the journal, and then exits. A second signal ends it at once.

When the config or a policy file changes, and on SIGHUP, all files are read again. If anything is
wrong, no change takes effect: the errors are logged, and the last valid policy stays active.
Changes of rules, roles and namespaces in the database take effect without a reload.`,
		example: `  tidewaiter serve --config tidewaiter.yaml
  tidewaiter serve --config tidewaiter.yaml --keys ./signingkey`,
		config: true,
		flags: func(f *flags) action {
			create := f.Bool("create-database", false, "create a new database if the config's database has disappeared; the users, rules and journal of the old database are lost")
			return func(s *session) error { return s.serve(*create) }
		},
	}
}

func (s *session) serve(createDatabase bool) error {
	s.untilStopped()
	// Register the signal first, so that an early SIGHUP does not end the program.
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	defer signal.Stop(reload)

	runtime.MemProfileRate = 0 // no endpoint serves the memory profile
	setGCPercent(starting)
	var files app.Files
	var err error
	if s.cfg, err = config.Load(s.file, config.Options{Keys: s.keys, Seen: files.Seen}); err != nil {
		return err
	}
	password.AddThreads()
	log := logging.New(s.errs, s.cfg.Log.Format, s.cfg.Log.Level)
	a, err := app.New(s.ctx, s.cfg, app.Options{Log: log, Version: thisBuild().Version, CreateDatabase: createDatabase})
	if err != nil {
		return err
	}
	registries, keeps := s.services(), s.cfg.Journal.Keep.String()
	s.cfg = nil // frees the memory of the policy that was read from files
	var watching sync.WaitGroup
	defer watching.Wait()
	ctx, end := context.WithCancel(s.ctx)
	defer end()
	return a.Run(ctx, func() {
		setGCPercent(steady)
		log.Info("serving", "version", thisBuild().Version, "config", s.file, "registries", registries, "rules", a.Rulebook().Policy().Len(),
			"journal_keeps", keeps)
		watching.Go(func() { a.Watch(ctx, &files, s.reloadConfig, forward(ctx, reload)) })
	})
}

// GC percentages: how much the heap may grow between two collections, relative to the live heap.
//
// steady is for serving. The live heap is about 5 MB, and a signature leaves 9 kB of garbage. With
// the default of 100, collections take one twentieth of the CPU time of a loaded machine. A
// request takes 59 µs of CPU time with 100, and 51 to 53 µs with 200, 400 and 800. So a value
// above 200 does not make requests faster, but a busy process would use 64 MB or more.
//
// starting is for loading the config. Reading 10,000 rules leaves 60 MB of garbage. With the
// default of 100, this garbage is collected six times, and these collections take a quarter of the
// start's CPU time. With 1600, the garbage is collected once at the end. The first collection
// comes when the heap has 64 MB, so loading never uses much more than 64 MB.
const (
	steady   = 200
	starting = 1600
)

// setGCPercent sets the GC percentage, unless the environment sets GOGC. It does not change the
// limit of GOMEMLIMIT.
func setGCPercent(percent int) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
}

// forward forwards signals until ctx ends.
func forward(ctx context.Context, signals <-chan os.Signal) <-chan struct{} {
	forwarded := make(chan struct{})
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-signals:
			}
			select {
			case <-ctx.Done():
				return
			case forwarded <- struct{}{}:
			}
		}
	}()
	return forwarded
}
