package accounts

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

// An issuer of ID tokens cannot be asked about a user who is not signing in. To let such users
// have access tokens, their last sign-in is stored: its time, groups and claims. It represents
// the user until Options.SignInLasts is over. It is stored only for users who have tokens.
//
// The column signed_in is negative for a refused sign-in: minus its time. 0 is a refusal that an
// older version stored. Replicas write sign-ins in batches, so each write compares the times: the
// latest sign-in counts, and of two at the same time the refusal.

// signInEvery is the precision of the time of the last sign-in.
const signInEvery = time.Minute

// signIn is the last sign-in of a person.
type signIn struct {
	principal *policy.Principal // nil: the sign-in was refused
	by        string            // the settings by which it was judged
	at        time.Time
	written   bool
}

// person identifies a user of another source.
type person struct{ source, id string }

// SignedIn records that p signed in with an ID token. It is written with the next batch.
func (a *Accounts) SignedIn(p *policy.Principal) {
	a.noteSignIn(person{p.Source, p.ID}, signIn{principal: p, by: a.o.SignInSettings(p.Source), at: a.o.Now()})
}

// SignInRefused records that a person presented a genuine ID token but is not allowed to sign in
// any more. Their tokens are refused until they sign in again.
func (a *Accounts) SignInRefused(source, id string) {
	a.noteSignIn(person{source, id}, signIn{at: a.o.Now()})
}

func (a *Accounts) noteSignIn(who person, s signIn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	last, known := a.signIns[who]
	if known && s.principal != nil && last.principal == s.principal && last.by == s.by && s.at.Sub(last.at) < signInEvery && !s.at.Before(last.at) {
		return // the same ID token, from the cache
	}
	if known || len(a.signIns) < maxTouched {
		a.signIns[who] = s
	}
}

// LastSignIn returns the principal of the last sign-in, by id, or by name if id is "". It returns
// identity.ErrUnknown if no sign-in is known, and an identity.DisabledError if the last one was
// refused, is too old, or was judged by other settings.
func (a *Accounts) LastSignIn(ctx context.Context, source, name, id string) (*policy.Principal, error) {
	var s signIn
	known := false
	if id != "" {
		a.mu.Lock()
		s, known = a.signIns[person{source, id}]
		known = known && !s.written // another process may have written a later one since
		a.mu.Unlock()
	}
	if !known {
		var err error
		if s, err = a.findSignIn(ctx, source, name, id); err != nil {
			return nil, err
		}
	}
	lasts := a.o.SignInLasts(source)
	switch {
	case lasts <= 0:
		return nil, identity.ErrUnknown
	case s.principal == nil:
		return nil, &identity.DisabledError{Told: true, Why: "the last sign-in through " + source + " was refused: sign in again"}
	case s.by != a.o.SignInSettings(source):
		// With other settings the user might have other groups and claims, or no access at all.
		return nil, &identity.DisabledError{Told: true, Why: "the settings of " + source + " have changed since the last sign-in: sign in again"}
	case a.o.Now().After(s.at.Add(lasts)):
		return nil, &identity.DisabledError{Told: true, Why: fmt.Sprintf("the last sign-in through %s was on %s, and counts for %s: sign in again",
			source, s.at.UTC().Format(time.DateOnly), lasts)}
	}
	return s.principal, nil
}

// keptSignIn is the stored form of a principal.
type keptSignIn struct {
	By     string         `json:"by,omitempty"` // the settings of the source: Options.SignInSettings
	Groups []string       `json:"groups,omitempty"`
	Claims map[string]any `json:"claims,omitempty"`
}

