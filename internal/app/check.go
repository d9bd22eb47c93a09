package app

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/htpasswd"
	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/token"
)

// Check checks the files that a config names: certificates, keys, and password files. It does
// not open a database or listen. Errors would prevent a service from starting, or make
// registries reject its tokens. Warnings are for what is allowed, but probably an error.
func Check(cfg *config.Config, now time.Time) (wrong, warnings strictyaml.Problems) {
	c := &checker{cfg: cfg, now: now}
	c.certificates()
	c.root()
	c.sources()
	c.subjects()
	c.claims()
	return c.wrong, c.warnings
}

// LeftOut lists what Check does not cover, because it opens no database and connects to nothing.
// CheckDatabase, CheckState, CheckDuplicateNames, CheckCredentials and CheckDirectories cover
// it.
func LeftOut() []string {
	return []string{
		"whether the database exists and is undamaged",
		"rules, roles and namespaces in the database, and conflicts with files",
		"accounts, robots and tokens: names that another source has too, and lifetimes that max_credential_lifetime shortens",
		"directories: whether ldap.attempts is below their lock threshold",
	}
}

// Root reads the root certificate and key of a config.
func Root(cfg *config.Config) (*token.Root, error) { return readRoot(cfg) }

// Find looks up a name in the sources of a config, in the order of a token request. It returns
// identity.ErrUnknown if no source knows the name. If the principal cannot sign in, the error
// wraps an identity.DisabledError too.
func Find(ctx context.Context, cfg *config.Config, name string) (*policy.Principal, error) {
	sources := slices.Clone(cfg.Identity)
	slices.SortStableFunc(sources, func(a, b config.Source) int { return cmp.Compare(distance(a), distance(b)) })
	for _, s := range sources {
		if s.Accounts == nil && strings.HasPrefix(name, accounts.RobotPrefix) {
			continue // only accounts know robots
		}
		finder, err := finder(cfg, s)
		if err != nil {
			return nil, err
		}
		who, err := finder.Find(ctx, name, "")
		if disabled, ok := errors.AsType[*identity.DisabledError](err); ok {
			return nil, fmt.Errorf("%w: %w", identity.ErrUnknown, disabled)
		}
		if errors.Is(err, identity.ErrRejected) {
			break
		}
		if !errors.Is(err, identity.ErrUnknown) {
			return who, err
		}
	}
	return nil, identity.ErrUnknown
}

// find is Find in the running sources.
func (a *App) find(ctx context.Context, name string) (*policy.Principal, error) {
	chain := a.issuer.Live().Chain
	if strings.HasPrefix(name, accounts.RobotPrefix) {
		return chain.FindIn(ctx, accounts.Source, name, "") // only accounts know robots
	}
	return chain.Find(ctx, name, "")
}

// distance is 1 for a source that is asked only if no local source knows the name.
func distance(s config.Source) int {
	if s.LDAP != nil || s.OIDC != nil || s.Hook() != nil {
		return 1
	}
	return 0
}

func finder(cfg *config.Config, s config.Source) (identity.Finder, error) {
	switch {
	case s.Accounts != nil:
		return storedAccounts{cfg}, nil
	case s.Anyone:
		return identity.Anyone{}, nil
	case s.HTPasswd != nil:
		return newHTPasswd(s.HTPasswd)
	case s.LDAP != nil:
		return newDirectory(cfg, s.LDAP, nil, nil, nil, nil)
	case s.OIDC != nil:
		provider, err := newProvider(cfg, s.OIDC, nil, nil)
		return noLookup{provider}, err
	case s.Hook() != nil:
		asked, err := newExternal(cfg, s.Hook(), nil, nil)
		if err != nil || !s.Hook().Find {
			return noLookup{}, err
		}
		return asked, nil
	}
	return nil, fmt.Errorf("the source in line %d does not support lookups", s.Line)
}

// checker collects the results of one Check.
type checker struct {
	cfg             *config.Config
	now             time.Time
	wrong, warnings strictyaml.Problems
}

func (c *checker) problem(line int, format string, args ...any) {
	c.wrong = append(c.wrong, strictyaml.Problem{File: c.cfg.File, Line: line, Text: fmt.Sprintf(format, args...)})
}

func (c *checker) warn(format string, args ...any) {
	c.warnings = append(c.warnings, strictyaml.Problem{File: c.cfg.File, Text: fmt.Sprintf(format, args...)})
}

