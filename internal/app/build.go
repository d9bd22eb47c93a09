package app

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/delivery"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/issuer"
	"github.com/tidewaiter/tidewaiter/internal/keyring"
	"github.com/tidewaiter/tidewaiter/internal/memory"
	"github.com/tidewaiter/tidewaiter/internal/server"
	"github.com/tidewaiter/tidewaiter/internal/sources"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/token"
)

// generation has the parts that New or Reload built from one config, including the periodic work.
type generation struct {
	live issuer.Live
	runs []func(context.Context) // each function runs until the generation is stopped

	delivery *delivery.Delivery // nil until the database is open

	sources *sources.Set

	end     context.CancelFunc
	running sync.WaitGroup
}

func (g *generation) start() {
	ctx, end := context.WithCancel(context.Background())
	g.end = end
	for _, run := range g.runs {
		g.running.Go(func() { run(ctx) })
	}
}

func (g *generation) stop() {
	g.end()
	g.running.Wait()
}

// build builds all parts that are needed to answer requests, except the policy, which the rulebook
// builds. build starts no goroutines and does not affect the running generation.
func (a *App) build(cfg *config.Config) (*generation, error) {
	g := new(generation)
	keep := cfg.Journal.Keep // the functions must not hold cfg, which has the whole policy
	g.runs = append(g.runs, func(ctx context.Context) { _ = a.rulebook.Run(ctx) }, a.watchDatabase,
		func(ctx context.Context) { a.checkpoints.Run(ctx) },
		func(ctx context.Context) { a.journal.Maintain(ctx, keep) },
		func(ctx context.Context) { a.derived.Run(ctx, a.journal) },
		func(ctx context.Context) { g.delivery.Run(ctx) })
	o := sources.Options{
		Accounts: func() *accounts.Accounts { return a.accounts },
		Hashing:  a.hashing, Limiter: a.limiter(cfg), Budget: a.budget, Log: a.log, Now: a.now,
	}
	if a.generation != nil {
		o.Before = a.generation.sources
	}
	var err error
	if g.sources, err = sources.Build(cfg, o); err != nil {
		return nil, err
	}
	for _, s := range g.sources.Sources {
		if s.Run != nil {
			g.runs = append(g.runs, s.Run)
		}
		a.warn(s.Warnings)
	}
	g.runs = append(g.runs, o.Limiter.Run, func(ctx context.Context) { memory.Run(ctx, a.log) })
	keys, err := a.buildKeys(cfg, g)
	if err != nil {
		return nil, err
	}
	g.live = issuer.Live{
		Registries:  make(map[string]*issuer.Registry, len(cfg.Registries)),
		Chain:       g.sources.Chain,
		Keys:        keys,
		Name:        cfg.Token.Issuer,
		Anonymous:   cfg.Token.Anonymous,
		Reuse:       cfg.Token.Reuse,
		Strict:      cfg.Audit == config.Strict,
		ShowRules:   cfg.Token.ShowRules,
		Hint:        cfg.Token.Hint,
		MaxLifetime: limits(cfg.Token.MaxLifetime),
	}
	if cfg.Accounts() != nil {
		g.live.Refresh = func(ctx context.Context, presented identity.Presented, who identity.Verified) (identity.Secret, error) {
			return a.accounts.Credentials.IssueRefresh(ctx, presented, who)
		}
	}
	authorizer, err := sources.Authorizer(cfg, o)
	if err != nil {
		return nil, err
	}
	if authorizer != nil {
		g.live.Authorizer = authorizer
	}
	for _, r := range cfg.Registries {
		g.live.Registries[r.Service] = registry(&r)
		// Check now that the key fits the registry's settings. Otherwise the error would appear
		// only at the first request.
		if _, err := keys.Signer(r.KeyID, r.Algorithm, a.now()); err != nil {
			return nil, fmt.Errorf("signing for registry %s: %w", r.Service, err)
		}
	}
	return g, nil
}

func (a *App) buildKeys(cfg *config.Config, g *generation) (*keyring.Keyring, error) {
	root, err := readRoot(cfg, a.now())
	if err != nil {
		return nil, err
	}
	var longest time.Duration
	uses := make([]keyring.Use, 0, len(cfg.Registries))
	for _, r := range cfg.Registries {
		longest = max(longest, r.Lifetime, r.PushLifetime)
		uses = append(uses, keyring.Use{KeyID: r.KeyID, Algorithm: r.Algorithm})
	}
	keys, err := keyring.New(keyring.Options{
		Root: root, Direct: cfg.Signing.Direct, LeafLifetime: cfg.Signing.LeafLifetime,
		MaxToken: longest, Uses: uses, Now: a.now, Log: a.log, Renewed: a.recordLeaves,
	})
	if err != nil {
		return nil, err
	}
	g.runs = append(g.runs, keys.Run)
	return keys, nil
}

// readRoot reads the root of the config. Anyone with another certificate under the root can sign
// tokens, so the config must permit a shared root.
func readRoot(cfg *config.Config, now time.Time) (*token.Root, error) {
	root, err := keyring.ReadRoot(cfg.Signing.Certificate, cfg.Signing.Key)
	if err != nil {
		return nil, err
	}
	for _, p := range root.Problems(token.X5C, now) {
		if keyring.Shared(p) && !cfg.Signing.SharedRoot {
			return nil, fmt.Errorf("using the root %s: %s: %s; to use it anyway, set signing.shared_root: true", cfg.Signing.Certificate, p.Text, p.Hint)
		}
	}
	return root, nil
}

// registry returns the settings of a registry for the issuer.
func registry(r *config.Registry) *issuer.Registry {
	return &issuer.Registry{
		Service: r.Service, KeyID: r.KeyID, Algorithm: r.Algorithm,
		Lifetime: r.Lifetime, PushLifetime: r.PushLifetime, Explained: r.Refusals == config.Explain,
		CatalogByPull: r.Preset == config.Zot, ShowsIssuedAt: r.IssuedAt,
	}
}

// PredictLifetime returns the lifetime of a token for a request, with a given config and policy.
// It also returns the setting that limits this lifetime. If the request would get no token,
// PredictLifetime returns false.
func PredictLifetime(cfg *config.Config, p *policy.Policy, r *policy.Request) (life issuer.Lifetime, ok bool) {
	if r.Principal.Kind == policy.Anonymous && !cfg.Token.Anonymous {
		return issuer.Lifetime{}, false
	}
	i := slices.IndexFunc(cfg.Registries, func(known config.Registry) bool { return known.Service == r.Registry })
	if i < 0 {
		return issuer.Lifetime{}, false
	}
	most := limits(cfg.Token.MaxLifetime)
	return registry(&cfg.Registries[i]).PredictLifetime(p, r, time.Time{}, &most)
}

// limits returns the maximum lifetimes of tokens in the issuer's form.
func limits(c config.MaxLifetimes) issuer.Limits {
	return issuer.Limits{Delete: c.Delete, Kinds: [...]time.Duration{
		policy.Anonymous: c.Anonymous, policy.User: c.User, policy.Robot: c.Robot, policy.Workload: c.Workload,
	}}
}

// senders returns the registries that may post events.
func senders(cfg *config.Config) []server.Sender {
	list := make([]server.Sender, 0, len(cfg.Registries))
	for _, r := range cfg.Registries {
		s := server.Sender{Service: r.Service, Secret: r.Notifications, Eventless: r.Preset == config.Zot && r.Notifications.Reveal() == ""}
		if at, err := url.Parse(r.URL); err == nil {
			s.Host = strings.ToLower(at.Host)
		}
		list = append(list, s)
	}
	return list
}
