package credentials

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/policy"
)

// An issuer of ID tokens cannot be asked about a user who is not signing in. For access tokens of
// such users, the newest sign-in is stored: its time, groups and claims. The stored sign-in
// represents the user for the time Options.SignInLasts. Sign-ins are stored only for users who
// have tokens.
//
// For a refused sign-in, the column signed_in contains the time as a negative number. The value 0
// is a refusal that an older version stored. Replicas write sign-ins in batches, so each write
// compares its time with the stored time. The newest sign-in counts. If a sign-in and a refusal
// have the same time, the refusal counts. If a stored time is more than maxSkew in the future, a
// clock was wrong. Such a time does not show the order of sign-ins. So any sign-in replaces it,
// and the stored sign-in does not represent the user.

// signInEvery is the precision of the time of the newest sign-in.
const signInEvery = time.Minute

// maxSkew is the maximum difference by which the clock of another replica may be ahead.
const maxSkew = time.Minute

// signIn is the newest sign-in of a person.
type signIn struct {
	principal *policy.Principal // nil: the sign-in was refused
	by        string            // Options.SignInSettings at the sign-in
	at        time.Time
	written   bool
}

// person identifies a user of another source.
type person struct{ source, id string }

// SignedIn records that p signed in with an ID token. The next batch writes the record.
func (c *Credentials) SignedIn(p *policy.Principal) {
	c.recordSignIn(person{p.Source, p.ID}, signIn{principal: p, by: c.o.SignInSettings(p.Source), at: c.writer.Now()})
}

// SignInRefused records that a person presented a genuine ID token but may no longer sign in. The
// person's tokens are refused until the next accepted sign-in.
func (c *Credentials) SignInRefused(source, id string) {
	c.recordSignIn(person{source, id}, signIn{at: c.writer.Now()})
}

func (c *Credentials) recordSignIn(who person, s signIn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	last, known := c.signIns[who]
	if known && s.principal != nil && last.principal == s.principal && last.by == s.by && s.at.Sub(last.at) < signInEvery && !s.at.Before(last.at) {
		return // the cached result for the same ID token
	}
	if known || len(c.signIns) < maxUnwritten {
		c.signIns[who] = s
	}
}

// LastSignIn returns the principal of the newest sign-in, by id, or by name if id is "". If no
// sign-in is known, the error is identity.ErrUnknown. If the newest sign-in was refused, is too
// old, or was accepted with other settings, the error is an identity.DisabledError.
func (c *Credentials) LastSignIn(ctx context.Context, source, name, id string) (*policy.Principal, error) {
	var s signIn
	known := false
	if id != "" {
		c.mu.Lock()
		s, known = c.signIns[person{source, id}]
		known = known && !s.written // another process can have written a newer sign-in
		c.mu.Unlock()
	}
	if !known {
		var err error
		if s, err = c.findSignIn(ctx, source, name, id); err != nil {
			return nil, err
		}
	}
	lasts, now := c.o.SignInLasts(source), c.writer.Now()
	switch {
	case lasts <= 0:
		return nil, identity.ErrUnknown
	case s.principal == nil:
		return nil, &identity.DisabledError{Told: true, Why: "the last sign-in through " + source + " was refused: sign in again"}
	case s.by != c.o.SignInSettings(source):
		// With other settings, the user could have other groups and claims, or no access.
		return nil, &identity.DisabledError{Told: true, Why: "the settings of " + source + " have changed since the last sign-in: sign in again"}
	case s.at.After(now.Add(maxSkew)):
		return nil, &identity.DisabledError{Told: true, Why: fmt.Sprintf("the last sign-in through %s is recorded for %s, which is in the future: sign in again",
			source, s.at.UTC().Format(time.RFC3339))}
	case now.After(s.at.Add(lasts)):
		return nil, &identity.DisabledError{Told: true, Why: fmt.Sprintf("the last sign-in through %s was on %s, and a sign-in is valid for %s: sign in again",
			source, s.at.UTC().Format(time.DateOnly), lasts)}
	}
	return s.principal, nil
}

// storedSignIn is the JSON form in which the principal of a sign-in is stored.
type storedSignIn struct {
	// By is the text that Options.SignInSettings returned for the source at the time of the
	// sign-in.
	By     string         `json:"by,omitempty"`
	Groups []string       `json:"groups,omitempty"`
	Claims map[string]any `json:"claims,omitempty"`
}

