// Package checkpoint signs the root of the journal's tree from time to time. Somebody else can
// store a checkpoint. Such a checkpoint proves later that the entries before it were not changed.
package checkpoint

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/journal/tree"
	"github.com/tidewaiter/tidewaiter/internal/loglimit"
	"github.com/tidewaiter/tidewaiter/internal/store"
)

const (
	// interval is the time between two checkpoints while entries arrive.
	interval = 10 * time.Second
	// If another process signed a checkpoint less than recentInterval ago, this process does not
	// sign.
	recentInterval = interval / 2
	// maxStored limits the number of stored checkpoints. Only the last checkpoint of each minute
	// is stored.
	maxStored = 10_000
)

// Options are the settings of Checkpoints.
type Options struct {
	DB *store.DB
	// Tree returns the journal's tree, which is empty before the first entry.
	Tree   func(context.Context) (tree.Frontier, error)
	Signer note.Signer // nil: this process only reads checkpoints that other processes sign
	Key    string      // the public key of the journal
	Now    func() time.Time
	Log    *slog.Logger
}

// Checkpoints signs and stores checkpoints.
type Checkpoints struct {
	Options
	latest atomic.Pointer[[]byte]
	failed loglimit.Limit
}

// New returns the checkpoints of a journal. It starts no goroutine: see Run.
func New(o Options) *Checkpoints {
	o.Now = clock.Wall(o.Now)
	return &Checkpoints{Options: o, failed: loglimit.Limit{Period: time.Minute}}
}

// ClaimKey stores a public key as the key that signs the journal's checkpoints, if no key is
// stored yet. It returns the stored key. Before it commits a new key, it calls the function
// beforeCommit. If this function fails, the new key is not stored. All replicas must sign with
// the same key, because nobody could distinguish a second key from the key of a forger.
func ClaimKey(ctx context.Context, db *store.DB, public string, beforeCommit func() error) (current string, err error) {
	err = db.Write(ctx, "", func(tx *sql.Tx) error {
		claimed, err := insertKey(ctx, tx, public)
		if err != nil {
			return err
		}
		if claimed {
			current = public
			return beforeCommit()
		}
		current, err = selectKey(ctx, tx)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("claiming the journal's key: %w", err)
	}
	return current, nil
}

// ReplaceKey replaces the public key that signs the journal's checkpoints. It calls the function
// beforeCommit with the former key. If this function fails, nothing changes. After the
// replacement, processes with the former key sign no checkpoints.
func ReplaceKey(ctx context.Context, db *store.DB, public string, beforeCommit func(tx *sql.Tx, former string) error) error {
	err := db.Write(ctx, "", func(tx *sql.Tx) error {
		former, err := selectKey(ctx, tx)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if err := updateKey(ctx, tx, public); err != nil {
			return err
		}
		if former != "" {
			if err := insertFormerKey(ctx, tx, former); err != nil {
				return err
			}
		}
		return beforeCommit(tx, former)
	})
	if err != nil {
		return fmt.Errorf("replacing the journal's key: %w", err)
	}
	return nil
}

// Key returns the public key that signs the journal's checkpoints, or "" if no key is stored.
func Key(ctx context.Context, db *store.DB) (string, error) {
	keys, err := ReadKeys(ctx, db.Read())
	return keys.Current, err
}

// Keys are the public keys of the journal.
type Keys struct {
	Current string   // signs checkpoints; "": no key is stored
	Former  []string // earlier keys, which signed checkpoints until they were replaced
}

// ReadKeys returns the public keys of the journal.
func ReadKeys(ctx context.Context, q store.Querier) (k Keys, err error) {
	k.Current, err = selectKey(ctx, q)
	if err == nil || errors.Is(err, sql.ErrNoRows) {
		k.Former, err = selectFormerKeys(ctx, q)
	}
	if err != nil {
		return Keys{}, fmt.Errorf("reading the journal's keys: %w", err)
	}
	return k, nil
}

// Open parses a checkpoint, and checks that one of the keys has signed it.
func (k Keys) Open(signed []byte) (tree.Checkpoint, error) {
	var verifiers []note.Verifier
	for _, key := range append([]string{k.Current}, k.Former...) {
		if key == "" || key == k.Current && len(verifiers) > 0 {
			continue
		}
		v, err := note.NewVerifier(key)
		if err != nil {
			return tree.Checkpoint{}, fmt.Errorf("the stored key %.100q is not a public key of a journal", key)
		}
		verifiers = append(verifiers, v)
	}
	c, _, err := tree.OpenCheckpoint(signed, verifiers...)
	return c, err
}

// Latest returns the most recent checkpoint, or nil if there is no checkpoint yet.
func Latest(ctx context.Context, db *store.DB) ([]byte, error) {
	last, err := selectCheckpoint(ctx, db.Read())
	if err != nil {
		return nil, fmt.Errorf("reading the journal's checkpoint: %w", err)
	}
	return last.note, nil
}

// Run signs a checkpoint every ten seconds if there are new entries, until ctx ends.
func (c *Checkpoints) Run(ctx context.Context) {
	for {
		c.Update(ctx)
		if clock.Sleep(ctx, interval) != nil {
			return
		}
	}
}

// Update signs a checkpoint if there are entries after the last checkpoint, and no process has
// signed recently.
func (c *Checkpoints) Update(ctx context.Context) { c.report(ctx, c.update(ctx, recentInterval)) }

// Finish signs a checkpoint if there are entries after the last checkpoint.
func (c *Checkpoints) Finish(ctx context.Context) { c.report(ctx, c.update(ctx, 0)) }

func (c *Checkpoints) report(ctx context.Context, err error) {
	if err == nil || ctx.Err() != nil {
		return
	}
	if missed, ok := c.failed.Allow(c.Now()); ok {
		c.Log.Error("signing the journal's checkpoint failed", "error", err, loglimit.Missed, missed)
	}
}

// Latest returns the last checkpoint that this process has seen, or nil.
func (c *Checkpoints) Latest() []byte {
	if latest := c.latest.Load(); latest != nil {
		return *latest
	}
	return nil
}

func (c *Checkpoints) update(ctx context.Context, recently time.Duration) error {
	now := c.Now()
	last, err := selectCheckpoint(ctx, c.DB.Read())
	if err != nil {
		return err
	}
	if last.note != nil {
		c.latest.Store(&last.note)
	}
	age := now.Sub(time.Unix(last.at, 0))
	if c.Signer == nil || age >= 0 && age < recently {
		return nil
	}
	f, err := c.Tree(ctx)
	if err != nil || f.Size() == 0 || f.Size() == last.size {
		return err
	}
	checkpoint := tree.Checkpoint{Origin: c.Signer.Name(), Size: f.Size(), Root: f.Root()}
	signed, err := checkpoint.Sign(c.Signer)
	if err != nil {
		return err
	}
	err = c.DB.Write(ctx, "", func(tx *sql.Tx) error {
		key, err := selectKey(ctx, tx)
		if err != nil {
			return err
		}
		if key != c.Key {
			return fmt.Errorf("the journal's key is now %s, but this process has %s", key, c.Key)
		}
		return insertCheckpoint(ctx, tx, row{checkpoint.Size, now.Unix(), signed})
	})
	if err != nil {
		return err
	}
	c.latest.Store(&signed)
	c.Log.Info("signed a checkpoint of the journal", "size", checkpoint.Size, "root", checkpoint.Root.String())
	return nil
}
