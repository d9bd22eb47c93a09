package credentials

import (
	"context"
	"database/sql"
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/store"
)

const (
	flushEvery    = 5 * time.Second     // precision of a token's last use
	purgeEvery    = time.Hour           // time between two deletions of expired tokens
	keepExpired   = 30 * 24 * time.Hour // time for which an expired access token is still listed
	maxUnwritten  = 100_000             // maximum number of newest uses that are not written yet
	maxPurgedOnce = 500                 // maximum number of tokens deleted in one transaction
)

// use is the time and the address of a token's newest use.
type use struct {
	at   int64 // milliseconds
	from netip.Addr
}

// recordUse records the use of a token.
func (c *Credentials) recordUse(v *verifiedCredential, from netip.Addr, now time.Time) {
	if v.token == "" {
		return
	}
	last, ms := v.used.Load(), now.UnixMilli()
	if ms-last < flushEvery.Milliseconds() || !v.used.CompareAndSwap(last, ms) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.lastUsed) < maxUnwritten {
		c.lastUsed[v.token] = use{ms, from}
	}
}

// Run notices changes by other processes, writes the times of the newest uses of tokens, and
// deletes expired tokens, until ctx ends. It returns nil. Several calls can run at the same time.
func (c *Credentials) Run(ctx context.Context) error {
	c.verified.run(1)
	defer c.verified.run(-1)
	// Maintenance writes to the database, so it can be blocked or slow. It runs in a separate
	// goroutine, so that revocations by other processes still take effect.
	var done maintenanceTimes
	var maintenance sync.WaitGroup
	maintenance.Go(func() {
		c.repeat(ctx, "maintaining accounts", "the times of the newest uses are written later", func() error {
			return c.maintain(ctx, &done)
		})
	})
	counter := unknownCounter
	c.repeat(ctx, "noticing changes of accounts", "cached credentials stay valid", func() error {
		return c.noticeChanges(ctx, &counter)
	})
	maintenance.Wait()

	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := errors.Join(c.flushLastUsed(ending), c.flushSignIns(ending)); err != nil {
		c.o.Log.Warn("last uses of tokens and sign-ins were not written", "error", err)
	}
	return nil
}

