package app

import "github.com/tidewaiter/tidewaiter/internal/identity"

// Throttled is what makes who guesses wait.
func (a *App) Throttled() *identity.Throttle { return a.issuer.Live().Chain.Throttle() }
