package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tidewaiter/tidewaiter/internal/app"
	"github.com/tidewaiter/tidewaiter/internal/config"
)

func newServe() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the service",
		Long: `Run the service until it is asked to stop (SIGTERM, Ctrl-C): requests under way are finished, and what
happened is written to the journal, before it ends. A second signal ends it at once.

On SIGHUP the config and its policy are read again. All of it takes effect, or, if anything is wrong, none.`,
		Example: `  tidewaiter serve --config tidewaiter.yaml
  tidewaiter serve --config tidewaiter.yaml --keys ./signingkey`,
	}
	source := configFlags(cmd)
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
		log := app.NewLog(cmd.ErrOrStderr(), cfg.Log.Format, cfg.Log.Level)
		a, err := app.New(ctx, cfg, app.Options{Log: log})
		if err != nil {
			return err
		}
		return a.Run(ctx, func() {
			log.Info("serving", "version", built().Version, "config", source.file, "registries", services(cfg), "rules", cfg.Policy.Len())
			go func() {
				for {
					select {
					case <-ctx.Done():
						return
					case <-again:
						reload(ctx, a, source, log)
					}
				}
			}()
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

// reload reads the config again. What is wrong with it goes to the log, a line each, and changes nothing.
func reload(ctx context.Context, a *app.App, source *source, log *app.Log) {
	cfg, err := source.loadBeside()
	if err == nil {
		err = a.Reload(ctx, cfg)
	}
	var problems config.Problems
	switch {
	case errors.As(err, &problems):
		for _, p := range problems {
			log.Error("reloading: " + p.String())
		}
	case err != nil:
		log.Error("reloading: " + err.Error())
	}
	if err != nil {
		log.Error("nothing is reloaded: all stays as it was", "config", source.file)
		return
	}
	log.Info("reloaded", "config", source.file, "registries", services(cfg), "rules", cfg.Policy.Len())
}

func services(cfg *config.Config) []string {
	names := make([]string, len(cfg.Registries))
	for i, r := range cfg.Registries {
		names[i] = r.Service
	}
	return names
}
