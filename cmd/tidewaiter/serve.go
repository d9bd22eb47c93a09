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
	"github.com/tidewaiter/tidewaiter/internal/logging"
	"github.com/tidewaiter/tidewaiter/internal/password"
)

func newServe() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the service",
		Long: `Run the service until SIGTERM or Ctrl-C. It then finishes open requests and writes the journal before it
exits. A second signal ends it at once.

When the config or a policy file changes, and on SIGHUP, all files are read again. If anything is
wrong, no change takes effect: the errors are logged, and the last valid policy stays active. Changes
of rules, roles and namespaces in the database take effect without a reload.`,
		Example: `  tidewaiter serve --config tidewaiter.yaml
  tidewaiter serve --config tidewaiter.yaml --keys ./signingkey`,
	}
	source := configFlags(cmd)
	create := cmd.Flags().Bool("create-database", false, "create a new database if the config's database has disappeared; its users, rules and journal are lost")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx, stop := untilStopped(cmd.Context())
		defer stop()
		// Registered first, so that an early SIGHUP does not end the program.
		again := make(chan os.Signal, 1)
		signal.Notify(again, syscall.SIGHUP)
		defer signal.Stop(again)

		runtime.MemProfileRate = 0 // the profile is not served
		collector(starting)
		cfg, err := source.load()
		if err != nil {
			return err
		}
		password.AddThreads()
		log := logging.New(cmd.ErrOrStderr(), cfg.Log.Format, cfg.Log.Level)
		a, err := app.New(ctx, cfg, app.Options{Log: log, CreateDatabase: *create})
		if err != nil {
			return err
		}
		registries := services(cfg) // the closure must not capture cfg, which would keep the policy of files alive
		var following sync.WaitGroup
		defer following.Wait()
		ctx, end := context.WithCancel(ctx)
		defer end()
		return a.Run(ctx, func() {
			collector(steady)
			log.Info("serving", "version", built().Version, "config", source.file, "registries", registries, "rules", a.Rulebook().Policy().Len())
			following.Go(func() { a.Watch(ctx, source.loadBeside, asked(ctx, again)) })
		})
	}
	return cmd
}

// GC percentages: how much the heap may grow between two collections, relative to the live heap.
//
// steady is for serving. The live heap is about 5 MB, and a signature leaves 9 kB of garbage: with the
// default of 100, collections take one twentieth of a loaded machine. More than 200 gains nothing (51 to
// 53 µs of CPU per request at 200, 400 and 800; 59 at 100), and a busy process would use 64 MB and more.
//
// starting is for loading the config. Reading 10,000 rules leaves 60 MB of garbage. With the default of
// 100, it is collected six times, which takes a quarter of the start's CPU time. With 1600, it is
// collected once at the end; the first collection comes at 64 MB, which bounds the memory.
const (
	steady   = 200
	starting = 1600
)

// collector sets the GC percentage, unless the environment sets GOGC. GOMEMLIMIT always holds.
func collector(percent int) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
}

// asked forwards signals until ctx ends.
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
