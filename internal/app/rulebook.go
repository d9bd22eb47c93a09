package app

import (
	"context"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/issuer"
	"github.com/tidewaiter/tidewaiter/internal/offline"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/policy"
)

// newRulebook opens the rulebook, which is kept across reloads, and compiles the first policy
// from files and database.
func (a *App) newRulebook(ctx context.Context, cfg *config.Config) (*rulebook.Rulebook, error) {
	o := offline.RulebookOptions(a.db, a.journal)
	o.Now, o.Log = a.now, a.log
	o.OnNamespaceDeleted = func() { a.accounts.Credentials.Forget() }
	o.Changed = func(p *policy.Policy) {
		a.issuer.Swap(func(l issuer.Live) issuer.Live {
			l.Policy = p
			return l
		})
	}
	b, err := rulebook.New(o, offline.Files(cfg))
	if err != nil {
		return nil, err
	}
	return b, b.Load(ctx)
}

// Rulebook returns the rules of files, database and namespaces.
func (a *App) Rulebook() *rulebook.Rulebook { return a.rulebook }

// reloading is the result of the last reload.
type reloading struct {
	problem error // nil: it succeeded
	at      time.Time
}

// problem returns why the current files and database are not in force, or nil.
func (a *App) problem() error {
	if r := a.reloading.Load(); r != nil && r.problem != nil {
		return r.problem
	}
	return a.rulebook.Status().Problem
}
