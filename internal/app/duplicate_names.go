package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/identity/htpasswd"
	"github.com/tidewaiter/tidewaiter/internal/password"
	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
)

// DuplicateNames warns about names that are both in the accounts and in an htpasswd source of a
// config. Only the first source is asked, so the password in the other one never works. known
// returns those of some names that are accounts.
func DuplicateNames(cfg *config.Config, known func(names []string) ([]string, error)) (warnings strictyaml.Problems, err error) {
	before := true // whether the accounts come later
	for _, s := range cfg.Identity {
		switch {
		case s.Accounts != nil:
			before = false
		case s.HTPasswd != nil && usesAccounts(cfg):
			file, err := newHTPasswd(s.HTPasswd)
			if err != nil {
				continue // Check reports the error
			}
			both, err := known(file.Names())
			if err != nil {
				return nil, err
			}
			if len(both) > 0 {
				warnings = append(warnings, strictyaml.Problem{File: cfg.File, Line: s.Line, Text: sentence(both, s.Name(), before)})
			}
		}
	}
	return warnings, nil
}

// maxNames is how many names a warning lists.
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

// newHTPasswd reads an htpasswd source for checks.
func newHTPasswd(h *config.HTPasswd) (*htpasswd.File, error) {
	return htpasswd.New(htpasswd.Options{
		Name: h.Name, File: h.File, Entries: h.Entries, Groups: h.Groups, Claims: h.Claims, Hashing: password.New(password.Options{}),
	})
}

// warnAboutDuplicateNames logs the warnings. Errors of the database are reported elsewhere.
func (a *App) warnAboutDuplicateNames(ctx context.Context, cfg *config.Config) {
	warnings, _ := DuplicateNames(cfg, func(names []string) ([]string, error) {
		return a.accounts.Users(ctx, admin.Operator("start"), names)
	})
	for _, w := range warnings {
		a.log.Warn(w.String())
	}
}

// CheckDuplicateNames is DuplicateNames without a running service. It ignores a database that
// does not exist yet, or that is on a server.
func CheckDuplicateNames(ctx context.Context, cfg *config.Config) strictyaml.Problems {
	if !strings.HasPrefix(cfg.Database, "sqlite:") || !usesAccounts(cfg) ||
		!slices.ContainsFunc(cfg.Identity, func(s config.Source) bool { return s.HTPasswd != nil }) {
		return nil
	}
	a, closing, err := ReadAccounts(ctx, cfg)
	if err != nil {
		return nil
	}
	warnings, err := DuplicateNames(cfg, func(names []string) ([]string, error) {
		return a.Users(ctx, admin.Operator("check"), names)
	})
	if errors.Join(err, closing()) != nil {
		return nil
	}
	return warnings
}
