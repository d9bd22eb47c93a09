package app

import (
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/ratelimit"
)

// limiter returns the limiter of sign-ins, or nil if it is disabled. If a reload does not change
// the settings, the counts are kept.
func (a *App) limiter(cfg *config.Config) *ratelimit.Limiter {
	if !cfg.Limits.Throttle {
		return nil
	}
	if a.generation != nil && a.config.Limits.Throttle && signIns(a.config) == signIns(cfg) {
		return a.generation.live.Chain.Limiter()
	}
	return ratelimit.New(ratelimit.Options{
		MaxFailuresPerPair: cfg.Limits.MaxFailuresPerPair, MaxFailuresPerSource: cfg.Limits.MaxFailuresPerSource,
		MaxDelay: cfg.Limits.MaxDelay, RefuseUnknownPlaces: cfg.Limits.UnknownPlaces == config.RefusePlaces,
		Store: a.limits, PlacesMatter: func() bool { return a.budgets.Load() || a.hashing.Stats().Waiting > 0 },
		Now: a.now, Log: a.log,
	})
}

// signIns returns the limits for sign-ins.
func signIns(cfg *config.Config) config.Limits {
	limits := cfg.Limits
	limits.Connections = 0
	return limits
}

// budget returns the limit on the wrong passwords for one account that Tidewaiter sends to a
// directory.
func (a *App) budget(l *config.LDAP) *ratelimit.Budget {
	if l.Attempts.Max > 0 {
		a.budgets.Store(true)
	}
	return ratelimit.NewBudget(ratelimit.BudgetOptions{
		Source: "ldap:" + l.Name, Max: l.Attempts.Max, Window: l.Attempts.Window,
		Store: a.limits, Now: a.now, Log: a.log,
	})
}
