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
)

// newDirectory makes what a config says of a directory. What is wrong with it is config.Problems, each
// where it is written.
func newDirectory(cfg *config.Config, l *config.LDAP, taken taken, budget *ratelimit.Budget, log *slog.Logger, now func() time.Time) (*ldap.Directory, error) {
	d, err := ldap.New(ldap.Options{
		Name: l.Name, Servers: l.Servers, CA: l.CA, StartTLS: l.StartTLS, Plain: l.Plain,
		BindDN: l.BindDN, BindPasswordFile: l.BindPasswordFile,
		User: ldap.User{
			DN: l.User.DN, Bind: l.User.Bind, Domain: l.User.Domain, Base: l.User.Base, Filter: l.User.Filter, Scope: ldap.Scope(l.User.Scope),
			NameAttribute: l.User.NameAttribute, Lowercase: l.User.Lowercase, IDAttribute: l.User.IDAttribute, Attributes: l.User.Attributes,
		},
		Groups: ldap.Groups{
			MemberOf: l.Groups.MemberOf, Base: l.Groups.Base, Filter: l.Groups.Filter,
			NameAttribute: l.Groups.NameAttribute, Nested: ldap.Nested(l.Groups.Nested),
		},
		Timeout: l.Timeout, Pool: l.Pool, Cache: l.Cache, Taken: taken, Budget: budget, Log: log, Now: now,
	})
	problems, ok := errors.AsType[ldap.Problems](err)
	if !ok {
		return d, err
	}
	placed := make(config.Problems, len(problems))
	for i, p := range problems {
		placed[i] = config.Problem{File: cfg.File, Text: lastKey(p.Field) + ": " + p.Text}
		placed[i].Line, placed[i].Column = l.Place(p.Field, p.Item)
	}
	return nil, placed
}

// taken says whether a name belongs to somebody else.
type taken func(ctx context.Context, name string) (bool, error)

// takenBefore says of a name whether a source knows it that is asked for passwords before the one of that
// name: local ones, and remote ones above it. sources is complete when it is asked.
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
			switch _, err := finder.Find(ctx, name, ""); {
			case err == nil, errors.Is(err, identity.ErrRejected):
				return true, nil
			case !errors.Is(err, identity.ErrUnknown):
				return false, fmt.Errorf("asking %s: %w", s.Name, err)
			}
		}
		return false, nil
	}
}

// lastKey is filter of user.filter.
func lastKey(field string) string { return field[strings.LastIndexByte(field, '.')+1:] }
