package app

import (
	"context"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/ratelimit"
)

// LookAtDatabase is what an App does once a second.
func (a *App) LookAtDatabase(ctx context.Context) { a.lookAtDatabase(ctx) }

// MarkerName is the file that says which database a config had.
const MarkerName = markerName

// Limiter limits sign-ins.
func (a *App) Limiter() *ratelimit.Limiter { return a.issuer.Live().Chain.Limiter() }

// Chain is who says who somebody is.
func (a *App) Chain() *identity.Chain { return a.issuer.Live().Chain }
