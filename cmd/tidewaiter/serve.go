package main

import (
	"context"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tidewaiter/tidewaiter/internal/app"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/password"
)

func newServe() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the service",
		Long: `Run the service until it is asked to stop (SIGTERM, Ctrl-C): requests under way are finished, and what
happened is written to the journal, before it ends. A second signal ends it at once.

When the config or a policy file changes, and on SIGHUP, all of them are read again. All of it takes effect, or, if
anything is wrong, none: the log says what, and the last good policy stays in force. Rules, roles and namespaces in
the database take effect by themselves.`,
		Example: `  tidewaiter serve --config tidewaiter.yaml
  tidewaiter serve --config tidewaiter.yaml --keys ./signingkey`,
	}
	source := configFlags(cmd)
	create := cmd.Flags().Bool("create-database", false, "make a new database where this config had one that is gone: its users, rules and journal are then lost")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx, stop := untilStopped(cmd.Context())
		defer stop()
		// From here on, so that a SIGHUP that comes early does not end the program.
		again := make(chan os.Signal, 1)
		signal.Notify(again, syscall.SIGHUP)
		defer signal.Stop(again)

		runtime.MemProfileRate = 0 // nobody can ask for the profile
		collector(starting)
		cfg, err := source.load()
		if err != nil {
			return err
		}
		password.MakeRoom()
		log := app.NewLog(cmd.ErrOrStderr(), cfg.Log.Format, cfg.Log.Level)
		a, err := app.New(ctx, cfg, app.Options{Log: log, CreateDatabase: *create})
		if err != nil {
			return err
		}
		registries := services(cfg) // and not cfg, which would keep the policy of files alive
		var following sync.WaitGroup
		defer following.Wait()
		ctx, end := context.WithCancel(ctx)
		defer end()
		return a.Run(ctx, func() {
			collector(steady)
			log.Info("serving", "version", built().Version, "config", source.file, "registries", registries, "rules", a.Rulebook().Policy().Len())
			following.Go(func() { a.Follow(ctx, source.loadBeside, asked(ctx, again)) })
		})
	}
	return cmd
}

// Percentages for the garbage collector: how much the heap may grow between two collections, beside what is alive.
//
// Steady: little is alive, about 5 MB, and a signature leaves 9 kB behind: with the usual 100, one twentieth of a loaded
// machine collects. Beyond 200 there is nothing to gain (51 to 53 µs of CPU for a request at 200, 400 and 800; 59 at 100),
// and a busy process would hold 64 MB and more.
//
// Starting: to read 10,000 rules leaves 60 MB of garbage. With the usual 100 it is collected six times, for a quarter of
// the CPU that the start takes. This much lets it be collected once, when all is read; the first collection comes at 64 MB,
// so that a policy of any size costs what it costs at most.
const (
	steady   = 200
	starting = 1600
)

// collector sets how often garbage is collected, unless the environment says it (GOGC). A limit that the environment sets
// (GOMEMLIMIT) holds in any case.
func collector(percent int) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
}

// asked passes on that somebody sent a signal.
func asked(ctx context.Context, signals <-chan os.Signal) <-chan struct{} {
	again := make(chan struct{})
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
			case again <- struct{}{}:
			}
		}
	}()
	return again
}

func services(cfg *config.Config) []string {
	names := make([]string, len(cfg.Registries))
	for i, r := range cfg.Registries {
		names[i] = r.Service
	}
	return names
}