func (c *checker) certificates() {
	for _, l := range c.cfg.Listen {
		if l.TLS == nil || l.TLS.Certificate == "" {
			continue
		}
		pair, err := tls.LoadX509KeyPair(l.TLS.Certificate, l.TLS.Key)
		switch {
		case err != nil:
			c.problem(0, "listening at %s: reading %s and %s: %v", l.Address, l.TLS.Certificate, l.TLS.Key, err)
		case c.now.After(pair.Leaf.NotAfter):
			c.problem(0, "listening at %s: the certificate %s expired on %s", l.Address, l.TLS.Certificate, pair.Leaf.NotAfter.UTC().Format(time.DateOnly))
		case c.now.Before(pair.Leaf.NotBefore):
			c.problem(0, "listening at %s: the certificate %s is not valid before %s", l.Address, l.TLS.Certificate, pair.Leaf.NotBefore.UTC().Format(time.RFC3339))
		}
	}
}

// allRegistries is how many versions of the registry token.Problem distinguishes.
const allRegistries = 3

// root checks the root as registries would. A root that is not only for tokens is an error,
// because anyone with another certificate under it can sign tokens. signing.shared_root allows
// it.
func (c *checker) root() {
	root, err := readRoot(c.cfg)
	if err != nil {
		c.problem(0, "%v", err)
		return
	}
	forms := make(map[token.KeyID][]string)
	for _, r := range c.cfg.Registries {
		forms[r.KeyID] = append(forms[r.KeyID], r.Service)
	}
	told := make(map[string]bool)
	for _, form := range token.KeyIDs() {
		if len(forms[form]) == 0 {
			continue
		}
		for _, p := range root.Problems(form, c.now) {
			shared := sharing(p)
			// A form is chosen for one version.
			known := p.Kind == "key-id" && len(p.Refuse) < allRegistries
			if told[p.Text] || known || shared && c.cfg.Signing.SharedRoot {
				continue
			}
			told[p.Text] = true
			text := fmt.Sprintf("signing for %s with %s: %s: %s", strings.Join(forms[form], ", "), c.cfg.Signing.Certificate, p.Text, p.Hint)
			switch {
			case shared:
				c.problem(0, "%s; to use it anyway, set signing.shared_root: true", text)
			case len(p.Refuse) == allRegistries:
				c.problem(0, "%s", text)
			default:
				c.warn("%s", text)
			}
		}
	}
}

// sharing reports whether a problem of a root is that others may have certificates under it.
func sharing(p token.Problem) bool {
	return p.Kind == "server-authentication" || p.Kind == "public-issuer" || p.Kind == "shared-issuer"
}

// sources reads password files as New would, and checks the settings of the other sources.
func (c *checker) sources() {
	if c.cfg.Authorizer != nil {
		if _, err := newExternal(c.cfg, c.cfg.Authorizer, nil, nil); err != nil {
			problems, _ := errors.AsType[strictyaml.Problems](err)
			c.wrong = append(c.wrong, problems...)
		}
	}
	for _, s := range c.cfg.Identity {
		if s.OIDC != nil {
			if provider, err := newProvider(c.cfg, s.OIDC, nil, nil); err == nil {
				c.warnings = append(c.warnings, placed(c.cfg, s.OIDC, provider.Warnings())...)
			}
		}
		_, err := finder(c.cfg, s)
		if err == nil {
			continue
		}
		if problems, ok := errors.AsType[strictyaml.Problems](err); ok {
			c.wrong = append(c.wrong, problems...)
			continue
		}
		problems, ok := errors.AsType[htpasswd.Problems](err)
		if !ok {
			c.problem(s.Line, "%v", err)
			continue
		}
		for _, p := range problems {
			at := strictyaml.Problem{File: p.File, Line: p.Line, Text: p.Text, Suggestion: p.Suggestion}
			switch {
			case p.Claims != "":
				at.File, at.Text = c.cfg.File, fmt.Sprintf("the claims of %q: %s", p.Claims, p.Text)
				at.Line, at.Column = s.HTPasswd.PlaceOfClaims(p.Claims)
			case p.Group != "":
				at.File, at.Text = c.cfg.File, fmt.Sprintf("the group %q: %s", p.Group, p.Text)
				at.Line, at.Column = s.HTPasswd.PlaceOfMember(p.Group, p.Member)
			case p.File == "":
				at.File, at.Text = c.cfg.File, fmt.Sprintf("entry %d: %s", p.Line, p.Text)
				at.Line, at.Column = s.HTPasswd.PlaceOfEntry(p.Line - 1)
			}
			c.wrong = append(c.wrong, at)
		}
	}
}
