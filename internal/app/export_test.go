package app

import (
	"context"

	"github.com/tidewaiter/tidewaiter/internal/identity/chain"
	"github.com/tidewaiter/tidewaiter/internal/ratelimit"
)

// CheckDatabaseNow is the check that an App makes once a second.
func (a *App) CheckDatabaseNow(ctx context.Context) { a.checkDatabase(ctx) }

// Limiter returns the limiter for failed sign-ins.
func (a *App) Limiter() *ratelimit.Limiter { return a.issuer.Live().Chain.Limiter() }

// Chain returns the chain of identity sources.
func (a *App) Chain() *chain.Chain { return a.issuer.Live().Chain }
