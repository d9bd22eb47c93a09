package rulebook

import (
	"bytes"
	"compress/gzip"
	"context"
	"database/sql"
	"io"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/policy"
)

// Write runs a transaction.
type Write = func(ctx context.Context, topic string, f func(*sql.Tx) error) error

// SetWrite wraps the database's writes, to inject faults.
func (b *Rulebook) SetWrite(wrap func(real Write) Write) { b.writer.Write = wrap(b.writer.Write) }

// SetWait replaces the wait for the end of the cooldown.
func (b *Rulebook) SetWait(f func(context.Context, time.Duration) error) { b.limiter.wait = f }

// CooldownAfter returns the cooldown after a compilation.
func CooldownAfter(took time.Duration) time.Duration { return cooldownAfter(took) }

// RightsTopic is the database's counter of changes of rights.
const RightsTopic = rightsTopic

// Pack returns the JSON of a version as it is stored.
func Pack(source policy.Source) (string, error) {
	packed, err := pack(storedForm(source), gzip.DefaultCompression)
	if err != nil {
		return "", err
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(z)
	return strings.TrimSpace(string(text)), err
}

// StoreActivations stores the policies that wait to be stored.
func (b *Rulebook) StoreActivations(ctx context.Context) error {
	_, err := b.storeActivations(ctx)
	return err
}

// DeleteVersion returns a transaction that deletes the stored rules of a policy.
func DeleteVersion(ctx context.Context, id string) func(*sql.Tx) error {
	return func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM rulebook_versions WHERE id = $1", id)
		return err
	}
}
