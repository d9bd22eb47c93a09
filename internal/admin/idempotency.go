package admin

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/identity/sourcename"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store"
)

const (
	keepKeys = 24 * time.Hour // the time for which a key is stored
	maxKey   = 200            // maximum length of a key in bytes
)

// WithIdempotency creates an object in a transaction. If the actor has created the object with
// the same Actor.Key before, WithIdempotency creates nothing. It calls the function reload with
// the id of the object, and reload returns the object's current state. So a caller that lost the
// response to a creation can repeat the call with the same key, and only one object is created.
// Concurrent calls with the same key wait for each other.
//
// A key belongs to one caller and is stored as a hash for the time keepKeys. A key identifies one
// creation, which is an action and a target. If the caller uses the key for another action or
// target, the error is ErrOtherCreation.
func (w *Writer) WithIdempotency(ctx context.Context, tx *sql.Tx, by Actor, action, target string,
	create func() (id string, _ *journal.Change, _ error), reload func(id string) (*journal.Change, error),
) (*journal.Change, error) {
	if by.Key == "" {
		_, change, err := create()
		return change, err
	}
	if len(by.Key) > maxKey {
		return nil, &InvalidError{Field: "key", Text: fmt.Sprintf("it has %d bytes, the limit is %d", len(by.Key), maxKey)}
	}
	if err := w.deleteOldKeys(ctx, tx); err != nil {
		return nil, err
	}
	d := keyDigest(by)
	err := OrExists(tx.ExecContext(ctx, `
		INSERT INTO account_keys (hash, action, target, made, created) VALUES ($1, $2, $3, '', $4) ON CONFLICT DO NOTHING`,
		d[:], action, target, store.Millis(w.Time())))
	switch {
	case err == nil:
		id, change, err := create()
		if err == nil {
			_, err = tx.ExecContext(ctx, "UPDATE account_keys SET made = $1 WHERE hash = $2", id, d[:])
		}
		return change, err
	case !errors.Is(err, ErrExists):
		return nil, err
	}
	var firstAction, firstTarget, id string
	if err := tx.QueryRowContext(ctx, "SELECT action, target, made FROM account_keys WHERE hash = $1", d[:]).Scan(&firstAction, &firstTarget, &id); err != nil {
		return nil, err
	}
	if firstAction != action || firstTarget != target {
		return nil, ErrOtherCreation
	}
	change, err := reload(id)
	if errors.Is(err, ErrNotFound) {
		err = fmt.Errorf("%w: it was created with this key and then deleted", ErrExists)
	}
	return change, err
}

// PurgeKeys deletes expired idempotency keys.
func (w *Writer) PurgeKeys(ctx context.Context) (err error) {
	defer Wrap(&err, "deleting expired keys")
	return w.Write(ctx, "", func(tx *sql.Tx) error { return w.deleteOldKeys(ctx, tx) })
}

func (w *Writer) deleteOldKeys(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, "DELETE FROM account_keys WHERE created <= $1", store.Millis(w.Time().Add(-keepKeys)))
	return err
}

// keyDigest returns the stored form of a key. The digest includes the caller, so that no caller
// can find an object of another caller by a key.
func keyDigest(by Actor) [sha256.Size]byte {
	var who string
	if by.Principal != nil {
		who = sourcename.Former(by.Principal.Source) + "\x00" + by.Principal.ID
	}
	text := binary.BigEndian.AppendUint32(nil, uint32(len(who)))
	return sha256.Sum256(append(append(text, who...), by.Key...))
}
