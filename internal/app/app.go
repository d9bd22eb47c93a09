// Package app puts the rooms together: it is the only place that knows them all.
//
// New builds everything from a Config and listens nowhere, so that an App can be a part of another
// program (Handler); Run listens and serves until its context ends; Reload builds everything anew and
// swaps it in, or changes nothing. Close ends in order: first what takes requests, then the journal,
// then the state.
package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tidewaiter/tidewaiter/internal/api"
	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/identity/accounts"
	"github.com/tidewaiter/tidewaiter/internal/issuer"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/password"
	"github.com/tidewaiter/tidewaiter/internal/ratelimit/ratestore"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/server"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/policy"
)

// Options is what an App is told beside its Config.
type Options struct {
	Log *Log             // nil: nothing is logged
	Now func() time.Time // nil: time.Now

	// CreateDatabase allows a new database where this config had one before: see openDatabase.
	CreateDatabase bool
}

// App is Tidewaiter, whole.
type App struct {
	log      *Log
	now      func() time.Time
	db       *store.DB
	database atomic.Pointer[store.DB] // db, for what is built before it is opened
	journal  *journal.Journal
	hashing  *password.Hashing
	limits   *ratestore.Store // what replicas share of sign-ins
	budgets  atomic.Bool      // whether a directory has one
	accounts *accounts.Accounts
	rulebook *rulebook.Rulebook
	issuer   *issuer.Issuer
	metrics  *prometheus.Registry
	counts   *server.Metrics
	refusals *server.Refusals
	api      *api.API

	server      atomic.Pointer[server.Server]
	current     atomic.Pointer[config.Config] // that the chain was made of; without the policy
	connections counted                       // of what Run listens at

	outage    *outage  // of the database; the log's
	writable  answered // whether the state is, while it may not be
	reloading atomic.Pointer[reloading]
	lasts     atomic.Pointer[map[string]time.Duration] // the generation's
	unread    atomic.Bool                              // files have changed, and are not read before somebody says so (policy.watch: false)

	mu         sync.Mutex     // held by Reload and Close
	config     *config.Config // without the policy, which is the rulebook's
	files      string         // version of the policy that files said when they were taken last
	generation *generation
	closed     bool
}

// New opens the state and builds what cfg describes. Whatever goes wrong, nothing is left open.
func New(ctx context.Context, cfg *config.Config, o Options) (_ *App, err error) {
	if o.Log == nil {
		o.Log = NewLog(nil, "", "")
	}
	o.Now = clock.Wall(o.Now)
	o.Log.outage.now = o.Now
	a := &App{log: o.Log, now: o.Now, config: cfg.WithoutPolicy(), files: cfg.Policy.ID(), outage: o.Log.outage}
	a.hashing = password.New(password.Options{Now: o.Now})
	a.counts, a.refusals = server.NewMetrics(), server.NewRefusals()
	a.limits = ratestore.New(a.database.Load)

	// Before the state: a mistake in keys or passwords should not leave a new database behind.
	next, err := a.build(ctx, cfg)
	if err != nil {
		return nil, err
	}
	a.db, err = openDatabase(ctx, cfg, o.CreateDatabase, o.Log.Logger)
	if err != nil {
		return nil, err
	}
	a.database.Store(a.db)
	a.journal, err = journal.New(a.db, journal.Options{Now: o.Now, Log: o.Log.Logger, Observe: o.Log.Entries})
	if err != nil {
		return nil, errors.Join(err, a.db.Close())
	}
	a.rulebook, err = a.newRulebook(ctx, cfg)
	if err == nil {
		a.accounts, err = a.newAccounts(cfg)
	}
	if err != nil {
		return nil, errors.Join(err, a.journal.Close(ctx), a.db.Close())
	}
	next.live.Policy = a.rulebook.Policy()
	a.metrics = newMetrics(a)
	a.issuer = issuer.New(next.live, issuer.Options{Journal: a.journal, Now: o.Now})
	a.api = api.New(api.Options{Server: a.server.Load, Accounts: a.accounts, Rulebook: a.rulebook, Journal: a.journal, Find: a.find, Now: o.Now})
	a.server.Store(a.newServer(cfg))
	a.current.Store(a.config)
	a.rulebook.RecordFiles(ctx)
	a.generation = next
	a.lasts.Store(&next.lasts)
	a.generation.start()
	a.welcome(ctx, cfg)
	a.warnOfNamesakes(ctx, cfg)
	for _, w := range cfg.Warnings {
		a.log.Warn(w.String())
	}
	return a, nil
}

