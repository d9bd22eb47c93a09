package app

import (
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/identity/ldap"
)

// newDirectory makes what a config says of a directory. What is wrong with it is config.Problems, each
// where it is written.
func newDirectory(cfg *config.Config, l *config.LDAP, log *slog.Logger, now func() time.Time) (*ldap.Directory, error) {
	d, err := ldap.New(ldap.Options{
		Name: l.Name, Servers: l.Servers, CA: l.CA, StartTLS: l.StartTLS, Plain: l.Plain,
		BindDN: l.BindDN, BindPasswordFile: l.BindPasswordFile,
		User: ldap.User{
			DN: l.User.DN, Base: l.User.Base, Filter: l.User.Filter, Scope: ldap.Scope(l.User.Scope),
			NameAttribute: l.User.NameAttribute, Lowercase: l.User.Lowercase, IDAttribute: l.User.IDAttribute, Attributes: l.User.Attributes,
		},
		Groups: ldap.Groups{
			MemberOf: l.Groups.MemberOf, Base: l.Groups.Base, Filter: l.Groups.Filter,
			NameAttribute: l.Groups.NameAttribute, Nested: ldap.Nested(l.Groups.Nested),
		},
		Timeout: l.Timeout, Pool: l.Pool, Cache: l.Cache, Log: log, Now: now,
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

// lastKey is filter of user.filter.
func lastKey(field string) string { return field[strings.LastIndexByte(field, '.')+1:] }
