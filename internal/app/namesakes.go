package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/identity/accounts"
	"github.com/tidewaiter/tidewaiter/internal/identity/htpasswd"
	"github.com/tidewaiter/tidewaiter/internal/password"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
)

// Namesakes warns of names that both the accounts and an htpasswd source of a config have: the source that stands first is
// asked, and the password in the other one is good for nothing. known says which of some names are accounts.
func Namesakes(cfg *config.Config, known func(names []string) ([]string, error)) (warnings config.Problems, err error) {
	before := true // whether the accounts stand further down
	for _, s := range cfg.Identity {
		switch {
		case s.Accounts != nil:
			before = false
		case s.HTPasswd != nil && usesAccounts(cfg):
			file, err := newHTPasswd(s.HTPasswd)
			if err != nil {
				continue // Check says what is wrong with it
			}
			both, err := known(file.Names())
			if err != nil {
				return nil, err
			}
			if len(both) > 0 {
				warnings = append(warnings, config.Problem{File: cfg.File, Line: s.Line, Text: sentence(both, s.Name(), before)})
			}
		}
	}
	return warnings, nil
}

// toldNames is how many of the names are told.
const toldNames = 5

func sentence(names []string, source string, hidden bool) string {
	list := strings.Join(names[:min(len(names), toldNames)], ", ")
	if more := len(names) - toldNames; more > 0 {
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
	return fmt.Sprintf("%s %s both in %s and in %s: %s stands first, so the password in %s is never looked at; "+
		"tidewaiter import htpasswd brings users along, with their groups, and then %s can go from identity",
		list, is, accounts.Source, source, first, second, source)
}

// newHTPasswd reads an htpasswd source, to look at it.
func newHTPasswd(h *config.HTPasswd) (*htpasswd.File, error) {
	return htpasswd.New(htpasswd.Options{
		Name: h.Name, File: h.File, Entries: h.Entries, Groups: h.Groups, Claims: h.Claims, Hashing: password.New(password.Options{}),
	})
}

// warnOfNamesakes says so at the start and after a reload. A state that cannot be read is told of elsewhere.
func (a *App) warnOfNamesakes(ctx context.Context, cfg *config.Config) {
	warnings, _ := Namesakes(cfg, func(names []string) ([]string, error) {
		return a.accounts.Users(ctx, rulebook.Operator("start"), names)
	})
	for _, w := range warnings {
		a.log.Warn(w.String())
	}
}

// CheckNamesakes is Namesakes for a service that may not be running. A state that is not there yet, or that only a server has,
// is left alone.
func CheckNamesakes(ctx context.Context, cfg *config.Config) config.Problems {
	if !strings.HasPrefix(cfg.Database, "sqlite:") || !usesAccounts(cfg) ||
		!slices.ContainsFunc(cfg.Identity, func(s config.Source) bool { return s.HTPasswd != nil }) {
		return nil
	}
	a, closing, err := ReadAccounts(ctx, cfg)
	if err != nil {
		return nil
	}
	warnings, err := Namesakes(cfg, func(names []string) ([]string, error) {
		return a.Users(ctx, rulebook.Operator("check"), names)
	})
	if errors.Join(err, closing()) != nil {
		return nil
	}
	return warnings
}
