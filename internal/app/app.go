// Package app wires all packages together. No other package imports them all.
//
// New builds everything from a Config and does not listen, so an App can be part of another
// program (Handler). Run listens and serves until its context ends. Reload builds everything again
// and replaces the old parts. If a part cannot be built, Reload changes nothing. Close stops the
// parts in order: first the parts that handle requests, then the journal, then the database.
package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/api"
	"github.com/tidewaiter/tidewaiter/internal/catalog"
	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/delivery"
	"github.com/tidewaiter/tidewaiter/internal/endpoint"
	"github.com/tidewaiter/tidewaiter/internal/identity/username"
	"github.com/tidewaiter/tidewaiter/internal/issuer"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/journal/checkpoint"
	"github.com/tidewaiter/tidewaiter/internal/logging"
	"github.com/tidewaiter/tidewaiter/internal/marker"
	"github.com/tidewaiter/tidewaiter/internal/password"
	"github.com/tidewaiter/tidewaiter/internal/projection"
	"github.com/tidewaiter/tidewaiter/internal/ratelimit/ratestore"
	"github.com/tidewaiter/tidewaiter/internal/replay"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/search"
	"github.com/tidewaiter/tidewaiter/internal/server"
	"github.com/tidewaiter/tidewaiter/internal/sources"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/policy"
)

// Options configures an App, besides its Config.
type Options struct {
	Log *logging.Log     // nil: no log
	Now func() time.Time // nil: time.Now

	// Version is the version of the program, for the journal. "": unknown.
	Version string

	// Hashing configures the hashing of passwords. Its clock is Now.
	Hashing password.Options

	// Settle is journal.Options.Settle.
	Settle time.Duration

	// CreateDatabase allows Tidewaiter to create a database even if this config had a database
	// before: see marker.Open.
	CreateDatabase bool
}

// App is the whole of Tidewaiter.
type App struct {
	log               *slog.Logger
	now               func() time.Time
	db                *store.DB
	database          atomic.Pointer[store.DB] // db, for parts that are built before db is opened
	journal           *journal.Journal
	checkpoints       *checkpoint.Checkpoints // signed roots of the journal's tree
	hashing           *password.Hashing
	limits            *ratestore.Store // the replicas share these counts of failed sign-ins
	budgets           atomic.Bool      // whether any directory has a limit of wrong passwords
	accounts          *accounts.Accounts
	rulebook          *rulebook.Rulebook
	shadow            *replay.Shadow
	shadowFiles       atomic.Pointer[policy.Source] // nil: no shadow policy
	issuer            *issuer.Issuer
	metrics           *prometheus.Registry
	counts            *server.Metrics
	misconfigurations *server.Misconfigurations
	api               *api.API
	version           string

	derived *projection.Set // from the journal
	catalog *catalog.Catalog

	stopping context.Context // canceled when the App begins to stop
	stop     context.CancelFunc

	server      atomic.Pointer[server.Server]
	sources     atomic.Pointer[sources.Set]           // of the generation
	delivery    atomic.Pointer[delivery.Delivery]     // of the generation
	connections atomic.Pointer[[]*server.Connections] // of the listeners of Run

	outage      *outage               // of the database
	disk        *disk                 // of the database
	writable    cachedCheck           // whether the database can be written, after a failed write
	reloadError atomic.Pointer[error] // of the newest reload; nil: it succeeded
	// unread is true if files have changed, but the service has not read them again because
	// policy.watch is false. The service reads them on SIGHUP.
	unread atomic.Bool

	mu         sync.Mutex     // held by Reload and Close
	config     *config.Config // without the policy, which the rulebook stores
	generation *generation
	closed     bool
}

