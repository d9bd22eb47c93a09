package credentials

import (
	"context"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/store"
)

// MaxLifetime returns the maximum lifetime of access tokens and robot secrets; 0: unlimited.
func (c *Credentials) MaxLifetime() time.Duration { return c.o.MaxLifetime }

// expiry returns the expiry of a token: its own expiry, or the end of MaxLifetime, whichever is
// earlier. The result is calculated at each use and not stored. So a new maximum applies to
// existing tokens. If the maximum is raised again, these tokens are valid again.
func (c *Credentials) expiry(t *Token) time.Time {
	if c.o.MaxLifetime <= 0 || t.Purpose != Access && t.Purpose != Robot {
		return t.stored
	}
	return earlierExpiry(t.stored, t.Created.Add(c.o.MaxLifetime))
}

// checkLifetime rejects a requested expiry that is later than MaxLifetime allows. The zero time
// requests the latest permitted expiry.
func (c *Credentials) checkLifetime(end time.Time) error {
	if c.o.MaxLifetime > 0 && !end.IsZero() && end.After(c.writer.Time().Add(c.o.MaxLifetime)) {
		return admin.Invalid("expires", "max_credential_lifetime of the accounts source allows at most %s from now",
			c.o.MaxLifetime)
	}
	return nil
}

// CutShort counts the access tokens and robot secrets that become invalid before their own expiry,
// because of MaxLifetime. The second result counts only the credentials that are already invalid.
// The command check prints both counts.
func (c *Credentials) CutShort(ctx context.Context) (cut, ended int, err error) {
	defer admin.Wrap(&err, "counting tokens that are cut short")
	if c.o.MaxLifetime <= 0 {
		return 0, 0, nil
	}
	now := c.writer.Time()
	err = c.writer.DB.Read().QueryRowContext(ctx, `
		SELECT count(*), count(CASE WHEN created <= $1 THEN 1 END) FROM account_tokens
		WHERE purpose IN ($2, $3) AND (expires = 0 OR expires > $4 AND expires > created + $5)`,
		store.Millis(now.Add(-c.o.MaxLifetime)), string(Access), string(Robot), store.Millis(now), c.o.MaxLifetime.Milliseconds()).Scan(&cut, &ended)
	return cut, ended, err
}