// Handler returns a handler of the given endpoint groups; without any, of all but metrics. It uses the
// server of the last Reload.
func (a *App) Handler(groups ...server.EndpointGroup) http.Handler {
	if len(groups) == 0 {
		groups = []server.EndpointGroup{server.Token, server.Notifications, server.Keys, server.Health, server.API}
	}
	return server.Reloadable(a.server.Load, groups...)
}

// Reload builds everything that cfg describes anew and swaps it in; requests under way finish with
// what they began with. If anything is wrong, nothing changes. What is listened at and the state need
// a restart: a difference there is logged.
func (a *App) Reload(ctx context.Context, cfg *config.Config) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return errors.New("reloading: already closed")
	}
	next, err := a.build(ctx, cfg)
	if err == nil {
		err = a.rulebook.Reload(ctx, filesOf(cfg), func(p *policy.Policy) {
			next.live.Policy = p
			a.issuer.Swap(func(issuer.Live) issuer.Live { return next.live })
		})
	}
	a.reloading.Store(&reloading{err, a.now()})
	if err != nil {
		return err
	}
	a.rulebook.RecordFiles(ctx)
	a.server.Store(a.newServer(cfg))
	last := a.generation
	a.generation = next
	a.lasts.Store(&next.lasts)
	next.start()
	last.stop()
	if restart := needsRestart(a.config, cfg); restart != "" {
		a.log.Warn("a restart is needed for a changed setting", "setting", restart)
	}
	for _, w := range cfg.Warnings {
		a.log.Warn(w.String())
	}
	a.warnOfNamesakes(ctx, cfg)
	a.config, a.files = cfg.WithoutPolicy(), cfg.Policy.ID()
	a.current.Store(a.config)
	return nil
}

// Accounts is the users and robots in the state, and what was handed out.
func (a *App) Accounts() *accounts.Accounts { return a.accounts }

// Journal is what happened.
func (a *App) Journal() *journal.Journal { return a.journal }

// Close ends what New began: periodic work, then the journal, which writes what it still holds, then
// the state. Whoever serves a Handler must have stopped before.
func (a *App) Close(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil
	}
	a.closed = true
	a.generation.stop()
	err := a.journal.Close(ctx)
	a.rescueAtEnd(ctx)
	return errors.Join(err, a.db.Close())
}

func (a *App) newServer(cfg *config.Config) *server.Server {
	return server.New(server.Options{
		Issuer:            a.issuer,
		Journal:           a.journal,
		TokenPath:         cfg.Paths.Token,
		TokenAliases:      cfg.Paths.TokenAliases,
		NotificationsPath: cfg.Paths.Notifications,
		Senders:           senders(cfg),
		Open:              cfg.Notifications.Open,
		TrustedProxies:    cfg.TrustedProxies,
		PublicHost:        publicHost(cfg.PublicURL),
		Ready:             []server.Check{{Name: "database", Ready: a.ready}},
		Notes:             a.notes,
		Metrics:           a.counts,
		Refusals:          a.refusals,
		AllowedOrigins:    cfg.Token.AllowedOrigins,
		Gather:            gather(a.metrics),
		API:               a.api,
		Now:               a.now,
		Log:               a.log.Logger,
	})
}

// publicHost is the host of the URL that clients know; "" if there is none, or if it is this machine's own
// name, behind which no proxy is looked for.
func publicHost(public string) string {
	u, err := url.Parse(public)
	if err != nil || u.Hostname() == "localhost" {
		return ""
	}
	if at, err := netip.ParseAddr(u.Hostname()); err == nil && at.IsLoopback() {
		return ""
	}
	return u.Host
}

// needsRestart names a setting that Reload cannot change, if it was changed.
func needsRestart(from, to *config.Config) string {
	switch {
	case from.Database != to.Database:
		return "database"
	case fmt.Sprintf("%+v", listeners(from)) != fmt.Sprintf("%+v", listeners(to)):
		return "listen"
	case from.Limits.Connections != to.Limits.Connections:
		return "limits.connections"
	case from.Log != to.Log:
		return "log"
	case accountsOf(from) != nil && accountsOf(to) != nil && *accountsOf(from) != *accountsOf(to):
		return "identity.accounts"
	}
	return ""
}
