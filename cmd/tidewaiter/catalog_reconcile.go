package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/tidewaiter/tidewaiter/internal/app"
	"github.com/tidewaiter/tidewaiter/internal/catalog"
	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/identity/username"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/marker"
	"github.com/tidewaiter/tidewaiter/internal/projection"
	"github.com/tidewaiter/tidewaiter/internal/reconcile"
	"github.com/tidewaiter/tidewaiter/internal/registryapi"
	"github.com/tidewaiter/tidewaiter/internal/search"
)

func reconcileCommand() command {
	return command{
		use:   "reconcile REGISTRY",
		short: "Compare a registry with the catalog",
		long: `Compare a registry with the catalog, and correct the catalog: add tags whose push the
journal has never seen, and remove tags and manifests that the registry no longer has, for example
after a garbage collection. REGISTRY is the registry's service name.

The command connects to the registry's url in the config, with a token that it signs itself. It
requests each tag once, and writes one entry about the differences to the journal. If the command
is interrupted, --resume continues after the last repository that was compared. The command can run
while the service runs.`,
		example: `  tidewaiter catalog reconcile registry.example.com
  tidewaiter catalog reconcile registry.example.com --rate 10 --resume`,
		opens: changeCatalog,
		flags: catalogReconcile,
	}
}

// changeCatalog opens the journal for writing. It also adds the latest events to the catalog, and
// opens the catalog.
func changeCatalog(s *session) error {
	return open(s, &s.journal, func(ctx context.Context, cfg *config.Config) (*journal.Journal, func() error, error) {
		db, err := marker.Open(ctx, cfg, false, slog.New(slog.DiscardHandler))
		if err != nil {
			return nil, nil, err
		}
		index, holdings := search.Projection(username.Login), catalog.Projection()
		derived := projection.New(db, projection.Options{}, index, holdings)
		j, err := journal.New(db, journal.Options{Login: username.Login, Index: search.NewIndex(derived, index)})
		if err != nil {
			return nil, nil, errors.Join(err, derived.Close(), db.Close())
		}
		closing := func() error { return errors.Join(j.Close(context.WithoutCancel(ctx)), derived.Close(), db.Close()) }
		if err := derived.CatchUp(ctx, j, nil); err != nil {
			return nil, nil, errors.Join(fmt.Errorf("updating the catalog: %w", err), closing())
		}
		s.db, s.derived, s.catalog = db, derived, catalog.New(derived, holdings)
		return j, closing, nil
	})
}

func catalogReconcile(f *flags) action {
	rate := rateFlag(f)
	resume := f.Bool("resume", false, "continue the last run if it was interrupted")
	return func(s *session) error {
		service := s.args[0]
		client, err := s.registryClient(service, catalog.Login(s.db.ID()), *rate)
		if err != nil {
			return err
		}
		o := reconcile.Options{
			Service: service, Registry: client, Catalog: s.catalog, Append: s.journal.Append, Actor: s.by.String(), Now: clock.Now,
		}
		if *resume {
			if o.After, err = s.interruptedAfter(service); err != nil {
				return err
			}
		}
		report := progress(s.errs, clock.Now)
		o.Progress = func(done, all int) { report("repositories", int64(done), int64(all)) }
		total, err := reconcile.Run(s.ctx, o)
		if err != nil {
			if total.Entries > 0 {
				s.printNote("the findings so far are in the journal; continue with --resume")
			}
			return err
		}
		if err := s.derived.CatchUp(s.ctx, s.journal, nil); err != nil {
			return fmt.Errorf("updating the catalog: %w", err)
		}
		if total.Failed > 0 {
			s.warn("the registry did not return %s", count(int(total.Failed), "object", "objects"))
		}
		return s.print(total, "%s compared with the catalog: %s and %s, %d found, %d missing", service,
			count(int(total.Repositories), "repository", "repositories"), count(int(total.Tags), "tag", "tags"), total.Found, total.Missing)
	}
}

// rateFlag adds --rate, the maximum number of requests to a registry in a second.
func rateFlag(f *flags) *float64 {
	rate := f.Float64("rate", 50, "the maximum `number` of requests to the registry in a second")
	f.addCheck(func(s *session) error {
		if *rate <= 0 {
			return s.usageErrorf("--rate must be positive")
		}
		return nil
	})
	return rate
}

// registryClient returns a client of a registry. In its events about the client's requests, the
// registry names the subject as the actor.
func (s *session) registryClient(service, subject string, rate float64) (*registryapi.Client, error) {
	return app.NewRegistryClient(s.cfg, service, subject, rate, clock.Now)
}

// interruptedAfter returns the repository after which the last run on a registry stopped. If the
// run was complete, or there was no run, it returns "".
func (s *session) interruptedAfter(service string) (string, error) {
	q := journal.Query{Kind: journal.KindChange, Action: catalog.RunAction, Registry: service}
	page, err := s.journal.Search(s.ctx, q, 0, 1, func(int) bool { return false })
	if err != nil || len(page.Entries) == 0 {
		return "", err
	}
	run, ok := catalog.RunOf(&page.Entries[0])
	if !ok || run.Complete {
		return "", nil
	}
	return run.Through, nil
}