// repeat calls f every Options.Every until ctx ends. When f starts to fail, repeat logs the error
// and the given consequence. It also logs when f works again.
func (c *Credentials) repeat(ctx context.Context, what, consequence string, f func() error) {
	tick := time.NewTicker(c.o.Every)
	defer tick.Stop()
	failing := false
	for {
		err := f()
		switch {
		case ctx.Err() != nil:
		case err != nil && !failing:
			failing = true
			c.o.Log.Warn(what+" fails; "+consequence, "error", err)
		case err == nil && failing:
			failing = false
			c.o.Log.Info(what + " works again")
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// maintenanceTimes has the times at which the parts of the maintenance most recently succeeded.
type maintenanceTimes struct{ flushed, purged time.Time }

// maintain runs the maintenance that is due: it writes newest uses and sign-ins, and deletes
// expired data.
func (c *Credentials) maintain(ctx context.Context, t *maintenanceTimes) error {
	now := c.writer.Now()
	if clock.For(t.flushed, flushEvery).Over(now) {
		if err := errors.Join(c.flushLastUsed(ctx), c.flushSignIns(ctx)); err != nil {
			return err
		}
		t.flushed = now
	}
	if clock.For(t.purged, purgeEvery).Over(now) {
		if err := errors.Join(c.purge(ctx), c.writer.PurgeKeys(ctx), c.purgeSignIns(ctx)); err != nil {
			return err
		}
		t.purged = now
	}
	return nil
}

// unknownCounter is the change counter before the first read.
const unknownCounter int64 = -1

// noticeChanges clears the cache if the change counter differs from the given counter, and updates
// the given counter.
func (c *Credentials) noticeChanges(ctx context.Context, counterBefore *int64) (err error) {
	defer admin.Wrap(&err, "looking for changes of accounts")
	var counter int64
	err = c.writer.DB.Read().QueryRowContext(ctx,
		"SELECT coalesce(max(counter), 0) FROM changes WHERE topic = $1", admin.AccountsTopic).Scan(&counter)
	if err == nil && counter != *counterBefore {
		c.Forget()
		*counterBefore = counter
		c.o.Log.Debug("changes of accounts are noticed", "counter", counter)
	}
	return err
}

// flushLastUsed writes the newest uses of tokens.
func (c *Credentials) flushLastUsed(ctx context.Context) (err error) {
	defer admin.Wrap(&err, "writing when tokens were last used")
	c.mu.Lock()
	pending := c.lastUsed
	c.lastUsed = make(map[string]use)
	c.mu.Unlock()
	if len(pending) == 0 {
		return nil
	}
	err = c.writer.Write(ctx, "", func(tx *sql.Tx) error {
		update, err := tx.PrepareContext(ctx, "UPDATE account_tokens SET used = $1, used_from = $2 WHERE id = $3 AND used < $1")
		if err != nil {
			return err
		}
		defer update.Close()
		for id, u := range pending {
			from := ""
			if u.from.IsValid() {
				from = u.from.String()
			}
			if _, err := update.ExecContext(ctx, u.at, from, id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		for id, u := range pending { // retry next time
			if _, later := c.lastUsed[id]; !later && len(c.lastUsed) < maxUnwritten {
				c.lastUsed[id] = u
			}
		}
	}
	return err
}

// unwrittenUse returns the time of a token's newest use if this time is not in the database yet.
// Otherwise it returns 0.
func (c *Credentials) unwrittenUse(id string) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lastUsed[id].at
}

// maxIdle returns how long a token of the purpose p may be unused before it expires. It returns 0
// if such tokens may be unused for any time.
func (c *Credentials) maxIdle(p Purpose) time.Duration {
	switch p {
	case Refresh:
		return c.o.RefreshIdle
	case Session:
		return c.o.SessionIdle
	}
	return 0
}

// purgeQuery selects the ids of the tokens to delete. It can select an id twice. Each part of the
// UNION uses an index. A query with all conditions would scan the whole table.
const purgeQuery = `
	SELECT id FROM account_tokens WHERE expires <> 0 AND expires < $1
	UNION ALL SELECT id FROM account_tokens WHERE expires <> 0 AND expires < $2 AND purpose IN ('refresh', 'session')
	UNION ALL SELECT id FROM account_tokens WHERE purpose = 'refresh' AND created < $3 AND used < $3
	UNION ALL SELECT id FROM account_tokens WHERE purpose = 'session' AND created < $4 AND used < $4
	UNION ALL SELECT id FROM account_tokens WHERE purpose = 'access' AND created < $6
	UNION ALL SELECT id FROM account_tokens WHERE purpose = 'robot' AND created < $6
	LIMIT $5`

// purge deletes tokens that expired long ago, and refresh tokens and sessions that have expired or
// were unused for too long. All of these tokens were already invalid.
func (c *Credentials) purge(ctx context.Context) (err error) {
	defer admin.Wrap(&err, "removing expired tokens")
	now := c.writer.Now()
	var longAgo int64 // older tokens exceeded MaxLifetime long ago; 0: no such tokens
	if c.o.MaxLifetime > 0 {
		longAgo = store.Millis(now.Add(-c.o.MaxLifetime - keepExpired))
	}
	for {
		ids, err := store.Texts(ctx, c.writer.DB.Read(), purgeQuery, store.Millis(now.Add(-keepExpired)), store.Millis(now),
			store.Millis(now.Add(-c.o.RefreshIdle-time.Hour)), store.Millis(now.Add(-c.o.SessionIdle-time.Hour)), maxPurgedOnce, longAgo)
		if err != nil || len(ids) == 0 {
			return err
		}
		err = c.writer.Write(ctx, "", func(tx *sql.Tx) error {
			for _, id := range ids {
				if _, err := deleteToken(ctx, tx, id); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil || len(ids) < maxPurgedOnce {
			return err
		}
	}
}
