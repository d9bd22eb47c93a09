package doctor

import (
	"context"
	"fmt"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/identity/htpasswd"
	"github.com/tidewaiter/tidewaiter/internal/offline"
	"github.com/tidewaiter/tidewaiter/internal/sources"
	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
)

// checkAccounts warns about names that are both in the accounts and in an htpasswd source
// (DuplicateNames). It also warns about credentials that max_credential_lifetime ends early. If
// the database cannot be read, checkAccounts does nothing, because the check of the database
// reports the reason.
func (c *checker) checkAccounts(ctx context.Context, set *sources.Set) {
	own, inFile := c.cfg.Accounts(), strings.HasPrefix(c.cfg.Database, "sqlite:")
	if own == nil || !inFile && own.MaxCredentialLifetime == 0 {
		return // do not connect to a database server if there is nothing to check
	}
	a, closing, err := offline.ReadAccounts(ctx, c.cfg)
	if err != nil {
		return
	}
	if inFile {
		warnings, _ := DuplicateNames(ctx, c.cfg, set, a)
		c.Warnings = append(c.Warnings, warnings...)
	}
	if own.MaxCredentialLifetime > 0 {
		cut, ended, err := a.Credentials.CutShort(ctx)
		if err == nil && cut > 0 {
			c.warn("identity: accounts: max_credential_lifetime of %s ends %d access tokens and robots' secrets early, %d of them now: tidewaiter token list shows when each expires",
				own.MaxCredentialLifetime, cut, ended)
		}
	}
	_ = closing() // the database was only read, so a failed close does not matter
}

// DuplicateNames warns about names that are both in the accounts and in an htpasswd source. Only
// the first of the two sources is asked, so the password in the other source never works.
func DuplicateNames(ctx context.Context, cfg *config.Config, set *sources.Set, own *accounts.Accounts) (warnings strictyaml.Problems, err error) {
	first := true // the source comes before the accounts
	for _, s := range set.Sources {
		if s.Config.Accounts != nil {
			first = false
		}
		file, ok := s.Authenticator.(*htpasswd.File)
		if !ok || cfg.Accounts() == nil {
			continue
		}
		both, err := own.Users(ctx, admin.Operator("check"), file.Names())
		if err != nil {
			return nil, err
		}
		if len(both) > 0 {
			warnings = append(warnings, strictyaml.Problem{File: cfg.File, Line: s.Config.Line, Text: sentence(both, s.Name, first)})
		}
	}
	return warnings, nil
}

// maxNames is the maximum number of names in a warning.
const maxNames = 5

func sentence(names []string, source string, hidden bool) string {
	list := strings.Join(names[:min(len(names), maxNames)], ", ")
	if more := len(names) - maxNames; more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	is := "is"
	if len(names) > 1 {
		is = "are"
	}
	first, second := accounts.Source, source
	if hidden {
		first, second = second, first
	}
	return fmt.Sprintf("%s %s both in %s and in %s: %s comes first, so the password in %s is never used; "+
		"tidewaiter import htpasswd creates accounts with the same passwords and groups, and then %s can be removed from identity",
		list, is, accounts.Source, source, first, second, source)
}
