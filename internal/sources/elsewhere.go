package sources

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/policy"
)

// lookupTimeout is the time limit for the lookup of a name in one source.
const lookupTimeout = 5 * time.Second

// Reasons why names cannot be looked up in a source.
var (
	errNoList   = errors.New("an issuer of ID tokens has no list of names")
	errNoLookup = errors.New("it cannot look up a name without the password")
)

// Elsewhere reports whether a source other than the accounts has the login. If the login is the
// login of a robot, Elsewhere asks only local sources.
func (s *Set) Elsewhere(ctx context.Context, login string) (found accounts.Elsewhere) {
	robot := strings.HasPrefix(login, accounts.RobotPrefix)
	for _, source := range s.Sources {
		k := sourceKinds[source.Config.Kind]
		if !k.ownNames || robot && k.remote {
			continue
		}
		has, err := source.has(ctx, login)
		switch {
		case err != nil:
			found.Unchecked = append(found.Unchecked, fmt.Sprintf("%s: %v", source.Name, err))
		case has:
			return accounts.Elsewhere{Source: source.Name, Advice: source.advice(login)}
		}
	}
	return found
}

func (s *Source) has(ctx context.Context, login string) (bool, error) {
	if s.err == nil && s.noLookup != nil {
		if s.mayHave != nil {
			if ok, _ := s.mayHave("user", login); !ok {
				return false, nil
			}
		}
		return false, s.noLookup
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	has, err := identity.Has(ctx, s.finder, login)
	if err == nil && !has && s.Config.LDAP != nil && s.Config.LDAP.BindDN == "" {
		err = errNoLookup // a directory can hide its users from anonymous clients
	}
	return has, err
}

// advice returns a sentence for somebody who wants to add an account with a name that is already
// in the source.
func (s *Source) advice(login string) string {
	switch h := s.Config.HTPasswd; {
	case h == nil:
		return "this user can already sign in"
	case h.File != "":
		return "to create an account with the same password and groups, use tidewaiter import htpasswd " + h.File
	}
	return fmt.Sprintf("to create an account with the same password and groups, copy the line in entries to a file and use tidewaiter import htpasswd FILE; or remove %s from entries", login)
}

// onceFinder is a Finder that does not call its source again after an outage. So a command that
// looks up many names waits only one time for a source that is down.
type onceFinder struct {
	identity.Finder

	mu  sync.Mutex
	err error
}

func (o *onceFinder) Find(ctx context.Context, name, id string) (*policy.Principal, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return nil, o.err
	}
	p, err := o.Finder.Find(ctx, name, id)
	if err != nil && !errors.Is(err, identity.ErrUnknown) && !errors.Is(err, identity.ErrRejected) {
		o.err = err
	}
	return p, err
}
