package app

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/accounts"
	"github.com/tidewaiter/tidewaiter/internal/identity/htpasswd"
	"github.com/tidewaiter/tidewaiter/internal/identity/oidc"
	"github.com/tidewaiter/tidewaiter/internal/issuer"
	"github.com/tidewaiter/tidewaiter/internal/keyring"
	"github.com/tidewaiter/tidewaiter/internal/password"
	"github.com/tidewaiter/tidewaiter/internal/server"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/token"
)

// generation is what one configuration came to, with the periodic work that belongs to it.
type generation struct {
	live issuer.Live
	runs []func(context.Context) // until the context ends

	providers []*oidc.Provider         // whose keys the next generation takes over
	files     []*htpasswd.File         // which the next generation holds its own against
	lasts     map[string]time.Duration // for how long sign-ins count, by source

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

// build makes everything that answers depend on but the policy, which is the rulebook's. It starts nothing and touches nothing that runs.
func (a *App) build(_ context.Context, cfg *config.Config) (*generation, error) {
	g := &generation{lasts: make(map[string]time.Duration)}
	g.runs = append(g.runs, func(ctx context.Context) { _ = a.rulebook.Run(ctx) }, a.watchDatabase)
	chain, err := a.buildChain(cfg, g)
	if err != nil {
		return nil, err
	}
	keys, err := a.buildKeys(cfg, g)
	if err != nil {
		return nil, err
	}
	g.live = issuer.Live{
		Registries:  make(map[string]*issuer.Registry, len(cfg.Registries)),
		Chain:       chain,
		Keys:        keys,
		Name:        cfg.Token.Issuer,
		Anonymous:   cfg.Token.Anonymous,
		Reuse:       cfg.Token.Reuse,
		Strict:      cfg.Audit == config.Strict,
		ShowRules:   cfg.Token.ShowRules,
		Hint:        cfg.Token.Hint,
		MaxLifetime: limits(cfg.Token.MaxLifetime),
	}
	if usesAccounts(cfg) {
		g.live.Refresh = own{a}.refresh
	}
	if cfg.Decider != nil {
		if g.live.Authorizer, err = newExternal(cfg, cfg.Decider, a.log.Logger, a.now); err != nil {
			return nil, err
		}
	}
	for _, r := range cfg.Registries {
		g.live.Registries[r.Service] = registry(&r)
		// A key that does not fit is found now, not at the first request.
		if _, err := keys.Signer(r.KeyID, r.Algorithm, a.now()); err != nil {
			return nil, fmt.Errorf("signing for registry %s: %w", r.Service, err)
		}
	}
	return g, nil
}

func (a *App) buildChain(cfg *config.Config, g *generation) (*identity.Chain, error) {
	var sources []identity.Source
	for _, s := range cfg.Identity {
		switch {
		case s.Accounts != nil:
			g.runs = append(g.runs, func(ctx context.Context) { _ = a.accounts.Run(ctx) })
			sources = append(sources, identity.Source{Name: accounts.Source, Authenticator: own{a}, Kinds: accounts.Kinds()})
		case s.Anyone != nil:
			sources = append(sources, identity.Source{
				Name:          "anyone",
				Authenticator: identity.NewAnyone(a.log.Logger),
				Kinds:         identity.AnyoneKinds(),
			})
		case s.HTPasswd != nil:
			file, err := htpasswd.New(htpasswd.Options{
				Name: s.HTPasswd.Name, File: s.HTPasswd.File, Entries: s.HTPasswd.Entries, Groups: s.HTPasswd.Groups, Claims: s.HTPasswd.Claims,
				Hashing: a.hashing, Log: a.log.Logger, Now: a.now, Before: a.fileBefore(s.HTPasswd.File),
			})
			if err != nil {
				return nil, err
			}
			g.files = append(g.files, file)
			g.runs = append(g.runs, func(ctx context.Context) { _ = file.Run(ctx) })
			sources = append(sources, identity.Source{Name: s.HTPasswd.Name, Authenticator: file})
		case s.LDAP != nil:
			directory, err := newDirectory(cfg, s.LDAP, takenBefore(&sources, "ldap:"+s.LDAP.Name), a.budget(s.LDAP), a.log.Logger, a.now)
			if err != nil {
				return nil, err
			}
			g.runs = append(g.runs, directory.Run)
			sources = append(sources, identity.Source{Name: "ldap:" + s.LDAP.Name, Authenticator: directory, Remote: true})
		case s.External != nil:
			asked, err := newExternal(cfg, s.External, a.log.Logger, a.now)
			if err != nil {
				return nil, err
			}
			sources = append(sources, identity.Source{Name: "external:" + s.External.Name, Authenticator: asked, Remote: true})
		case s.OIDC != nil:
			provider, err := newProvider(cfg, s.OIDC, a.log.Logger, a.now)
			if err != nil {
				return nil, err
			}
			if a.generation != nil {
				a.generation.hand(provider)
			}
			for _, w := range placed(cfg, s.OIDC, provider.Warnings()) {
				a.log.Warn(w.String())
			}
			g.providers = append(g.providers, provider)
			g.runs = append(g.runs, provider.Run)
			source := identity.Source{Name: s.Name(), Authenticator: provider, Remote: true, Kinds: []identity.Kind{identity.IDToken}}
			if s.OIDC.Kind == "user" && s.OIDC.AccessTokensAfterSignIn > 0 && usesAccounts(cfg) {
				source.Authenticator = people{provider, a, source.Name}
				g.lasts[source.Name] = s.OIDC.AccessTokensAfterSignIn
			}
			sources = append(sources, source)
		}
	}
	limiter := a.limiter(cfg)
	g.runs = append(g.runs, limiter.Run)
	return identity.NewChain(identity.Options{
		Sources: sources,
		Limiter: limiter,
		Dummy: func(ctx context.Context, c identity.Credentials) error {
			return a.hashing.DummyFor(ctx, password.Requester{Name: c.Name, Address: c.CountedAt(), KnownPlace: c.KnownPlace}, "", c.Secret.Reveal())
		},
	}), nil
}

// fileBefore finds the htpasswd file that the generation before had loaded from a path; nil: none.
func (a *App) fileBefore(path string) *htpasswd.File {
	if a.generation == nil {
		return nil
	}
	for _, f := range a.generation.files {
		if f.Path() == path {
			return f
		}
	}
	return nil
}

func (a *App) buildKeys(cfg *config.Config, g *generation) (*keyring.Keyring, error) {
	root, err := readRoot(cfg)
	if err != nil {
		return nil, err
	}
	// Whoever holds another certificate under the root can sign tokens: that has to be meant.
	for _, p := range root.Problems(token.X5C, a.now()) {
		if sharing(p) && !cfg.Signing.SharedRoot {
			return nil, fmt.Errorf("using the root %s: %s: %s; if it is meant, say so: signing.shared_root: true", cfg.Signing.Certificate, p.Text, p.Hint)
		}
	}
	var longest time.Duration
	uses := make([]keyring.Use, 0, len(cfg.Registries))
	for _, r := range cfg.Registries {
		longest = max(longest, r.Lifetime, r.PushLifetime)
		uses = append(uses, keyring.Use{KeyID: r.KeyID, Algorithm: r.Algorithm})
	}
	keys, err := keyring.New(keyring.Options{
		Root: root, Direct: cfg.Signing.Direct, LeafLifetime: cfg.Signing.LeafLifetime,
		MaxToken: longest, Uses: uses, Now: a.now, Log: a.log.Logger,
	})
	if err != nil {
		return nil, err
	}
	g.runs = append(g.runs, keys.Run)
	return keys, nil
}

// readRoot reads the root that registries trust.
func readRoot(cfg *config.Config) (*token.Root, error) {
	certificate, err := os.ReadFile(cfg.Signing.Certificate)
	if err != nil {
		return nil, fmt.Errorf("reading the root's certificate: %w (tidewaiter init makes a root; docs/keys.md says how to make one with openssl)", err)
	}
	key, err := os.ReadFile(cfg.Signing.Key)
	if err != nil {
		return nil, fmt.Errorf("reading the root's key: %w", err)
	}
	root, err := token.ParseRoot(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("reading the root %s and %s: %w", cfg.Signing.Certificate, cfg.Signing.Key, err)
	}
	return root, nil
}

// registry is one that trusts us.
func registry(r *config.Registry) *issuer.Registry {
	return &issuer.Registry{
		Service: r.Service, KeyID: r.KeyID, Algorithm: r.Algorithm,
		Lifetime: r.Lifetime, PushLifetime: r.PushLifetime, Explained: r.Refusals == config.Explain,
		CatalogByPull: r.Preset == config.Zot, ShowsIssuedAt: r.IssuedAt,
	}
}

// PredictLifetime returns the lifetime of a token for a request, by a policy under a config, and the setting
// that decides it. ok is false if there would be no token.
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

// limits are how long tokens live at most.
func limits(c config.MaxLifetimes) issuer.Limits {
	return issuer.Limits{Delete: c.Delete, Kinds: [...]time.Duration{
		policy.Anonymous: c.Anonymous, policy.User: c.User, policy.Robot: c.Robot, policy.Workload: c.Workload,
	}}
}

// senders are the registries that may post events.
func senders(cfg *config.Config) []server.Sender {
	list := make([]server.Sender, 0, len(cfg.Registries))
	for _, r := range cfg.Registries {
		s := server.Sender{Service: r.Service, Eventless: r.Preset == config.Zot && r.Notifications == nil}
		if r.Notifications != nil {
			s.Secret = identity.NewSecret(r.Notifications())
		}
		if at, err := url.Parse(r.URL); err == nil {
			s.Host = strings.ToLower(at.Host)
		}
		list = append(list, s)
	}
	return list
}
