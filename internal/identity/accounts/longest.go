package accounts

import (
	"context"
	"fmt"
	"time"
)

// MaxLifetime is how long access tokens and robots' secrets last at most, from when they were made; 0: as long as they say.
func (a *Accounts) MaxLifetime() time.Duration { return a.o.MaxLifetime }

// ends returns when a token ends: when it says, or when MaxLifetime is over. It is calculated at each look and not written, so that
// the tokens of before have the limit, too, and a limit that is raised again takes nothing away for good.
func (a *Accounts) ends(t *Token) time.Time {
	if a.o.MaxLifetime <= 0 || t.Use != Access && t.Use != Robot {
		return t.stored
	}
	return sooner(t.stored, t.Created.Add(a.o.MaxLifetime))
}

// within refuses an end that somebody asks for and MaxLifetime does not allow. Zero is as late as it may be.
func (a *Accounts) within(end time.Time) error {
	if a.o.MaxLifetime > 0 && !end.IsZero() && end.After(a.now().Add(a.o.MaxLifetime)) {
		return &InvalidError{Field: "expires", Text: fmt.Sprintf("it is later than max_credential_lifetime of the accounts source allows, which is %s from now",
			a.o.MaxLifetime)}
	}
	return nil
}

// CutShort counts the access tokens and robots' secrets that MaxLifetime ends before they would themselves, and those of them that it
// has ended already: for who sets it, and for check.
func (a *Accounts) CutShort(ctx context.Context) (cut, ended int, err error) {
	if a.o.MaxLifetime <= 0 {
		return 0, 0, nil
	}
	now := a.now()
	err = a.o.DB.Read().QueryRowContext(ctx, `
		SELECT count(*), count(CASE WHEN created <= $1 THEN 1 END) FROM account_tokens
		WHERE purpose IN ($2, $3) AND (expires = 0 OR expires > $4 AND expires > created + $5)`,
		ms(now.Add(-a.o.MaxLifetime)), string(Access), string(Robot), ms(now), a.o.MaxLifetime.Milliseconds()).Scan(&cut, &ended)
	if err != nil {
		return 0, 0, fmt.Errorf("counting tokens that are cut short: %w", err)
	}
	return cut, ended, nil
}
