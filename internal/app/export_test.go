package app

import (
	"context"

	"github.com/tidewaiter/tidewaiter/internal/identity"
)

// LookAtDatabase is what an App does once a second.
func (a *App) LookAtDatabase(ctx context.Context) { a.lookAtDatabase(ctx) }

// MarkerName is the file that says which database a config had.
const MarkerName = markerName

// Throttled is what makes who guesses wait.
func (a *App) Throttled() *identity.Throttle { return a.issuer.Live().Chain.Throttle() }