// New opens the database and builds what cfg describes. If it fails, it closes everything that it
// opened.
func New(ctx context.Context, cfg *config.Config, o Options) (_ *App, err error) {
	if o.Log == nil {
		o.Log = logging.New(nil, "", "")
	}
	o.Now = clock.Wall(o.Now)
	a := &App{now: o.Now, version: cmp.Or(o.Version, "unknown"), config: cfg.WithoutPolicy(), outage: newOutage(o.Now)}
	a.stopping, a.stop = context.WithCancel(context.Background())
	a.log = slog.New(outageFilter{o.Log.Handler(), a.outage})
	o.Hashing.Now = o.Now
	a.hashing = password.New(o.Hashing)
	a.shadow = replay.NewShadow(a.log, o.Now)
	a.counts, a.misconfigurations = server.NewMetrics(), server.NewMisconfigurations()
	a.limits = ratestore.New(a.database.Load)

	// Build the parts before the database is opened. So an error in keys or passwords does not
	// leave a new database behind.
	next, err := a.build(cfg)
	if err != nil {
		return nil, err
	}
	a.sources.Store(next.sources)
	a.db, err = marker.Open(ctx, cfg, o.CreateDatabase, a.log)
	if err != nil {
		return nil, err
	}
	a.database.Store(a.db)
	a.disk = newDisk(a.db.Space)
	index := search.Projection(username.Login)
	holdings := catalog.Projection()
	a.derived = projection.New(a.db, projection.Options{Now: o.Now, Log: a.log}, index, holdings)
	a.catalog = catalog.New(a.derived, holdings)
	a.journal, err = journal.New(a.db, journal.Options{
		Now: o.Now, Log: a.log, Login: username.Login, Index: search.NewIndex(a.derived, index), Settle: o.Settle,
		ShortAddresses: cfg.Journal.Addresses == config.Shortened,
		NoAddresses:    cfg.Journal.Addresses == config.Omitted,
		NoClients:      cfg.Journal.Clients == config.Omitted,
		Observe: func(entries []journal.Entry) {
			o.Log.Entries(entries)
			a.derived.Observe(entries)
		},
	})
	if err != nil {
		return nil, errors.Join(err, a.db.Close())
	}
	if a.checkpoints, err = a.newCheckpoints(ctx, cfg); err != nil {
		return nil, errors.Join(err, a.journal.Close(ctx), a.db.Close())
	}
	a.rulebook, err = a.newRulebook(ctx, cfg)
	if err == nil {
		a.accounts, err = a.newAccounts(cfg)
	}
	if err == nil {
		next.delivery, err = a.newDelivery(ctx, cfg)
	}
	if err != nil {
		return nil, errors.Join(err, a.journal.Close(ctx), a.db.Close())
	}
	a.readShadow(cfg)
	next.live.Policy = a.rulebook.Policy()
	next.live.Shadow = a.shadowBeside(next.live.Policy)
	a.metrics = newMetrics(a)
	a.issuer = issuer.New(next.live, issuer.Options{Journal: a.journal, Now: o.Now, Shadow: a.shadow.Judge})
	a.api = api.New(api.Options{Server: a.server.Load, Accounts: a.accounts, Rulebook: a.rulebook, Journal: a.journal, Catalog: a.catalog, Delivery: a.Delivery, Stopping: a.stopping, Find: a.find, VerifyIDToken: a.verifyIDToken, Now: o.Now})
	a.server.Store(a.newServer(cfg))
	a.rulebook.RecordFiles(ctx)
	a.generation = next
	a.delivery.Store(next.delivery)
	a.generation.start()
	a.welcome(ctx, cfg)
	a.warn(cfg.Warnings)
	a.warn(a.duplicateNames(ctx, cfg))
	return a, nil
}

// Handler returns a handler for the given endpoint groups. Without arguments, it serves all groups
// except metrics. The handler uses the server that the newest Reload built.
func (a *App) Handler(groups ...server.EndpointGroup) http.Handler {
	if len(groups) == 0 {
		groups = []server.EndpointGroup{server.Token, server.Notifications, server.Keys, server.Health, server.API}
	}
	return server.Reloadable(a.server.Load, groups...)
}

