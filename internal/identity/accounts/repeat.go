package accounts

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store"
)

// A caller who lost the response to a creation may retry it with the same Actor.Key. The object
// is created once, and the retry returns it as it is now. Only hashes of secrets are stored, so
// the retry replaces the lost secret by a new one. It fails if the first secret was used, since
// that one was not lost.
//
// Keys belong to one caller, and are stored as hashes for a day. A key identifies one creation.
// Using it with another name or another kind is an InvalidError of the field "key".

// keepKeys is how long a key is stored.
const keepKeys = 24 * time.Hour

// maxKey is the maximum length of a key in bytes.
const maxKey = 200

// errUsed means that the secret of a creation was used, so its response was not lost.
var errUsed = fmt.Errorf("%w, and its secret was used already", ErrExists)

// keyDigest returns the stored form of a key. It includes the caller, so that nobody finds what
// somebody else created.
func keyDigest(by Actor) digest {
	var who string
	if by.Principal != nil {
		who = identity.FormerSource(by.Principal.Source) + "\x00" + by.Principal.ID
	}
	text := binary.BigEndian.AppendUint32(nil, uint32(len(who)))
	return sha256.Sum256(append(append(text, who...), by.Key...))
}

// once calls make, unless the actor's key was used before. Then it calls found with the id of
// what was created. Concurrent calls with the same key wait for each other.
func (a *Accounts) once(ctx context.Context, tx *sql.Tx, by Actor, action, target string,
	make func() (id string, _ *journal.Change, _ error), found func(id string) (*journal.Change, error),
) (*journal.Change, error) {
	if by.Key == "" {
		_, note, err := make()
		return note, err
	}
	if len(by.Key) > maxKey {
		return nil, &InvalidError{Field: "key", Text: fmt.Sprintf("it has %d bytes, the limit is %d", len(by.Key), maxKey)}
	}
	d := keyDigest(by)
	if _, err := tx.ExecContext(ctx, "DELETE FROM account_keys WHERE hash = $1 AND created <= $2", d[:], ms(a.now().Add(-keepKeys))); err != nil {
		return nil, err
	}
	err := inserted(tx.ExecContext(ctx, `
		INSERT INTO account_keys (hash, action, target, made, created) VALUES ($1, $2, $3, '', $4) ON CONFLICT DO NOTHING`,
		d[:], action, target, ms(a.now())))
	switch {
	case err == nil:
		id, note, err := make()
		if err == nil {
			_, err = tx.ExecContext(ctx, "UPDATE account_keys SET made = $1 WHERE hash = $2", id, d[:])
		}
		return note, err
	case !errors.Is(err, ErrExists):
		return nil, err
	}
	var was, of, id string
	if err := tx.QueryRowContext(ctx, "SELECT action, target, made FROM account_keys WHERE hash = $1", d[:]).Scan(&was, &of, &id); err != nil {
		return nil, err
	}
	if was != action || of != target {
		return nil, errOther
	}
	note, err := found(id)
	if errors.Is(err, ErrNotFound) {
		err = fmt.Errorf("%w: it was created with this key and deleted since", ErrExists)
	}
	return note, err
}

// errOther means that the key was used for something else.
var errOther = &InvalidError{Field: "key", Text: "it was used for something else"}

// sweepKeys deletes expired keys.
func (a *Accounts) sweepKeys(ctx context.Context) error {
	err := a.write(ctx, "", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM account_keys WHERE created <= $1", ms(a.now().Add(-keepKeys)))
		return err
	})
	if err != nil {
		return fmt.Errorf("deleting expired keys: %w", err)
	}
	return nil
}

// handOut is change for f that issues a secret. That is usually an added change. If f revokes
// another secret it returns errVoids, and runs again as an altered change.
func (a *Accounts) handOut(ctx context.Context, by Actor, f func(_ *sql.Tx, kind string) (*journal.Change, error)) error {
	err := a.change(ctx, added, by, func(tx *sql.Tx) (*journal.Change, error) { return f(tx, added) })
	if errors.Is(err, errVoids) {
		err = a.change(ctx, altered, by, func(tx *sql.Tx) (*journal.Change, error) { return f(tx, altered) })
	}
	return err
}

// errVoids means that the change revokes a secret that was issued before.
var errVoids = errors.New("the change revokes a secret")

// again replaces the secret of a token whose response was lost, unless the first secret was used.
func (a *Accounts) again(ctx context.Context, tx *sql.Tx, kind string, t *Token, d digest) (*journal.Change, error) {
	if kind != altered {
		return nil, errVoids
	}
	if a.lastTouch(t.ID) != 0 {
		return nil, errUsed // a use that is not written yet
	}
	n, err := store.Affected(tx.ExecContext(ctx, "UPDATE account_tokens SET hash = $1 WHERE id = $2 AND used = 0", d[:], t.ID))
	if err == nil && n == 0 {
		err = errUsed
	}
	return &journal.Change{Action: string(t.Use) + ".again", Target: t.Owner.String(), To: noted(t)}, err
}
