package app

import (
	"context"
	"errors"
	"io/fs"

	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/journal/checkpoint"
	"github.com/tidewaiter/tidewaiter/internal/notekey"
)

// newCheckpoints reads the key that signs the journal's checkpoints. The first process that uses
// the database creates the key. If the key cannot be read or created, checkpoints are not signed,
// and everything else works.
func (a *App) newCheckpoints(ctx context.Context, cfg *config.Config) (*checkpoint.Checkpoints, error) {
	path := cfg.Signing.JournalKey
	o := checkpoint.Options{DB: a.db, Tree: a.journal.Tree, Now: a.now, Log: a.log}
	unsigned := func(format string, args ...any) (*checkpoint.Checkpoints, error) {
		a.log.Warn("the journal's checkpoints are not signed: "+format, args...)
		key, err := checkpoint.Key(ctx, a.db)
		o.Key = key
		return checkpoint.New(o), err
	}
	key, err := notekey.Read(path)
	missing := errors.Is(err, fs.ErrNotExist)
	if missing {
		key, err = notekey.New(notekey.Name(cfg.PublicURL, cfg.Token.Issuer))
	}
	if err != nil {
		return unsigned("the key cannot be read", "error", err)
	}
	var failed error
	current, err := checkpoint.ClaimKey(ctx, a.db, key.Public(), func() error {
		if missing {
			failed = key.Write(path)
		}
		return failed
	})
	switch {
	case failed != nil:
		return unsigned("the key cannot be created", "file", path, "error", failed)
	case err != nil:
		return nil, err
	case current != key.Public() && missing:
		return unsigned("copy the key file from the replica that has it", "file", path, "key", current)
	case current != key.Public():
		return unsigned("the file has another key than the journal", "file", path, "key", current)
	case missing:
		a.log.Info("created the key that signs the journal's checkpoints: keep a copy of it", "file", path, "key", current)
	}
	o.Signer, o.Key = key, current
	return checkpoint.New(o), nil
}
