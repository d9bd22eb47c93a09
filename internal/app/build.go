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

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/htpasswd"
	"github.com/tidewaiter/tidewaiter/internal/identity/oidc"
	"github.com/tidewaiter/tidewaiter/internal/issuer"
	"github.com/tidewaiter/tidewaiter/internal/keyring"
	"github.com/tidewaiter/tidewaiter/internal/password"
	"github.com/tidewaiter/tidewaiter/internal/server"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/token"
)

// generation is what New or Reload built from one config, with its periodic work.
type generation struct {
	live issuer.Live
	runs []func(context.Context) // run until the generation is stopped

	providers []*oidc.Provider          // the next generation takes over their keys
	files     []*htpasswd.File          // the next generation compares its files with them
	signIns   map[string]signInSettings // for access tokens, by source

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

// build builds everything that answers depend on, except the policy, which the rulebook has. It
// starts nothing and does not affect the running generation.
func (a *App) build(_ context.Context, cfg *config.Config) (*generation, error) {
	g := &generation{signIns: make(map[string]signInSettings)}
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
		g.live.Refresh = accountsSource{a}.refresh
	}
	if cfg.Authorizer != nil {
		if g.live.Authorizer, err = newExternal(cfg, cfg.Authorizer, a.log, a.now); err != nil {
			return nil, err
		}
	}
	for _, r := range cfg.Registries {
		g.live.Registries[r.Service] = registry(&r)
		// Find a key that does not fit now, not at the first request.
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
			g.runs = append(g.runs, func(ctx context.Context) { _ = a.accounts.Credentials.Run(ctx) })
			sources = append(sources, identity.Source{Name: accounts.Source, Authenticator: accountsSource{a}, Kinds: accounts.Kinds()})
		case s.Anyone:
			sources = append(sources, identity.Source{
				Name:          "anyone",
				Authenticator: identity.NewAnyone(a.log),
				Kinds:         identity.AnyoneKinds(),
			})
		case s.HTPasswd != nil:
			file, err := htpasswd.New(htpasswd.Options{
				Name: s.HTPasswd.Name, File: s.HTPasswd.File, Entries: s.HTPasswd.Entries, Groups: s.HTPasswd.Groups, Claims: s.HTPasswd.Claims,
				Hashing: a.hashing, Log: a.log, Now: a.now, Before: a.fileBefore(s.HTPasswd.File),
			})
			if err != nil {
				return nil, err
			}
			g.files = append(g.files, file)
			g.runs = append(g.runs, func(ctx context.Context) { _ = file.Run(ctx) })
			sources = append(sources, identity.Source{Name: s.HTPasswd.Name, Authenticator: file})
		case s.LDAP != nil:
			directory, err := newDirectory(cfg, s.LDAP, takenBefore(&sources, "ldap:"+s.LDAP.Name), a.budget(s.LDAP), a.log, a.now)
			if err != nil {
				return nil, err
			}
			g.runs = append(g.runs, directory.Run)
			sources = append(sources, identity.Source{Name: "ldap:" + s.LDAP.Name, Authenticator: directory, Remote: true})
		case s.Hook() != nil:
			asked, err := newExternal(cfg, s.Hook(), a.log, a.now)
			if err != nil {
				return nil, err
			}
			sources = append(sources, identity.Source{Name: s.Name(), Authenticator: asked, Remote: true})
		case s.OIDC != nil:
			provider, err := newProvider(cfg, s.OIDC, a.log, a.now)
			if err != nil {
				return nil, err
			}
			if a.generation != nil {
				a.generation.handKeysTo(provider)
			}
			for _, w := range placed(cfg, s.OIDC, provider.Warnings()) {
				a.log.Warn(w.String())
			}
			g.providers = append(g.providers, provider)
			g.runs = append(g.runs, provider.Run)
			source := identity.Source{Name: s.Name(), Authenticator: provider, Remote: true, Kinds: []identity.Kind{identity.IDToken}}
			if s.OIDC.Kind == "user" && s.OIDC.AccessTokensAfterSignIn > 0 && usesAccounts(cfg) {
				source.Authenticator = userProvider{provider, a, source.Name}
				g.signIns[source.Name] = signInSettings{s.OIDC.AccessTokensAfterSignIn, settingsID(s.OIDC)}
			}
			sources = append(sources, source)
		}
	}
	limiter := a.limiter(cfg)
	g.runs = append(g.runs, limiter.Run)
	return identity.NewChain(identity.Options{
		Sources: sources,
		Limiter: limiter,
		Dummy: func(ctx context.Context, c identity.Presented) error {
			return a.hashing.DummyFor(ctx, password.Requester{Name: c.Name, Address: c.CountedAt(), KnownPlace: c.KnownPlace}, "", c.Secret.Reveal())
		},
	}), nil
}

// fileBefore returns the htpasswd file that the last generation loaded from a path, or nil.
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
	// Anyone with another certificate under the root can sign tokens, so the config must allow
	// that.
	for _, p := range root.Problems(token.X5C, a.now()) {
		if sharing(p) && !cfg.Signing.SharedRoot {
			return nil, fmt.Errorf("using the root %s: %s: %s; to use it anyway, set signing.shared_root: true", cfg.Signing.Certificate, p.Text, p.Hint)
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
		MaxToken: longest, Uses: uses, Now: a.now, Log: a.log,
	})
	if err != nil {
		return nil, err
	}
	g.runs = append(g.runs, keys.Run)
	return keys, nil
}

// readRoot reads the root certificate and key.
func readRoot(cfg *config.Config) (*token.Root, error) {
	certificate, err := os.ReadFile(cfg.Signing.Certificate)
	if err != nil {
		return nil, fmt.Errorf("reading the root certificate: %w (create a root with tidewaiter init, or with openssl as in docs/keys.md)", err)
	}
	key, err := os.ReadFile(cfg.Signing.Key)
	if err != nil {
		return nil, fmt.Errorf("reading the root key: %w", err)
	}
	root, err := token.ParseRoot(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("reading the root %s and %s: %w", cfg.Signing.Certificate, cfg.Signing.Key, err)
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

// PredictLifetime returns the lifetime of a token for a request, by a policy under a config, and
// the setting that decides it. ok is false if there would be no token.
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

// limits returns the upper bounds of the lifetime of tokens.
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
