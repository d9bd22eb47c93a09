package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/htpasswd"
	"github.com/tidewaiter/tidewaiter/internal/identity/oidc"
	"github.com/tidewaiter/tidewaiter/policy"
)

// askFor is how long a source may take to say whether it has a name that an account is to have.
const askFor = 5 * time.Second

// Why a source is not asked whether it has a name.
var (
	errNoList    = errors.New("an issuer of ID tokens has no list of names")
	errNoFinding = errors.New("it cannot look a name up without the password")
)

// Others are the sources of a config beside the accounts, for a command. A source is opened when it is first asked, and not
// asked again once it gave no answer.
type Others struct {
	cfg  *config.Config
	open map[string]func() (identity.Finder, error) // by name

	mu   sync.Mutex
	down map[string]error // by name
}

// OthersOf returns the Others of a config.
func OthersOf(cfg *config.Config) *Others {
	o := &Others{cfg: cfg, open: make(map[string]func() (identity.Finder, error)), down: make(map[string]error)}
	for _, s := range cfg.Identity {
		o.open[s.Name()] = sync.OnceValues(func() (identity.Finder, error) { return finder(cfg, s) })
	}
	return o
}

// Have says whether one of them has a login.
func (o *Others) Have(ctx context.Context, login string) accounts.Elsewhere {
	return elsewhere(ctx, o.cfg, login, func(s config.Source) (identity.Finder, error) {
		o.mu.Lock()
		err := o.down[s.Name()]
		o.mu.Unlock()
		if err != nil {
			return nil, err
		}
		f, err := o.open[s.Name()]()
		return noting{f, o, s.Name()}, err
	})
}

// noting is a source of Others. It notes an outage.
type noting struct {
	identity.Finder
	others *Others
	name   string
}

func (n noting) Find(ctx context.Context, name, id string) (*policy.Principal, error) {
	who, err := n.Finder.Find(ctx, name, id)
	if err != nil && !errors.Is(err, identity.ErrUnknown) && !errors.Is(err, identity.ErrRejected) {
		n.others.mu.Lock()
		n.others.down[n.name] = err
		n.others.mu.Unlock()
	}
	return who, err
}

// Listers returns the sources that can list who is in a group, and the names of the others whose people may be in one.
func (o *Others) Listers() (listers []identity.Lister, others []string) {
	for _, s := range o.cfg.Identity {
		if s.Accounts != nil || s.Anyone {
			continue
		}
		f, err := o.open[s.Name()]()
		if l, ok := f.(identity.Lister); ok && err == nil {
			listers = append(listers, l)
		} else {
			others = append(others, s.Name())
		}
	}
	return listers, others
}

// Known is whose line of an htpasswd file a source has.
type Known struct {
	Who    *policy.Principal // with the groups and claims of the config
	Source config.Source
	Users  int // that the source has
}

// Entry finds the htpasswd source that has a line, of the same name and the same hash; nil: there is none.
func (o *Others) Entry(l htpasswd.Line) *Known {
	for _, s := range o.cfg.Identity {
		if s.HTPasswd == nil {
			continue
		}
		f, err := o.open[s.Name()]()
		if file, ok := f.(*htpasswd.File); err == nil && ok {
			if who := file.Entry(l); who != nil {
				return &Known{who, s, file.Len()}
			}
		}
	}
	return nil
}

// elsewhere asks the sources of a config beside the accounts whether one of them has a login. Only local ones have logins of
// robots: no other is asked about those.
func elsewhere(ctx context.Context, cfg *config.Config, login string, source func(config.Source) (identity.Finder, error)) (found accounts.Elsewhere) {
	robot := strings.HasPrefix(login, accounts.RobotPrefix)
	for _, s := range cfg.Identity {
		if s.Accounts != nil || s.Anyone || robot && distance(s) > 0 {
			continue
		}
		has, err := hasLogin(ctx, s, login, source)
		switch {
		case err != nil:
			found.Unchecked = append(found.Unchecked, fmt.Sprintf("%s: %v", s.Name(), err))
		case has:
			return accounts.Elsewhere{Source: s.Name(), Advice: insteadOf(s, login)}
		}
	}
	return found
}

func hasLogin(ctx context.Context, s config.Source, login string, source func(config.Source) (identity.Finder, error)) (bool, error) {
	f, err := source(s)
	if err != nil {
		return false, err
	}
	switch {
	case s.OIDC != nil:
		if n, ok := f.(noting); ok {
			f = n.Finder
		}
		if p, ok := f.(noLookup); ok && p.Provider != nil && !p.MightBe(policy.User, login) {
			return false, nil
		}
		return false, errNoList
	case s.LDAP != nil && s.LDAP.User.Bind != "", s.Hook() != nil && !s.Hook().Find:
		return false, errNoFinding
	}
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	has, err := identity.Has(ctx, f, login)
	if err == nil && !has && s.LDAP != nil && s.LDAP.BindDN == "" {
		err = errNoFinding // to who is nobody, a directory may show nobody
	}
	return has, err
}

// insteadOf is what to do in place of adding an account whose name a source has.
func insteadOf(s config.Source, login string) string {
	switch {
	case s.HTPasswd == nil:
		return "it can sign in as it is"
	case s.HTPasswd.File != "":
		return "to bring it along with its password and groups, use tidewaiter import htpasswd " + s.HTPasswd.File
	}
	return fmt.Sprintf("to bring it along with its password and groups, write its line of entries to a file and use tidewaiter import htpasswd FILE; or remove %s there", login)
}

// elsewhere asks the sources that are in use now.
func (a *App) elsewhere(ctx context.Context, login string) accounts.Elsewhere {
	chain, cfg := a.issuer.Live().Chain, a.current.Load()
	return elsewhere(ctx, cfg, login, func(s config.Source) (identity.Finder, error) {
		switch p := chain.Source(s.Name()).(type) {
		case *oidc.Provider:
			return noLookup{p}, nil
		case userProvider:
			return noLookup{p.Provider}, nil
		}
		f, ok := chain.Source(s.Name()).(identity.Finder)
		if !ok {
			return nil, errNoFinding
		}
		return f, nil
	})
}
