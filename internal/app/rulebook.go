package app

import (
	"context"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/issuer"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/when"
)

// newRulebook opens the rulebook, and compiles the first policy from files and database. A reload
// does not replace the rulebook.
func (a *App) newRulebook(ctx context.Context, cfg *config.Config) (*rulebook.Rulebook, error) {
	b, err := rulebook.New(rulebook.Options{
		DB: a.db, Journal: a.journal, When: when.NewCompiler().Compile, Now: a.now, Log: a.log,
		DeleteOwned: accounts.DeleteOwned, OnNamespaceDeleted: func() { a.accounts.Credentials.Forget() },
		Changed: func(p *policy.Policy) {
			a.issuer.Swap(func(l issuer.Live) issuer.Live {
				l.Policy, l.Shadow = p, a.shadowBeside(p)
				return l
			})
		},
	}, filesOf(cfg))
	if err != nil {
		return nil, err
	}
	return b, b.Load(ctx)
}

// Rulebook returns the rules of files, database and namespaces.
func (a *App) Rulebook() *rulebook.Rulebook { return a.rulebook }

// filesOf returns the rules that the config and its files contain, for the rulebook.
func filesOf(cfg *config.Config) rulebook.Files {
	return rulebook.Files{Source: cfg.Rules, ID: cfg.Policy.ID(), Services: cfg.Services}
}

// reasonNotInForce returns the reason why the current files and database are not in force. It
// returns nil if the files and the database are in force.
func (a *App) reasonNotInForce() error {
	if err := a.reloadError.Load(); err != nil && *err != nil {
		return *err
	}
	return a.rulebook.Status().Problem
}