func (a *Accounts) findSignIn(ctx context.Context, source, name, id string) (signIn, error) {
	var who, text string
	var when int64
	err := a.o.DB.Read().QueryRowContext(ctx, `
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
	var kept keptSignIn
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.UseNumber()
	err = d.Decode(&kept)
	claims, bad := policy.CanonicalClaims(kept.Claims)
	if err == nil && bad != "" {
		err = fmt.Errorf("the claim %s cannot be read", bad)
	}
	if err != nil { // fail: with fewer groups or claims, a deny rule would not match
		return signIn{}, fmt.Errorf("reading a sign-in of %s: %w", source, err)
	}
	p := &policy.Principal{Kind: policy.User, Source: source, ID: who, Name: name, Groups: kept.Groups, Claims: claims}
	return signIn{principal: p.Indexed(), by: kept.By, at: admin.Time(when)}, nil
}

// lasts reports whether tokens that the actor creates with an ID token may outlive it.
func (a *Accounts) lasts(by admin.Actor) bool {
	return by.Principal != nil && by.Principal.Kind == policy.User && by.Credential == identity.CredentialIDToken && a.o.SignInLasts(by.Principal.Source) > 0
}

// keepSignIn stores the sign-in of a user who creates a token with an ID token.
func (a *Accounts) keepSignIn(ctx context.Context, tx *sql.Tx, p *policy.Principal) error {
	text, err := json.Marshal(keptSignIn{a.o.SignInSettings(p.Source), p.Groups, p.Claims})
	if err != nil {
		return fmt.Errorf("storing a sign-in: %w", err)
	}
	_, err = tx.ExecContext(ctx, `
		INSERT INTO sign_ins (source, id, name, who, signed_in) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (source, id) DO UPDATE SET name = excluded.name, who = excluded.who, signed_in = excluded.signed_in
		WHERE sign_ins.signed_in > -excluded.signed_in AND sign_ins.signed_in <= excluded.signed_in`,
		p.Source, p.ID, p.Name, string(text), admin.Millis(a.o.Now()))
	return err
}

// noteSignIns writes recent sign-ins of users who have tokens.
func (a *Accounts) noteSignIns(ctx context.Context) error {
	a.mu.Lock()
	var due []person
	for who, s := range a.signIns {
		if !s.written {
			due = append(due, who)
		} else if a.o.Now().Sub(s.at) >= signInEvery {
			delete(a.signIns, who)
		}
	}
	pending := make(map[person]signIn, len(due))
	for _, who := range due {
		pending[who] = a.signIns[who]
	}
	a.mu.Unlock()
	if len(pending) == 0 {
		return nil
	}
	err := a.writer.Write(ctx, "", func(tx *sql.Tx) error {
		for who, s := range pending {
			var err error
			if s.principal == nil {
				_, err = tx.ExecContext(ctx, "UPDATE sign_ins SET signed_in = $1 WHERE source = $2 AND id = $3 AND signed_in BETWEEN $1 AND $4",
					-admin.Millis(s.at), who.source, who.id, admin.Millis(s.at))
			} else {
				var text []byte
				if text, err = json.Marshal(keptSignIn{s.by, s.principal.Groups, s.principal.Claims}); err == nil {
					_, err = tx.ExecContext(ctx, "UPDATE sign_ins SET name = $1, who = $2, signed_in = $3 WHERE source = $4 AND id = $5 AND signed_in > $6 AND signed_in <= $3",
						s.principal.Name, string(text), admin.Millis(s.at), who.source, who.id, -admin.Millis(s.at))
				}
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("writing when users signed in: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for who, s := range pending {
		if a.signIns[who] == s {
			s.written = true
			a.signIns[who] = s
		}
	}
	return nil
}

// sweepSignIns deletes the sign-ins of users who have no tokens.
func (a *Accounts) sweepSignIns(ctx context.Context) (err error) {
	defer admin.Wrap(&err, "removing sign-ins")
	// Recent ones stay: the user may be creating a token.
	const unowned = `FROM sign_ins WHERE signed_in < $1 AND NOT EXISTS (
		SELECT 1 FROM account_tokens t WHERE t.owner_source = sign_ins.source AND t.owner_id = sign_ins.id)`
	before := admin.Millis(a.o.Now().Add(-time.Hour))
	ids, err := store.Texts(ctx, a.o.DB.Read(), "SELECT id "+unowned+" LIMIT 1", before)
	if err == nil && len(ids) > 0 {
		err = a.writer.Write(ctx, "", func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "DELETE "+unowned, before)
			return err
		})
	}
	return err
}
