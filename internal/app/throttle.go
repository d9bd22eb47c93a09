package app

import (
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/identity"
)

// throttle makes who guesses wait, as cfg says; nil if nobody is to. A reload keeps what the last one
// has counted, unless its settings have changed.
func (a *App) throttle(cfg *config.Config) *identity.Throttle {
	if !cfg.Limits.Throttle {
		return nil
	}
	if a.generation != nil && a.config.Limits.Throttle && guessing(a.config) == guessing(cfg) {
		return a.generation.live.Chain.Throttle()
	}
	return identity.NewThrottle(identity.ThrottleOptions{
		PerName: cfg.Limits.FailuresPerName, PerAddress: cfg.Limits.FailuresPerAddress,
		Longest: cfg.Limits.LongestDelay, Now: a.now,
	})
}

// guessing are the limits that concern who guesses.
func guessing(cfg *config.Config) config.Limits {
	limits := cfg.Limits
	limits.Connections = 0
	return limits
}