func (c *Credentials) findSignIn(ctx context.Context, source, name, id string) (signIn, error) {
	var who, text string
	var when int64
	err := c.writer.DB.Read().QueryRowContext(ctx, `
		SELECT id, name, who, signed_in FROM sign_ins WHERE source = $1 AND (id = $2 OR $2 = '' AND name = $3)
		ORDER BY signed_in DESC, id LIMIT 1`, source, id, name).Scan(&who, &name, &text, &when)
	if errors.Is(err, sql.ErrNoRows) {
		return signIn{}, identity.ErrUnknown
	}
	if err != nil {
		return signIn{}, fmt.Errorf("looking up a sign-in: %w", err)
	}
	if when <= 0 {
		return signIn{}, nil
	}
	var stored storedSignIn
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.UseNumber()
	err = d.Decode(&stored)
	claims, bad := policy.CanonicalClaims(stored.Claims)
	if err == nil && bad != "" {
		err = fmt.Errorf("the claim %s cannot be read", bad)
	}
	if err != nil { // an error, because a deny rule could depend on a missing group or claim
		return signIn{}, fmt.Errorf("reading a sign-in of %s: %w", source, err)
	}
	p := &policy.Principal{Kind: policy.User, Source: source, ID: who, Name: name, Groups: stored.Groups, Claims: claims}
	return signIn{principal: p.Indexed(), by: stored.By, at: store.Time(when)}, nil
}

// signInCounts reports whether a token that the actor creates with an ID token can expire later
// than the ID token.
func (c *Credentials) signInCounts(by admin.Actor) bool {
	return by.Principal != nil && by.Principal.Kind == policy.User && by.Credential == identity.CredentialIDToken && c.o.SignInLasts(by.Principal.Source) > 0
}

// storeSignIn stores the sign-in of a user who creates a token with an ID token.
func (c *Credentials) storeSignIn(ctx context.Context, tx *sql.Tx, p *policy.Principal) error {
	text, err := json.Marshal(storedSignIn{c.o.SignInSettings(p.Source), p.Groups, p.Claims})
	if err != nil {
		return fmt.Errorf("storing a sign-in: %w", err)
	}
	now := c.writer.Now()
	_, err = tx.ExecContext(ctx, `
		INSERT INTO sign_ins (source, id, name, who, signed_in) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (source, id) DO UPDATE SET name = excluded.name, who = excluded.who, signed_in = excluded.signed_in
		WHERE sign_ins.signed_in > -excluded.signed_in AND sign_ins.signed_in <= excluded.signed_in OR abs(sign_ins.signed_in) > $6`,
		p.Source, p.ID, p.Name, string(text), store.Millis(now), store.Millis(now.Add(maxSkew)))
	return err
}

// flushSignIns writes recent sign-ins of users who have tokens.
func (c *Credentials) flushSignIns(ctx context.Context) (err error) {
	defer admin.Wrap(&err, "writing when users signed in")
	now := c.writer.Now()
	c.mu.Lock()
	pending := make(map[person]signIn)
	for who, s := range c.signIns {
		if !s.written {
			pending[who] = s
		} else if now.Sub(s.at).Abs() >= signInEvery { // negative: the clock was set back
			delete(c.signIns, who)
		}
	}
	c.mu.Unlock()
	if len(pending) == 0 {
		return nil
	}
	err = c.writer.Write(ctx, "", func(tx *sql.Tx) error {
		for who, s := range pending {
			var err error
			// If the clock was set back after the sign-in, the time of the sign-in is in the
			// future. The current time is then the best estimate.
			at, latest := min(store.Millis(s.at), store.Millis(now)), store.Millis(now.Add(maxSkew))
			if s.principal == nil {
				_, err = tx.ExecContext(ctx, `UPDATE sign_ins SET signed_in = $1
					WHERE source = $2 AND id = $3 AND (signed_in BETWEEN $1 AND $4 OR abs(signed_in) > $5)`,
					-at, who.source, who.id, at, latest)
			} else {
				var text []byte
				if text, err = json.Marshal(storedSignIn{s.by, s.principal.Groups, s.principal.Claims}); err == nil {
					_, err = tx.ExecContext(ctx, `UPDATE sign_ins SET name = $1, who = $2, signed_in = $3
						WHERE source = $4 AND id = $5 AND (signed_in > $6 AND signed_in <= $3 OR abs(signed_in) > $7)`,
						s.principal.Name, string(text), at, who.source, who.id, -at, latest)
				}
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for who, s := range pending {
		if c.signIns[who] == s {
			s.written = true
			c.signIns[who] = s
		}
	}
	return nil
}

// purgeSignIns deletes the sign-ins of users who have no tokens.
func (c *Credentials) purgeSignIns(ctx context.Context) (err error) {
	defer admin.Wrap(&err, "removing sign-ins")
	// Recent sign-ins are not deleted, because the user could create a token at this moment.
	const unowned = `FROM sign_ins WHERE signed_in NOT BETWEEN $1 AND $2 AND NOT EXISTS (
		SELECT 1 FROM account_tokens t WHERE t.owner_source = sign_ins.source AND t.owner_id = sign_ins.id)`
	now := c.writer.Now()
	from, to := store.Millis(now.Add(-time.Hour)), store.Millis(now.Add(maxSkew))
	ids, err := store.Texts(ctx, c.writer.DB.Read(), "SELECT id "+unowned+" LIMIT 1", from, to)
	if err == nil && len(ids) > 0 {
		err = c.writer.Write(ctx, "", func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "DELETE "+unowned, from, to)
			return err
		})
	}
	return err
}
