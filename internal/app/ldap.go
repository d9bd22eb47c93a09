package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/ldap"
	"github.com/tidewaiter/tidewaiter/internal/ratelimit"
	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
)

// newDirectory builds a directory from a config. If its error is strictyaml.Problems, each has a
// position.
func newDirectory(cfg *config.Config, l *config.LDAP, taken taken, budget *ratelimit.Budget, log *slog.Logger, now func() time.Time) (*ldap.Directory, error) {
	d, err := ldap.New(ldap.Options{
		Name: l.Name, Servers: l.Servers, CA: l.CA, StartTLS: l.StartTLS, Plain: l.Plain,
		BindDN: l.BindDN, BindPasswordFile: l.BindPasswordFile,
		User: ldap.User{
			DN: l.User.DN, Bind: l.User.Bind, Domain: l.User.Domain, Bases: l.User.Bases, Filter: l.User.Filter, Scope: ldap.Scope(l.User.Scope),
			NameAttribute: l.User.NameAttribute, Lowercase: l.User.Lowercase, IDAttribute: l.User.IDAttribute, Attributes: l.User.Attributes,
		},
		Groups: ldap.Groups{
			MemberOf: l.Groups.MemberOf, Bases: l.Groups.Bases, Filter: l.Groups.Filter,
			NameAttribute: l.Groups.NameAttribute, Nested: ldap.Nested(l.Groups.Nested),
		},
		Timeout: l.Timeout, Pool: l.Pool, Cache: l.Cache, Taken: taken, Budget: budget, Log: log, Now: now,
	})
	problems, ok := errors.AsType[ldap.Problems](err)
	if !ok {
		return d, err
	}
	placed := make(strictyaml.Problems, len(problems))
	for i, p := range problems {
		placed[i] = strictyaml.Problem{File: cfg.File, Text: lastKey(p.Field) + ": " + p.Text}
		placed[i].Line, placed[i].Column = l.Place(p.Field, p.Item)
	}
	return nil, placed
}

// CheckDirectories reads from each directory after how many wrong passwords it locks an account,
// and warns if it may be sent that many (ldap.attempts). An unknown threshold is reported as
// unknown.
func CheckDirectories(ctx context.Context, cfg *config.Config) (warnings strictyaml.Problems) {
	for _, s := range cfg.Identity {
		if s.LDAP == nil {
			continue
		}
		d, err := newDirectory(cfg, s.LDAP, nil, nil, nil, nil)
		if err != nil {
			continue // Check reports the error
		}
		policies, err := d.Lockouts(ctx)
		d.Close()
		for _, text := range lockoutWarnings(s.LDAP, policies, err) {
			p := strictyaml.Problem{File: cfg.File, Text: text}
			p.Line, p.Column = s.LDAP.Place("attempts", -1)
			warnings = append(warnings, p)
		}
	}
	return warnings
}

func lockoutWarnings(l *config.LDAP, policies []ldap.Lockout, err error) (texts []string) {
	of := fmt.Sprintf("the directory %q", l.Name)
	switch {
	case err != nil:
		return []string{fmt.Sprintf("attempts: the lock threshold of %s is unknown: %s; max is %d, and must be below it", of, strings.ReplaceAll(err.Error(), "\n", "; "), l.Attempts.Max)}
	case len(policies) == 0:
		return []string{fmt.Sprintf("attempts: the lock threshold of %s is unknown: no readable policy states it; max is %d, and must be below it", of, l.Attempts.Max)}
	}
	for _, p := range policies {
		locks := fmt.Sprintf("%s locks an account after %d wrong passwords (%s)", of, p.After, p.Policy)
		switch {
		case p.After == 0:
		case p.After < 3:
			texts = append(texts, fmt.Sprintf("attempts: %s, and max is %d: max must be at least 2, so set the threshold to 3 or more", locks, l.Attempts.Max))
		case l.Attempts.Max == 0:
			texts = append(texts, fmt.Sprintf("attempts: %s, and max is 0, which means unlimited: set it to %d or less", locks, p.After-1))
		case l.Attempts.Max >= p.After:
			texts = append(texts, fmt.Sprintf("attempts: %s, and max is %d: set it to %d or less", locks, l.Attempts.Max, p.After-1))
		case p.Within == ldap.Forever:
			texts = append(texts, fmt.Sprintf("attempts: %s without a time limit, and window is %s: wrong passwords add up until the right one; let the directory forget them after a while", locks, l.Attempts.Window))
		case p.Within > l.Attempts.Window:
			texts = append(texts, fmt.Sprintf("attempts: %s within %s, and window is %s: set it to %s or more", locks, p.Within, l.Attempts.Window, p.Within))
		}
	}
	return texts
}

// taken reports whether another source has a name.
type taken func(ctx context.Context, name string) (bool, error)

// takenBefore reports whether a source that checks passwords before the given one knows a name:
// a local one, or a remote one above it. sources is complete when the function is called.
func takenBefore(sources *[]identity.Source, source string) taken {
	return func(ctx context.Context, name string) (bool, error) {
		above := true
		for _, s := range *sources {
			if s.Name == source {
				above = false
				continue
			}
			finder, ok := s.Authenticator.(identity.Finder)
			if !ok || s.Remote && !above || len(s.Kinds) > 0 && !slices.Contains(s.Kinds, identity.Password) {
				continue
			}
			has, err := identity.Has(ctx, finder, name)
			if err != nil {
				return false, fmt.Errorf("asking %s: %w", s.Name, err)
			}
			if has {
				return true, nil
			}
		}
		return false, nil
	}
}

// lastKey returns the last part of a path: filter of user.filter.
func lastKey(field string) string { return field[strings.LastIndexByte(field, '.')+1:] }