// Reload builds everything that cfg describes and replaces the old parts. Requests in progress
// finish with the old parts. If a part cannot be built, nothing changes. Changed settings of
// listeners, database and log need a restart. Reload only logs such a change.
func (a *App) Reload(ctx context.Context, cfg *config.Config) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return errors.New("reloading: the app is closed")
	}
	next, err := a.build(cfg)
	if err == nil {
		next.delivery, err = a.newDelivery(ctx, cfg)
	}
	if err == nil {
		a.readShadow(cfg)
		err = a.rulebook.Reload(ctx, filesOf(cfg), func(p *policy.Policy) {
			next.live.Policy, next.live.Shadow = p, a.shadowBeside(p)
			a.issuer.Swap(func(issuer.Live) issuer.Live { return next.live })
		})
	}
	a.reloadError.Store(&err)
	if err != nil {
		return err
	}
	a.rulebook.RecordFiles(ctx)
	a.server.Store(a.newServer(cfg))
	last := a.generation
	a.generation = next
	a.sources.Store(next.sources)
	a.delivery.Store(next.delivery)
	next.start()
	last.stop()
	a.recordRoot(fingerprint(last.live.Keys.Root().Certificate()), next.live.Keys.Root())
	a.recordLeaves(next.live.Keys.Leaves())
	if restart := needsRestart(a.config, cfg); restart != "" {
		a.log.Warn("a restart is needed for a changed setting", "setting", restart)
	}
	a.warn(cfg.Warnings)
	a.warn(a.duplicateNames(ctx, cfg))
	a.config = cfg.WithoutPolicy()
	return nil
}

// Accounts returns the users and robots in the database, and their credentials.
func (a *App) Accounts() *accounts.Accounts { return a.accounts }

// Journal returns the audit journal.
func (a *App) Journal() *journal.Journal { return a.journal }

// Delivery returns the delivery to the webhooks of the newest config.
func (a *App) Delivery() *delivery.Delivery { return a.delivery.Load() }

// Close stops the parts that New started. It first stops the periodic work, then the journal, and
// then the database. The journal writes its queue before it stops. Stop the server of a Handler
// before you call Close.
func (a *App) Close(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil
	}
	a.closed = true
	a.stop()
	a.generation.stop()
	err := errors.Join(a.journal.Close(ctx), a.derived.Close())
	a.checkpoints.Finish(ctx)
	a.rescueAtEnd(ctx)
	return errors.Join(err, a.db.Close())
}

func (a *App) newServer(cfg *config.Config) *server.Server {
	return server.New(server.Options{
		Issuer:            a.issuer,
		Journal:           a.journal,
		Checkpoints:       a.checkpoints,
		TokenPath:         cfg.Paths.Token,
		TokenAliases:      cfg.Paths.TokenAliases,
		NotificationsPath: cfg.Paths.Notifications,
		Senders:           senders(cfg),
		Open:              cfg.Notifications.Open,
		Own:               catalog.Login(a.db.ID()),
		TrustedProxies:    cfg.TrustedProxies,
		PublicHost:        publicHost(cfg.PublicURL),
		Ready:             []server.Check{{Name: "database", Ready: a.checkReady}},
		Notes:             a.notes,
		Metrics:           a.counts,
		Misconfigurations: a.misconfigurations,
		AllowedOrigins:    cfg.Token.AllowedOrigins,
		Gather:            gather(a.metrics),
		API:               a.api,
		Now:               a.now,
		Log:               a.log,
	})
}

// publicHost returns the host of the public URL. It returns "" if there is no public URL, or if
// the host is this machine. If the result is "", the server does not check for a proxy that hides
// its clients.
func publicHost(public string) string {
	u, err := url.Parse(public)
	if err != nil || endpoint.Local(u.Hostname()) {
		return ""
	}
	return u.Host
}

// needsRestart returns a changed setting that Reload cannot apply, or "".
func needsRestart(from, to *config.Config) string {
	switch {
	case from.Database != to.Database:
		return "database"
	case fmt.Sprintf("%+v", listeners(from)) != fmt.Sprintf("%+v", listeners(to)):
		return "listen"
	case from.Journal.Addresses != to.Journal.Addresses || from.Journal.Clients != to.Journal.Clients:
		return "journal"
	case from.Limits.Connections != to.Limits.Connections:
		return "limits.connections"
	case from.Log != to.Log:
		return "log"
	case from.Signing.JournalKey != to.Signing.JournalKey:
		return "signing.journal_key"
	case from.Accounts() != nil && to.Accounts() != nil && *from.Accounts() != *to.Accounts():
		return "identity.accounts"
	}
	return ""
}
