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

	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/accounts"
	"github.com/tidewaiter/tidewaiter/internal/identity/htpasswd"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/token"
)

// Check looks at what a config names: certificates, keys, and files of passwords. It opens no state and
// listens nowhere. What is wrong would keep a service from starting, or registries from accepting its
// tokens; a warning is what is allowed, and probably not meant.
func Check(cfg *config.Config, now time.Time) (wrong, warnings config.Problems) {
	c := &checking{cfg: cfg, now: now}
	c.certificates()
	c.root()
	c.sources()
	c.subjects()
	c.claims()
	return c.wrong, c.warnings
}

// LeftOut lists what Check does not look at, since it opens no database and asks nobody:
// CheckDatabase, CheckState, CheckNamesakes, CheckCredentials and CheckDirectories do.
func LeftOut() []string {
	return []string{
		"whether the database is there and whole",
		"rules, roles and namespaces in the database, and whether files contradict them",
		"accounts, robots and tokens: names that another source has too, and lifetimes that max_credential_lifetime cuts short",
		"directories: whether ldap.attempts is below their lock threshold",
	}
}

// Root reads the root of a config.
func Root(cfg *config.Config) (*token.Root, error) { return readRoot(cfg) }

// Find looks somebody up in the sources of a config, in their order, as a token request would find them.
// It is identity.ErrUnknown where none knows the name, and wraps an identity.DisabledError, too, where the name is of somebody who
// cannot sign in.
func Find(ctx context.Context, cfg *config.Config, name string) (*policy.Principal, error) {
	sources := slices.Clone(cfg.Identity)
	slices.SortStableFunc(sources, func(a, b config.Source) int { return cmp.Compare(distance(a), distance(b)) })
	for _, s := range sources {
		if s.Accounts == nil && strings.HasPrefix(name, accounts.RobotPrefix) {
			continue // robots are known to the accounts alone
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

// find is Find in the sources that are asked now.
func (a *App) find(ctx context.Context, name string) (*policy.Principal, error) {
	chain := a.issuer.Live().Chain
	if strings.HasPrefix(name, accounts.RobotPrefix) {
		return chain.FindIn(ctx, accounts.Source, name, "") // robots are known to the accounts alone
	}
	return chain.Find(ctx, name, "")
}

// distance is 1 for a source that is asked only when no local one knows a name.
func distance(s config.Source) int {
	if s.LDAP != nil || s.OIDC != nil || s.External != nil {
		return 1
	}
	return 0
}

func finder(cfg *config.Config, s config.Source) (identity.Finder, error) {
	switch {
	case s.Accounts != nil:
		return stored{cfg}, nil
	case s.Anyone != nil:
		return identity.Anyone{}, nil
	case s.HTPasswd != nil:
		return newHTPasswd(s.HTPasswd)
	case s.LDAP != nil:
		return newDirectory(cfg, s.LDAP, nil, nil, nil, nil)
	case s.OIDC != nil:
		provider, err := newProvider(cfg, s.OIDC, nil, nil)
		return showsToBeKnown{provider}, err
	case s.External != nil:
		asked, err := newExternal(cfg, s.External, nil, nil)
		if err != nil || !s.External.Find {
			return showsToBeKnown{}, err
		}
		return asked, nil
	}
	return nil, fmt.Errorf("the source in line %d cannot be looked into", s.Line)
}

// checking is one Check.
type checking struct {
	cfg             *config.Config
	now             time.Time
	wrong, warnings config.Problems
}

func (c *checking) problem(line int, format string, args ...any) {
	c.wrong = append(c.wrong, config.Problem{File: c.cfg.File, Line: line, Text: fmt.Sprintf(format, args...)})
}

func (c *checking) warn(format string, args ...any) {
	c.warnings = append(c.warnings, config.Problem{File: c.cfg.File, Text: fmt.Sprintf(format, args...)})
}

func (c *checking) certificates() {
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

// allRegistries is how many versions of the registry token.Problem tells of.
const allRegistries = 3

// root judges the root as registries would. A root that is not for tokens alone is refused: whoever
// holds another certificate under it can sign tokens. That it is meant can be said (shared_root).
func (c *checking) root() {
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
			known := p.Kind == "key-id" && len(p.Refuse) < allRegistries // a form is chosen for one version
			if told[p.Text] || known || shared && c.cfg.Signing.SharedRoot {
				continue
			}
			told[p.Text] = true
			text := fmt.Sprintf("signing for %s with %s: %s: %s", strings.Join(forms[form], ", "), c.cfg.Signing.Certificate, p.Text, p.Hint)
			switch {
			case shared:
				c.problem(0, "%s; if it is meant, say so: signing.shared_root: true", text)
			case len(p.Refuse) == allRegistries:
				c.problem(0, "%s", text)
			default:
				c.warn("%s", text)
			}
		}
	}
}

// sharing says whether a problem of a root is that others may hold certificates under it.
func sharing(p token.Problem) bool {
	return p.Kind == "server-authentication" || p.Kind == "public-issuer" || p.Kind == "shared-issuer"
}

// sources reads files of passwords as New would, and looks at who else is asked.
func (c *checking) sources() {
	if c.cfg.Decider != nil {
		if _, err := newExternal(c.cfg, c.cfg.Decider, nil, nil); err != nil {
			problems, _ := errors.AsType[config.Problems](err)
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
		if problems, ok := errors.AsType[config.Problems](err); ok {
			c.wrong = append(c.wrong, problems...)
			continue
		}
		problems, ok := errors.AsType[htpasswd.Problems](err)
		if !ok {
			c.problem(s.Line, "%v", err)
			continue
		}
		for _, p := range problems {
			at := config.Problem{File: p.File, Line: p.Line, Text: p.Text, Suggestion: p.Suggestion}
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
