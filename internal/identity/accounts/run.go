package accounts

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/store"
)

const (
	noteEvery  = 5 * time.Second     // precision of a token's last use
	sweepEvery = time.Hour           // how often expired tokens are deleted
	keepEnded  = 30 * 24 * time.Hour // how long an expired access token is still listed
	maxTouched = 100_000             // maximum number of last uses that are not written yet
	maxSwept   = 500                 // maximum number of tokens deleted in one transaction
)

// touch is the last use of a token.
type touch struct {
	at   int64 // milliseconds
	from netip.Addr
}

// touch records the use of a token.
func (a *Accounts) touch(w *warm, from netip.Addr, now time.Time) {
	if w.token == "" {
		return
	}
	last, ms := w.used.Load(), now.UnixMilli()
	if ms-last < noteEvery.Milliseconds() || !w.used.CompareAndSwap(last, ms) {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.touched) < maxTouched {
		a.touched[w.token] = touch{ms, from}
	}
}

// Run notices changes by other processes, writes when tokens were last used, and deletes expired
// tokens, until ctx ends. It returns nil. Several calls may run at the same time.
func (a *Accounts) Run(ctx context.Context) error {
	a.warm.use(1)
	defer a.warm.use(-1)
	// Maintenance writes, so it may block on the database or take long. It runs in its own
	// goroutine so that revocations by other processes still take effect.
	var done maintained
	var maintenance sync.WaitGroup
	maintenance.Go(func() {
		a.repeat(ctx, "maintaining accounts", "last uses are written later", func() error {
			return a.maintain(ctx, &done)
		})
	})
	counter := unknownCounter
	a.repeat(ctx, "noticing changes of accounts", "what was valid stays valid", func() error {
		return a.notice(ctx, &counter)
	})
	maintenance.Wait()

	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := errors.Join(a.note(ending), a.noteSignIns(ending)); err != nil {
		a.o.Log.Warn("last uses of tokens and sign-ins were not written", "error", err)
	}
	return nil
}

// repeat calls f every Options.Every until ctx ends. It logs when f starts to fail, with the
// consequence, and when f works again.
func (a *Accounts) repeat(ctx context.Context, what, meanwhile string, f func() error) {
	tick := time.NewTicker(a.o.Every)
	defer tick.Stop()
	failing := false
	for {
		err := f()
		switch {
		case ctx.Err() != nil:
		case err != nil && !failing:
			failing = true
			a.o.Log.Warn(what+" fails; "+meanwhile, "error", err)
		case err == nil && failing:
			failing = false
			a.o.Log.Info(what + " works again")
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// maintained holds when each part of the maintenance last succeeded.
type maintained struct{ noted, swept time.Time }

// maintain runs the maintenance that is due: it writes last uses and sign-ins, and deletes
// expired data.
func (a *Accounts) maintain(ctx context.Context, t *maintained) error {
	now := a.o.Now()
	if clock.For(t.noted, noteEvery).Over(now) {
		if err := a.note(ctx); err != nil {
			return err
		}
		if err := a.noteSignIns(ctx); err != nil {
			return err
		}
		t.noted = now
	}
	if clock.For(t.swept, sweepEvery).Over(now) {
		for _, sweep := range []func(context.Context) error{a.sweep, a.writer.PurgeKeys, a.sweepSignIns} {
			if err := sweep(ctx); err != nil {
				return err
			}
		}
		t.swept = now
	}
	return nil
}

// unknownCounter is the change counter before the first read.
const unknownCounter int64 = -1

// notice clears the cache if the change counter differs from known.
func (a *Accounts) notice(ctx context.Context, known *int64) error {
	var counter int64
	err := a.o.DB.Read().QueryRowContext(ctx,
		"SELECT coalesce(max(counter), 0) FROM changes WHERE topic = $1", topic).Scan(&counter)
	if err != nil {
		return fmt.Errorf("looking for changes of accounts: %w", err)
	}
	if counter != *known {
		a.warm.forget()
		*known = counter
		a.o.Log.Debug("changes of accounts are noticed", "counter", counter)
	}
	return nil
}

// note writes the last uses of tokens.
func (a *Accounts) note(ctx context.Context) error {
	a.mu.Lock()
	touched := a.touched
	a.touched = make(map[string]touch)
	a.mu.Unlock()
	if len(touched) == 0 {
		return nil
	}
	err := a.writer.Write(ctx, "", func(tx *sql.Tx) error {
		update, err := tx.PrepareContext(ctx, "UPDATE account_tokens SET used = $1, used_from = $2 WHERE id = $3 AND used < $1")
		if err != nil {
			return err
		}
		defer update.Close()
		for id, t := range touched {
			from := ""
			if t.from.IsValid() {
				from = t.from.String()
			}
			if _, err := update.ExecContext(ctx, t.at, from, id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		for id, t := range touched { // retry next time
			if _, again := a.touched[id]; !again && len(a.touched) < maxTouched {
				a.touched[id] = t
			}
		}
		return fmt.Errorf("writing when tokens were last used: %w", err)
	}
	return nil
}

// lastTouch returns the last use of a token that is not written yet; 0: none.
func (a *Accounts) lastTouch(id string) int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.touched[id].at
}

// idle returns how long a token of that use may be unused before it expires; 0: unlimited.
func (a *Accounts) idle(use Use) time.Duration {
	switch use {
	case Refresh:
		return a.o.RefreshIdle
	case Session:
		return a.o.SessionIdle
	}
	return 0
}

// sweepQuery returns the ids of tokens to delete, possibly twice. Each part of the UNION uses an
// index; one query with all conditions would scan the whole table.
const sweepQuery = `
	SELECT id FROM account_tokens WHERE expires <> 0 AND expires < $1
	UNION ALL SELECT id FROM account_tokens WHERE expires <> 0 AND expires < $2 AND purpose IN ('refresh', 'session')
	UNION ALL SELECT id FROM account_tokens WHERE purpose = 'refresh' AND created < $3 AND used < $3
	UNION ALL SELECT id FROM account_tokens WHERE purpose = 'session' AND created < $4 AND used < $4
	UNION ALL SELECT id FROM account_tokens WHERE purpose = 'access' AND created < $6
	UNION ALL SELECT id FROM account_tokens WHERE purpose = 'robot' AND created < $6
	LIMIT $5`

// sweep deletes tokens that expired long ago, and refresh tokens and sessions that expired or are
// idle. They were invalid before.
func (a *Accounts) sweep(ctx context.Context) error {
	now := a.o.Now()
	var longAgo int64 // tokens created before this exceeded MaxLifetime long ago; 0: none
	if a.o.MaxLifetime > 0 {
		longAgo = admin.Millis(now.Add(-a.o.MaxLifetime - keepEnded))
	}
	for {
		ids, err := store.Texts(ctx, a.o.DB.Read(), sweepQuery,
			admin.Millis(now.Add(-keepEnded)), admin.Millis(now), admin.Millis(now.Add(-a.o.RefreshIdle-time.Hour)), admin.Millis(now.Add(-a.o.SessionIdle-time.Hour)), maxSwept, longAgo)
		if err != nil {
			return fmt.Errorf("looking for ended tokens: %w", err)
		}
		if len(ids) == 0 {
			return nil
		}
		err = a.writer.Write(ctx, "", func(tx *sql.Tx) error {
			for _, id := range ids {
				if _, err := deleteToken(ctx, tx, id); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("removing ended tokens: %w", err)
		}
		if len(ids) < maxSwept {
			return nil
		}
	}
}
