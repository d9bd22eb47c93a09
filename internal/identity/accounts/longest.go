package accounts

import (
	"context"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
)

// MaxLifetime returns the maximum lifetime of access tokens and robot secrets; 0: unlimited.
func (a *Accounts) MaxLifetime() time.Duration { return a.o.MaxLifetime }

// ends returns the expiry of a token: its own, or the end of MaxLifetime if that is earlier. It
// is calculated at each use and not stored. So a new maximum applies to existing tokens, and
// raising it restores them.
func (a *Accounts) ends(t *Token) time.Time {
	if a.o.MaxLifetime <= 0 || t.Use != Access && t.Use != Robot {
		return t.stored
	}
	return sooner(t.stored, t.Created.Add(a.o.MaxLifetime))
}

// within rejects a requested expiry that is later than MaxLifetime allows. Zero requests the
// latest one allowed.
func (a *Accounts) within(end time.Time) error {
	if a.o.MaxLifetime > 0 && !end.IsZero() && end.After(a.writer.Time().Add(a.o.MaxLifetime)) {
		return admin.Invalid("expires", "it is later than max_credential_lifetime of the accounts source allows: %s from now",
			a.o.MaxLifetime)
	}
	return nil
}

// CutShort counts the access tokens and robot secrets that MaxLifetime ends before their own
// expiry, and those that it has ended already. Administrators see the counts when they set it,
// and in check.
func (a *Accounts) CutShort(ctx context.Context) (cut, ended int, err error) {
	defer admin.Wrap(&err, "counting tokens that are cut short")
	if a.o.MaxLifetime <= 0 {
		return 0, 0, nil
	}
	now := a.writer.Time()
	err = a.o.DB.Read().QueryRowContext(ctx, `
		SELECT count(*), count(CASE WHEN created <= $1 THEN 1 END) FROM account_tokens
		WHERE purpose IN ($2, $3) AND (expires = 0 OR expires > $4 AND expires > created + $5)`,
		admin.Millis(now.Add(-a.o.MaxLifetime)), string(Access), string(Robot), admin.Millis(now), a.o.MaxLifetime.Milliseconds()).Scan(&cut, &ended)
	return cut, ended, err
}
