package app

import (
	"context"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/identity/chain"
	"github.com/tidewaiter/tidewaiter/internal/identity/username"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/projection"
	"github.com/tidewaiter/tidewaiter/internal/ratelimit"
)

// CheckDatabaseNow runs the check that an App makes once a second.
func (a *App) CheckDatabaseNow(ctx context.Context) { a.checkDatabase(ctx) }

// Limiter returns the limiter for failed sign-ins.
func (a *App) Limiter() *ratelimit.Limiter { return a.issuer.Live().Chain.Limiter() }

// Chain returns the chain of identity sources.
func (a *App) Chain() *chain.Chain { return a.issuer.Live().Chain }

// CatchUp updates the projections until they include the journal's newest entry.
func (a *App) CatchUp(ctx context.Context) error { return a.derived.CatchUp(ctx, a.journal, nil) }

// SignCheckpoint signs a checkpoint of the journal if there are new entries.
func (a *App) SignCheckpoint(ctx context.Context) { a.checkpoints.Finish(ctx) }

// Projections returns the projections of the journal.
func (a *App) Projections() *projection.Set { return a.derived }

// JournalWithoutIndex returns the journal of the same database, but without the search index.
func (a *App) JournalWithoutIndex(t testing.TB) *journal.Journal {
	j, err := journal.New(a.db, journal.Options{Now: a.now, Login: username.Login})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close(context.Background()) })
	return j
}
