package main

import (
	"context"
	"os"
	"os/signal"
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

		cfg, err := source.load()
		if err != nil {
			return err
		}
		collectLater()
		password.MakeRoom()
		log := app.NewLog(cmd.ErrOrStderr(), cfg.Log.Format, cfg.Log.Level)
		a, err := app.New(ctx, cfg, app.Options{Log: log, CreateDatabase: *create})
		if err != nil {
			return err
		}
		var following sync.WaitGroup
		defer following.Wait()
		ctx, end := context.WithCancel(ctx)
		defer end()
		return a.Run(ctx, func() {
			log.Info("serving", "version", built().Version, "config", source.file, "registries", services(cfg), "rules", a.Rulebook().Policy().Len())
			following.Go(func() { a.Follow(ctx, source.loadBeside, asked(ctx, again)) })
		})
	}
	return cmd
}

// collectLater lets the heap grow to three times of what is alive between two collections, unless the
// environment says otherwise (GOGC). Little is alive here, about 5 MB, and a signature leaves 10 kB behind:
// with the usual twice, one twentieth of a loaded machine collects.
func collectLater() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(200)
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
